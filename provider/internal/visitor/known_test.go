package visitor

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// feed is the revocation feed.
func (h *house) feed() (all []store.Revocation) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		all = nil
		for r, err := range store.Revocations.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	}))
	return all
}

func (h *house) revoked(match func(store.Revocation) bool) bool {
	return slices.ContainsFunc(h.feed(), match)
}

func TestTheNewestRenewalTokenOfAKnownVisitorCounts(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		first := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		second := h.start(map[string]any{"renew": first.text("renew")})
		if second.Code != http.StatusOK || second.claims(t)["sid"] != first.claims(t)["sid"] || second.claims(t)["email"] == nil {
			t.Fatalf("%d %s", second.Code, second.Body)
		}
		if a := h.start(map[string]any{"renew": first.text("renew")}); a.Code != http.StatusOK {
			t.Fatalf("within the grace: %d %s", a.Code, a.Body)
		}
		third := h.start(map[string]any{"renew": second.text("renew")})
		h.start(map[string]any{"renew": first.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		sid := first.claims(t)["sid"]
		if !h.revoked(func(r store.Revocation) bool { return r.SID == sid && r.Reason == reasonReused }) {
			t.Error("a reuse did not end the session")
		}
		h.start(map[string]any{"renew": third.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	})
}

// wasOf is the other name in a token's sub_id.
func wasOf(claims map[string]any) string {
	id, _ := claims["sub_id"].(map[string]any)
	both, _ := id["identifiers"].([]any)
	if id["format"] != "aliases" || len(both) != 2 {
		return ""
	}
	was, _ := both[1].(map[string]any)
	text, _ := was["sub"].(string)
	return text
}

func TestAnAnonymousVisitorBecomesANameOfTheKnownOne(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		planted := h.start(map[string]any{})
		a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": planted.text("renew")})
		was, is := planted.claims(t), a.claims(t)
		if got := wasOf(is); got != planted.text("visitor_id") || wasOf(known.claims(t)) != "" {
			t.Errorf("they were %q", got)
		}
		if is["sub"] != known.text("visitor_id") || is["sid"] == was["sid"] || is["sid"] == known.claims(t)["sid"] {
			t.Fatalf("%v", is)
		}
		if !h.revoked(func(r store.Revocation) bool { return r.SID == was["sid"] && r.Reason == reasonUpgraded }) {
			t.Error("the anonymous token lives on")
		}
		// Whoever planted it has a copy.
		h.start(map[string]any{"renew": planted.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		shown, err := h.known.Show(t.Context(), load(h), planted.text("visitor_id"))
		if err != nil || shown.ID != a.text("visitor_id") || !slices.Contains(shown.Aliases, planted.text("visitor_id")) {
			t.Errorf("%+v %v", shown, err)
		}
		if next := h.start(map[string]any{"renew": a.text("renew")}); wasOf(next.claims(t)) != planted.text("visitor_id") {
			t.Error("the next token does not say who they were")
		}
		// Nor is it a way to another's name.
		b := h.start(map[string]any{"identity": h.jwt("shop", "u2", nil), "renew": planted.text("renew")})
		if b.text("visitor_id") == a.text("visitor_id") {
			t.Error("the second got the first one's sub")
		}
		if got := wasOf(b.claims(t)); got != "" {
			t.Errorf("the second was %q", got)
		}
		if shown, _ := h.known.Show(t.Context(), load(h), planted.text("visitor_id")); shown.ID != a.text("visitor_id") {
			t.Error("the name went over to the second")
		}
	})
}

func TestTwoKnownVisitorsAreMergedWhereBothConnectionsSayTheyAreOne(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		h.connect("club", nil)
		club := h.start(map[string]any{"identity": h.jwt("club", "m7", nil)})
		shop := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		phone := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		a := h.start(map[string]any{"identity": h.jwt("club", "m7", nil), "renew": shop.text("renew")})
		if a.text("visitor_id") != club.text("visitor_id") {
			t.Fatalf("not the older: %s", a.Body)
		}
		if got := wasOf(a.claims(t)); got != shop.text("visitor_id") {
			t.Errorf("they were %q", got)
		}
		if !h.revoked(func(r store.Revocation) bool { return r.Subject == shop.text("visitor_id") && r.Reason == reasonMerged }) {
			t.Error("tokens under the old name live on")
		}
		for _, again := range []said{h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}), h.start(map[string]any{"renew": phone.text("renew")})} {
			if again.text("visitor_id") != club.text("visitor_id") {
				t.Errorf("%d %s", again.Code, again.Body)
			}
		}
		// Another's browser, lent: nothing is merged.
		guest := h.start(map[string]any{"identity": h.jwt("shop", "u9", map[string]any{"email": "guest@else.example"}), "renew": ""})
		lent := h.start(map[string]any{"identity": h.jwt("club", "m7", nil), "renew": guest.text("renew")})
		if lent.text("visitor_id") != club.text("visitor_id") {
			t.Errorf("%s", lent.Body)
		}
		h.start(map[string]any{"renew": guest.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		if b := h.start(map[string]any{"identity": h.jwt("shop", "u9", map[string]any{"email": "guest@else.example"})}); b.text("visitor_id") != guest.text("visitor_id") {
			t.Error("the guest was merged")
		}
	})
}

