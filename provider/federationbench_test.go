package provider_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A response is checked end to end: parsed, verified, spent and kept for its
// browser. The limit is 3 ms of CPU.
func BenchmarkSAMLResponse(b *testing.B) {
	h := &federated{running: start(b, storetest.Bolt, ""), idp: samltest.New(idpBase, time.Now())}
	h.connect(corp(h.idp))
	answers(b, h.running, func() *http.Request {
		return formTo(h.issuer+"/federation/corp/acs", h.answer(asked{request: "_0123456789abcdef0123456789abcdef"}, rajThere))
	})
}

// The limit of a login page's token is 300 µs of CPU.
func BenchmarkLoginPageToken(b *testing.B) {
	h := start(b, storetest.Bolt, "")
	h.connect(h.portal())
	answers(b, h, func() *http.Request {
		return formTo(h.issuer+"/federation/portal/jwt?state="+strings.Repeat("A", 22), url.Values{"jwt": {h.portalToken(nil)}})
	})
}

func formTo(target string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

// answers times the house alone: requests are made beforehand, in parts.
func answers(b *testing.B, h *running, request func() *http.Request) {
	var ready []*http.Request
	report := reportProcessor(b)
	for b.Loop() {
		if len(ready) == 0 {
			b.StopTimer()
			for range 200 {
				ready = append(ready, request())
			}
			b.StartTimer()
		}
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, ready[0])
		ready = ready[1:]
		if w.Code != http.StatusSeeOther {
			b.Fatalf("status %d: %s", w.Code, w.Body)
		}
	}
	report()
}

// The sign-in page is as fast with a thousand connections as with one.
func BenchmarkSignInPage(b *testing.B) {
	for _, n := range []int{1, 1000} {
		b.Run(fmt.Sprint(n, " connections"), func(b *testing.B) {
			h := start(b, storetest.Bolt, "")
			var all []store.Connection
			for i := range n {
				c := corp(nil)
				c.ID, c.Name, c.Domains = fmt.Sprintf("c%d", i), fmt.Sprintf("Company %d", i), []string{fmt.Sprintf("c%d.example", i)}
				all = append(all, c)
			}
			h.connect(all...)
			w := httptest.NewRecorder()
			h.server.ServeHTTP(w, httptest.NewRequest(http.MethodGet, h.authorizeURL(strings.Repeat("v", 43)), nil))
			r := httptest.NewRequest(http.MethodGet, h.issuer+w.Header().Get("Location"), nil)
			for _, c := range w.Result().Cookies() {
				r.AddCookie(c)
			}
			for b.Loop() {
				w := httptest.NewRecorder()
				h.server.ServeHTTP(w, r)
				if w.Code != http.StatusOK {
					b.Fatalf("status %d: %s", w.Code, w.Body)
				}
			}
		})
	}
}
