package visitor

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func load(h *house) *site.Site {
	h.t.Helper()
	s, err := h.sites.Load(h.t.Context(), "")
	h.ok(err)
	return s
}

func stored(h *house) (n int) {
	h.ok(h.engine.Dump(h.t.Context(), func(store.Record) error { n++; return nil }))
	return n
}

func TestAnAnonymousVisitorGetsATokenAndNothingIsStored(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		before := stored(h)
		a := h.start(map[string]any{"name": " Vera ", "email": "vera@typed.example"})
		if a.Code != http.StatusOK || a.text("token_type") != "Bearer" || a.JSON["expires_in"] != 300.0 || a.text("assurance") != Anonymous {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		payload, _, err := h.keys.Verify(t.Context(), load(h), a.text("access_token"), TokenType)
		if err != nil {
			t.Fatalf("%v: %s", err, payload)
		}
		c := a.claims(t)
		for name, want := range map[string]any{
			"iss": testIssuer, "aud": backend, "sub": a.text("visitor_id"), "client_id": "visitor", "acr": Anonymous, "assurance": Anonymous, "site": "", "subject_type": "visitor",
		} {
			if c[name] != want {
				t.Errorf("%s is %v, not %v", name, c[name], want)
			}
		}
		typed, _ := c["given_by_visitor"].(map[string]any)
		if c["email"] != nil || c["name"] != nil || typed["email"] != "vera@typed.example" || typed["name"] != "Vera" {
			t.Errorf("what was typed: %v", c)
		}
		again := h.start(map[string]any{"renew": a.text("renew")})
		d := again.claims(t)
		if d["sub"] != c["sub"] || d["sid"] != c["sid"] || d["jti"] == c["jti"] || again.text("renew") == a.text("renew") || d["given_by_visitor"] == nil {
			t.Errorf("renewed: %v", d)
		}
		if n := stored(h); n != before {
			t.Errorf("%d records were %d before", n, before)
		}
	})
}

func TestOnlyPagesOfTheSitesOriginsMayStart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for _, origin := range []string{"null", "https://evil.example", "http://shop.example", "https://shop.example.evil.example", "https://SHOP.example"} {
		a := h.post(origin, "192.0.2.1:1", `{}`)
		a.want(t, http.StatusForbidden, "unauthorized_client", "")
		if a.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q may read", origin)
		}
	}
	a := h.post(shop, "192.0.2.1:1", `{}`)
	if a.Header().Get("Access-Control-Allow-Origin") != shop || a.Header().Get("Access-Control-Allow-Credentials") != "" || a.Header().Get("Set-Cookie") != "" || a.Header().Get("Vary") != "Origin" {
		t.Errorf("%v", a.Header())
	}
	if a := h.post("", "192.0.2.1:1", `{}`); a.Code != http.StatusOK || a.Header().Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("what is no page: %d %v", a.Code, a.Header())
	}
	for origin, want := range map[string]string{shop: shop, "https://evil.example": ""} {
		r := httptest.NewRequest(http.MethodOptions, testIssuer+"/visitors/start", nil)
		r.Header.Set("Origin", origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		if a := h.do(r); a.Code != http.StatusNoContent || a.Header().Get("Access-Control-Allow-Origin") != want || (a.Header().Get("Access-Control-Allow-Headers") != "") != (want != "") {
			t.Errorf("%s: %d %v", origin, a.Code, a.Header())
		}
	}
}

func TestABodyIsReadInOneWayOrNotAtAll(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for _, body := range []string{``, `null`, `[]`, `"x"`, `{"renew":"a","renew":"b"}`, `{"name":7}`, `{} {}`, `{"name":"a\u0000b"}`, "{\"name\":\"\xff\"}", `{"name":"` + strings.Repeat("x", 255) + `"}`, `{"identity":"a","proof":"b"}`} {
		h.post(shop, "192.0.2.1:1", body).want(t, http.StatusBadRequest, "invalid_request", "")
	}
	h.post(shop, "192.0.2.1:1", `{"x":"`+strings.Repeat("x", maxBody)+`"}`).want(t, http.StatusRequestEntityTooLarge, "invalid_request", "")
	h.start(map[string]any{"resource": "https://other.example"}).want(t, http.StatusBadRequest, "invalid_target", "")
	if c := h.start(map[string]any{"resource": "https://files.example"}).claims(t); c["aud"] != "https://files.example" {
		t.Errorf("aud %v", c["aud"])
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/visitors/start", strings.NewReader(`{}`))
	r.Header.Set("Origin", shop)
	r.Header.Set("Content-Type", "text/plain") // would need no preflight
	if a := h.do(r); a.Code != http.StatusUnsupportedMediaType {
		t.Errorf("%d", a.Code)
	}
}

func TestASiteThatWantsAVisitorSignedInGivesAStrangerNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	renew := h.start(nil).text("renew")
	for _, change := range []func(*store.Settings){
		func(s *store.Settings) { s.Visitors.SignIn = store.SignInRequired },
		func(s *store.Settings) { s.Visitors.SignIn, s.Visitors.Anonymous = store.SignInOptional, false },
	} {
		h.change(change)
		h.start(map[string]any{}).want(t, http.StatusForbidden, "access_denied", "sign_in_required")
		h.start(map[string]any{"renew": renew}).want(t, http.StatusForbidden, "access_denied", "sign_in_required")
	}
}

func TestARenewalTokenIsTheSitesOwnAndEnds(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	renew := h.start(map[string]any{}).text("renew")
	other := "A"
	if renew[0] == 'A' {
		other = "B"
	}
	for _, bad := range []string{"x", renew[:len(renew)-1], other + renew[1:], renew + "A"} {
		h.start(map[string]any{"renew": bad}).want(t, http.StatusBadRequest, "invalid_grant", "")
	}
	h.later(renewalLife + time.Second)
	h.start(map[string]any{"renew": renew}).want(t, http.StatusBadRequest, "invalid_grant", "")
}

func TestOneNetworkCannotStartWithoutEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	refused := 0
	for range perNetwork.burst + 50 {
		if a := h.post(shop, "[2001:db8::1]:1", `x`); a.Code == http.StatusTooManyRequests {
			refused++
			if a.Header().Get("Retry-After") == "" {
				t.Fatal("no Retry-After")
			}
		}
	}
	if refused == 0 {
		t.Error("nothing was refused")
	}
	if a := h.post(shop, "[2001:db8::ffff]:1", `{}`); a.Code != http.StatusTooManyRequests {
		t.Errorf("another address of the same /64: %d", a.Code)
	}
	if a := h.post(shop, "[2001:db8:1::1]:1", `{}`); a.Code != http.StatusOK {
		t.Errorf("another network: %d", a.Code)
	}
}
