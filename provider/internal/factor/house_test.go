package factor

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/mfa/mfatest"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

const origin = "https://id.example"

// house is two sites, "" and acme, with the agents ana and ben each; its clock
// stands.
type house struct {
	*Factors
	t     *testing.T
	store store.Store
	sites *site.Sites
	file  string // of the store, on bbolt

	mu  sync.Mutex
	now time.Time
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func newHouse(t *testing.T, on ...storetest.Engine) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)}
	var engine store.Store
	var err error
	if len(on) > 0 && on[0] == storetest.PostgreSQL {
		engine, err = postgres.Open(t.Context(), postgres.Options{URL: database.URL(t), Now: h.clock, AllowAsync: true})
	} else {
		h.file = filepath.Join(t.TempDir(), "house.db")
		engine, err = bolt.Open(bolt.Options{Path: h.file, Now: h.clock})
	}
	h.ok(err)
	t.Cleanup(func() { engine.Close() })
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	h.ok(err)
	h.sites, err = site.New(site.Options{Store: engine, PublicURL: origin, Now: h.clock})
	h.ok(err)
	h.store = h.sites.Store()
	k := keys.New(keys.Options{Store: h.store, Sealer: sealer, Sites: h.sites, Now: h.clock})
	h.Factors = New(Options{Keys: k, Now: h.clock, Audit: audit.New(audit.Options{Store: h.store, Sites: h.sites, Keys: k, Now: h.clock})})
	for _, path := range []string{"", "acme"} {
		settings := site.DefaultSettings("Acme")
		settings.TwoFactor.RememberDays = 14
		h.ok(site.Create(t.Context(), h.store, path, "", settings, h.now))
		h.ok(k.Ensure(t.Context(), path))
		h.ok(h.store.Update(t.Context(), path, func(tx store.Tx) error {
			for _, name := range []string{"ana", "ben"} {
				if err := store.Agents.Create(tx, &store.Agent{ID: name, Email: name + "@acme.example", Name: "Ana Silva"}); err != nil {
					return err
				}
			}
			return nil
		}))
	}
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) site(path string) *site.Site {
	h.t.Helper()
	s, err := h.sites.Load(h.t.Context(), path)
	h.ok(err)
	return s
}

// update runs fn as the root site.
func (h *house) update(fn func(ctx context.Context, tx store.Tx, s *site.Site) error) {
	h.t.Helper()
	h.ok(h.tryUpdate("", fn))
}

func (h *house) tryUpdate(path string, fn func(ctx context.Context, tx store.Tx, s *site.Site) error) error {
	h.t.Helper()
	ctx := web.WithClient(h.t.Context(), netip.MustParseAddr("203.0.113.7"), "request", "Firefox")
	s := h.site(path)
	return h.store.Update(ctx, path, func(tx store.Tx) error { return fn(ctx, tx, s) })
}

func (h *house) held(id string) (held Held) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		held, err = h.Has(tx, id)
		return err
	}))
	return held
}

// enrol gives the agent an authenticator app and returns its seed.
func (h *house) enrol(id, name string) []byte {
	h.t.Helper()
	var seed []byte
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) error {
		e, err := h.BeginTOTP(ctx, tx, s, h.agentIn(tx, id), "session")
		if err != nil {
			return err
		}
		if seed, err = mfa.ParseSeed(e.Seed); err != nil {
			return err
		}
		added, err := h.ConfirmTOTP(ctx, tx, s, h.agentIn(tx, id), "session", e.ID, h.code(seed, 0), name)
		if err == nil && !added.OK {
			h.t.Errorf("not confirmed: %+v", added)
		}
		return err
	})
	h.pass(mfa.Step) // the code that confirmed it is used
	return seed
}

func (h *house) agentIn(tx store.Tx, id string) store.Agent {
	a, err := store.Agents.Get(tx, id)
	if err != nil {
		h.t.Error(err)
	}
	return a
}

// code is the seed's code so many steps from now.
func (h *house) code(seed []byte, steps int) string {
	h.t.Helper()
	code, err := mfa.Code(seed, h.clock().Add(time.Duration(steps)*mfa.Step))
	h.ok(err)
	return code
}

