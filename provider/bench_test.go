package provider_test

import (
	"fmt"
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
	defer reportProcessor(b)()
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
	defer reportProcessor(b)()
	for b.Loop() {
		h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
	}
}

func BenchmarkRefresh(b *testing.B) {
	h := start(b, storetest.Bolt, "")
	h.apply(fmt.Sprintf(strings.Replace(siteFile, "client_id: desk,", "client_id: desk, id_token_signed_response_alg: ES256,", 1), ""))
	g := &grown{running: h}
	g.signInAgain()
	b.ReportAllocs()
	defer reportProcessor(b)()
	for b.Loop() {
		g.refresh()
	}
}

func BenchmarkDecision(b *testing.B) {
	var body string
	benchmark(b, func(h *running) *http.Request {
		if body == "" {
			got, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid chat")
			body = `{"action":{"name":"visitor.ban"},"context":{"ip":"203.0.113.9","token":"` + got.Access + `"}}`
		}
		r := httptest.NewRequest(http.MethodPost, "/access/v1/evaluation", strings.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		r.SetBasicAuth("backend", backendSecret)
		return r
	})
}

// reportProcessor adds the processor time of an operation, which other programs on
// the machine change little.
func reportProcessor(b *testing.B) func() {
	before := processorTime(b)
	return func() { b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op") }
}
