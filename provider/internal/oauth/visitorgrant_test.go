package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 7523, section 2.1, as far as it is this package's: who may hand a visitor JWT
// in, and in what form. What the JWT says is visitor's.

// newDoor is a house whose visitors' door notes what came through it.
func newDoor(t *testing.T) (*house, *[]url.Values) {
	t.Helper()
	h := newHouse(t, storetest.Bolt)
	var came []url.Values
	h.o.VisitorGrant = func(w http.ResponseWriter, _ *http.Request, form url.Values) error {
		came = append(came, form)
		return web.WriteJSON(w, http.StatusOK, map[string]string{"access_token": "a"})
	}
	return h, &came
}

func TestAVisitorJWTNeedsNoClientButWhoeverAuthenticatesDoesItRight(t *testing.T) {
	t.Parallel()
	h, came := newDoor(t)
	form := func(more ...string) url.Values {
		f := url.Values{"grant_type": {grantVisitor}, "assertion": {"x.y.z"}}
		for i := 0; i < len(more); i += 2 {
			f.Add(more[i], more[i+1])
		}
		return f
	}
	for name, c := range map[string]struct {
		client string
		form   url.Values
		status int
	}{
		"nobody":            {"", form(), 200},
		"a client":          {"CONF", form(), 200},
		"a public client":   {"", form("client_id", "PUB"), 200},
		"one resource":      {"", form("resource", testResource), 200},
		"two resources":     {"", form("resource", testResource, "resource", "https://b.example"), 400},
		"no such client":    {"NONE", form(), 401},
		"a wrong secret":    {"", form("client_id", "CONF", "client_secret", "wrong"), 401},
		"without a secret":  {"", form("client_id", "CONF"), 401},
		"no assertion":      {"", url.Values{"grant_type": {grantVisitor}}, 400},
		"two assertions":    {"", form("assertion", "again"), 400},
		"two grants at all": {"", form("grant_type", grantClient), 400},
	} {
		before := len(*came)
		a := h.post("/oauth/token", c.client, c.form)
		if a.Code != c.status || (len(*came) > before) != (c.status == 200) {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	if a := h.post("/oauth/token?assertion=x", "", form()); a.Code != http.StatusBadRequest {
		t.Errorf("parameters in the URL: %d", a.Code)
	}
}

func TestWithoutVisitorsTheGrantIsUnknown(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	if a := h.post("/oauth/token", "CONF", url.Values{"grant_type": {grantVisitor}, "assertion": {"x"}}); a.JSON["error"] != "unsupported_grant_type" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestTheVisitorGrantIsAdvertisedWhereVisitorsSignInByJWT(t *testing.T) {
	t.Parallel()
	h, _ := newDoor(t)
	advertised := func() bool {
		list, _ := h.get("/.well-known/openid-configuration").JSON["grant_types_supported"].([]any)
		return slices.Contains(list, any(grantVisitor))
	}
	if advertised() {
		t.Error("a site without visitors advertises it")
	}
	h.changeSettings(func(s *store.Settings) { s.Visitors.SignIn = store.SignInOptional })
	if advertised() {
		t.Error("a site without a connection advertises it")
	}
	h.update(func(tx store.Tx) error {
		if err := store.Connections.Put(tx, &store.Connection{ID: "shop", Kind: store.ConnectionJWT, For: store.ForVisitors, JWT: &store.JWTConnection{}}); err != nil {
			return err
		}
		return site.Changed(tx)
	})
	if !advertised() {
		t.Error("a site whose visitors sign in by JWT does not advertise it")
	}
}

func TestAPageWithTheWidgetMayReadTheTokenEndpointsAnswer(t *testing.T) {
	t.Parallel()
	h, _ := newDoor(t)
	h.changeSettings(func(s *store.Settings) { s.Visitors.Origins = []string{"https://shop.example"} })
	for origin, want := range map[string]string{"https://shop.example": "https://shop.example", "https://evil.example.com": ""} {
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", strings.NewReader(url.Values{"grant_type": {grantVisitor}, "assertion": {"x"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", origin)
		if got := h.do(r).Header().Get("Access-Control-Allow-Origin"); got != want {
			t.Errorf("%s: %q", origin, got)
		}
	}
}
