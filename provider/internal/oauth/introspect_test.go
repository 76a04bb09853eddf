package oauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 7662.

func TestALiveTokenIsToldToItsClientAndItsAudience(t *testing.T) {
	storetest.OnBothEngines(t, testALiveTokenIsToldToItsClientAndItsAudience)
}

func testALiveTokenIsToldToItsClientAndItsAudience(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat"))
	for _, client := range []string{"CONF", "CHAT"} {
		a := h.introspect(client, token)
		want := map[string]any{"active": true, "token_type": "Bearer", "iss": testIssuer, "sub": "alice", "client_id": "CONF", "site": "", "subject_type": "agent"}
		for name, value := range want {
			if diff := cmp.Diff(value, a.JSON[name]); diff != "" {
				t.Errorf("%s for %s: %s", name, client, diff)
			}
		}
		for _, name := range []string{"jti", "aud", "exp", "iat", "scope", "sid"} {
			if a.JSON[name] == nil {
				t.Errorf("%s is missing for %s: %s", name, client, a.Body)
			}
		}
		if a.Header().Get("Content-Type") != "application/json" || a.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("headers %v", a.Header())
		}
	}
}

func TestATokenForOthersIsInactiveLikeOneThatDoesNotExist(t *testing.T) {
	storetest.OnBothEngines(t, testATokenForOthersIsInactiveLikeOneThatDoesNotExist)
}

func testATokenForOthersIsInactiveLikeOneThatDoesNotExist(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g := h.grant("CONF", "openid", "chat")
	h.wantActive("EVIL", h.token(g), false)
	h.wantActive("EVIL", h.clientToken("CHAT"), false)
	h.wantActive("EVIL", "no-token-at-all", false)
	h.wantActive("EVIL", strings.Repeat("A", 40<<10), false)
}

func TestIntrospectionNeedsAClientThatAuthenticates(t *testing.T) {
	storetest.OnBothEngines(t, testIntrospectionNeedsAClientThatAuthenticates)
}

func testIntrospectionNeedsAClientThatAuthenticates(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat"))
	for name, r := range map[string]func(*http.Request){
		"nobody":       func(*http.Request) {},
		"bearer":       func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token) },
		"wrong secret": func(r *http.Request) { r.SetBasicAuth("CONF", "wrong") },
		"no secret":    func(r *http.Request) { r.SetBasicAuth("CONF", "") },
		"unknown":      func(r *http.Request) { r.SetBasicAuth("NOBODY", "wrong") },
		"public":       func(r *http.Request) { r.SetBasicAuth("PUB", "") },
		"public by id": func(r *http.Request) {
			r.Body = http.NoBody
			*r = *httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {token}, "client_id": {"PUB"}}.Encode()))
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			req := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r(req)
			a := h.do(req)
			if a.Code != http.StatusUnauthorized || a.JSON["error"] != "invalid_client" || a.Header().Get("WWW-Authenticate") == "" {
				t.Errorf("%d %s %v", a.Code, a.Body, a.Header())
			}
		})
	}
}

func TestATokenIsInactiveOnceSomethingItStandsOnIsGone(t *testing.T) {
	storetest.OnBothEngines(t, testATokenIsInactiveOnceSomethingItStandsOnIsGone)
}

