package keys

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

// house is a store with sites whose keys a test looks at; its clock stands.
type house struct {
	*Keys
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

func newHouse(t testing.TB, paths ...string) *house {
	t.Helper()
	h := &house{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "keys.db"), Now: h.clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	h.Keys = open(t, engine, h.clock)
	for _, path := range append([]string{""}, paths...) {
		if err := site.Create(t.Context(), h.Store, path, "", site.DefaultSettings("Acme"), h.now); err != nil {
			t.Fatal(err)
		}
		if err := h.Ensure(t.Context(), path); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

// open returns the Keys of another process on the same store.
func open(t testing.TB, engine store.Store, now func() time.Time) *Keys {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sites, err := site.New(site.Options{Store: engine, PublicURL: "https://id.example", Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Store: sites.Store(), Sealer: sealer, Sites: sites, Now: now})
}

func load(t testing.TB, k *Keys, path string) *site.Site {
	t.Helper()
	s, err := k.Sites.Load(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func sign(t testing.TB, k *Keys, path, alg, typ, payload string) string {
	t.Helper()
	raw, err := k.Sign(t.Context(), load(t, k, path), alg, typ, []byte(payload))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
