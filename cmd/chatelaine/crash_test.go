package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// kills is how often the server is killed: LONG_TESTS=1 asks for the 200
// of the long mode.
func kills() int {
	if os.Getenv("LONG_TESTS") != "" {
		return 200
	}
	return 4
}

const (
	crashSecret   = "a-secret-for-the-crash-test-only-0123456789"
	crashPassword = "Correct-Horse-9-Battery"
	crashCallback = "http://127.0.0.1:9/callback"
	crashWorkers  = 6
)

const crashSite = `sites:
  - path: ""
    name: Crash
    domains: [acme.example]
    agents:
      - {email: ana@acme.example, name: Ana Silva, password: "` + crashPassword + `", roles: [agents]}
    clients:
      - {client_id: desk, client_name: Desk, company: Acme, client_secret: "` + crashSecret + `", first_party: true,
         redirect_uris: ["` + crashCallback + `"], grant_types: [authorization_code, refresh_token],
         token_endpoint_auth_method: client_secret_basic, scope: "openid offline_access chat", id_token_signed_response_alg: ES256}
`

// serving is one life of the server.
type serving struct {
	cmd *exec.Cmd
	log lockedLog
}

// lockedLog is what the server says, read while it still speaks.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

func startServing(t *testing.T, binary, dir, address string, environ ...string) *serving {
	t.Helper()
	s := &serving{cmd: exec.Command(binary, "serve", "--apply", filepath.Join(dir, "site.yaml"))}
	s.cmd.Env = append(os.Environ(), "CHATELAINE_DATA="+filepath.Join(dir, "data"), "CHATELAINE_LISTEN="+address, "CHATELAINE_PUBLIC_URL=http://"+address,
		"CHATELAINE_ARGON2_MEMORY_KIB=8", "CHATELAINE_ARGON2_TIME=1", "CHATELAINE_ARGON2_THREADS=1",
		"CHATELAINE_THROTTLE_PER_ACCOUNT=0", "CHATELAINE_THROTTLE_PER_NETWORK=0")
	s.cmd.Env = append(s.cmd.Env, environ...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		resp, err := http.Get("http://" + address + "/readyz")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return s
			}
		}
		if time.Since(begin) > 20*time.Second {
			s.kill()
			t.Fatalf("the server is not ready after 20 s: %v\n%s", err, s.log.String())
		}
	}
}

func (s *serving) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

// recorder is the outside memory of what the server has acknowledged.
type recorder struct {
	mu      sync.Mutex
	codes   []*crashCode
	chains  []*chain
	revoked []string // refresh tokens whose revocation was answered with 200
}

type crashCode struct {
	code, verifier string
	issued         time.Time
	redeemed       bool // acknowledged
	unsure         bool // the server died under the redemption
}

// chain is a family of refresh tokens; the last acknowledged one is live.
type chain struct {
	spent  string // an older, acknowledged as rotated
	live   string
	unsure bool
}

var errDied = errors.New("the server died under the request")

type crashClient struct {
	issuer string
	http   *http.Client
}

func (c crashClient) token(form url.Values) (map[string]any, int, error) {
	return c.post("/oauth/token", form)
}

func (c crashClient) post(path string, form url.Values) (map[string]any, int, error) {
	req, err := http.NewRequest(http.MethodPost, c.issuer+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth("desk", crashSecret)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, 0, errDied
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, 0, errDied
	}
	var answer map[string]any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			return nil, resp.StatusCode, fmt.Errorf("%s: %w: %s", path, err, body)
		}
	}
	return answer, resp.StatusCode, nil
}

var (
	crashForm  = regexp.MustCompile(`(?s)<form[^>]*method="post"[^>]*action="([^"]*)"|<form[^>]*action="([^"]*)"[^>]*method="post"`)
	crashInput = regexp.MustCompile(`<input[^>]*name="([^"]*)"[^>]*value="([^"]*)"`)
)

