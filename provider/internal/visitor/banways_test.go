package visitor

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// everywhere makes one visitor who comes in by every way there is, and returns what
// they hold.
func (h *house) everywhere() said {
	h.t.Helper()
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	h.connect("login", nil)
	first := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	held := h.startsByProof(first.text("renew"))
	if held.text("visitor_id") != first.text("visitor_id") {
		h.t.Fatalf("the test's own visitor is two: %d %s", held.Code, held.Body)
	}
	return held
}

// startsByProof is a start of that visitor's after a login.
func (h *house) startsByProof(renew string) said {
	h.t.Helper()
	verifier := strings.Repeat("v", 43)
	vera := store.VisitorProven{Subject: "fed-1", Fields: store.VisitorFields{Name: "Vera", Email: "vera+x@buyers.example", EmailVerified: true, ExternalID: "u1"}}
	return h.start(map[string]any{"proof": h.proofOf("login", verifier, shop, vera), "code_verifier": verifier, "renew": renew})
}

// waysIn are that visitor's.
func (h *house) waysIn(renew string) map[string]said {
	h.t.Helper()
	return map[string]said{
		"renew":     h.start(map[string]any{"renew": renew}),
		"identity":  h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}),
		"proof":     h.startsByProof(""),
		"user_hash": h.hashed("shop", "u1"),
		"RFC 7523":  h.grant(h.jwt("shop", "u1", nil)),
	}
}

// SECURITY's group Visitor identity and bans, row 3: whatever a ban names, no way
// leads round it.
func TestEachCriterionOfABanHoldsAtEachWayIn(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ban      func(id string) store.Ban
		stranger map[string]any // whose start it holds at too; nil: at nobody's
	}{
		"visitor id":  {func(id string) store.Ban { return store.Ban{VisitorID: id} }, nil},
		"external id": {func(string) store.Ban { return store.Ban{ExternalID: "u1"} }, nil},
		"address":     {func(string) store.Ban { return store.Ban{Email: "vera@buyers.example"} }, map[string]any{"email": "Vera+2@Buyers.example"}},
		"domain":      {func(string) store.Ban { return store.Ban{EmailDomain: "buyers.example"} }, map[string]any{"email": "otto@eu.buyers.example"}},
		"network":     {func(string) store.Ban { return store.Ban{Network: "192.0.2.0/28"} }, map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			held := h.everywhere()
			stranger := h.start(map[string]any{})
			for way, a := range h.waysIn(held.text("renew")) {
				if a.Code != http.StatusOK || a.text("visitor_id") != held.text("visitor_id") {
					t.Fatalf("%s before the ban: %d %s", way, a.Code, a.Body)
				}
				if way == "renew" {
					held = a
				}
			}
			h.later(time.Hour) // so that no rate refuses
			h.ban(c.ban(held.text("visitor_id")))
			ways := h.waysIn(held.text("renew"))
			if c.stranger != nil {
				ways["start"] = h.start(c.stranger)
				again := maps.Clone(c.stranger)
				again["renew"] = stranger.text("renew")
				ways["renew of a stranger"] = h.start(again)
			} else if a := h.start(map[string]any{}); a.Code != http.StatusOK {
				t.Errorf("a stranger is refused: %d %s", a.Code, a.Body)
			}
			for way, a := range ways {
				if a.Code != http.StatusForbidden || a.text("reason") != policy.ReasonBanned || a.text("access_token") != "" {
					t.Errorf("%s: %d %s", way, a.Code, a.Body)
				}
			}
			if _, why := h.judge(held, "192.0.2.1"); why != policy.ReasonBanned { // as introspection and decisions ask
				t.Errorf("asked live: %s", why)
			}
		})
	}
}

func TestAnAnonymousVisitorIsBannedByTheirId(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	a := h.start(map[string]any{})
	h.ban(store.Ban{VisitorID: a.text("visitor_id")})
	h.start(map[string]any{"renew": a.text("renew")}).want(t, http.StatusForbidden, "access_denied", policy.ReasonBanned)
	if _, why := h.judge(a, "192.0.2.1"); why != policy.ReasonBanned {
		t.Errorf("asked live: %s", why)
	}
}

