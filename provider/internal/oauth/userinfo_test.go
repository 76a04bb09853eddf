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

// OpenID Connect Core, section 5.3; RFC 6750.

func TestUserinfoGivesTheClaimsOfTheGrantedScopes(t *testing.T) {
	storetest.OnBothEngines(t, testUserinfoGivesTheClaimsOfTheGrantedScopes)
}

func testUserinfoGivesTheClaimsOfTheGrantedScopes(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	for scope, want := range map[string][]string{
		"":        {"sub"},
		"profile": {"given_name", "name", "sub", "updated_at"},
		"email":   {"email", "email_verified", "sub"},
		"address": {"address", "sub"},
		"phone":   {"phone_number", "sub"},
		"roles":   {"roles", "sub"},
		"groups":  {"groups", "sub"},
	} {
		a := h.get("/oauth/userinfo", "Authorization", "Bearer "+h.token(h.grant("CONF", "openid", scope)))
		if a.Code != http.StatusOK {
			t.Fatal(a.Code, a.Body)
		}
		names := map[string]bool{}
		for name := range a.JSON {
			names[name] = true
		}
		wanted := map[string]bool{}
		for _, name := range want {
			wanted[name] = true
		}
		if diff := cmp.Diff(wanted, names); diff != "" {
			t.Errorf("scope %q: %s", scope, diff)
		}
		if a.JSON["sub"] != "alice" || a.Header().Get("Content-Type") != "application/json" || a.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s %v", a.Body, a.Header())
		}
	}
}

func TestTheClaimsParameterAsksForSingleClaimsWithinTheCeiling(t *testing.T) {
	storetest.OnBothEngines(t, testTheClaimsParameterAsksForSingleClaimsWithinTheCeiling)
}

func testTheClaimsParameterAsksForSingleClaimsWithinTheCeiling(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g := h.grant("CONF", "openid")
	g.Claims = json.RawMessage(`{"userinfo":{"name":{"essential":true},"phone_number":null,"no_such":null},"id_token":{"email":null},"other":7}`)
	h.update(func(tx store.Tx) error { return store.Grants.Put(tx, &g) })
	a := h.get("/oauth/userinfo", "Authorization", "Bearer "+h.token(g))
	if diff := cmp.Diff(map[string]any{"sub": "alice", "name": "Alice Adams"}, a.JSON); diff != "" {
		t.Error(diff)
	}
}

func TestUserinfoTakesTheTokenByHeaderOrForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	token := h.token(h.grant("CONF", "openid"))
	post := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/userinfo", nil)
	post.Header.Set("Authorization", "Bearer "+token)
	for name, a := range map[string]answer{
		"GET with header":  h.get("/oauth/userinfo", "Authorization", "Bearer "+token),
		"any case":         h.get("/oauth/userinfo", "Authorization", "bearer "+token),
		"POST with header": h.do(post),
		"POST with form":   h.post("/oauth/userinfo", "", url.Values{"access_token": {token}}),
	} {
		if a.Code != http.StatusOK || a.JSON["sub"] != "alice" {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

func TestUserinfoRefusesWithAChallenge(t *testing.T) {
	storetest.OnBothEngines(t, testUserinfoRefusesWithAChallenge)
}

func testUserinfoRefusesWithAChallenge(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g := h.grant("CONF", "openid", "profile")
	token := h.token(g)
	both := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/userinfo?access_token="+token, strings.NewReader("access_token="+token))
	both.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	both.Header.Set("Authorization", "Bearer "+token)
	two := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/userinfo", strings.NewReader("access_token="+token))
	two.Header = both.Header.Clone()
	headers := httptest.NewRequest(http.MethodGet, testIssuer+"/oauth/userinfo", nil)
	headers.Header["Authorization"] = []string{"Bearer " + token, "Bearer " + token}
	expired := h.token(g, func(c map[string]any) { c["exp"] = h.now().Add(-time.Second).Unix() })
	for name, c := range map[string]struct {
		got  answer
		code string
	}{
		"nothing":            {h.get("/oauth/userinfo"), ""},
		"in the query":       {h.get("/oauth/userinfo?access_token=" + token), ""},
		"everywhere at once": {h.do(both), ""},
		"header and form":    {h.do(two), ""},
		"two headers":        {h.do(headers), ""},
		"Basic":              {h.get("/oauth/userinfo", "Authorization", "Basic "+token), ""},
		"expired":            {h.get("/oauth/userinfo", "Authorization", "Bearer "+expired), "invalid_token"},
		"ID token":           {h.get("/oauth/userinfo", "Authorization", "Bearer "+h.sign("RS256", "JWT", h.claims(g))), "invalid_token"},
		"junk":               {h.get("/oauth/userinfo", "Authorization", "Bearer x"), "invalid_token"},
		"no openid":          {h.get("/oauth/userinfo", "Authorization", "Bearer "+h.token(h.grant("CONF", "profile"))), "insufficient_scope"},
		"a client's own":     {h.get("/oauth/userinfo", "Authorization", "Bearer "+h.clientToken("CONF")), "insufficient_scope"},
	} {
		challenge := c.got.Header().Get("WWW-Authenticate")
		if c.got.Code != http.StatusUnauthorized || !strings.HasPrefix(challenge, "Bearer ") {
			t.Errorf("%s: %d %q %s", name, c.got.Code, challenge, c.got.Body)
		}
		if (c.code == "") == strings.Contains(challenge, "error=") || c.code != "" && !strings.Contains(challenge, `error="`+c.code+`"`) {
			t.Errorf("%s: challenge %q", name, challenge)
		}
		if strings.Contains(c.got.Body.String(), "Alice") {
			t.Errorf("%s: claims in a refusal: %s", name, c.got.Body)
		}
	}
}

func TestUserinfoJudgesTheNetwork(t *testing.T) {
	storetest.OnBothEngines(t, testUserinfoJudgesTheNetwork)
}

func testUserinfoJudgesTheNetwork(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid"))
	h.changeSettings(func(s *store.Settings) {
		s.Allowlist = store.Allowlist{Enabled: true, Console: true, Mobile: true, Entries: []store.AllowlistEntry{{IP: "198.51.100.1"}}}
	})
	if a := h.get("/oauth/userinfo", "Authorization", "Bearer "+token); a.Code != http.StatusForbidden || a.JSON["error"] != "access_denied" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestGuessingAtUserinfoIsSlowedDown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	live := h.token(h.grant("CONF", "openid"))
	throttled := 0
	for range 500 {
		if h.get("/oauth/userinfo", "Authorization", "Bearer "+randomToken(32)).Code == http.StatusTooManyRequests {
			throttled++
		}
	}
	if throttled < 400 {
		t.Errorf("only %d were throttled", throttled)
	}
	if a := h.get("/oauth/userinfo", "Authorization", "Bearer "+live); a.Code != http.StatusOK {
		t.Errorf("a live token from the same place: %d %s", a.Code, a.Body)
	}
}