func testATokenIsInactiveOnceSomethingItStandsOnIsGone(t *testing.T, on storetest.Engine) {
	for name, end := range map[string]func(*house, store.Grant){
		"expired": func(h *house, _ store.Grant) { h.clock.Add(int64(6 * time.Minute)) },
		"family revoked": func(h *house, g store.Grant) {
			g.Revoked = true
			h.update(func(tx store.Tx) error { return store.Grants.Put(tx, &g) })
		},
		"family gone": func(h *house, g store.Grant) {
			h.update(func(tx store.Tx) error { return store.Grants.Delete(tx, g.ID) })
		},
		"agent inactive": func(h *house, _ store.Grant) { h.changeAgent(func(a *store.Agent) { a.Inactive = true }) },
		"agent cut off":  func(h *house, _ store.Grant) { h.changeAgent(func(a *store.Agent) { a.NotBefore = h.now() }) },
		"agent deleted": func(h *house, _ store.Grant) {
			h.update(func(tx store.Tx) error { return store.Agents.Delete(tx, "alice") })
		},
		"client disabled": func(h *house, _ store.Grant) { h.changeClient("CONF", func(c *store.Client) { c.Disabled = true }) },
		"client cut off":  func(h *house, _ store.Grant) { h.changeClient("CONF", func(c *store.Client) { c.NotBefore = h.now() }) },
		"site cut off":    func(h *house, _ store.Grant) { h.changeSettings(func(s *store.Settings) { s.NotBefore = h.now() }) },
		"both cut off": func(h *house, _ store.Grant) {
			h.changeSettings(func(s *store.Settings) { s.NotBefore = h.now() })
			h.changeClient("CONF", func(c *store.Client) { c.NotBefore = h.now().Add(-time.Hour) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			g := h.grant("CONF", "openid", "chat")
			token := h.token(g)
			h.wantActive("CHAT", token, true)
			end(h, g)
			h.wantActive("CHAT", token, false)
		})
	}
}

func TestAClientsOwnTokenEndsWithTheClient(t *testing.T) {
	storetest.OnBothEngines(t, testAClientsOwnTokenEndsWithTheClient)
}

func testAClientsOwnTokenEndsWithTheClient(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.clientToken("CHAT")
	h.wantActive("CHAT", token, true)
	h.clock.Add(int64(2 * time.Second))
	h.changeClient("CHAT", func(c *store.Client) { c.NotBefore = h.now() })
	h.wantActive("CHAT", token, false)
	h.clock.Add(int64(2 * time.Second))
	h.wantActive("CHAT", h.clientToken("CHAT"), true)
}

func TestOnlyAccessTokensOfThisSiteAreActive(t *testing.T) {
	storetest.OnBothEngines(t, testOnlyAccessTokensOfThisSiteAreActive)
}

func testOnlyAccessTokensOfThisSiteAreActive(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g := h.grant("CONF", "openid", "chat")
	good := h.token(g)
	parts := strings.Split(good, ".")
	for name, token := range map[string]string{
		"ID token":         h.sign("RS256", "JWT", h.claims(g)),
		"logout token":     h.sign("ES256", "logout+jwt", h.claims(g)),
		"no type":          h.sign("ES256", "", h.claims(g)),
		"other issuer":     h.token(g, func(c map[string]any) { c["iss"] = "https://evil.example" }),
		"other site":       h.token(g, func(c map[string]any) { c["site"] = "acme" }),
		"no expiry":        h.token(g, func(c map[string]any) { delete(c, "exp") }),
		"from the future":  h.token(g, func(c map[string]any) { c["iat"] = h.now().Add(time.Hour).Unix() }),
		"no id":            h.token(g, func(c map[string]any) { delete(c, "jti") }),
		"somebody else's":  h.token(g, func(c map[string]any) { c["sub"] = "bob" }),
		"another's family": h.token(g, func(c map[string]any) { c["client_id"] = "CHAT" }),
		"no signature":     parts[0] + "." + parts[1] + ".",
		"trailing bits":    good + "A",
		"padded":           good + "=",
		"cut":              good[:len(good)-2],
		"two parts":        parts[0] + "." + parts[1],
		"dots":             strings.Repeat(".", 10_000),
		"header swapped":   strings.Split(h.sign("RS256", "at+jwt", h.claims(g)), ".")[0] + "." + parts[1] + "." + parts[2],
		"payload swapped":  parts[0] + "." + strings.Split(h.clientToken("CONF"), ".")[1] + "." + parts[2],
		"a.b.c":            "a.b.c",
		"none":             "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0." + parts[1] + ".",
		"blank":            " ",
		"leading blank":    " " + good,
		"opaque of no one": strings.Repeat("x", 43),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h.wantActive("CONF", token, false)
		})
	}
}

