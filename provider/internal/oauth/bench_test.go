package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// blank is an answer that nobody reads.
type blank struct{ header http.Header }

func (b *blank) Header() http.Header         { return b.header }
func (b *blank) Write(p []byte) (int, error) { return len(p), nil }
func (b *blank) WriteHeader(int)             {}

func (h *house) bench(b *testing.B, request func(i int) *http.Request) {
	for i := 0; b.Loop(); i++ {
		h.handler.ServeHTTP(&blank{http.Header{}}, request(i))
	}
}

func introspectRequest(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/introspect", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("CHAT", secretOf("CHAT"))
	return r
}

func BenchmarkNoRoute(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	h.bench(b, func(int) *http.Request { return httptest.NewRequest(http.MethodGet, testIssuer+"/nothing", nil) })
}

func BenchmarkIntrospectSeen(b *testing.B) {
	for name, token := range map[string]func(*house) string{
		"agent":  func(h *house) string { return h.token(h.grant("CONF", "openid", "chat")) },
		"client": func(h *house) string { return h.clientToken("CHAT") },
	} {
		b.Run(name, func(b *testing.B) {
			h := newHouse(b, storetest.Bolt)
			body := url.Values{"token": {token(h)}}.Encode()
			h.bench(b, func(int) *http.Request { return introspectRequest(body) })
		})
	}
}

func BenchmarkIntrospectNew(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	bodies := make([]string, 3*seenTokens) // more than the cache keeps
	for i := range bodies {
		bodies[i] = url.Values{"token": {h.clientToken("CHAT")}}.Encode()
	}
	h.bench(b, func(i int) *http.Request { return introspectRequest(bodies[i%len(bodies)]) })
}

func BenchmarkUserinfo(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	token := h.token(h.grant("CONF", "openid", "profile", "email"))
	h.bench(b, func(int) *http.Request {
		r := httptest.NewRequest(http.MethodGet, testIssuer+"/oauth/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+token)
		return r
	})
}

func BenchmarkDiscovery(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	h.bench(b, func(int) *http.Request {
		return httptest.NewRequest(http.MethodGet, testIssuer+"/.well-known/openid-configuration", nil)
	})
}

func BenchmarkJWKS(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	h.bench(b, func(int) *http.Request { return httptest.NewRequest(http.MethodGet, testIssuer+"/oauth/jwks", nil) })
}
