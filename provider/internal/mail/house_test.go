package mail

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

const origin = "https://id.example"

var ana = store.Agent{ID: "ana", Email: "ana@acme.example", Name: "Ana Silva", Locale: "en"}

// pages are the words, read once.
var pages = sync.OnceValue(templates.New)

// house is two sites, "" and acme; its clock stands.
type house struct {
	t       *testing.T
	store   store.Store
	sites   *site.Sites
	options Options
	file    string       // of the store, on bbolt
	log     bytes.Buffer // of everything; look at it through logged

	mu       sync.Mutex
	now      time.Time
	outcomes map[string]int // by name and outcome
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

// Write takes the log.
func (h *house) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.Write(p)
}

func (h *house) logged() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.log.String()
}

func newHouse(t *testing.T, on ...storetest.Engine) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), outcomes: map[string]int{}}
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
	for _, path := range []string{"", "acme"} {
		h.ok(site.Create(t.Context(), h.store, path, "", site.DefaultSettings("Acme"), h.now))
		h.ok(k.Ensure(t.Context(), path))
	}
	words := pages()
	h.options = Options{
		Store: h.store, Sites: h.sites, Sealer: sealer, Pages: words, From: "no-reply@acme.example", Now: h.clock, Log: zerolog.New(h),
		Audit: audit.New(audit.Options{Store: h.store, Sites: h.sites, Keys: k, Now: h.clock}),
		Observe: func(name, outcome string) {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.outcomes[name+" "+outcome]++
		},
	}
	return h
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

// mail is a node.
func (h *house) mail(change func(*Options)) *Mail {
	h.t.Helper()
	o := h.options
	change(&o)
	m, err := New(o)
	h.ok(err)
	return m
}

// through is a node that gives its letters to deliver.
func (h *house) through(deliver func(context.Context, Letter) error) *Mail {
	return h.mail(func(o *Options) { o.Deliver = deliver })
}

func (h *house) site(path string) *site.Site {
	h.t.Helper()
	s, err := h.sites.Load(h.t.Context(), path)
	h.ok(err)
	return s
}

func (h *house) update(path string, fn func(ctx context.Context, tx store.Tx, s *site.Site) error) error {
	h.t.Helper()
	ctx := web.WithClient(h.t.Context(), netip.MustParseAddr("203.0.113.7"), "request-1", "Firefox")
	s := h.site(path)
	return h.store.Update(ctx, path, func(tx store.Tx) error { return fn(ctx, tx, s) })
}

// queue writes a reset mail to ana, as the root site does.
func (h *house) queue(m *Mail) {
	h.t.Helper()
	h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.Link(ctx, tx, s, ana, s.URL("/reset/canary-token"), false, 30*time.Minute)
	}))
}

// tell writes a notice to ana: it is worth trying for a day.
func (h *house) tell(m *Mail) {
	h.t.Helper()
	h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.Notice(ctx, tx, s, ana, templates.NoticeLocked)
	}))
}

// round sends what is due now, and says how many letters that were.
func (h *house) round(m *Mail) (n int) {
	h.t.Helper()
	for _, path := range []string{"", "acme"} {
		for {
			claimed, err := m.claim(h.t.Context(), path)
			h.ok(err)
			if claimed == nil {
				break
			}
			m.send(h.t.Context(), path, claimed)
			n++
		}
	}
	return n
}

// waiting are the mails of the root site's outbox.
func (h *house) waiting() (all []store.OutboxMail) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.Outbox.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, rec)
		}
		return nil
	}))
	return all
}

// audited are the site's audit records, each as action and reason, with the
// address, which is kept apart, after a bar.
func (h *house) audited() (all []string) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			if err != nil {
				return err
			}
			var body struct{ A, Why string }
			if err := json.Unmarshal(rec.Body, &body); err != nil {
				return err
			}
			line := strings.TrimSpace(body.A + " " + body.Why)
			if strings.Contains(string(rec.Body), ana.Email) {
				line += " (tells the address)"
			}
			for _, p := range rec.Personal {
				if p.Field == "email" {
					line += "|" + p.Value
				}
			}
			all = append(all, line)
		}
		return nil
	}))
	return all
}

func (h *house) observed() map[string]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := map[string]int{}
	for k, v := range h.outcomes {
		all[k] = v
	}
	return all
}

// race runs fn a hundred times at once and counts how often it says yes.
func (h *house) race(fn func(i int) bool) int {
	var won atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range 100 {
		group.Go(func() {
			<-start
			if fn(i) {
				won.Add(1)
			}
		})
	}
	close(start)
	group.Wait()
	return int(won.Load())
}

// letters is a place where letters arrive.
type letters struct {
	mu    sync.Mutex
	all   []Letter
	fault error // in place of taking one
}

func (l *letters) take(_ context.Context, letter Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fault != nil {
		return l.fault
	}
	l.all = append(l.all, letter)
	return nil
}

func (l *letters) come() []Letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Letter(nil), l.all...)
}

var errDown = errors.New("connection refused")
