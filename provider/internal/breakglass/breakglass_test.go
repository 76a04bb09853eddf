package breakglass

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

var tess = audit.Ref{Type: "agent", ID: "tess"}

// house is the sites "" and acme, whose allowlists are on; its clock stands.
type house struct {
	*Glass
	t    *testing.T
	file string // of the store, on bbolt
	log  bytes.Buffer

	mu    sync.Mutex
	now   time.Time
	mails []string
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

func newHouse(t *testing.T, engine storetest.Engine) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)}
	var s store.Store
	var err error
	if engine == storetest.PostgreSQL {
		s, err = postgres.Open(t.Context(), postgres.Options{URL: database.URL(t), Now: h.clock, AllowAsync: true})
	} else {
		h.file = filepath.Join(t.TempDir(), "house.db")
		s, err = bolt.Open(bolt.Options{Path: h.file, Now: h.clock})
	}
	h.ok(err)
	t.Cleanup(func() { s.Close() })
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	h.ok(err)
	sites, err := site.New(site.Options{Store: s, PublicURL: "https://id.example", Now: h.clock})
	h.ok(err)
	k := keys.New(keys.Options{Store: sites.Store(), Sealer: sealer, Sites: sites, Now: h.clock})
	h.Glass = New(Options{
		Store: sites.Store(), Sites: sites, Audit: audit.New(audit.Options{Store: sites.Store(), Sites: sites, Keys: k, Now: h.clock}), Now: h.clock,
		Log: zerolog.New(&h.log), Notify: h.mail,
	})
	for _, path := range []string{"", "acme"} {
		settings := site.DefaultSettings("Acme")
		settings.Allowlist.Enabled = true
		h.ok(site.Create(t.Context(), sites.Store(), path, "", settings, h.now))
		h.ok(k.Ensure(t.Context(), path))
		h.ok(sites.Store().Update(t.Context(), path, func(tx store.Tx) error {
			return errors.Join(
				store.Agents.Create(tx, &store.Agent{ID: "tess", Email: "tess@acme.example", Roles: []string{"administrators"}}),
				store.Agents.Create(tx, &store.Agent{ID: "gone", Email: "gone@acme.example", Roles: []string{"administrators"}, Inactive: true}),
				store.Agents.Create(tx, &store.Agent{ID: "ana", Email: "ana@acme.example", Roles: []string{"agents"}}))
		}))
	}
	return h
}

func (h *house) mail(_ context.Context, _ store.Tx, _ *site.Site, agent store.Agent, kind string, b store.BreakGlass) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if said := agent.ID + " " + kind + " " + b.Control; !slices.Contains(h.mails, said) { // a transaction may run again
		h.mails = append(h.mails, said)
	}
	return nil
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) try(path string, fn func(ctx context.Context, tx store.Tx, s *site.Site) error) error {
	h.t.Helper()
	s, err := h.Sites.Load(h.t.Context(), path)
	h.ok(err)
	return h.Store.Update(h.t.Context(), path, func(tx store.Tx) error { return fn(h.t.Context(), tx, s) })
}

func (h *house) lift(path, control string, d time.Duration) error {
	h.t.Helper()
	return h.try(path, func(ctx context.Context, tx store.Tx, s *site.Site) error {
		_, err := h.Lift(ctx, tx, s, control, d, tess, ByAdministrator)
		return err
	})
}

func (h *house) lifted(path, control string) (up bool) {
	h.t.Helper()
	h.ok(h.Store.View(h.t.Context(), path, func(tx store.Tx) (err error) {
		up, err = store.Lifted(tx, control, h.clock())
		return err
	}))
	return up
}

// recorded is what the audit log says, in the order of the alphabet: records of
// one moment have no other.
func (h *house) recorded(path string) (said []string) {
	h.t.Helper()
	for place := (audit.Place{}); !place.Done; {
		found, next, err := h.Audit.Search(h.t.Context(), path, audit.Filter{}, place)
		h.ok(err)
		for _, e := range found {
			if strings.HasPrefix(e.Action, "break_glass") {
				said = append(said, strings.TrimSpace(e.Action+" "+e.ObjectID+" "+e.Reason))
			}
		}
		place = next
	}
	slices.Sort(said)
	return said
}

