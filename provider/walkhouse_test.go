package provider_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

const (
	raj      = "raj@acme.example"
	kim      = "kim@acme.example" // holds an authenticator app with kimSeed
	kimSeed  = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	kimAgent = `agents: [{email: ` + kim + `, name: Kim New, password: "` + agentPassword + `", totp_secret: ` + kimSeed + `}]`
	next     = "Nine-Quiet-Harbours-7" // a password that every rule lets pass
)

// walked is a house at an address that passkeys can belong to, with a clock that
// the test moves, an outbox that it reads, and a desk that its agents work at.
type walked struct {
	running
	moved    atomic.Int64
	pictures atomic.Int32
	desk     string

	mu      sync.Mutex
	letters []provider.Letter
	asked   []string // URL and Referer of every request, here and at the desk
	secrets []string // that must be in none of them, and in no log
}

func (h *walked) now() time.Time       { return time.Now().Add(time.Duration(h.moved.Load())) }
func (h *walked) pass(d time.Duration) { h.moved.Add(int64(d)) }

// newWalked opens the company of siteFile, and then what more says of its site.
func newWalked(t *testing.T, more ...string) *walked {
	t.Helper()
	h := newEmptyWalked(t)
	h.apply(fmt.Sprintf(siteFile, `, "`+h.desk+`/callback"`))
	h.change(more...)
	return h
}

// change changes the site as a site file does that has these lines.
func (h *walked) change(lines ...string) {
	h.t.Helper()
	for _, line := range lines {
		h.apply("sites:\n  - path: \"\"\n    " + line + "\n")
	}
}

// newEmptyWalked opens a house in which nobody has been yet.
func newEmptyWalked(t *testing.T) *walked {
	t.Helper()
	h := &walked{running: running{t: t, log: &lockedBuffer{}}}
	var handler http.Handler
	here := httptest.NewServer(h.noting(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	desk := httptest.NewServer(h.noting(atTheDesk))
	t.Cleanup(desk.Close)
	h.issuer, h.desk = strings.Replace(here.URL, "127.0.0.1", "localhost", 1), desk.URL
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "chatelaine.db"), Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := store.NewSealer(slices.Repeat([]byte{7}, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	h.server, err = provider.New(provider.Options{
		Store: engine, Sealer: sealer, PublicURL: h.issuer, Log: zerolog.New(h.log), Now: h.now,
		Argon2: provider.Argon2{MemoryKiB: 8, Time: 1, Threads: 1}, Throttle: provider.Throttle{PerAccount: 10, PerNetwork: 100},
		Mail: provider.Mail{From: "no-reply@acme.example", Deliver: h.deliver},
	})
	if err == nil {
		handler, err = h.server, h.server.Prepare(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		here.CloseClientConnections()
		here.Close()
		engine.Close()
		h.keptSecrets()
	})
	h.secret(agentPassword, next, deskSecret, kimSeed)
	return h
}

// atTheDesk is the application that agents come from, and are sent back to.
func atTheDesk(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprint(w, `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Agent Desk</title><h1>Agent Desk</h1><p id="said">You are at the desk.</p>`)
}

func (h *walked) noting(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h.mu.Lock()
		h.asked = append(h.asked, r.URL.String()+" from "+r.Referer())
		h.mu.Unlock()
		next(w, r)
	}
}

// secret names what nobody but the pages themselves may know.
func (h *walked) secret(texts ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.secrets = append(h.secrets, texts...)
}

// keptSecrets checks that no address, Referer or line of the log gave one away.
// The link of a mail is an address; it is in no Referer.
func (h *walked) keptSecrets() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, secret := range h.secrets {
		if strings.Contains(h.log.String(), secret) {
			h.t.Errorf("the log holds the secret %q", secret)
		}
		for _, asked := range h.asked {
			address, referer, _ := strings.Cut(asked, " from ")
			if strings.Contains(referer, secret) || strings.Contains(address, secret) && !linkPath.MatchString(address) {
				h.t.Errorf("the secret %q is in %s", secret, asked)
			}
		}
	}
}

var linkPath = regexp.MustCompile(`^/(reset|invitation|set-up)/`)

func (h *walked) deliver(_ context.Context, l provider.Letter) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.letters = append(h.letters, l)
	return nil
}

