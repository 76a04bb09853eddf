package oauth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func tokenRequest(client string, form url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, secretOf(client))
	return r
}

// newBench is a house whose clients want ES256 everywhere, as the speed table says.
func newBench(b *testing.B) *house {
	h := newFlows(b, storetest.Bolt)
	h.changeClient("RP", func(c *store.Client) { c.IDTokenAlg = keys.ES256 })
	b.ReportAllocs()
	before := cpuTime(b)
	b.Cleanup(func() { b.ReportMetric(float64((cpuTime(b)-before).Microseconds())/float64(b.N), "cpu-µs/op") })
	return h
}

// cpuTime is what the process has used so far: steady where a busy machine's wall
// clock is not.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkSignature is the part that cannot be saved.
func BenchmarkSignature(b *testing.B) {
	h := newBench(b)
	s, payload := h.site(), []byte(strings.Repeat("x", 300))
	for b.Loop() {
		if _, err := h.keys.Sign(b.Context(), s, keys.ES256, accessTokenType, payload); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClientCredentials(b *testing.B) {
	h := newBench(b)
	form := url.Values{"grant_type": {grantClient}, "scope": {"chat"}}
	h.bench(b, func(int) *http.Request { return tokenRequest("RP", form) })
}

func BenchmarkRefresh(b *testing.B) {
	h := newBench(b)
	token := h.tokens("RP", callback).text("refresh_token")
	for b.Loop() {
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, tokenRequest("RP", url.Values{"grant_type": {grantRefresh}, "refresh_token": {token}}))
		var answer tokenAnswer
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.RefreshToken == "" {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
		token = answer.RefreshToken
	}
}

// BenchmarkCodeExchange is an authorization with a session and its redemption:
// two commits.
func BenchmarkCodeExchange(b *testing.B) {
	h := newBench(b)
	q := ask("RP", callback, "scope", "openid chat")
	for b.Loop() {
		code := h.code(q)
		w := httptest.NewRecorder()
		h.handler.ServeHTTP(w, tokenRequest("RP", url.Values{"grant_type": {grantCode}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}))
		if w.Code != http.StatusOK {
			b.Fatalf("%d %s", w.Code, w.Body)
		}
	}
}