func (h *house) newCodes(path string) (codes []string) {
	h.t.Helper()
	h.ok(h.try(path, func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		codes, err = h.NewCodes(ctx, tx, s, tess)
		return err
	}))
	return codes
}

func (h *house) use(path, typed, control string) (ok bool, err error) {
	h.t.Helper()
	err = h.try(path, func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		_, ok, err = h.Use(ctx, tx, s, typed, control, tess)
		return err
	})
	return ok, err
}

func TestAControlIsLiftedAloneHereAndForAQuarterOfAnHour(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		for _, d := range []time.Duration{0, -time.Minute, store.MaxBreakGlass + 1} {
			if err := h.lift("", store.ControlAllowlist, d); !errors.Is(err, ErrControl) {
				t.Errorf("for %s: %v", d, err)
			}
		}
		if err := h.lift("", "password", time.Minute); !errors.Is(err, ErrControl) {
			t.Errorf("the password: %v", err)
		}
		h.ok(h.lift("", store.ControlAllowlist, store.MaxBreakGlass))
		if !h.lifted("", store.ControlAllowlist) || h.lifted("", store.ControlSecondFactor) || h.lifted("acme", store.ControlAllowlist) {
			t.Error("another control is lifted, or another site's")
		}
		for _, control := range store.Controls() {
			if err := h.lift("", control, time.Minute); !errors.Is(err, ErrLifted) {
				t.Errorf("%s too: %v", control, err)
			}
		}
		h.pass(store.MaxBreakGlass - 1)
		if !h.lifted("", store.ControlAllowlist) {
			t.Error("it ended before its time")
		}
		h.pass(1)
		if h.lifted("", store.ControlAllowlist) {
			t.Error("it lasts longer than its time")
		}
		h.ok(h.lift("", store.ControlSecondFactor, time.Minute)) // nobody had to clean up before
		want := []string{"break_glass.end allowlist time_over", "break_glass.lift allowlist administrator", "break_glass.lift second_factor administrator"}
		if got := h.recorded(""); !slices.Equal(got, want) {
			t.Errorf("recorded: %q", got)
		}
		if want := []string{"tess break_glass_lifted allowlist", "tess break_glass_ended allowlist", "tess break_glass_lifted second_factor"}; !slices.Equal(h.mails, want) {
			t.Errorf("mails: %q", h.mails)
		}
	})
}

func TestTheEndIsRecordedAndVoidsWhatWasLetOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.ok(h.lift("acme", store.ControlAllowlist, time.Minute))
	if next, err := h.endDue(t.Context()); err != nil || !next.Equal(h.clock().Add(look)) || !h.lifted("acme", store.ControlAllowlist) {
		t.Errorf("%s %v", next, err)
	}
	h.pass(40 * time.Second)
	if next, err := h.endDue(t.Context()); err != nil || !next.Equal(h.clock().Add(20*time.Second)) {
		t.Errorf("the next look is at %s, %v", next, err)
	}
	h.pass(20 * time.Second)
	for range 2 {
		if _, err := h.endDue(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := h.recorded("acme"); !slices.Equal(got, []string{"break_glass.end allowlist time_over", "break_glass.lift allowlist administrator"}) {
		t.Errorf("recorded: %q", got)
	}
	h.ok(h.Store.View(t.Context(), "acme", func(tx store.Tx) error {
		var reasons []string
		for r, err := range store.Revocations.All(tx, "") {
			if err != nil {
				return err
			}
			reasons = append(reasons, fmt.Sprint(r.All, r.Reason))
		}
		if !slices.Equal(reasons, []string{"trueallowlist_changed"}) {
			t.Errorf("feed: %q", reasons)
		}
		return nil
	}))
	if !strings.Contains(h.log.String(), "the control holds again") {
		t.Errorf("log: %s", h.log.String())
	}
}

func TestEndingPutsItBackOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	end := func() (found bool) {
		h.ok(h.try("", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
			_, found, err = h.End(ctx, tx, s, tess)
			return err
		}))
		return found
	}
	if end() {
		t.Error("nothing was lifted")
	}
	h.ok(h.lift("", store.ControlSecondFactor, time.Minute))
	if !end() || h.lifted("", store.ControlSecondFactor) || end() {
		t.Error("it is lifted still, or ended twice")
	}
}

