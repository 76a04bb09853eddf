package visitor

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var operator = audit.Ref{Type: "operator", ID: "root"}

func (h *house) ban(b store.Ban) store.Ban {
	h.t.Helper()
	b.Reason = "spam"
	made, err := h.known.Ban(h.t.Context(), load(h), b, operator)
	h.ok(err)
	return made
}

func TestABannedVisitorGetsNoTokenAndLosesThoseTheyHave(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		for name, ban := range map[string]func(known said) store.Ban{
			"id":          func(a said) store.Ban { return store.Ban{VisitorID: a.text("visitor_id")} },
			"external id": func(said) store.Ban { return store.Ban{ExternalID: "u1"} },
			"email":       func(said) store.Ban { return store.Ban{Email: "Vera@Buyers.example"} },
			"domain":      func(said) store.Ban { return store.Ban{EmailDomain: "example"} },
		} {
			h := newHouse(t, on)
			h.connect("shop", nil)
			known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
			until := h.now().Add(time.Hour).UTC().Truncate(time.Second)
			b := ban(known)
			b.Until = until
			made := h.ban(b)
			for _, body := range []map[string]any{{"renew": known.text("renew")}, {"identity": h.jwt("shop", "u1", nil)}} {
				a := h.start(body)
				a.want(t, http.StatusForbidden, "access_denied", "visitor_banned")
				if a.text("until") != until.Format(time.RFC3339) {
					t.Errorf("%s: until %q", name, a.text("until"))
				}
			}
			if !h.revoked(func(r store.Revocation) bool {
				return r.Subject == known.text("visitor_id") && r.Reason == "visitor_banned"
			}) {
				t.Errorf("%s: the token lives on", name)
			}
			if a := h.start(map[string]any{}); a.Code != http.StatusOK {
				t.Errorf("%s: a stranger got %d", name, a.Code)
			}
			h.ok(h.known.Unban(t.Context(), load(h), made.ID, operator))
			if a := h.start(map[string]any{"renew": known.text("renew")}); a.Code != http.StatusOK {
				t.Errorf("%s: after the ban: %d %s", name, a.Code, a.Body)
			}
		}
	})
}

func TestABannedNetworkEndsTheTokensOfStrangersThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	here := h.post(shop, "[2001:db8:0:1::7]:1", `{}`)
	there := h.post(shop, "[2001:db8:0:2::7]:1", `{}`)
	family := func(a said) string {
		name, _, _ := strings.Cut(a.claims(t)["jti"].(string), ".")
		return name
	}
	h.ban(store.Ban{Network: "2001:db8:0:1::99"})
	byFamily := func(a said) bool {
		return h.revoked(func(r store.Revocation) bool { return r.JTI == family(a) })
	}
	if !byFamily(here) || byFamily(there) {
		t.Errorf("here %v, there %v", byFamily(here), byFamily(there))
	}
	h.post(shop, "[2001:db8:0:1::8]:1", `{}`).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	h.post(shop, "[2001:db8:0:2::8]:1", `{"renew":"`+here.text("renew")+`"}`)
	if a := h.post(shop, "[2001:db8:0:2::8]:1", `{}`); a.Code != http.StatusOK {
		t.Errorf("%d", a.Code)
	}
	h.ban(store.Ban{Network: "198.51.0.0/16"})
	if !h.revoked(func(r store.Revocation) bool { return r.ClientID == records.ClientID }) {
		t.Error("a wide network: nobody has to renew")
	}
}

func TestABanEndsByItself(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.ban(store.Ban{Network: "192.0.2.0/24", Until: h.now().Add(time.Minute)})
	h.start(map[string]any{}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	h.later(time.Minute + time.Second)
	if a := h.start(map[string]any{}); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestABannedStrangerIsNotAnotherAfterSigningIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	stranger := h.start(map[string]any{})
	h.ban(store.Ban{VisitorID: stranger.text("visitor_id")})
	h.start(map[string]any{"renew": stranger.text("renew")}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	h.start(map[string]any{"renew": stranger.text("renew"), "identity": h.jwt("shop", "u1", nil)}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
}

func TestABanThatNamesNobodyOrNoReasonIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for _, b := range []store.Ban{
		{Reason: "x"}, {Network: "192.0.2.1"}, {Network: "nonsense", Reason: "x"}, {Email: "@", Reason: "x"}, {EmailDomain: "a b", Reason: "x"},
		{Network: "192.0.2.1", Reason: "x", Until: h.now().Add(-time.Second)}, {Network: "192.0.2.1", Reason: strings.Repeat("x", 501)},
	} {
		if _, err := h.known.Ban(t.Context(), load(h), b, operator); err == nil {
			t.Errorf("%+v was made", b)
		}
	}
}

func TestAVisitorIsForgottenAndTheAuditLogStaysWhole(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		stranger := h.start(map[string]any{})
		a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": stranger.text("renew")})
		h.ok(h.audit.Seal(t.Context(), ""))
		h.ok(h.known.Erase(t.Context(), load(h), stranger.text("visitor_id"), operator))
		h.start(map[string]any{"renew": a.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		if _, err := h.known.Show(t.Context(), load(h), a.text("visitor_id")); err == nil {
			t.Error("still there")
		}
		if b := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}); b.text("visitor_id") == a.text("visitor_id") {
			t.Error("the same again")
		}
		h.ok(h.audit.Seal(t.Context(), ""))
		report, err := h.audit.Verify(t.Context(), "", nil)
		if err != nil || report.Erased == 0 {
			t.Errorf("%+v %v", report, err)
		}
	})
}

func TestABannedAddressIsBannedAsTyped(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	before := h.start(map[string]any{"email": "spam+7@mail.example"})
	h.ban(store.Ban{Email: "spam@mail.example"})
	for _, body := range []map[string]any{{"email": "SPAM+8@mail.example"}, {"renew": before.text("renew")}} {
		h.start(body).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	}
	if a := h.start(map[string]any{"email": "else@mail.example"}); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}