// check types a code.
func (h *house) check(id, typed string) (p Proof) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		p, err = h.CheckCode(ctx, tx, s, h.agentIn(tx, id), typed)
		return err
	})
	return p
}

func (h *house) newCodes(id string) (codes []string) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		codes, err = h.NewCodes(ctx, tx, s, h.agentIn(tx, id))
		return err
	})
	return codes
}

// options asks for what a browser is to answer.
func (h *house) options(begin func(tx store.Tx, s *site.Site) ([]byte, error)) (options []byte) {
	h.t.Helper()
	s := h.site("")
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		options, err = begin(tx, s)
		return err
	}))
	return options
}

func (h *house) creation(id, owner string) []byte {
	h.t.Helper()
	return h.options(func(tx store.Tx, s *site.Site) ([]byte, error) {
		return h.BeginPasskey(h.t.Context(), tx, s, h.agentIn(tx, id), owner)
	})
}

func (h *house) request(owner, agentID string) []byte {
	h.t.Helper()
	return h.options(func(tx store.Tx, s *site.Site) ([]byte, error) {
		return h.BeginLogin(h.t.Context(), tx, s, owner, agentID)
	})
}

func (h *house) finishPasskey(id, owner string, answer []byte) (added Added) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		added, err = h.FinishPasskey(ctx, tx, s, h.agentIn(tx, id), owner, answer, "laptop")
		return err
	})
	return added
}

func (h *house) finishLogin(owner, agentID string, answer []byte) (p Proof) {
	h.t.Helper()
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		p, err = h.FinishLogin(ctx, tx, s, owner, agentID, answer)
		return err
	})
	return p
}

// passkey registers one.
func (h *house) passkey(id string, change ...func(*mfatest.Passkey)) *mfatest.Passkey {
	h.t.Helper()
	k := mfatest.New()
	for _, c := range change {
		c(k)
	}
	answer, err := k.Create(h.creation(id, "session"), origin)
	h.ok(err)
	if added := h.finishPasskey(id, "session", answer); !added.OK {
		h.t.Fatalf("%+v", added)
	}
	return k
}

func (h *house) get(k *mfatest.Passkey, options []byte, change ...func(*mfatest.Ceremony)) []byte {
	h.t.Helper()
	answer, err := k.Get(options, origin, change...)
	h.ok(err)
	return answer
}

// audited counts the site's records by action and reason.
func (h *house) audited() map[string]int {
	h.t.Helper()
	n := map[string]int{}
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			if err != nil {
				return err
			}
			var body struct{ A, Why string }
			if err := json.Unmarshal(rec.Body, &body); err != nil {
				return err
			}
			n[strings.TrimSuffix(body.A+" "+body.Why, " ")]++
		}
		return nil
	}))
	return n
}

// race runs fn a hundred times at once and counts how often it says yes.
func (h *house) race(fn func() bool) int {
	var won atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for range 100 {
		group.Go(func() {
			<-start
			if fn() {
				won.Add(1)
			}
		})
	}
	close(start)
	group.Wait()
	return int(won.Load())
}

// browser holds a device's cookie.
type browser struct {
	h      *house
	path   string
	cookie string
}

func (b *browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, origin+"/", nil)
	r = r.WithContext(site.With(web.WithClient(b.h.t.Context(), netip.MustParseAddr("203.0.113.7"), "request", "Firefox"), b.h.site(b.path)))
	if b.cookie != "" {
		name := "__Host-device"
		if b.path != "" {
			name += "." + b.path
		}
		r.AddCookie(&http.Cookie{Name: name, Value: b.cookie})
	}
	return r
}

func (b *browser) remember(id string) {
	b.h.t.Helper()
	b.h.ok(b.h.tryUpdate(b.path, func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		b.cookie, err = b.h.Remember(ctx, tx, s, b.h.agentIn(tx, id), b.request())
		return err
	}))
}

// use asks whether the browser is remembered, and takes the new cookie.
func (b *browser) use(id string) (use DeviceUse) {
	b.h.t.Helper()
	b.h.ok(b.h.tryUpdate(b.path, func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		use, err = b.h.Remembered(ctx, tx, s, b.h.agentIn(tx, id), b.request())
		return err
	}))
	if use.Cookie != "" {
		b.cookie = use.Cookie
	}
	return use
}
