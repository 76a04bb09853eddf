package oauth

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// OpenID Connect Discovery 1.0, RFC 8414, RFC 7517.

func TestBothDocumentsSayTheSame(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	one, other := h.get("/.well-known/openid-configuration"), h.get("/.well-known/oauth-authorization-server")
	if diff := cmp.Diff(one.JSON, other.JSON); diff != "" {
		t.Error(diff)
	}
	if one.JSON["issuer"] != testIssuer || one.Header().Get("Content-Type") != "application/json" || !strings.Contains(one.Header().Get("Cache-Control"), "max-age") {
		t.Errorf("%s %v", one.Body, one.Header())
	}
	for name, value := range one.JSON {
		list, ok := value.([]any)
		if ok && len(list) == 0 {
			t.Errorf("%s is empty", name)
		}
		for _, item := range list {
			for _, never := range []string{"plain", "HS256", "token", "password", "implicit", "fragment"} {
				if item == never || name != "scopes_supported" && item == "none" && !strings.HasSuffix(name, "auth_methods_supported") && name != "prompt_values_supported" {
					t.Errorf("%s advertises %v", name, item)
				}
			}
		}
	}
}

func TestEveryAdvertisedEndpointAnswers(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for name, value := range h.get("/.well-known/openid-configuration").JSON {
		endpoint, ok := value.(string)
		if !ok || name == "issuer" || strings.HasPrefix(name, "access_") { // access has tests of its own
			continue
		}
		if !strings.HasPrefix(endpoint, testIssuer+"/") {
			t.Errorf("%s is %s", name, endpoint)
		}
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			if a := h.do(httptest.NewRequest(method, endpoint, nil)); a.Code == http.StatusNotFound || a.Code >= 500 {
				t.Errorf("%s %s: %d", method, endpoint, a.Code)
			}
		}
	}
}

func TestTheKeySetHasPublicMembersOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	a := h.get("/oauth/jwks")
	kids := map[string]bool{}
	algs := map[string]bool{}
	for _, item := range a.JSON["keys"].([]any) {
		key := item.(map[string]any)
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "k", "oth"} {
			if key[private] != nil {
				t.Errorf("%s is published", private)
			}
		}
		kid, _ := key["kid"].(string)
		if kid == "" || kids[kid] || key["alg"] == nil || key["use"] != "sig" {
			t.Errorf("key %v", key)
		}
		kids[kid], algs[key["alg"].(string)] = true, true
	}
	if !algs["ES256"] || !algs["RS256"] {
		t.Errorf("algorithms %v", algs)
	}
	if a.Header().Get("Cache-Control") != "public, max-age=600" || a.Header().Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", a.Header())
	}
}

func TestOnlyRegisteredOriginsMayReadAcrossOrigins(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	paths := []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server", "/oauth/jwks", "/oauth/userinfo", "/oauth/token", "/oauth/revoke"}
	for origin, allowed := range map[string]bool{
		"https://desk.example": true, "http://127.0.0.1": true,
		"https://rogue.example": false, "null": false, "https://desk.example.evil.com": false, "https://evildesk.example": false,
		"http://desk.example": false, "https://desk.example:8443": false, "https://DESK.example": false, "": false, "*": false,
	} {
		for _, path := range paths {
			r := httptest.NewRequest(http.MethodOptions, testIssuer+path, nil)
			r.Header.Set("Origin", origin)
			r.Header.Set("Access-Control-Request-Method", "POST")
			for _, a := range []answer{h.do(r), h.get(path, "Origin", origin), h.postFrom(path, origin)} {
				got := a.Header().Get("Access-Control-Allow-Origin")
				if a.Code != http.StatusMethodNotAllowed && (allowed && got != origin || !allowed && got != "") {
					t.Errorf("%s from %q: %q (%d)", path, origin, got, a.Code)
				}
				if a.Header().Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s allows credentials", path)
				}
			}
		}
		if a := h.postFrom("/oauth/introspect", origin); a.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Error("introspection is open to pages")
		}
	}
}

func (h *house) postFrom(path, origin string) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(""))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", origin)
	return h.do(r)
}

func TestADisabledClientsOriginIsForgotten(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.changeClient("CONF", func(c *store.Client) { c.Disabled = true })
	if got := h.get("/oauth/jwks", "Origin", "https://desk.example").Header().Get("Access-Control-Allow-Origin"); got != "" {
		t.Error(got)
	}
}