var linkInLetter = regexp.MustCompile(`http://localhost:\d+/(?:reset|invitation)/(\S+)`)

// letter waits for a mail with those words that was not read yet, and returns its text.
func (h *walked) letter(to, words string) string {
	h.t.Helper()
	for begin := time.Now(); time.Since(begin) < 10*time.Second; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		i := slices.IndexFunc(h.letters, func(l provider.Letter) bool { return l.To.Address == to && strings.Contains(l.Text, words) })
		if i >= 0 {
			text := h.letters[i].Text
			h.letters = slices.Delete(h.letters, i, i+1)
			h.mu.Unlock()
			return text
		}
		h.mu.Unlock()
	}
	h.t.Fatalf("no mail to %s says %q", to, words)
	return ""
}

// link is that of the next such mail.
func (h *walked) link(to, words string) string {
	h.t.Helper()
	found := linkInLetter.FindStringSubmatch(h.letter(to, words))
	if found == nil {
		h.t.Fatalf("no link in the mail to %s", to)
	}
	h.secret(found[1])
	return found[0]
}

// code is what an authenticator app shows now: oathtool, which others wrote, where
// the machine has it.
func (h *walked) code(seed string) (code string) {
	h.t.Helper()
	if path, err := exec.LookPath("oathtool"); err == nil {
		out, err := exec.Command(path, "--totp", "--base32", "--now", h.now().UTC().Format("2006-01-02 15:04:05 UTC"), strings.ReplaceAll(seed, " ", "")).Output()
		if err != nil {
			h.t.Fatal(err)
		}
		code = strings.TrimSpace(string(out))
	} else {
		if os.Getenv("CI") == "true" {
			h.t.Fatal("oathtool is not installed")
		}
		raw, err := mfa.ParseSeed(seed)
		if err != nil {
			h.t.Fatal(err)
		}
		if code, err = mfa.Code(raw, h.now()); err != nil {
			h.t.Fatal(err)
		}
	}
	return code
}

// request is an authorization of the desk that is under way.
type request struct{ url, verifier string }

// begin is where the desk sends an agent, with what more it asks for.
func (h *walked) begin(more ...string) request {
	v := oauth2.GenerateVerifier()
	query := url.Values{"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {h.desk + "/callback"}, "scope": {"openid profile email chat"},
		"state": {"s"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(v)}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(more); i += 2 {
		query.Set(more[i], more[i+1])
	}
	return request{h.issuer + "/oauth/authorize?" + query.Encode(), v}
}

// claims are what an access token says of a sign-in.
type claims struct {
	Sub      string   `json:"sub"`
	ACR      string   `json:"acr"`
	AMR      []string `json:"amr"`
	AuthTime int64    `json:"auth_time"`
}

func (c claims) String() string { return c.ACR + " by " + strings.Join(c.AMR, "+") }

// redeem is what the desk gets for the answer; its two tokens say the same.
func (h *walked) redeem(asked request, answer string) claims {
	h.t.Helper()
	at, err := url.Parse(answer)
	if err != nil || at.Query().Get("code") == "" || at.Query().Get("state") != "s" || at.Query().Get("iss") != h.issuer {
		h.t.Fatalf("the desk was answered %s", answer)
	}
	got, status := h.token("desk", deskSecret, url.Values{"grant_type": {"authorization_code"}, "code": {at.Query().Get("code")}, "redirect_uri": {h.desk + "/callback"}, "code_verifier": {asked.verifier}})
	if status != http.StatusOK {
		h.t.Fatalf("token endpoint: status %d, %s", status, got.Error)
	}
	access, id := readClaims(h.t, got.Access), readClaims(h.t, got.ID)
	if access.String() != id.String() || access.AuthTime != id.AuthTime || access.Sub != id.Sub {
		h.t.Errorf("the access token says %v, the ID token %v", access, id)
	}
	return access
}

func readClaims(t testing.TB, token string) (c claims) {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatal("no JWT")
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(c.AMR)
	return c
}
