package provider_test

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	portalSecret = "portal-secret-of-at-least-32-characters"
	portalLogin  = "http://127.0.0.1:9997/login"
)

// portal is a connection to a login page of the company's own.
func (h *running) portal(change ...func(*store.Connection)) store.Connection {
	h.t.Helper()
	c := store.Connection{
		ID: "portal", Kind: store.ConnectionJWT, For: store.ForAgents, Name: "Portal", Domains: []string{"acme.example"}, Created: time.Now(), Changed: time.Now(),
		JWT: &store.JWTConnection{LoginURL: portalLogin, LogoutURL: "http://127.0.0.1:9997/logout", Keys: []store.VerificationKey{{KID: "a", Secret: h.sealed("portal", portalSecret)}}},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// sealed is a connection's secret as the store keeps it.
func (h *running) sealed(connection, secret string) []byte {
	h.t.Helper()
	sealed, err := h.sealer.Seal("", store.Connections.Kind, connection, []byte(secret))
	if err != nil {
		h.t.Fatal(err)
	}
	return sealed
}

func randomID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}

// portalToken is what the portal says of Raj, with changes; nil takes a claim away.
func (h *running) portalToken(change map[string]any) string {
	return hs256(portalSecret, map[string]any{"alg": "HS256", "typ": "JWT", "kid": "a"}, h.portalClaims(change))
}

func (h *running) portalClaims(change map[string]any) map[string]any {
	claims := map[string]any{"aud": h.issuer + "/federation/portal", "iss": "portal", "iat": time.Now().Unix(), "jti": randomID(), "email": "raj@acme.example", "sub": "raj", "name": "Raj Patel"}
	for k, v := range change {
		if claims[k] = v; v == nil {
			delete(claims, k)
		}
	}
	return claims
}

func hs256(secret string, header, claims map[string]any) string {
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	signed := part(header) + "." + part(claims)
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// toPortal goes from the desk to the login page, and returns where that is to
// answer to.
func (h *running) toPortal(b *browser, verifier, parameter string) (answerTo string) {
	h.t.Helper()
	b.stop = portalLogin
	p := b.link(b.get(h.authorizeURL(verifier)), "connection-portal")
	if p.away == nil {
		h.t.Fatalf("not sent to the portal: %d at %s", p.status, p.url)
	}
	answerTo = p.away.Query().Get(parameter)
	if !strings.HasPrefix(answerTo, h.issuer+"/federation/portal/jwt?state=") {
		h.t.Fatalf("sent to %s", p.away)
	}
	b.stop = deskCallback
	return answerTo
}

func TestAPortalSignsAgentsInByJWTInEveryDialect(t *testing.T) {
	storetest.OnBothEngines(t, testAPortalSignsAgentsInByJWTInEveryDialect)
}

func testAPortalSignsAgentsInByJWTInEveryDialect(t *testing.T, on storetest.Engine) {
	h := start(t, on, "")
	near := time.Now()
	for _, c := range []struct {
		dialect, parameter string
		change             map[string]any
	}{
		{"", "return_to", nil},
		{"zendesk", "return_to", map[string]any{"aud": nil, "iss": nil, "sub": nil, "external_id": "raj"}},
		{"comm100", "redirect_url", map[string]any{"iat": nil, "nbf": near.Unix(), "exp": near.Add(4 * time.Minute).Unix()}},
	} {
		t.Run("dialect "+c.dialect, func(t *testing.T) {
			h.connect(h.portal(func(rec *store.Connection) { rec.JWT.Dialect = c.dialect }))
			b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
			p := b.post(h.toPortal(b, verifier, c.parameter), url.Values{"jwt": {h.portalToken(c.change)}})
			if claims := readClaims(t, h.arrives(p, verifier).ID); claims.Sub != h.agent("raj@acme.example").ID || claims.String() != "aal1 by fed" {
				t.Errorf("the ID token says %+v", claims)
			}
		})
	}
	// The address without the state works for a page that echoes what it was asked.
	h.connect(h.portal())
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	to := h.toPortal(b, verifier, "return_to")
	h.arrives(b.post(h.issuer+"/federation/portal/jwt", url.Values{"jwt": {h.portalToken(nil)}, "return_to": {to}}), verifier)
}

func TestAPortalsTokenIsRefusedWithItsCode(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal())
	now := time.Now()
	spent := h.portalToken(nil)
	send := func(t *testing.T, token string) page {
		b := newBrowser(t, "")
		return b.post((&running{t: t, issuer: h.issuer}).toPortal(b, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {token}})
	}
	if p := send(t, spent); p.away == nil {
		t.Fatalf("%d %s", p.status, p.body)
	}
	for name, c := range map[string]struct {
		token  string
		status int
		code   string
	}{
		"used before":                 {spent, 400, "token_replayed"},
		"too old":                     {h.portalToken(map[string]any{"iat": now.Add(-6 * time.Minute).Unix()}), 400, "token_expired"},
		"from the future":             {h.portalToken(map[string]any{"iat": now.Add(3 * time.Minute).Unix()}), 400, "token_invalid"},
		"ended":                       {h.portalToken(map[string]any{"exp": now.Add(-2 * time.Minute).Unix()}), 400, "token_expired"},
		"for somebody else":           {h.portalToken(map[string]any{"aud": "https://else.example"}), 400, "token_invalid"},
		"for several":                 {h.portalToken(map[string]any{"aud": []string{h.issuer + "/federation/portal"}}), 400, "token_invalid"},
		"without aud":                 {h.portalToken(map[string]any{"aud": nil}), 400, "token_missing_attribute"},
		"without iat":                 {h.portalToken(map[string]any{"iat": nil}), 400, "token_missing_attribute"},
		"without jti":                 {h.portalToken(map[string]any{"jti": nil}), 400, "token_missing_attribute"},
		"with a jti of 513 bytes":     {h.portalToken(map[string]any{"jti": strings.Repeat("j", 513)}), 400, "token_invalid"},
		"with a jti of 40 KiB":        {h.portalToken(map[string]any{"jti": strings.Repeat("j", 40<<10)}), 400, "token_invalid"},
		"without an address":          {h.portalToken(map[string]any{"email": nil}), 400, "token_missing_attribute"},
		"of nobody here":              {h.portalToken(map[string]any{"email": "new@acme.example", "sub": "new"}), 403, "user_not_found"},
		"of an administrator":         {h.portalToken(map[string]any{"email": "ana@acme.example", "sub": "ana"}), 403, "not_linked_administrator"},
		"of another who has the name": {h.portalToken(map[string]any{"sub": "raj-2"}), 403, "linked_to_another"},
		"signed with another secret":  {hs256("another-secret-of-at-least-32-characters", map[string]any{"alg": "HS256", "kid": "a"}, map[string]any{"jti": "x"}), 400, "token_invalid"},
		"signed by nobody":            {base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + strings.Split(h.portalToken(nil), ".")[1] + ".", 400, "token_invalid"},
		"no token":                    {"", 400, "token_invalid"},
		"a claim twice":               {strings.Replace(spent, ".", "..", 1), 400, "token_invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			p := send(t, c.token)
			if p.away != nil || p.status != c.status || !strings.Contains(p.body, `id="fault">`+c.code+`<`) {
				t.Errorf("status %d, want %d %s: %s", p.status, c.status, c.code, between(p.body, "<h1>", "</h1>"))
			}
		})
	}
	t.Run("by GET, which is off", func(t *testing.T) {
		b := newBrowser(t, "")
		to := (&running{t: t, issuer: h.issuer}).toPortal(b, oauth2.GenerateVerifier(), "return_to")
		if p := b.get(to + "&jwt=" + h.portalToken(nil)); p.status != http.StatusBadRequest || p.away != nil {
			t.Errorf("status %d", p.status)
		}
	})
	t.Run("by GET, which leads to a clean address", func(t *testing.T) {
		h.connect(h.portal(func(c *store.Connection) { c.JWT.AllowGet = true }))
		b := newBrowser(t, "")
		to := (&running{t: t, issuer: h.issuer}).toPortal(b, oauth2.GenerateVerifier(), "return_to")
		if p := b.get(to + "&jwt=" + h.portalToken(nil)); p.away == nil {
			t.Errorf("status %d: %s", p.status, p.body)
		}
	})
}

