package signin

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

// house is a whole server of this package's pages over a real store, with a
// clock that the test moves. GET /begin?… is the authorization endpoint: it
// begins a sign-in with the query as the request.
type house struct {
	t      testing.TB
	url    string
	x      *SignIn
	store  *counting
	moved  atomic.Int64 // nanoseconds that the clock is ahead
	hashes atomic.Int32
	hashed atomic.Pointer[func()] // called after each hash
	file   string

	handler http.Handler
}

// counting counts the commits that wrote something, and can fail one.
type counting struct {
	store.Store
	updates atomic.Int32
	failing atomic.Int32 // the number of the one that fails; 0: none
}

func (c *counting) Update(ctx context.Context, path string, fn func(store.Tx) error) error {
	if c.updates.Load()+1 == c.failing.Load() {
		c.failing.Store(0)
		return store.ErrUnavailable
	}
	var wrote bool
	err := c.Store.Update(ctx, path, func(tx store.Tx) error {
		w := &writing{Tx: tx}
		defer func() { wrote = w.wrote }()
		return fn(w)
	})
	if wrote {
		c.updates.Add(1)
	}
	return err
}

type writing struct {
	store.Tx
	wrote bool
}

func (w *writing) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	w.wrote = true
	return w.Tx.Put(kind, key, value, expires)
}

func (h *house) now() time.Time          { return time.Now().Add(time.Duration(h.moved.Load())) }
func (h *house) pass(d time.Duration)    { h.moved.Add(int64(d)) }
func (h *house) view(f func(store.Tx))   { h.tx(h.store.View, f) }
func (h *house) update(f func(store.Tx)) { h.tx(h.store.Store.Update, f) }

func (h *house) tx(run func(context.Context, string, func(store.Tx) error) error, f func(store.Tx)) {
	h.t.Helper()
	if err := run(h.t.Context(), "", func(tx store.Tx) error { f(tx); return nil }); err != nil {
		h.t.Fatal(err)
	}
}

type houseOptions struct {
	settings  func(*store.Settings)
	throttle  Throttle
	passwords password.Options
	mail      Mail
	postgres  bool
	named     bool // at localhost, where browsers make passkeys
}

// onBothEngines runs a test on bbolt and on PostgreSQL; engine goes to newHouse.
func onBothEngines(t *testing.T, test func(t *testing.T, engine func(*houseOptions))) {
	t.Helper()
	for _, name := range []string{"bbolt", "PostgreSQL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, func(o *houseOptions) { o.postgres = name == "PostgreSQL" })
		})
	}
}

func (h *house) open(onPostgres bool) store.Store {
	h.t.Helper()
	if onPostgres {
		engine, err := postgres.Open(h.t.Context(), postgres.Options{URL: storetest.Postgres(h.t), Now: h.now})
		must(h.t, err)
		return engine
	}
	h.file = filepath.Join(h.t.TempDir(), "signin.db")
	engine, err := bolt.Open(bolt.Options{Path: h.file, Now: h.now})
	must(h.t, err)
	return engine
}

func newHouse(t testing.TB, change ...func(*houseOptions)) *house {
	t.Helper()
	o := houseOptions{settings: func(*store.Settings) {}, passwords: password.Options{MemoryKiB: 8, Time: 1}}
	for _, c := range change {
		c(&o)
	}
	h := &house{t: t}
	engine := h.open(o.postgres)
	t.Cleanup(func() { engine.Close() })
	settings := site.DefaultSettings("Acme <Support>")
	o.settings(&settings)
	must(t, site.Create(t.Context(), engine, "", "", settings, h.now()))

	server := httptest.NewUnstartedServer(nil)
	h.url = "http://" + server.Listener.Addr().String()
	if o.named {
		h.url = strings.Replace(h.url, "127.0.0.1", "localhost", 1)
	}
	sites, err := site.New(site.Options{Store: engine, PublicURL: h.url, Now: h.now})
	must(t, err)
	h.store = &counting{Store: sites.Store()}
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, store.MasterKeySize))
	must(t, err)
	ring := keys.New(keys.Options{Store: h.store, Sealer: sealer, Sites: sites, Now: h.now})
	if o.named {
		must(t, ring.Ensure(t.Context(), ""))
	}
	log := audit.New(audit.Options{Store: h.store, Sites: sites, Keys: ring, Now: h.now})
	pages := templates.New()
	surroundings := web.New(web.Options{
		Pages: pages, Rows: slices.Concat(Errors, breakglass.Errors, factor.Errors, password.Errors, session.Errors, site.Errors, audit.Errors, web.Errors), Now: h.now,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
	})
	sessions := session.New(session.Options{Store: h.store, Keys: ring, Audit: log, Now: h.now})
	o.passwords.Observe = func(string, time.Duration) {
		h.hashes.Add(1)
		if hook := h.hashed.Load(); hook != nil {
			(*hook)()
		}
	}
	passwords := password.New(o.passwords)
	rules, err := password.NewRules(password.RulesOptions{Hasher: passwords, Now: h.now})
	must(t, err)
	h.x = New(Options{
		Store: h.store, Sites: sites, Sessions: sessions, Audit: log, Web: surroundings,
		Passwords: passwords, Rules: rules, Factors: factor.New(factor.Options{Keys: ring, Audit: log, Now: h.now}), Keys: ring, Mail: o.mail, Glass: breakglass.New(breakglass.Options{Store: h.store, Sites: sites, Audit: log, Now: h.now}), Throttle: o.throttle, Now: h.now,
	})
	mux := http.NewServeMux()
	h.x.Routes(mux)
	mux.Handle("GET /begin", surroundings.Page(h.begin))
	h.handler = surroundings.Handler(sites.Handler(mux, surroundings.PageError))
	server.Config.Handler = h.handler
	server.Start()
	t.Cleanup(server.Close)
	h.update(func(tx store.Tx) {
		must(t, store.Clients.Put(tx, &store.Client{ID: "desk", Name: "Agent Desk", RedirectURIs: []string{"https://desk.example/cb"}}))
		must(t, store.Clients.Put(tx, &store.Client{ID: "app", Name: "App", ApplicationType: "native", RedirectURIs: []string{"com.example.app:/cb"}}))
		must(t, site.Changed(tx))
	})
	return h
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *house) begin(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	id, err := h.x.Sessions.BeginSignIn(w, r, s, store.SignIn{Query: r.URL.RawQuery, ACR: r.URL.Query().Get("want_acr")})
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, s.Base()+"/sign-in/"+id)
}

