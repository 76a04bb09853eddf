package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	testIssuer   = "https://id.example"
	testResource = "https://chat.example"
)

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// house is a whole site on a real store, with clients, an agent and a session.
type house struct {
	t       testing.TB
	store   *brittle
	sites   *site.Sites
	keys    *keys.Keys
	o       *OAuth
	known   *visitors.Records
	handler http.Handler
	clock   atomic.Int64 // added to the time, in nanoseconds
	cookie  string       // of alice's session
}

// brittle is a store that fails when told to.
type brittle struct {
	store.Store
	down   atomic.Bool
	t      testing.TB
	nested nesting
}

func (b *brittle) View(ctx context.Context, path string, fn func(store.Tx) error) error {
	if b.down.Load() {
		return store.ErrUnavailable
	}
	defer b.nested.enter(b.t)()
	return b.Store.View(ctx, path, fn)
}

func (b *brittle) Update(ctx context.Context, path string, fn func(store.Tx) error) error {
	if b.down.Load() {
		return store.ErrUnavailable
	}
	defer b.nested.enter(b.t)()
	return b.Store.Update(ctx, path, fn)
}

func (h *house) now() time.Time { return time.Now().Add(time.Duration(h.clock.Load())) }

// open is an empty store on that engine.
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
	h := &house{t: t}
	engine := h.open(on)
	t.Cleanup(func() { engine.Close() })
	settings := site.DefaultSettings("Acme")
	settings.Resources = []store.Resource{{Identifier: testResource, Scopes: []string{"chat"}, AccessTokenFormat: "jwt", SigningAlg: "ES256", ChecksNetwork: true}}
	h.ok(site.Create(t.Context(), engine, "", "", settings, h.now()))
	var err error
	h.sites, err = site.New(site.Options{Store: engine, PublicURL: testIssuer, MaxAge: time.Hour, Now: h.now})
	h.ok(err)
	h.store = &brittle{Store: h.sites.Store(), t: t}
	h.wire()
	h.ok(h.keys.Ensure(t.Context(), ""))
	h.seed()
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// seed makes the clients and people that the cases are about: CONF is the site's
// own desk, CHAT the backend, EVIL a registered third party's, PUB a public one.
func (h *house) seed() {
	agent := store.Agent{
		ID: "alice", Email: "alice@acme.example", EmailVerified: true, Name: "Alice Adams", GivenName: "Alice", PhoneNumber: "+49 30 1234",
		Address: &store.Address{Country: "DE"}, Roles: []string{"agents", "supervisors"}, Departments: []string{"billing"}, Created: h.now(), Updated: h.now(),
	}
	clients := []store.Client{
		{ID: "CONF", Name: "Desk", FirstParty: true, RedirectURIs: []string{"https://desk.example/cb"}, PostLogoutRedirectURIs: []string{"https://desk.example/bye"}, Scope: "openid profile email offline_access chat roles groups", DefaultResource: testResource},
		{ID: "CHAT", Name: "Chat", DefaultResource: testResource},
		{ID: "EVIL", Name: "Evil", RedirectURIs: []string{"https://evil.example/cb"}, PostLogoutRedirectURIs: []string{"https://evil.example/bye"}},
		{ID: "PUB", Name: "App", RedirectURIs: []string{"http://127.0.0.1/cb"}, TokenEndpointAuthMethod: "none", Scope: "openid email"},
	}
	h.update(func(tx store.Tx) error {
		if err := store.Agents.Create(tx, &agent); err != nil {
			return err
		}
		if err := store.Roles.Create(tx, &store.Role{Key: "supervisors", Name: "Supervisors", Permissions: []string{"chat.monitor", "visitor.ban"}}); err != nil {
			return err
		}
		for _, c := range clients {
			if c.TokenEndpointAuthMethod == "" {
				c.TokenEndpointAuthMethod = "client_secret_basic"
				sum := sha256.Sum256([]byte(secretOf(c.ID)))
				c.Secrets = []store.ClientSecret{{SHA256: sum[:], Created: h.now()}}
			}
			c.GrantTypes, c.Created, c.Updated = []string{"authorization_code", "refresh_token", "client_credentials"}, h.now(), h.now()
			if err := store.Clients.Create(tx, &c); err != nil {
				return err
			}
		}
		return site.Changed(tx)
	})
}

func sha256Of(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

func secretOf(client string) string { return "the-very-long-secret-of-the-client-" + client }

func (h *house) update(fn func(store.Tx) error) {
	h.t.Helper()
	h.ok(h.store.Update(h.t.Context(), "", fn))
}

func (h *house) site() *site.Site {
	h.t.Helper()
	s, err := h.sites.Load(h.t.Context(), "")
	h.ok(err)
	return s
}

func (h *house) changeAgent(change func(*store.Agent)) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		a, err := store.Agents.Get(tx, "alice")
		if err != nil {
			return err
		}
		change(&a)
		return store.Agents.Put(tx, &a)
	})
}

func (h *house) changeClient(id string, change func(*store.Client)) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		c, err := store.Clients.Get(tx, id)
		if err != nil {
			return err
		}
		change(&c)
		if err := store.Clients.Put(tx, &c); err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

func (h *house) changeSettings(change func(*store.Settings)) {
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

// answer is a response with its JSON read.
type answer struct {
	*httptest.ResponseRecorder
	JSON map[string]any
}

func (h *house) do(r *http.Request) answer {
	h.t.Helper()
	a := answer{ResponseRecorder: httptest.NewRecorder()}
	if !strings.Contains(r.URL.Host, "id.example") {
		r.Host = "id.example"
	}
	h.handler.ServeHTTP(a, r)
	if strings.HasPrefix(a.Header().Get("Content-Type"), "application/json") {
		h.ok(json.Unmarshal(a.Body.Bytes(), &a.JSON))
	}
	return a
}

// post sends a form; with a client it authenticates by Basic.
func (h *house) post(path, client string, form url.Values) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if client != "" {
		r.SetBasicAuth(client, secretOf(client))
	}
	return h.do(r)
}

func (h *house) get(path string, header ...string) answer {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodGet, testIssuer+path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return h.do(r)
}

func (h *house) introspect(client, token string) answer {
	h.t.Helper()
	a := h.post("/oauth/introspect", client, url.Values{"token": {token}})
	if a.Code != http.StatusOK {
		h.t.Fatalf("introspection: %d %s", a.Code, a.Body)
	}
	return a
}

func (h *house) wantActive(client, token string, want bool) {
	h.t.Helper()
	a := h.introspect(client, token)
	if a.JSON["active"] != want {
		h.t.Errorf("active is %v, want %v: %s", a.JSON["active"], want, a.Body)
	}
	if !want && strings.TrimSpace(a.Body.String()) != `{"active":false}` {
		h.t.Errorf("an inactive token's answer says more: %s", a.Body)
	}
}

// handlerOf is a handler with the surroundings of a request for the site.
func (h *house) handlerOf(f http.HandlerFunc) http.Handler {
	return h.o.Web.Handler(h.sites.Handler(f, h.o.Web.PageError))
}
