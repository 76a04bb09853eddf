package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	verifier = "a-verifier-of-forty-three-characters-or-more"
	callback = "https://rp.example/cb"
	native   = "http://127.0.0.1/cb"
)

// newFlows is a house with the clients of the authorization flows: RP is the
// site's own, APP its public one, THIRD a third party's, MAL a hostile one.
func newFlows(t testing.TB, on storetest.Engine) *house {
	t.Helper()
	h := newHouse(t, on)
	grants := []string{grantCode, grantRefresh, grantClient}
	for _, c := range []store.Client{
		{ID: "RP", Name: "Desk", FirstParty: true, RedirectURIs: []string{callback}, Scope: "openid profile email offline_access chat roles groups", RequirePKCE: true, GrantTypes: grants},
		{ID: "APP", Name: "App", FirstParty: true, RedirectURIs: []string{native, "com.acme.app:/cb"}, Scope: "openid email offline_access chat", RequirePKCE: true, GrantTypes: grants[:2], TokenEndpointAuthMethod: authNone, ApplicationType: "native"},
		{ID: "THIRD", Name: "Reports", Company: "Otherwise Ltd", RedirectURIs: []string{"https://third.example/cb"}, Scope: "openid email offline_access chat.monitor visitor.ban agent.manage roles", RequirePKCE: true, GrantTypes: grants},
		{ID: "MAL", Name: "Evil", RedirectURIs: []string{"https://mal.example/cb"}, Scope: "openid offline_access", GrantTypes: grants},
		{ID: "OLD", Name: "Old software", FirstParty: true, RedirectURIs: []string{"https://old.example/cb"}, Scope: "openid chat", GrantTypes: grants[:1]},
	} {
		h.addClient(c)
	}
	h.session()
	return h
}

func (h *house) addClient(c store.Client) {
	h.t.Helper()
	if c.TokenEndpointAuthMethod == "" {
		c.TokenEndpointAuthMethod = authBasic
	}
	if c.TokenEndpointAuthMethod == authBasic {
		sum := sha256.Sum256([]byte(secretOf(c.ID)))
		c.Secrets = []store.ClientSecret{{SHA256: sum[:]}}
	}
	c.RotateRefreshTokens, c.IDTokenOnRefresh, c.Created = true, true, h.now()
	h.update(func(tx store.Tx) error {
		if err := store.Clients.Create(tx, &c); err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

// ask is an authorization request by the client with what change adds or, by an
// empty value, takes away.
func ask(client, redirect string, change ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {client}, "redirect_uri": {redirect}, "scope": {"openid offline_access"}, "state": {"s"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			q.Del(change[i])
			continue
		}
		q.Set(change[i], change[i+1])
	}
	return q
}

// visit is a GET by alice's browser.
func (h *house) visit(path string, cookies ...*http.Cookie) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, testIssuer+path, nil)
	if h.cookie != "" {
		h.addCookie(r)
	}
	for _, c := range cookies {
		r.AddCookie(c)
	}
	return h.do(r)
}

func (h *house) authorize(q url.Values) answer {
	h.t.Helper()
	return h.visit("/oauth/authorize?" + q.Encode())
}

// back is the answer that a redirect to the client carries.
func (a answer) back(t testing.TB, redirect string) url.Values {
	t.Helper()
	location := a.Header().Get("Location")
	if a.Code != http.StatusSeeOther || !strings.HasPrefix(location, redirect) {
		t.Fatalf("no redirect to %s: %d %s %.300s", redirect, a.Code, location, a.Body)
	}
	u, err := url.Parse(location)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query()
}

func (h *house) code(q url.Values) string {
	h.t.Helper()
	code := h.authorize(q).back(h.t, q.Get("redirect_uri")).Get("code")
	if code == "" {
		h.t.Fatal("no code")
	}
	return code
}

// tokenPost is a token request; a public client names itself.
func (h *house) tokenPost(client string, form url.Values) answer {
	h.t.Helper()
	if client == "APP" || client == "" {
		if client != "" {
			form.Set("client_id", client)
		}
		return h.post("/oauth/token", "", form)
	}
	return h.post("/oauth/token", client, form)
}

