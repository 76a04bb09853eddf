package visitor

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/keyset"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

const (
	testIssuer = "https://id.example"
	shop       = "https://shop.example"
	backend    = "https://chat.example"
)

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// house is a site on a real store.
type house struct {
	t       testing.TB
	engine  store.Engine
	sites   *site.Sites
	store   store.Store
	keys    *keys.Keys
	sealer  *store.Sealer
	audit   *audit.Log
	known   *records.Records
	x       *Visitors
	handler http.Handler
	maxAge  time.Duration // of a snapshot, for what another node has changed
	clock   *clock
}

// clock is the time of all nodes of a house.
type clock struct {
	ahead   atomic.Int64 // of the time, in nanoseconds
	stopped atomic.Pointer[time.Time]
}

func (h *house) now() time.Time {
	at := time.Now()
	if stopped := h.clock.stopped.Load(); stopped != nil {
		at = *stopped
	}
	return at.Add(time.Duration(h.clock.ahead.Load()))
}

func (h *house) later(d time.Duration) { h.clock.ahead.Add(int64(d)) }

// stop stops the clock at that time: from now on only later moves it.
func (h *house) stop(at time.Time) {
	h.clock.ahead.Store(0)
	h.clock.stopped.Store(&at)
}

// beside is another node on the same store, whose clock is the same.
func (h *house) beside() *house {
	h.t.Helper()
	n := &house{t: h.t, clock: h.clock, maxAge: site.MaxAge}
	n.on(h.engine)
	return n
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) open(on storetest.Engine) store.Engine {
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
	h := &house{t: t, clock: &clock{}, maxAge: time.Hour}
	h.engine = h.open(on)
	t.Cleanup(func() { h.engine.Close() })
	settings := site.DefaultSettings("Acme")
	settings.Resources = []store.Resource{{Identifier: backend, AccessTokenFormat: "jwt", SigningAlg: "ES256"}, {Identifier: "https://files.example", SigningAlg: "EdDSA"}}
	settings.Visitors = store.VisitorRules{Anonymous: true, SignIn: store.SignInOptional, Origins: []string{shop}}
	h.ok(site.Create(t.Context(), h.engine, "", "", settings, h.now()))
	h.on(h.engine)
	h.ok(h.keys.Ensure(t.Context(), "", keys.EdDSA))
	return h
}

// on serves what that store holds.
func (h *house) on(engine store.Engine) {
	h.t.Helper()
	h.engine = engine
	var err error
	h.sites, err = site.New(site.Options{Store: engine, PublicURL: testIssuer, MaxAge: h.maxAge, Now: h.now})
	h.ok(err)
	h.store = h.sites.Store()
	h.sealer, err = store.NewSealer([]byte(strings.Repeat("k", 32)))
	h.ok(err)
	h.keys = keys.New(keys.Options{Store: h.store, Sealer: h.sealer, Sites: h.sites, Now: h.now})
	pages := templates.New()
	surroundings := web.New(web.Options{Pages: pages, Rows: append(Errors, web.Errors...), Log: zerolog.Nop(), Now: h.now})
	h.wire(surroundings)
}

func (h *house) wire(surroundings *web.Web) {
	h.audit = audit.New(audit.Options{Store: h.store, Sites: h.sites, Keys: h.keys, Now: h.now})
	h.known = records.New(records.Options{Store: h.store, Keys: h.keys, Sealer: h.sealer, Audit: h.audit, Now: h.now})
	h.x = New(Options{
		Store: h.store, Keys: h.keys, Records: h.known, Sealer: h.sealer, Audit: h.audit, Web: surroundings, Now: h.now,
		Keysets: keyset.New(keyset.Options{Client: web.NewOutboundClient(true), Sealer: h.sealer, Now: h.now}),
	})
	mux := http.NewServeMux()
	h.x.Routes(mux)
	h.handler = surroundings.Handler(h.sites.Handler(mux, surroundings.PageError))
}

func (h *house) change(change func(*store.Settings)) {
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
}

func (h *house) update(fn func(store.Tx) error) {
	h.t.Helper()
	h.ok(h.store.Update(h.t.Context(), "", fn))
}

// said is an answer with its JSON read.
type said struct {
	*httptest.ResponseRecorder
	JSON map[string]any
}

func (a said) text(name string) string {
	s, _ := a.JSON[name].(string)
	return s
}

// claims of the token, unverified.
func (a said) claims(t testing.TB) map[string]any {
	t.Helper()
	parts := strings.Split(a.text("access_token"), ".")
	if len(parts) != 3 {
		t.Fatalf("no token: %d %s", a.Code, a.Body)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	var c map[string]any
	if err != nil || json.Unmarshal(raw, &c) != nil {
		t.Fatalf("claims %q: %v", parts[1], err)
	}
	return c
}

func (a said) want(t testing.TB, status int, code, reason string) {
	t.Helper()
	if a.Code != status || a.text("error") != code || reason != "" && a.text("reason") != reason {
		t.Fatalf("got %d %s, want %d %s %s", a.Code, a.Body, status, code, reason)
	}
}

// start posts a body from the shop's page.
func (h *house) start(body map[string]any) said {
	h.t.Helper()
	raw, err := json.Marshal(body)
	h.ok(err)
	return h.post(shop, "192.0.2.1:1000", string(raw))
}

func (h *house) post(origin, remote, body string) said {
	h.t.Helper()
	return h.postTo("/visitors/start", origin, remote, body)
}

func (h *house) postTo(path, origin, remote, body string) said {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(body))
	r.RemoteAddr = remote
	r.Header.Set("Content-Type", "application/json")
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	return h.do(r)
}

func (h *house) do(r *http.Request) said {
	h.t.Helper()
	a := said{ResponseRecorder: httptest.NewRecorder()}
	h.handler.ServeHTTP(a, r)
	if strings.HasPrefix(a.Header().Get("Content-Type"), "application/json") {
		h.ok(json.Unmarshal(a.Body.Bytes(), &a.JSON))
	}
	return a
}

func decode(h *house, raw []byte) (v map[string]any) {
	h.t.Helper()
	h.ok(json.Unmarshal(raw, &v))
	return v
}

func addr(text string) netip.Addr {
	a, _ := netip.ParseAddr(text)
	return a
}