// code signs the agent in with a fresh browser and returns the code.
func (c crashClient) code() (*crashCode, error) {
	jar, _ := cookiejar.New(nil)
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), crashCallback) {
			return http.ErrUseLastResponse
		}
		return nil
	}}
	verifier := fmt.Sprintf("%064x", rand.Uint64())
	sum := sha256.Sum256([]byte(verifier))
	query := url.Values{"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {crashCallback}, "scope": {"openid offline_access chat"},
		"state": {"state-of-the-test"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	resp, err := browser.Get(c.issuer + "/oauth/authorize?" + query.Encode())
	if err != nil {
		return nil, errDied
	}
	body, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil {
		return nil, errDied
	}
	m := crashForm.FindStringSubmatch(string(body))
	if m == nil {
		return nil, fmt.Errorf("no form, status %d: %s", resp.StatusCode, body)
	}
	fields := url.Values{}
	for _, f := range crashInput.FindAllStringSubmatch(string(body), -1) {
		fields.Set(f[1], html.UnescapeString(f[2]))
	}
	fields.Set("email", "ana@acme.example")
	fields.Set("password", crashPassword)
	action, err := resp.Request.URL.Parse(html.UnescapeString(m[1] + m[2]))
	if err != nil {
		return nil, err
	}
	resp, err = browser.PostForm(action.String(), fields)
	if err != nil {
		return nil, errDied
	}
	body, _ = io.ReadAll(resp.Body)
	resp.Body.Close()
	back, err := resp.Location()
	if err != nil || back.Query().Get("code") == "" {
		return nil, fmt.Errorf("no code, status %d at %s: %s", resp.StatusCode, resp.Request.URL, body)
	}
	return &crashCode{code: back.Query().Get("code"), verifier: verifier, issued: time.Now()}, nil
}

func (c crashClient) redeem(code *crashCode) (map[string]any, int, error) {
	return c.token(url.Values{"grant_type": {"authorization_code"}, "code": {code.code}, "redirect_uri": {crashCallback}, "code_verifier": {code.verifier}})
}

func (c crashClient) refresh(token string) (map[string]any, int, error) {
	return c.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// work signs in, redeems, refreshes and revokes until the server dies.
func (c crashClient) work(ctx context.Context, rec *recorder) error {
	for ctx.Err() == nil {
		code, err := c.code()
		if err != nil {
			return err
		}
		rec.mu.Lock()
		rec.codes = append(rec.codes, code)
		rec.mu.Unlock()
		if rand.IntN(4) == 0 {
			continue // a code that is not redeemed before the end
		}
		answer, status, err := c.redeem(code)
		rec.mu.Lock()
		code.redeemed, code.unsure = err == nil, err != nil
		rec.mu.Unlock()
		if err != nil {
			return err
		}
		refresh, _ := answer["refresh_token"].(string)
		if status != http.StatusOK || refresh == "" {
			return fmt.Errorf("redeem: status %d: %v", status, answer)
		}
		family := &chain{live: refresh}
		rec.mu.Lock()
		rec.chains = append(rec.chains, family)
		rec.mu.Unlock()
		for range rand.IntN(6) {
			answer, status, err := c.refresh(family.live)
			rec.mu.Lock()
			next, _ := answer["refresh_token"].(string)
			if err != nil {
				family.unsure = true
			} else if status == http.StatusOK {
				family.spent, family.live = family.live, next
			}
			rec.mu.Unlock()
			if err != nil || status != http.StatusOK {
				return errors.Join(err, fmt.Errorf("refresh: status %d: %v", status, answer))
			}
		}
		if rand.IntN(3) == 0 {
			rec.mu.Lock()
			family.unsure = true
			rec.mu.Unlock()
			_, status, err := c.post("/oauth/revoke", url.Values{"token": {family.live}})
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("revoke: status %d", status)
			}
			rec.mu.Lock()
			rec.revoked = append(rec.revoked, family.live)
			rec.mu.Unlock()
		}
	}
	return nil
}

// account checks everything the recorder holds against the restarted server.
func (c crashClient) account(t *testing.T, rec *recorder) {
	t.Helper()
	for _, token := range rec.revoked {
		if answer, status, err := c.refresh(token); err != nil || status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
			t.Errorf("a revoked token: status %d, %v, %v", status, answer, err)
		}
	}
	for _, family := range rec.chains {
		if family.unsure {
			continue
		}
		answer, status, err := c.refresh(family.live)
		if err != nil || status != http.StatusOK {
			t.Errorf("an acknowledged refresh token was lost: status %d, %v, %v", status, answer, err)
			continue
		}
		if family.spent == "" {
			continue
		}
		if answer, status, err := c.refresh(family.spent); err != nil || status != http.StatusBadRequest {
			t.Errorf("a spent refresh token worked again: status %d, %v, %v", status, answer, err)
		}
	}
	for _, code := range rec.codes {
		if code.unsure {
			continue
		}
		if code.redeemed {
			if answer, status, err := c.redeem(code); err != nil || status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
				t.Errorf("a redeemed code: status %d, %v, %v", status, answer, err)
			}
			continue
		}
		if time.Since(code.issued) > 50*time.Second {
			continue
		}
		if answer, status, err := c.redeem(code); err != nil || status != http.StatusOK {
			t.Errorf("an acknowledged code was lost: status %d, %v, %v", status, answer, err)
		}
	}
}

func TestNothingAcknowledgedIsLostByKill9(t *testing.T) {
	binary := buildBinary(t)
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(crashSite), 0o600); err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	var codes, chains, revoked int
	server := startServing(t, binary, dir, address)
	defer func() { server.kill() }()
	for range kills() {
		transport := &http.Transport{}
		c := crashClient{issuer: "http://" + address, http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
		rec := &recorder{}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		for range crashWorkers {
			wg.Go(func() {
				if err := c.work(ctx, rec); err != nil && !errors.Is(err, errDied) {
					t.Error(err)
				}
			})
		}
		time.Sleep(time.Duration(50+rand.IntN(400)) * time.Millisecond)
		server.kill()
		cancel()
		wg.Wait()
		transport.CloseIdleConnections()
		server = startServing(t, binary, dir, address)
		c.account(t, rec)
		codes, chains, revoked = codes+len(rec.codes), chains+len(rec.chains), revoked+len(rec.revoked)
		if t.Failed() {
			t.Fatalf("server's log:\n%s", server.log.String())
		}
	}
	server.kill()
	audit := exec.Command(binary, "audit", "verify")
	audit.Env = append(os.Environ(), "CHATELAINE_DATA="+filepath.Join(dir, "data"))
	if out, err := audit.CombinedOutput(); err != nil {
		t.Errorf("audit verify: %v\n%s", err, out)
	}
	server = startServing(t, binary, dir, address)
	t.Logf("%d kills: %d codes, %d families, %d revocations accounted for", kills(), codes, chains, revoked)
	if codes == 0 || chains == 0 {
		t.Error("the load did nothing")
	}
}

var buildOnce = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "chatelaine-test-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "chatelaine")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

// buildBinary builds the command once, for tests that kill or measure it.
func buildBinary(t *testing.T) string {
	t.Helper()
	path, err := buildOnce()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