func TestASecretCountsWhileItStandsAndAtItsOwnSite(t *testing.T) {
	t.Parallel()
	const next, theirs = "portal-secret-of-after-the-rotation-32", "the-secret-of-another-companys-portal-"
	h := start(t, storetest.Bolt, "")
	by := func(secret, kid string) page {
		b := newBrowser(t, "")
		header := map[string]any{"alg": "HS256", "kid": kid}
		if kid == "" {
			delete(header, "kid")
		}
		return b.post(h.toPortal(b, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {hs256(secret, header, h.portalClaims(nil))}})
	}
	old, fresh := store.VerificationKey{KID: "a", Secret: h.sealed("portal", portalSecret)}, store.VerificationKey{KID: "b", Secret: h.sealed("portal", next)}
	h.connect(h.portal(func(c *store.Connection) { c.JWT.Keys = []store.VerificationKey{old, fresh} }))
	for kid, secret := range map[string]string{"a": portalSecret, "b": next} {
		if p := by(secret, kid); !h.in(p) {
			t.Errorf("while both stand, %s: %d %s", kid, p.status, p.body)
		}
	}
	// The other site's connection has the same name, and a key of the same name.
	h.apply(otherSite)
	sealed, err := h.sealer.Seal("other", store.Connections.Kind, "portal", []byte(theirs))
	if err != nil {
		t.Fatal(err)
	}
	err = h.engine.Update(t.Context(), "other", func(tx store.Tx) error {
		c := h.portal(func(c *store.Connection) { c.JWT.Keys = []store.VerificationKey{{KID: "b", Secret: sealed}} })
		return store.Connections.Put(tx, &c)
	})
	if err != nil {
		t.Fatal(err)
	}
	h.connect(h.portal(func(c *store.Connection) { c.JWT.Keys = []store.VerificationKey{fresh} }))
	for _, secret := range []string{portalSecret, theirs} {
		for _, kid := range []string{"a", "b", ""} {
			h.refusedWith(by(secret, kid), "token_invalid")
		}
	}
	if p := by(next, "b"); !h.in(p) {
		t.Errorf("the one that stands: %d %s", p.status, p.body)
	}
}

