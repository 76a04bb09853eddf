package provider_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// The whole handler without a network: what the product itself costs.

func benchmark(b *testing.B, make func(h *running) *http.Request) {
	h := start(b, storetest.Bolt, "")
	host := strings.TrimPrefix(h.issuer, "http://")
	b.ReportAllocs()
	for b.Loop() {
		r := make(h)
		r.Host, r.RemoteAddr = host, "127.0.0.1:1"
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
}

func BenchmarkDiscovery(b *testing.B) {
	benchmark(b, func(*running) *http.Request {
		return httptest.NewRequest(http.MethodGet, "/.well-known/openid-configuration", nil)
	})
}

func BenchmarkJWKS(b *testing.B) {
	benchmark(b, func(*running) *http.Request { return httptest.NewRequest(http.MethodGet, "/oauth/jwks", nil) })
}

func post(path string, form url.Values, id, secret string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(id, secret)
	return r
}

func BenchmarkClientCredentials(b *testing.B) {
	form := url.Values{"grant_type": {"client_credentials"}}
	benchmark(b, func(*running) *http.Request { return post("/oauth/token", form, "desk", deskSecret) })
}

func BenchmarkIntrospectionOfATokenSeenBefore(b *testing.B) {
	var got tokens
	benchmark(b, func(h *running) *http.Request {
		if got.Access == "" {
			got, _ = h.signIn("desk", deskSecret, "raj@acme.example", "openid chat")
		}
		return post("/oauth/introspect", url.Values{"token": {got.Access}}, "desk", deskSecret)
	})
}

func BenchmarkUserinfo(b *testing.B) {
	var got tokens
	benchmark(b, func(h *running) *http.Request {
		if got.Access == "" {
			got, _ = h.signIn("desk", deskSecret, "raj@acme.example", "openid profile email")
		}
		r := httptest.NewRequest(http.MethodGet, "/oauth/userinfo", nil)
		r.Header.Set("Authorization", "Bearer "+got.Access)
		return r
	})
}

func BenchmarkSignIn(b *testing.B) {
	h := start(b, storetest.Bolt, "")
	b.ReportAllocs()
	for b.Loop() {
		h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
	}
}