func TestOneOfAHundredLiftsAndOneOfAHundredUsesACode(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		var lifted, used atomic.Int32
		code := h.newCodes("acme")[0]
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				if err := h.lift("", store.Controls()[i%3], time.Minute); err == nil {
					lifted.Add(1)
				} else if !errors.Is(err, ErrLifted) {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if ok, err := h.use("acme", code, store.Controls()[i%3]); ok {
					used.Add(1)
				} else if err != nil && !errors.Is(err, ErrLifted) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if lifted.Load() != 1 || used.Load() != 1 {
			t.Errorf("%d lifted, %d used the code", lifted.Load(), used.Load())
		}
	})
}

func TestAnOfflineCodeIsReadAsPeopleCopyIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for _, copied := range []func(string) string{
		strings.ToLower,
		func(code string) string { return strings.ReplaceAll(code, "-", " ") + "\n" },
		func(code string) string {
			return strings.NewReplacer("0", "o", "1", "l", "-", "").Replace(code)
		},
	} {
		code := h.newCodes("")[2]
		if ok, err := h.use("", copied(code), store.ControlSecondFactor); err != nil || !ok {
			t.Errorf("%q: %v", copied(code), err)
		}
		if ok, err := h.use("", code, store.ControlSecondFactor); ok || err != nil {
			t.Errorf("the code works twice: %v", err)
		}
		h.pass(store.MaxBreakGlass)
	}
}

func TestAWrongCodeIsRecordedAndACodeThatCannotBeUsedIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	code := h.newCodes("")[0]
	for _, wrong := range []string{"", "00000-00000-00000-00000", strings.Repeat("0", 1<<20), "\x00", h.newCodes("acme")[0]} {
		if ok, err := h.use("", wrong, store.ControlAllowlist); ok || err != nil {
			t.Errorf("%.40q: %v %v", wrong, ok, err)
		}
	}
	if got := h.recorded(""); len(got) != 6 || got[5] != "break_glass.use allowlist wrong_code" {
		t.Errorf("recorded: %q", got)
	}
	if _, err := h.use("", code, "password"); !errors.Is(err, ErrControl) {
		t.Error(err)
	}
	h.ok(h.lift("", store.ControlAllowlist, time.Minute))
	if _, err := h.use("", code, store.ControlSecondFactor); !errors.Is(err, ErrLifted) {
		t.Error(err)
	}
	h.pass(time.Minute)
	if ok, err := h.use("", code, store.ControlSecondFactor); !ok || err != nil {
		t.Errorf("the code was used up in vain: %v", err)
	}
}

func TestCodesAreKeptAsHashesAndThereAreNeverMany(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	codes := h.newCodes("")
	one := func() (code string, err error) {
		err = h.try("", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
			code, err = h.NewCode(ctx, tx, s, tess)
			return err
		})
		return code, err
	}
	for range maxCodes - Codes {
		code, err := one()
		h.ok(err)
		codes = append(codes, code)
	}
	if _, err := one(); !errors.Is(err, ErrControl) {
		t.Error(err)
	}
	raw, err := os.ReadFile(h.file)
	h.ok(err)
	for _, code := range codes {
		if bytes.Contains(raw, []byte(code)) || bytes.Contains(raw, []byte(strings.ReplaceAll(code, "-", ""))) {
			t.Error("a code can be read in the store")
		}
	}
	h.newCodes("")
	h.ok(h.Store.View(t.Context(), "", func(tx store.Tx) error {
		n, err := CodesLeft(tx)
		if n != Codes {
			t.Errorf("%d codes", n)
		}
		return err
	}))
}