func TestABanHoldsToItsLastSecondAndNotLonger(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	h.stop(h.now().Truncate(time.Second).Add(time.Second))
	until := h.now().Add(10 * time.Minute)
	known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	if known.Code != http.StatusOK {
		t.Fatalf("%d %s", known.Code, known.Body)
	}
	stranger := h.post(shop, "198.51.100.7:1", `{}`)
	h.ban(store.Ban{ExternalID: "u1", Until: until})
	h.ban(store.Ban{Network: "198.51.100.7", Until: until})
	ways := func() map[string]said {
		return map[string]said{
			"start":               h.post(shop, "198.51.100.7:1", `{}`),
			"a stranger's renew":  h.post(shop, "198.51.100.7:1", `{"renew":"`+stranger.text("renew")+`"}`),
			"a known one's renew": h.start(map[string]any{"renew": known.text("renew")}),
			"identity":            h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}),
			"the grant":           h.grant(h.jwt("shop", "u1", nil)),
		}
	}
	h.later(10*time.Minute - time.Nanosecond)
	for way, a := range ways() {
		if a.text("reason") != policy.ReasonBanned || a.text("until") != until.UTC().Format(time.RFC3339) {
			t.Errorf("%s in the last second: %d %s", way, a.Code, a.Body)
		}
	}
	h.later(time.Nanosecond)
	for way, a := range ways() {
		if a.Code != http.StatusOK {
			t.Errorf("%s when it is over: %d %s", way, a.Code, a.Body)
		}
	}
}

// What one node has banned, another goes on to let in for as long as it may not know.
func TestABanOfOneNodeHoldsAtAnotherAndEndsWhatThatOneGaveMeanwhile(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		other := h.beside()
		h.stop(h.now().Truncate(time.Minute).Add(time.Minute - 100*time.Millisecond)) // the other node's tokens are of the next minute
		known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		if a := other.post(shop, "198.51.100.7:1", `{}`); a.Code != http.StatusOK { // it looks at the site now
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		h.ban(store.Ban{ExternalID: "u1"})
		h.ban(store.Ban{Network: "198.51.100.7"})
		h.later(400 * time.Millisecond)
		renewed := other.start(map[string]any{"renew": known.text("renew")})
		signed := other.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		stranger := other.post(shop, "198.51.100.7:1", `{}`)
		for name, a := range map[string]said{"renewed": renewed, "signed": signed, "stranger": stranger} {
			if a.Code != http.StatusOK {
				t.Fatalf("%s: the other node knows at once, and this test shows nothing: %d %s", name, a.Code, a.Body)
			}
		}
		for _, a := range []said{renewed, signed} {
			issued := time.UnixMilli(int64(a.claims(t)["iat_ms"].(float64)))
			if !h.revoked(func(r store.Revocation) bool { return r.Subject == a.text("visitor_id") && !issued.After(r.Before) }) {
				t.Error("verifiers take what the other node gave to a banned visitor")
			}
		}
		if ok, why := h.judge(stranger, ""); ok { // where nobody says from where it comes
			t.Errorf("verifiers take what the other node gave on a banned network: %s", why)
		}
		h.later(100 * time.Millisecond) // MaxAge since it looked
		other.start(map[string]any{"renew": renewed.text("renew")}).want(t, http.StatusForbidden, "access_denied", policy.ReasonBanned)
		other.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}).want(t, http.StatusForbidden, "access_denied", policy.ReasonBanned)
		other.post(shop, "198.51.100.7:1", `{}`).want(t, http.StatusForbidden, "access_denied", policy.ReasonBanned)
	})
}

// A ban of a network too wide to name ends every visitor's token, of the other node's too.
func TestAWideBanEndsWhatAnotherNodeGivesMeanwhile(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.stop(h.now())
	h.ban(store.Ban{Network: "198.51.0.0/16"})
	h.later(records.Heard)
	a := h.start(map[string]any{})
	if ok, _ := h.judge(a, "192.0.2.1"); ok {
		t.Error("a token of before every node knew is good")
	}
	h.later(time.Millisecond)
	if ok, why := h.judge(h.start(map[string]any{}), "192.0.2.1"); !ok {
		t.Error("and so is none after it: " + why)
	}
}