// proof is the code of Fred's login at the connection.
func (h *house) proof(connection, verifier, origin string) (code string) {
	h.t.Helper()
	return h.proofOf(connection, verifier, origin, store.VisitorProven{
		Subject: "abc", Upstream: "ZnJlZEBmZWQ.idx", Fields: store.VisitorFields{Name: "Fred", Email: "fred@fed.example"},
	})
}

// proofOf leaves what federation would.
func (h *house) proofOf(connection, verifier, origin string, who store.VisitorProven) (code string) {
	h.t.Helper()
	code = random(32)
	sum := sha256.Sum256([]byte(code))
	challenge := sha256.Sum256([]byte(verifier))
	p := store.VisitorProof{
		Hash: hex.EncodeToString(sum[:]), Connection: connection, Origin: origin, AuthTime: h.now(), Expires: h.now().Add(time.Minute),
		Challenge: base64.RawURLEncoding.EncodeToString(challenge[:]),
	}
	who.Since = load(h).Connection(connection).Since()
	plain, err := json.Marshal(who)
	h.ok(err)
	p.Sealed, err = h.sealer.Seal("", store.VisitorProofs.Kind, p.Hash, plain)
	h.ok(err)
	h.update(func(tx store.Tx) error { return store.VisitorProofs.Put(tx, &p) })
	return code
}

func TestAProofIsTakenOnceByThePageThatAskedForIt(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("login", nil)
		verifier := strings.Repeat("v", 43)
		code := h.proof("login", verifier, shop)
		body := map[string]any{"proof": code, "code_verifier": verifier}
		a := h.start(body)
		if a.text("assurance") != Federated || a.claims(t)["acr"] != Federated || a.claims(t)["name"] != "Fred" {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		h.start(body).want(t, http.StatusBadRequest, "invalid_grant", "")
		wrong := h.proof("login", verifier, shop)
		h.start(map[string]any{"proof": wrong, "code_verifier": strings.Repeat("w", 43)}).want(t, http.StatusBadRequest, "invalid_grant", "")
		h.start(map[string]any{"proof": wrong, "code_verifier": verifier}).want(t, http.StatusBadRequest, "invalid_grant", "")
		elsewhere := h.proof("login", verifier, "https://other.example")
		h.start(map[string]any{"proof": elsewhere, "code_verifier": verifier}).want(t, http.StatusBadRequest, "invalid_grant", "")
		late := h.proof("login", verifier, shop)
		h.later(2 * time.Minute)
		h.start(map[string]any{"proof": late, "code_verifier": verifier}).want(t, http.StatusBadRequest, "invalid_grant", "")
	})
}

