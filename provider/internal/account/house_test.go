// The tests are outside the package and walk the whole provider over HTTP: what
// leads to the sign-in comes back from the real one.
package account_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/provider"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	ana, ben, tess = "ana@acme.example", "ben@acme.example", "tess@acme.example"

	good      = "Correct-Horse-9-Battery"
	better    = "Some other lamp, 31"
	seedText  = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	thirdWord = "third-secret-of-at-least-32-character"
	callback  = "http://127.0.0.1:9999/callback"
)

// siteFile: ana has a password alone, ben and tess, an administrator, an
// authenticator app besides. Reports is an application of others.
const siteFile = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    agents:
      - {email: ` + ana + `, name: Ana Silva, password: "` + good + `", roles: [agents]}
      - {email: ` + ben + `, name: Ben Okafor, password: "` + good + `", roles: [agents], totp_secret: ` + seedText + `}
      - {email: ` + tess + `, name: Tess Ito, password: "` + good + `", roles: [administrators], totp_secret: ` + seedText + `}
    clients:
      - {client_id: third, client_name: Reports, company: Else, client_secret: "` + thirdWord + `", require_pkce: false,
         redirect_uris: ["` + callback + `"], grant_types: [authorization_code, refresh_token], scope: "openid email offline_access"}
    two_factor: {remember_days: 14}
`

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// house is the whole provider over real HTTP, with a clock that the test moves
// and a store that fails when the test says so.
type house struct {
	t      testing.TB
	url    string
	server *provider.Server
	store  *storetest.Failing
	moved  atomic.Int64 // nanoseconds that the clock is ahead
	log    *bytes.Buffer
}

func (h *house) now() time.Time       { return time.Now().Add(time.Duration(h.moved.Load())) }
func (h *house) pass(d time.Duration) { h.moved.Add(int64(d)) }

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) open(on storetest.Engine) store.Store {
	h.t.Helper()
	if on == storetest.PostgreSQL {
		engine, err := postgres.Open(h.t.Context(), postgres.Options{URL: database.URL(h.t), Now: h.now, AllowAsync: true})
		h.ok(err)
		return engine
	}
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(h.t.TempDir(), "house.db"), Now: h.now})
	h.ok(err)
	return engine
}

func newHouse(t testing.TB, on storetest.Engine) *house {
	t.Helper()
	h := &house{t: t, log: &bytes.Buffer{}}
	engine := h.open(on)
	t.Cleanup(func() { engine.Close() })
	h.store = storetest.NewFailing(engine, store.ErrUnavailable)
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, store.MasterKeySize))
	h.ok(err)
	listening := httptest.NewUnstartedServer(nil)
	h.url = "http://localhost:" + strings.Split(listening.Listener.Addr().String(), ":")[1]
	h.server, err = provider.New(provider.Options{
		Store: h.store, Sealer: sealer, PublicURL: h.url, Log: zerolog.New(zerolog.SyncWriter(h.log)), Now: h.now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Argon2: provider.Argon2{MemoryKiB: 8, Time: 1, Threads: 1},
		Mail: provider.Mail{From: "id@acme.example", Deliver: func(context.Context, provider.Letter) error { return nil }},
	})
	h.ok(err)
	listening.Config.Handler = h.server
	listening.Start()
	t.Cleanup(listening.Close)
	h.apply(siteFile)
	h.ok(h.server.Prepare(t.Context()))
	return h
}

// apply puts a site file through the control handler, as the command does.
func (h *house) apply(file string) {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/v1/apply?in="+url.QueryEscape("{}"), strings.NewReader(file))
	r.Header.Set("Chatelaine-Operator", "tester")
	w := httptest.NewRecorder()
	h.server.Control().ServeHTTP(w, r)
	if w.Code != http.StatusOK || strings.Contains(w.Body.String(), `"error"`) {
		h.t.Fatalf("apply: %d %s", w.Code, w.Body)
	}
}

func (h *house) view(fn func(tx store.Tx) error) {
	h.t.Helper()
	h.ok(h.store.Store.View(h.t.Context(), "", fn))
}

func (h *house) update(fn func(tx store.Tx) error) {
	h.t.Helper()
	h.ok(h.store.Store.Update(h.t.Context(), "", fn))
}

// settings changes the site's.
func (h *house) settings(change func(*store.Settings)) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		change(&s)
		if err := store.AllSettings.Put(tx, &s); err != nil {
			return err
		}
		return site.Changed(tx)
	})
	h.pass(2 * site.MaxAge) // a snapshot may be so old
}

func (h *house) agent(email string) (a store.Agent) {
	h.t.Helper()
	h.view(func(tx store.Tx) (err error) {
		a, err = store.Agents.Find(tx, "email", email)
		return err
	})
	return a
}

func list[T any](h *house, table *store.Table[T], lookup, value string) (all []T) {
	h.t.Helper()
	h.view(func(tx store.Tx) error {
		all = nil
		records := table.All(tx, "")
		if lookup != "" {
			records = table.List(tx, lookup, value)
		}
		for rec, err := range records {
			if err != nil {
				return err
			}
			all = append(all, rec)
		}
		return nil
	})
	return all
}

// state is all that an agent's own pages could change of an agent, in words.
func (h *house) state(email string) string {
	h.t.Helper()
	a := h.agent(email)
	var s strings.Builder
	fmt.Fprintf(&s, "agent %q %q %q %q %s %t\n", a.Email, a.Name, a.GivenName, a.FamilyName, a.PasswordHash, a.NotBefore.IsZero())
	for _, f := range list(h, &store.Authenticators, "agent", a.ID) {
		fmt.Fprintf(&s, "factor %s %s %q\n", f.ID, f.Type, f.Name)
	}
	h.view(func(tx store.Tx) error {
		codes, err := store.RecoveryCodes.Get(tx, a.ID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		fmt.Fprintf(&s, "codes %x\n", codes.Hashes)
		return err
	})
	for _, d := range list(h, &store.Devices, "agent", a.ID) {
		fmt.Fprintf(&s, "device %s\n", d.ID)
	}
	for _, rec := range list(h, &store.Sessions, "agent", a.ID) {
		fmt.Fprintf(&s, "session %s %s\n", rec.Hash, rec.ACR)
	}
	for _, g := range list(h, &store.Grants, "agent", a.ID) {
		fmt.Fprintf(&s, "grant %s %t\n", g.ID, g.Revoked)
	}
	for _, c := range list(h, &store.Consents, "agent", a.ID) {
		fmt.Fprintf(&s, "consent %s %v\n", c.ClientID, c.Scopes)
	}
	return s.String()
}

// audited lists the site's records as "action reason", and mailed the notices in
// the outbox as "what to whose agent".
func (h *house) audited() (all []string) {
	h.t.Helper()
	for _, rec := range list(h, &store.UnsealedAudits, "", "") {
		var body struct{ A, Why string }
		h.ok(json.Unmarshal(rec.Body, &body))
		all = append(all, strings.TrimSuffix(body.A+" "+body.Why, " "))
	}
	return all
}

func (h *house) mailed(email string) (all []string) {
	h.t.Helper()
	id := h.agent(email).ID
	for _, m := range list(h, &store.Outbox, "", "") {
		if m.AgentID == id {
			all = append(all, m.Name)
		}
	}
	return all
}

func count(all []string, one string) (n int) {
	for _, s := range all {
		if s == one {
			n++
		}
	}
	return n
}

// code is what the app of ben or tess shows after the clock has moved on to a new
// one.
func (h *house) code() string {
	h.t.Helper()
	h.pass(31 * time.Second)
	return h.codeOf(seedText)
}

func (h *house) codeOf(seed string) string {
	h.t.Helper()
	raw, err := mfa.ParseSeed(seed)
	h.ok(err)
	code, err := mfa.Code(raw, h.now())
	h.ok(err)
	return code
}

// browser is one person's browser, without script, at an address that a proxy
// names.
type browser struct {
	h      *house
	client *http.Client
	ip     string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	h.ok(err)
	return &browser{h: h, ip: "203.0.113.9", client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

type answer struct {
	status int
	header http.Header
	body   string
	to     string // Location
}

func (b *browser) do(method, path, body string, change ...func(*http.Request)) answer {
	b.h.t.Helper()
	req, err := http.NewRequestWithContext(b.h.t.Context(), method, b.h.url+path, strings.NewReader(body))
	b.h.ok(err)
	if body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Header.Set("X-Forwarded-For", b.ip)
	req.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
	for _, c := range change {
		c(req)
	}
	resp, err := b.client.Do(req)
	b.h.ok(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	b.h.ok(err)
	return answer{resp.StatusCode, resp.Header, string(text), resp.Header.Get("Location")}
}

func (b *browser) get(path string) answer { b.h.t.Helper(); return b.do(http.MethodGet, path, "") }

func (b *browser) post(path string, form url.Values, change ...func(*http.Request)) answer {
	b.h.t.Helper()
	return b.do(http.MethodPost, path, form.Encode(), change...)
}

// form makes one of names and values.
func form(fields ...string) url.Values {
	f := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		f.Set(fields[i], fields[i+1])
	}
	return f
}

var csrfField = regexp.MustCompile(`name="csrf" value="([^"]+)"`)

