package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	offered      = 300              // sign-ins a second, whether or not the ones before are answered
	offeredFor   = 20 * time.Second // long enough for every queue to be full
	tokensOf     = 50               // client credentials a second meanwhile
	maxTokenP99  = 250 * time.Millisecond
	maxHouseKiB  = 1 << 20
	maxTurnedOff = 250 * time.Millisecond // the median of the refusals
)

// TestMoreSignInsThanCanBeHashedHurtNobodyElse offers the built binary, as it is
// shipped, more passwords than any two cores can hash.
func TestMoreSignInsThanCanBeHashedHurtNobodyElse(t *testing.T) {
	if os.Getenv("LONG_TESTS") == "" {
		t.Skip("half a minute of load: LONG_TESTS=1 asks for it")
	}
	dir := t.TempDir()
	site := strings.Replace(crashSite, "grant_types: [authorization_code, refresh_token]", "grant_types: [authorization_code, refresh_token, client_credentials]", 1)
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	server := startServing(t, buildBinary(t), dir, address, "CHATELAINE_ARGON2_MEMORY_KIB=19456", "CHATELAINE_ARGON2_TIME=2", "CHATELAINE_ARGON2_THREADS=1")
	defer server.kill()

	crowd := &crowd{issuer: "http://" + address, transport: &http.Transport{MaxIdleConns: 5000, MaxIdleConnsPerHost: 5000}}
	defer crowd.transport.CloseIdleConnections()
	var wg sync.WaitGroup
	wg.Go(func() { atRate(offered, offeredFor, crowd.signIn) })
	wg.Go(func() { atRate(tokensOf, offeredFor, crowd.clientToken) })
	wg.Wait()

	signedIn, refused, tokens := crowd.signedIn.sorted(), crowd.refused.sorted(), crowd.tokens.sorted()
	peak := statusKiB(t, server.cmd.Process.Pid, "VmHWM")
	t.Logf("%d offered: %d signed in (median %v), %d refused (median %v, 99 %% within %v)", offered*int(offeredFor.Seconds()),
		len(signedIn), quantile(signedIn, 0.5), len(refused), quantile(refused, 0.5), quantile(refused, 0.99))
	t.Logf("%d client credentials: median %v, 99 %% within %v; memory at most %d MiB", len(tokens), quantile(tokens, 0.5), quantile(tokens, 0.99), peak>>10)
	if n := crowd.wrong.Load(); n > 0 {
		t.Errorf("%d answers were neither a code nor a 503 with Retry-After; one: %v", n, crowd.sample.Load())
	}
	if len(signedIn) == 0 || len(refused) == 0 {
		t.Error("that was no overload")
	}
	if peak > maxHouseKiB {
		t.Errorf("memory reached %d MiB", peak>>10)
	}
	if p99 := quantile(tokens, 0.99); p99 > maxTokenP99 {
		t.Errorf("client credentials: p99 %v, at most %v is allowed", p99, maxTokenP99)
	}
	if median := quantile(refused, 0.5); median > maxTurnedOff {
		t.Errorf("a refusal took %v in the median", median)
	}
}

// atRate calls do so many times a second and waits for none of them before the
// next: a crowd does not slow down because the door is narrow.
func atRate(perSecond int, during time.Duration, do func()) {
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range int(during.Seconds()) * perSecond {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * time.Second / time.Duration(perSecond))))
		wg.Go(do)
	}
	wg.Wait()
}

// crowd is everybody at the door, and how long each waited for the answer that
// decides.
type crowd struct {
	issuer                    string
	transport                 *http.Transport
	signedIn, refused, tokens waits
	wrong                     atomic.Int64
	sample                    atomic.Value
}

type waits struct {
	mu  sync.Mutex
	all []time.Duration
}

func (w *waits) add(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, d)
}

func (w *waits) sorted() []time.Duration {
	slices.Sort(w.all)
	return w.all
}

func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[int(q*float64(len(sorted)-1))].Round(100 * time.Microsecond)
}

func (c *crowd) amiss(format string, args ...any) {
	c.wrong.Add(1)
	c.sample.Store(fmt.Sprintf(format, args...))
}

var formAction = regexp.MustCompile(`<form[^>]*\baction="(/sign-in/[^"]*)"`)

// signIn is one person: the authorization request, the page, the password.
func (c *crowd) signIn() {
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Transport: c.transport, Jar: jar, Timeout: 30 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.Path, "/oauth/authorize/") {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	query := url.Values{"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {crashCallback}, "scope": {"openid"}, "state": {"state-of-the-test"},
		"code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"}}
	resp, err := browser.Get(c.issuer + "/oauth/authorize?" + query.Encode())
	if err != nil {
		c.amiss("authorize: %v", err)
		return
	}
	page, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	action := formAction.FindSubmatch(page)
	if action == nil {
		c.amiss("no form: status %d", resp.StatusCode)
		return
	}
	began := time.Now()
	resp, err = browser.PostForm(c.issuer+string(action[1]), url.Values{"email": {"ana@acme.example"}, "password": {crashPassword}})
	if err != nil {
		c.amiss("sign-in: %v", err)
		return
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	switch {
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		c.refused.add(time.Since(began))
	case resp.StatusCode == http.StatusSeeOther && strings.HasPrefix(resp.Header.Get("Location"), "/oauth/authorize/"):
		c.signedIn.add(time.Since(began))
	default:
		c.amiss("sign-in: status %d, to %s", resp.StatusCode, resp.Header.Get("Location"))
	}
}

func (c *crowd) clientToken() {
	began := time.Now()
	client := crashClient{issuer: c.issuer, http: &http.Client{Transport: c.transport, Timeout: 30 * time.Second}}
	answer, status, err := client.token(url.Values{"grant_type": {"client_credentials"}})
	if err != nil || status != http.StatusOK {
		c.amiss("token: status %d, %v, %v", status, answer, err)
		return
	}
	c.tokens.add(time.Since(began))
}

// statusKiB reads a field of /proc/PID/status.
func statusKiB(t *testing.T, pid int, field string) int {
	t.Helper()
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip(err)
	}
	_, rest, _ := bytes.Cut(raw, []byte(field+":"))
	words := strings.Fields(string(rest))
	if len(words) == 0 {
		t.Fatalf("no %s in %s", field, raw)
	}
	n, err := strconv.Atoi(words[0])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