func TestARevokedTokenIsDeniedByItsIDNotItsBytes(t *testing.T) {
	storetest.OnBothEngines(t, testARevokedTokenIsDeniedByItsIDNotItsBytes)
}

func testARevokedTokenIsDeniedByItsIDNotItsBytes(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	claims := h.claims(h.grant("CONF", "openid", "chat"))
	one, other := h.sign("ES256", "at+jwt", claims), h.sign("RS256", "at+jwt", claims)
	h.wantActive("CONF", other, true)
	if a := h.post("/oauth/revoke", "CONF", url.Values{"token": {one}}); a.Code != http.StatusOK {
		t.Fatal(a.Code, a.Body)
	}
	h.wantActive("CONF", one, false)
	h.wantActive("CONF", other, false)
}

func TestAnOpaqueTokenIsLookedUpByItsHash(t *testing.T) {
	storetest.OnBothEngines(t, testAnOpaqueTokenIsLookedUpByItsHash)
}

func testAnOpaqueTokenIsLookedUpByItsHash(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	claims, err := json.Marshal(h.claims(h.grant("CONF", "openid", "chat")))
	h.ok(err)
	raw := accessPrefix + randomToken(32)
	rec := store.OpaqueToken{Hash: opaqueKey(raw), Claims: claims, Expires: h.now().Add(5 * time.Minute)}
	h.update(func(tx store.Tx) error { return store.OpaqueTokens.Put(tx, &rec) })
	h.wantActive("CHAT", raw, true)
	h.wantActive("EVIL", raw, false)
	h.wantActive("CHAT", rec.Hash, false)
	h.revoke("EVIL", raw)
	h.wantActive("CHAT", raw, true)
	h.revoke("CONF", raw)
	h.wantActive("CHAT", raw, false)
	if feed := h.feed(); len(feed) != 1 || feed[0].JTI == "" {
		t.Errorf("the feed says %+v", feed)
	}
}

func TestALostRoleIsNarrowedAway(t *testing.T) {
	storetest.OnBothEngines(t, testALostRoleIsNarrowedAway)
}

func testALostRoleIsNarrowedAway(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat", "roles", "groups"))
	h.changeAgent(func(a *store.Agent) { a.Roles, a.Departments = []string{"agents"}, nil })
	a := h.introspect("CHAT", token)
	if a.JSON["active"] != true || strings.Contains(a.Body.String(), "visitor.ban") || strings.Contains(a.Body.String(), "supervisors") || strings.Contains(a.Body.String(), "billing") {
		t.Errorf("got %s", a.Body)
	}
}

func TestTheAllowlistIsJudgedAgainAtIntrospection(t *testing.T) {
	storetest.OnBothEngines(t, testTheAllowlistIsJudgedAgainAtIntrospection)
}

func testTheAllowlistIsJudgedAgainAtIntrospection(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat")) // the session came from 203.0.113.7
	allow := func(cidr string) {
		h.changeSettings(func(s *store.Settings) {
			s.Allowlist = store.Allowlist{Enabled: true, Console: true, Mobile: true, Entries: []store.AllowlistEntry{{CIDR: cidr}}}
		})
	}
	allow("203.0.113.0/24")
	h.wantActive("CHAT", token, true)
	named := func(ip string) any {
		return h.post("/oauth/introspect", "CHAT", url.Values{"token": {token}, "agent_ip": {ip}}).JSON["active"]
	}
	for ip, want := range map[string]bool{"203.0.113.9": true, "::ffff:203.0.113.9": true, "198.51.100.1": false, "": false, "garbage": false} {
		if got := named(ip); got != want {
			t.Errorf("address %q: active is %v", ip, got)
		}
	}
	allow("198.51.100.0/24")
	h.wantActive("CHAT", token, false)
	h.wantActive("CHAT", h.clientToken("CHAT"), true) // servers are not on the list
}