// csrf is the field of the forms of this browser's session.
func (b *browser) csrf() string {
	b.h.t.Helper()
	got := b.get("/account/profile")
	m := csrfField.FindStringSubmatch(got.body)
	if m == nil {
		b.h.t.Fatalf("no form: %d %s %s", got.status, got.to, got.body)
	}
	return m[1]
}

// signIn opens a page of the account and signs in on the way; it returns where
// the browser is led in the end.
func (b *browser) signIn(email string, more ...string) *browser {
	b.h.t.Helper()
	if to := b.through(b.get("/account"), email, good, more...); to != "/account" {
		b.h.t.Fatalf("signed in, and led to %q", to)
	}
	return b
}

// through walks a sign-in that got has led to.
func (b *browser) through(got answer, email, password string, more ...string) (to string) {
	b.h.t.Helper()
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, "/sign-in/") {
		b.h.t.Fatalf("not led to the sign-in: %d %s %s", got.status, got.to, got.body)
	}
	got = b.post(got.to, form("email", email, "password", password))
	if strings.HasSuffix(got.to, "/factor") {
		got = b.post(got.to, form(append([]string{"code", b.h.code()}, more...)...))
	}
	if got.status != http.StatusSeeOther {
		b.h.t.Fatalf("the sign-in: %d %s", got.status, got.body)
	}
	return got.to
}

func (a answer) says(text string) bool { return strings.Contains(html.UnescapeString(a.body), text) }

// toSignIn reports whether the browser has to sign in first.
func (a answer) toSignIn() bool {
	return a.status == http.StatusSeeOther && strings.HasPrefix(a.to, "/sign-in/")
}

func mustParse(raw string) *url.URL {
	u, err := url.Parse(raw)
	if err != nil {
		panic(err)
	}
	return u
}