func TestATokenInAnAddressIsLeftBehindAtOnce(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal(func(c *store.Connection) { c.JWT.AllowGet = true }))
	for name, change := range map[string]map[string]any{"handle": nil, "fault": {"aud": "https://else.example"}} {
		b := newBrowser(t, "")
		to := h.toPortal(b, oauth2.GenerateVerifier(), "return_to")
		token := h.portalToken(change)
		b.stop = h.issuer + "/federation/portal/resume"
		p := b.get(to + "&jwt=" + token)
		if p.status != http.StatusSeeOther || p.away.Path != "/federation/portal/resume" || len(p.away.Query()) != 1 || !p.away.Query().Has(name) {
			t.Fatalf("%s: %d, away to %v: %s", name, p.status, p.away, p.body)
		}
		if got := p.header.Get("Referrer-Policy") + ", " + p.header.Get("Cache-Control"); got != "no-referrer, no-store" {
			t.Errorf("%s: %s", name, got)
		}
		b.stop = deskCallback
		b.get(p.away.String())
		for _, part := range strings.Split(token, ".") {
			if strings.Contains(p.away.String()+fmt.Sprint(p.header), part) || part != strings.Split(token, ".")[0] && strings.Contains(h.log.String(), part) {
				t.Errorf("%s: the token is told on: %v\n%s", name, p.header, h.log)
			}
		}
	}
	if !strings.Contains(h.log.String(), "/federation/{id}/jwt") {
		t.Errorf("the log has no line of it: %s", h.log)
	}
}

func TestAPortalBeginsOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal())
	unasked := func() page {
		return newBrowser(t, "").post(h.issuer+"/federation/portal/jwt", url.Values{"jwt": {h.portalToken(nil)}, "return_to": {"https://evil.example/?state="}})
	}
	h.refusedWith(unasked(), "not_asked")
	h.connect(h.portal(func(c *store.Connection) { c.IdPInitiated = true }))
	if p := unasked(); p.status != http.StatusOK || p.url.Path != "/federation/portal/resume" || !strings.Contains(p.body, `<bdi>raj@acme.example</bdi>`) {
		t.Errorf("no question whether to go on: %d at %s: %s", p.status, p.url, between(p.body, "<h1>", "</h1>"))
	}
}