func TestARefreshTokenIsToldOnlyToItsOwnClient(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshTokenIsToldOnlyToItsOwnClient)
}

func testARefreshTokenIsToldOnlyToItsOwnClient(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	_, refresh := h.family("CONF", "openid", "offline_access")
	a := h.introspect("CONF", refresh)
	if a.JSON["active"] != true || a.JSON["sub"] != "alice" || a.JSON["token_type"] != nil {
		t.Errorf("got %s", a.Body)
	}
	h.wantActive("CHAT", refresh, false)
	h.wantActive("CONF", refresh[:len(refresh)-1], false)
	h.wantActive("CONF", refresh+"A", false)
	h.changeAgent(func(a *store.Agent) { a.NotBefore = h.now() })
	h.wantActive("CONF", refresh, false)
}

func TestTenThousandRandomTokensAreThrottledAndTheRealClientIsNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	live := h.token(h.grant("CONF", "openid", "chat"))
	throttled := 0
	for i := range 10_000 {
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/introspect", strings.NewReader(url.Values{"token": {randomToken(32)}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("EVIL", secretOf("EVIL"))
		if a := h.do(r); a.Code == http.StatusTooManyRequests {
			throttled++
			if a.Header().Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		} else if a.Code != http.StatusOK {
			t.Fatal(a.Code, a.Body)
		}
		if i%1000 == 0 {
			h.wantActive("CHAT", live, true)
		}
	}
	if throttled < 9000 {
		t.Errorf("only %d were throttled", throttled)
	}
	h.wantActive("CONF", live, true)
}

func TestWrongSecretsAreThrottledAndTheRealClientIsNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	live := h.token(h.grant("CONF", "openid", "chat"))
	throttled := 0
	for range 1000 {
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/introspect", strings.NewReader("token=x"))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth("CHAT", randomToken(32))
		if h.do(r).Code == http.StatusTooManyRequests {
			throttled++
		}
	}
	if throttled < 900 {
		t.Errorf("only %d were throttled", throttled)
	}
	h.wantActive("CHAT", live, true)
}

func TestAStoreThatFailsIsNoVerdict(t *testing.T) {
	storetest.OnBothEngines(t, testAStoreThatFailsIsNoVerdict)
}

func testAStoreThatFailsIsNoVerdict(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat"))
	h.wantActive("CHAT", token, true)
	h.store.down.Store(true)
	for _, path := range []string{"/oauth/introspect", "/oauth/revoke"} {
		a := h.post(path, "CONF", url.Values{"token": {token}})
		if a.Code != http.StatusServiceUnavailable || a.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d %s", path, a.Code, a.Body)
		}
	}
	if a := h.get("/oauth/userinfo", "Authorization", "Bearer "+token); a.Code != http.StatusServiceUnavailable {
		t.Errorf("userinfo: %d %s", a.Code, a.Body)
	}
}

func TestWhatTheTokenEndpointIssuesIsActive(t *testing.T) {
	storetest.OnBothEngines(t, testWhatTheTokenEndpointIssuesIsActive)
}

func testWhatTheTokenEndpointIssuesIsActive(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.changeClient("CHAT", func(c *store.Client) { c.Scope = "visitor.ban" })
	issue := func() string {
		a := h.post("/oauth/token", "CHAT", url.Values{"grant_type": {"client_credentials"}})
		token, _ := a.JSON["access_token"].(string)
		if a.Code != http.StatusOK || token == "" {
			t.Fatal(a.Code, a.Body)
		}
		return token
	}
	h.wantActive("CHAT", issue(), true)
	h.changeSettings(func(s *store.Settings) { s.Resources[0].AccessTokenFormat = "opaque" })
	token := issue()
	if strings.Contains(token, ".") {
		t.Fatalf("not opaque: %s", token)
	}
	h.wantActive("CHAT", token, true)
	h.revoke("CHAT", token)
	h.wantActive("CHAT", token, false)
}
