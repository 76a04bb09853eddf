package oauth

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A visitor's token is looked up like any other: SECURITY's group Visitor identity and
// bans, rows 2 and 3.

// visitorToken is a token as visitor makes them, given to that address.
func (h *house) visitorToken(id, sid, assurance, ip string, change ...func(map[string]any)) string {
	h.t.Helper()
	jti, err := h.known.TokenID(h.t.Context(), "", netip.MustParseAddr(ip), h.now())
	h.ok(err)
	claims := map[string]any{
		"iss": testIssuer, "sub": id, "aud": testResource, "exp": h.now().Add(5 * time.Minute).Unix(), "iat": h.now().Unix(), "iat_ms": h.now().UnixMilli(),
		"jti": jti, "client_id": visitors.ClientID, "sid": sid, "auth_time": h.now().Unix(), "acr": assurance, "assurance": assurance, "site": "", "subject_type": "visitor",
	}
	for _, f := range change {
		f(claims)
	}
	payload, err := json.Marshal(claims)
	h.ok(err)
	raw, err := h.keys.Sign(h.t.Context(), h.site(), "ES256", accessTokenType, payload)
	h.ok(err)
	return raw
}

// vera is a visitor whom the customer has vouched for, in one browser.
func (h *house) vera() store.Visitor {
	h.t.Helper()
	v := store.Visitor{ID: "vera", Sessions: []store.VisitorSession{{SID: "s1", Connection: "shop", Assurance: "signed"}}, Created: h.now(), Seen: h.now()}
	h.update(func(tx store.Tx) error {
		return h.known.Write(tx, &v, &visitors.Person{VisitorFields: store.VisitorFields{ExternalID: "u1", Email: "vera@buyers.example"}})
	})
	return v
}

func (h *house) ban(b store.Ban) store.Ban {
	h.t.Helper()
	b.Reason = "spam"
	made, err := h.known.Ban(h.t.Context(), h.site(), b, audit.Ref{Type: "operator", ID: "root"})
	h.ok(err)
	return made
}

// inactiveAt tells whether the token is inactive to a backend that sees that address.
func (h *house) inactiveAt(token, ip string) bool {
	h.t.Helper()
	a := h.post("/oauth/introspect", "CHAT", url.Values{"token": {token}, "visitor_ip": {ip}})
	return a.JSON["active"] != true
}

func TestAVisitorsTokenIsToldToItsAudienceAndToNobodyElse(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		token := h.visitorToken("anna", "s0", "anonymous", "192.0.2.1")
		h.wantActive("CHAT", token, true)
		h.wantActive("EVIL", token, false)
		if a := h.introspect("CHAT", token); a.JSON["sub"] != "anna" || a.JSON["assurance"] != "anonymous" || a.JSON["subject_type"] != "visitor" {
			t.Errorf("%s", a.Body)
		}
		h.addVisitorNamedClient()
		h.wantActive(visitors.ClientID, token, false)
		h.post("/oauth/revoke", visitors.ClientID, url.Values{"token": {token}})
		h.wantActive("CHAT", token, true)
		h.wantActive("CHAT", h.visitorToken("anna", "s0", "anonymous", "192.0.2.1", func(c map[string]any) { c["client_id"] = "CONF" }), false)
	})
}

// addVisitorNamedClient registers a client by the name that visitors' tokens have.
func (h *house) addVisitorNamedClient() {
	h.update(func(tx store.Tx) error {
		c, err := store.Clients.Get(tx, "EVIL")
		if err != nil {
			return err
		}
		c.ID = visitors.ClientID
		sum := sha256Of(secretOf(c.ID))
		c.Secrets = []store.ClientSecret{{SHA256: sum, Created: h.now()}}
		return store.Clients.Create(tx, &c)
	})
}