func (h *house) redeem(client, redirect, code string, change ...string) answer {
	h.t.Helper()
	form := url.Values{"grant_type": {grantCode}, "code": {code}, "redirect_uri": {redirect}, "code_verifier": {verifier}}
	for i := 0; i+1 < len(change); i += 2 {
		if change[i+1] == "" {
			form.Del(change[i])
			continue
		}
		form.Set(change[i], change[i+1])
	}
	return h.tokenPost(client, form)
}

func (h *house) refresh(client, token string, change ...string) answer {
	h.t.Helper()
	form := url.Values{"grant_type": {grantRefresh}, "refresh_token": {token}}
	for i := 0; i+1 < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return h.tokenPost(client, form)
}

// tokens is the token answer of a whole flow.
func (h *house) tokens(client, redirect string, change ...string) answer {
	h.t.Helper()
	a := h.redeem(client, redirect, h.code(ask(client, redirect, change...)))
	if a.Code != http.StatusOK {
		h.t.Fatalf("no tokens: %d %s", a.Code, a.Body)
	}
	return a
}

func (a answer) text(name string) string { s, _ := a.JSON[name].(string); return s }

// wantError checks a token endpoint's refusal.
func (a answer) wantError(t testing.TB, status int, code string) {
	t.Helper()
	if a.Code != status || a.text("error") != code {
		t.Errorf("got %d %s, want %d %s", a.Code, a.Body, status, code)
	}
	if a.JSON["access_token"] != nil || a.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("a refusal holds a token or may be stored: %s", a.Body)
	}
}

// wantPage checks that nothing is sent to the client.
func (a answer) wantPage(t testing.TB) {
	t.Helper()
	if a.Code != http.StatusBadRequest || a.Header().Get("Location") != "" || !strings.HasPrefix(a.Header().Get("Content-Type"), "text/html") {
		t.Errorf("got %d, Location %q: %.200s", a.Code, a.Header().Get("Location"), a.Body)
	}
}

// payload reads a JWT's claims without looking at its signature.
func payload(t testing.TB, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("no JWT: %s", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// consent walks a third party's request to the consent page; submit answers it.
func (h *house) consent(q url.Values) (page answer, submit func(decision string, change ...string) answer) {
	h.t.Helper()
	first := h.authorize(q)
	path := first.Header().Get("Location")
	if !strings.HasPrefix(path, "/consent/") {
		h.t.Fatalf("no consent page: %d %s %.200s", first.Code, path, first.Body)
	}
	cookies := first.Result().Cookies()
	page = h.visit(path, cookies...)
	csrf := csrfField.FindStringSubmatch(page.Body.String())
	if csrf == nil {
		h.t.Fatalf("the consent page has no csrf: %d %.500s", page.Code, page.Body)
	}
	return page, func(decision string, change ...string) answer {
		form := url.Values{"csrf": {html.UnescapeString(csrf[1])}, "decision": {decision}}
		for i := 0; i+1 < len(change); i += 2 {
			form.Set(change[i], change[i+1])
		}
		r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(form.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", testIssuer)
		h.addCookie(r)
		for _, c := range cookies {
			r.AddCookie(c)
		}
		return h.do(r)
	}
}

// pass lets time go by.
func (h *house) pass(d time.Duration) { h.clock.Add(int64(d)) }

func (h *house) allowOnly(cidr string) {
	h.changeSettings(func(s *store.Settings) {
		s.Allowlist = store.Allowlist{Enabled: true, Console: true, Mobile: true}
		if cidr != "" {
			s.Allowlist.Entries = []store.AllowlistEntry{{CIDR: cidr}}
		}
	})
}

// grants counts the families that are in force.
func (h *house) grantsAlive() (alive int) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for g, err := range store.Grants.All(tx, "") {
			if err != nil {
				return err
			}
			if !g.Revoked {
				alive++
			}
		}
		return nil
	}))
	return alive
}

func (h *house) setRoles(roles ...string) {
	h.changeAgent(func(a *store.Agent) { a.Roles = roles })
}
