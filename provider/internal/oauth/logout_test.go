package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// OpenID Connect RP-Initiated Logout 1.0.

func (h *house) logoutRequest(p url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodGet, testIssuer+"/oauth/logout?"+p.Encode(), nil)
	h.addCookie(r)
	return r
}

func (h *house) signedIn(sid string) bool {
	h.t.Helper()
	var found bool
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		_, err := store.Sessions.Find(tx, "sid", sid)
		found = err == nil
		return nil
	}))
	return found
}

func TestAHintForThisSessionSignsOutAtOnce(t *testing.T) {
	storetest.OnBothEngines(t, testAHintForThisSessionSignsOutAtOnce)
}

func testAHintForThisSessionSignsOutAtOnce(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	g := h.grantIn(rec.SID, "CONF", "openid", "chat")
	token, hint := h.token(g), h.idToken(g)
	a := h.do(h.logoutRequest(url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://desk.example/bye"}, "state": {"a b&c=d"}}))
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "https://desk.example/bye?state=a+b%26c%3Dd" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if a.Header().Get("Clear-Site-Data") != `"cache"` || a.Header().Get("Cache-Control") != "no-store" || !strings.Contains(strings.Join(a.Header()["Set-Cookie"], ";"), "Max-Age=0") {
		t.Errorf("headers %v", a.Header())
	}
	if h.signedIn(rec.SID) {
		t.Error("the session lives")
	}
	h.wantActive("CHAT", token, false)
	var said bool
	for _, r := range h.feed() {
		said = said || r.SID == rec.SID
	}
	if !said {
		t.Errorf("verifiers do not hear of it: %+v", h.feed())
	}
}

func TestAnExpiredHintOfOursIsAccepted(t *testing.T) {
	storetest.OnBothEngines(t, testAnExpiredHintOfOursIsAccepted)
}

func testAnExpiredHintOfOursIsAccepted(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	hint := h.idToken(h.grantIn(rec.SID, "CONF", "openid"))
	h.clock.Add(int64(2 * time.Hour))
	a := h.do(h.logoutRequest(url.Values{"id_token_hint": {hint}, "client_id": {"CONF"}, "post_logout_redirect_uri": {"https://desk.example/bye"}}))
	if a.Code != http.StatusSeeOther || h.signedIn(rec.SID) {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestWithoutAGoodHintThePersonIsAskedAndNotSentAway(t *testing.T) {
	storetest.OnBothEngines(t, testWithoutAGoodHintThePersonIsAskedAndNotSentAway)
}

func testWithoutAGoodHintThePersonIsAskedAndNotSentAway(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	mine := h.idToken(h.grantIn(rec.SID, "CONF", "openid"))
	other := h.idToken(h.grantIn("another-session", "CONF", "openid"))
	parts := strings.Split(mine, ".")
	bye := "https://desk.example/bye"
	for name, p := range map[string]url.Values{
		"nothing":          {},
		"no hint":          {"client_id": {"CONF"}, "post_logout_redirect_uri": {bye}},
		"another's hint":   {"id_token_hint": {other}, "post_logout_redirect_uri": {bye}},
		"unregistered":     {"id_token_hint": {mine}, "post_logout_redirect_uri": {"https://desk.example/bye/"}},
		"another client's": {"id_token_hint": {mine}, "post_logout_redirect_uri": {"https://evil.example/bye"}},
		"other client_id":  {"id_token_hint": {mine}, "client_id": {"EVIL"}, "post_logout_redirect_uri": {"https://evil.example/bye"}},
		"unknown client":   {"client_id": {"NOBODY"}, "post_logout_redirect_uri": {bye}},
		"unsigned":         {"id_token_hint": {parts[0] + "." + parts[1] + "."}, "post_logout_redirect_uri": {bye}},
		"access token":     {"id_token_hint": {h.token(h.grantIn(rec.SID, "CONF", "openid"))}, "post_logout_redirect_uri": {bye}},
		"fragment":         {"id_token_hint": {mine}, "post_logout_redirect_uri": {bye + "#x"}},
		"javascript":       {"id_token_hint": {mine}, "post_logout_redirect_uri": {"javascript:alert(1)"}},
		"case":             {"id_token_hint": {mine}, "post_logout_redirect_uri": {"https://DESK.example/bye"}},
	} {
		a := h.do(h.logoutRequest(p))
		if a.Code != http.StatusOK || a.Header().Get("Location") != "" || !strings.Contains(a.Body.String(), `id="confirm"`) {
			t.Errorf("%s: %d %v", name, a.Code, a.Header())
		}
		if strings.Contains(a.Body.String(), "evil.example") || strings.Contains(a.Body.String(), "javascript:") {
			t.Errorf("%s: the page names the target", name)
		}
		if !h.signedIn(rec.SID) {
			t.Fatalf("%s: signed out without being asked", name)
		}
	}
}

func (h *house) confirm(form url.Values, header ...string) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/logout/confirm", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	h.addCookie(r)
	return h.do(r)
}

func TestThePersonConfirmsOnOurOwnPageOnly(t *testing.T) {
	storetest.OnBothEngines(t, testThePersonConfirmsOnOurOwnPageOnly)
}

func testThePersonConfirmsOnOurOwnPageOnly(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	page := h.do(h.logoutRequest(url.Values{"client_id": {"CONF"}, "post_logout_redirect_uri": {"https://desk.example/bye"}})).Body.String()
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page)
	if csrf == nil {
		t.Fatal(page)
	}
	good := url.Values{"csrf": {csrf[1]}, "client_id": {"CONF"}, "post_logout_redirect_uri": {"https://desk.example/bye"}}
	for name, a := range map[string]answer{
		"no token":   h.confirm(url.Values{}),
		"wrong":      h.confirm(url.Values{"csrf": {"x"}}),
		"cross-site": h.confirm(good, "Sec-Fetch-Site", "cross-site"),
		"null":       h.confirm(good, "Origin", "null"),
	} {
		if !h.signedIn(rec.SID) {
			t.Fatalf("%s: signed out (%d)", name, a.Code)
		}
	}
	a := h.confirm(good, "Sec-Fetch-Site", "same-origin", "Origin", testIssuer)
	if a.Code != http.StatusOK || h.signedIn(rec.SID) || a.Header().Get("Clear-Site-Data") != `"cache"` {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if !strings.Contains(a.Body.String(), "https://desk.example/bye") {
		t.Error("no way back to the application")
	}
}

func TestAPOSTFromTheClientsPageComesAgainByGET(t *testing.T) {
	storetest.OnBothEngines(t, testAPOSTFromTheClientsPageComesAgainByGET)
}

func testAPOSTFromTheClientsPageComesAgainByGET(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	a := h.post("/oauth/logout", "", url.Values{"id_token_hint": {"x"}, "state": {"s"}, "other": {"y"}})
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "/oauth/logout?id_token_hint=x&state=s" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if !h.signedIn(rec.SID) {
		t.Error("the POST changed something")
	}
}

func TestWhoIsNotSignedInIsSignedOut(t *testing.T) {
	storetest.OnBothEngines(t, testWhoIsNotSignedInIsSignedOut)
}

func testWhoIsNotSignedInIsSignedOut(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	hint := h.idToken(h.grantIn("gone", "CONF", "openid"))
	a := h.get("/oauth/logout?" + url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://desk.example/bye"}}.Encode())
	if a.Code != http.StatusSeeOther || a.Header().Get("Location") != "https://desk.example/bye" {
		t.Errorf("%d %v", a.Code, a.Header())
	}
	if a := h.get("/oauth/logout?post_logout_redirect_uri=https://evil.example/bye"); a.Code != http.StatusOK || strings.Contains(a.Body.String(), "evil.example") {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}