func TestABannedVisitorsTokenIsInactive(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.vera()
		for name, ban := range map[string]store.Ban{
			"id": {VisitorID: "vera"}, "external id": {ExternalID: "u1"}, "address": {Email: "Vera+2@buyers.example"}, "domain": {EmailDomain: "buyers.example"},
		} {
			token := h.visitorToken("vera", "s1", "signed", "192.0.2.1")
			h.wantActive("CHAT", token, true)
			made := h.ban(ban)
			h.wantActive("CHAT", token, false)
			later := h.visitorToken("vera", "s1", "signed", "192.0.2.1") // of a node that did not know
			if h.wantActive("CHAT", later, false); t.Failed() {
				t.Fatal(name)
			}
			h.ok(h.known.Unban(t.Context(), h.site(), made.ID, audit.Ref{Type: "operator", ID: "root"}))
			h.clock.Add(int64(3 * time.Second)) // past what the feed names
		}
		h.wantActive("CHAT", h.visitorToken("vera", "s1", "signed", "192.0.2.1"), true)
	})
}

func TestABannedNetworkIsJudgedByTheAddressThatTheBackendSees(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	here, there := h.visitorToken("anna", "s0", "anonymous", "2001:db8:0:1::7"), h.visitorToken("otto", "s2", "anonymous", "2001:db8:0:2::7")
	h.ban(store.Ban{Network: "2001:db8:0:1::99"})
	h.wantActive("CHAT", here, false) // the feed names the network's tokens
	h.wantActive("CHAT", there, true)
	if !h.inactiveAt(there, "2001:db8:0:1::1") || h.inactiveAt(there, "2001:db8:0:3::1") {
		t.Error("the address that the backend names is not judged")
	}
}

func TestATokenOfWhoIsNoLongerThatVisitorIsInactive(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	v := h.vera()
	stranger, session, other := h.visitorToken("anna", "s0", "anonymous", "192.0.2.1"), h.visitorToken("vera", "s1", "signed", "192.0.2.1"), h.visitorToken("vera", "s9", "signed", "192.0.2.1")
	granted := h.visitorToken("vera", visitors.Granted+"x", "signed", "192.0.2.1")
	h.wantActive("CHAT", stranger, true)
	h.wantActive("CHAT", session, true)
	h.wantActive("CHAT", granted, true)
	h.wantActive("CHAT", other, false)
	h.wantActive("CHAT", h.visitorToken("nobody", "s1", "signed", "192.0.2.1"), false)
	h.update(func(tx store.Tx) error {
		return store.Visitors.Put(tx, &store.Visitor{ID: "anna", Alias: "vera", Created: h.now(), Seen: h.now()})
	})
	h.wantActive("CHAT", stranger, false)
	v.Sessions = nil
	h.update(func(tx store.Tx) error { return store.Visitors.Put(tx, &v) })
	h.wantActive("CHAT", session, false)
	h.changeSettings(func(s *store.Settings) { s.NotBefore = h.now().Add(time.Second) })
	h.wantActive("CHAT", granted, false)
}

func TestAVisitorsTokenOpensNothingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	token := h.visitorToken("anna", "s0", "anonymous", "192.0.2.1", func(c map[string]any) { c["aud"], c["scope"] = testIssuer, "openid" })
	if a := h.get("/oauth/userinfo", "Authorization", "Bearer "+token); a.Code < 400 || a.Code >= 500 {
		t.Errorf("userinfo: %d %s", a.Code, a.Body)
	}
	h.store.down.Store(true)
	if a := h.post("/oauth/introspect", "CHAT", url.Values{"token": {token}}); a.Code < 500 {
		t.Errorf("a store that fails is an answer: %d %s", a.Code, a.Body)
	}
}

func TestAnAddressThatCannotBeReadIsNotNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	token := h.visitorToken("anna", "s0", "anonymous", "198.51.100.1")
	h.ban(store.Ban{Network: "203.0.113.9"})
	if !h.inactiveAt(token, "203.0.113.9") || h.inactiveAt(token, "203.0.113.8") || h.inactiveAt(token, "") {
		t.Fatal("the ban does not hold, or on others too")
	}
	for _, spelt := range []string{"203.0.113.9:4711", "[203.0.113.9]", " 203.0.113.9", "203.0.113.9, 10.0.0.1", "unknown", "fe80::1%eth0"} {
		a := h.post("/oauth/introspect", "CHAT", url.Values{"token": {token}, "visitor_ip": {spelt}})
		if a.Code != http.StatusBadRequest || a.JSON["error"] != "invalid_request" || a.JSON["active"] != nil {
			t.Errorf("visitor_ip=%q: %d %s", spelt, a.Code, a.Body)
		}
	}
}