// agent makes an agent with that password ("" for none).
func (h *house) agent(email, pw string, change ...func(*store.Agent)) store.Agent {
	h.t.Helper()
	a := store.Agent{ID: "id-of-" + email, Email: email, Name: "Ana Silva", Roles: []string{policy.Agents}, Created: h.now().Add(-time.Hour)}
	if pw != "" {
		hash, err := h.x.Passwords.Hash(h.t.Context(), pw)
		must(h.t, err)
		a.PasswordHash = hash
	}
	for _, c := range change {
		c(&a)
	}
	h.update(func(tx store.Tx) { must(h.t, store.Agents.Put(tx, &a)) })
	return a
}

func (h *house) stored(email string) (a store.Agent) {
	h.t.Helper()
	h.view(func(tx store.Tx) {
		var err error
		a, err = store.Agents.Find(tx, "email", email)
		must(h.t, err)
	})
	return a
}

func (h *house) sessions() (all []store.Session) {
	h.t.Helper()
	h.view(func(tx store.Tx) {
		all = nil
		for s, err := range store.Sessions.All(tx, "") {
			must(h.t, err)
			all = append(all, s)
		}
	})
	return all
}

// audited counts the site's records by action and reason, also those that are
// still counted in memory.
func (h *house) audited() map[string]int {
	h.t.Helper()
	n := map[string]int{}
	h.view(func(tx store.Tx) {
		clear(n)
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			must(h.t, err)
			var body struct{ A, Why string }
			must(h.t, json.Unmarshal(rec.Body, &body))
			n[strings.TrimSuffix(body.A+" "+body.Why, " ")]++
		}
	})
	return n
}

// browser is one person's browser, at an address that a proxy names.
type browser struct {
	h      *house
	client *http.Client
	ip     string
}

func (h *house) browser() *browser {
	jar, err := cookiejar.New(nil)
	must(h.t, err)
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

func (b *browser) do(method, path, contentType, body string, change ...func(*http.Request)) answer {
	b.h.t.Helper()
	req, err := http.NewRequestWithContext(b.h.t.Context(), method, b.h.url+path, strings.NewReader(body))
	must(b.h.t, err)
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	req.Header.Set("X-Forwarded-For", b.ip)
	for _, c := range change {
		c(req)
	}
	resp, err := b.client.Do(req)
	must(b.h.t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	must(b.h.t, err)
	if strings.Contains(string(text), "Check what you typed and try again.") {
		b.h.t.Errorf("%s %s: a problem has no words of its own", method, path)
	}
	return answer{resp.StatusCode, resp.Header, string(text), resp.Header.Get("Location")}
}

func (b *browser) get(path string) answer { b.h.t.Helper(); return b.do(http.MethodGet, path, "", "") }

func (b *browser) post(path string, fields ...string) answer {
	b.h.t.Helper()
	form := url.Values{}
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	return b.do(http.MethodPost, path, "application/x-www-form-urlencoded", form.Encode())
}

// hangUp sends a form and hangs up while the password is hashed.
func (b *browser) hangUp(path string, form url.Values) {
	b.h.t.Helper()
	ctx, cancel := context.WithCancel(b.h.t.Context())
	hook := func() { cancel() }
	b.h.hashed.Store(&hook)
	defer b.h.hashed.Store(nil)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, b.h.url+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range b.cookies() {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	b.h.handler.ServeHTTP(httptest.NewRecorder(), r)
	if ctx.Err() == nil {
		b.h.t.Fatal("nobody hung up: nothing was hashed")
	}
}

// begin begins a sign-in and returns the path of its form.
func (b *browser) begin(query string) string {
	b.h.t.Helper()
	got := b.get("/begin?" + query)
	if got.status != http.StatusSeeOther {
		b.h.t.Fatalf("begin: %d %s", got.status, got.body)
	}
	return got.to
}

func (b *browser) signIn(email, pw string) answer {
	b.h.t.Helper()
	return b.post(b.begin("client_id=desk"), "email", email, "password", pw)
}

// cookies are the names and values that the browser holds.
func (b *browser) cookies() map[string]string {
	u, _ := url.Parse(b.h.url)
	m := map[string]string{}
	for _, c := range b.client.Jar.Cookies(u) {
		m[c.Name] = c.Value
	}
	return m
}