func TestNothingPersonalStandsInTheStoreInClear(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		h.start(map[string]any{"identity": h.jwt("shop", "customer-4711", nil)})
		h.ok(h.engine.Dump(t.Context(), func(r store.Record) error {
			for _, secret := range []string{"vera", "Vera", "buyers", "customer-4711"} {
				if bytes.Contains(r.Key, []byte(secret)) || bytes.Contains(r.Value, []byte(secret)) {
					return errors.New(string(r.Kind) + " has " + secret)
				}
			}
			return nil
		}))
	})
}

func TestALogoutAtTheCustomersOwnLoginEndsTheVisitorsSession(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("login", nil)
		verifier := strings.Repeat("v", 43)
		fred := base64.RawURLEncoding.EncodeToString([]byte("fred@fed"))
		for _, c := range []struct {
			name string
			over session.UpstreamLogout
			ends bool
		}{
			{"another's", session.UpstreamLogout{Name: base64.RawURLEncoding.EncodeToString([]byte("fred@else"))}, false},
			{"another's index", session.UpstreamLogout{Name: fred, Indexes: []string{"other"}}, false},
			{"another's subject", session.UpstreamLogout{Subject: "abcd"}, false},
			{"all of a name's", session.UpstreamLogout{Name: fred}, true},
			{"its index", session.UpstreamLogout{Name: fred, Indexes: []string{"other", "idx"}}, true},
			{"the subject", session.UpstreamLogout{Subject: "abc"}, true},
		} {
			a := h.start(map[string]any{"proof": h.proof("login", verifier, shop), "code_verifier": verifier})
			c.over.Connection = load(h).Connection("login")
			h.update(func(tx store.Tx) error { return h.x.SignedOut(t.Context(), tx, load(h), c.over) })
			b := h.start(map[string]any{"renew": a.text("renew")})
			told := h.revoked(func(r store.Revocation) bool { return r.SID == a.claims(t)["sid"] && r.Reason == reasonSignedOut })
			if ended := b.Code != http.StatusOK; ended != c.ends || told != c.ends {
				t.Errorf("%s: ended %v, told %v, want %v: %s", c.name, ended, told, c.ends, b.Body)
			}
		}
	})
}

func TestAConnectionOfTheSameNameIsNotTheOneThatWas(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		h.connect("login", nil)
		verifier := strings.Repeat("v", 43)
		before := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		proof := h.proof("login", verifier, shop)
		h.later(time.Millisecond)
		h.replace("shop")
		h.replace("login")
		h.start(map[string]any{"renew": before.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		h.start(map[string]any{"proof": proof, "code_verifier": verifier}).want(t, http.StatusBadRequest, "invalid_grant", "")
		after := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": before.text("renew")})
		if after.Code != http.StatusOK || after.text("visitor_id") == before.text("visitor_id") {
			t.Errorf("the number of another's is the visitor of before: %d %s", after.Code, after.Body)
		}
	})
}

func TestTheSameNumberAtTwoConnectionsIsNotTheSamePerson(t *testing.T) {
	t.Parallel()
	none := map[string]any{"email": nil, "customer": "4711"}
	merged := func(attributes ...store.Attribute) bool {
		h := newHouse(t, storetest.Bolt)
		for _, id := range []string{"shop", "forum"} {
			h.connect(id, func(c *store.Connection) { c.Attributes = attributes })
		}
		forum := h.start(map[string]any{"identity": h.jwt("forum", "7", none)})
		shop := h.start(map[string]any{"identity": h.jwt("shop", "7", none), "renew": forum.text("renew")})
		return shop.text("visitor_id") == forum.text("visitor_id")
	}
	if merged() || merged(store.Attribute{Field: "external_id", From: []string{"sub"}}) {
		t.Error("a forum's user has become a customer of the shop")
	}
	if !merged(store.Attribute{Field: "external_id", From: []string{"customer"}}) {
		t.Error("one customer is two")
	}
}
