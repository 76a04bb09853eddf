package audit

import (
	"context"
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// house is a log of one site on a real store.
type house struct {
	*Log
	t     testing.TB
	dir   string
	close func()
}

func newHouse(t testing.TB) *house {
	t.Helper()
	return furnished(t, openHouse(t, t.TempDir()))
}

// furnished makes the house's site.
func furnished(t testing.TB, h *house) *house {
	t.Helper()
	if err := site.Create(t.Context(), h.Store, "", "", site.DefaultSettings("Acme"), time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{keys.SecretAudit, keys.SecretCheckpoint} {
		if _, err := h.Keys.Secret(t.Context(), "", name); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func openHouse(t testing.TB, dir string) *house {
	t.Helper()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(dir, "audit.db"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	return houseOn(t, dir, engine)
}

func houseOn(t testing.TB, dir string, engine store.Store) *house {
	t.Helper()
	once := sync.OnceFunc(func() { engine.Close() })
	t.Cleanup(once)
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	sites, err := site.New(site.Options{Store: engine, PublicURL: "https://id.example"})
	if err != nil {
		t.Fatal(err)
	}
	k := keys.New(keys.Options{Store: sites.Store(), Sealer: sealer, Sites: sites})
	log := New(Options{Store: sites.Store(), Sites: sites, Keys: k, Checkpoints: filepath.Join(dir, "audit-checkpoints.jsonl")})
	return &house{log, t, dir, once}
}

var signIn = Event{
	Action: SignInSuccess, Actor: Ref{"agent", "0198c5f0-7b1e-7cc3-9d5a-3f6f8e1f2a3b"}, Object: Ref{"session", "9vZb0yPqT1uJm2c7dXk4Aw"},
	Personal: map[string]string{"email": "ana@acme.example"},
}

func client(ctx context.Context) context.Context {
	return web.WithClient(ctx, netip.MustParseAddr("203.0.113.77"), "5f0d3c2b1a09f8e7d6c5b4a3", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0")
}

func (h *house) record(events ...Event) {
	h.t.Helper()
	for _, e := range events {
		if err := h.Store.Update(h.t.Context(), "", func(tx store.Tx) error { return h.Record(client(h.t.Context()), tx, e) }); err != nil {
			h.t.Fatal(err)
		}
	}
}

func (h *house) seal() {
	h.t.Helper()
	if err := errors.Join(h.Seal(h.t.Context(), "")); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) verify() Report {
	h.t.Helper()
	r, err := h.Verify(h.t.Context(), "", nil)
	if err != nil {
		h.t.Fatal(err)
	}
	return r
}

func (h *house) all(f Filter) (all []Entry) {
	h.t.Helper()
	for place := (Place{}); !place.Done; {
		found, next, err := h.Search(h.t.Context(), "", f, place)
		if err != nil {
			h.t.Fatal(err)
		}
		all, place = append(all, found...), next
	}
	return all
}

func TestARecordSaysWhoDidWhatFromWhere(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	e := signIn
	e.Result, e.Reason = Refused, "ip_not_allowed"
	e.Changes = []Change{{Field: "roles", Old: "agents", New: "agents supervisors"}, {Field: "email", Old: "a@acme.example", New: "ana@acme.example", Personal: true}, {Field: "client_secret", New: "hunter2"}}
	h.record(e)
	for _, sealed := range []bool{false, true} {
		if sealed {
			h.seal()
		}
		got := h.all(Filter{})
		if len(got) != 1 {
			t.Fatalf("%d records", len(got))
		}
		want := Entry{
			Action: SignInSuccess, ActorType: "agent", ActorID: e.Actor.ID, Object: "session", ObjectID: e.Object.ID, Result: Refused, Reason: "ip_not_allowed",
			IP: "203.0.113.77", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", RequestID: "5f0d3c2b1a09f8e7d6c5b4a3",
			Changes:  []Change{{Field: "roles", Old: "agents", New: "agents supervisors"}, {Field: "email", Old: "a@acme.example", New: "ana@acme.example"}, {Field: "client_secret"}},
			Personal: map[string]string{"email": "ana@acme.example"},
			ID:       got[0].ID, Time: got[0].Time, Link: got[0].Link,
		}
		if sealed {
			want.Sequence = 1
		}
		if diff := cmp.Diff(want, got[0]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestARecordGoesWithItsTransaction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	broken := errors.New("broken")
	err := h.Store.Update(t.Context(), "", func(tx store.Tx) error {
		if err := h.Record(t.Context(), tx, signIn); err != nil {
			return err
		}
		return broken
	})
	if !errors.Is(err, broken) || len(h.all(Filter{})) != 0 {
		t.Errorf("%v; %d records", err, len(h.all(Filter{})))
	}
	err = h.Store.View(t.Context(), "", func(tx store.Tx) error { return h.Record(t.Context(), tx, signIn) })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("a record that could not be written: %v", err)
	}
}

func TestPersonalValuesAreOnlyBesideTheRecord(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.seal()
	if err := h.Store.View(t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.AuditEntries.All(tx, "") {
			if err != nil {
				return err
			}
			for _, secret := range []string{"203.0.113.77", "ana@acme.example", "Firefox"} {
				if strings.Contains(string(rec.Body), secret) {
					t.Errorf("the record holds %s", secret)
				}
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestErasingAPersonKeepsTheChainWhole(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn, signIn)
	h.seal()
	if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error {
		return errors.Join(h.Erase(tx, 1), h.Erase(tx, 2, "email"))
	}); err != nil {
		t.Fatal(err)
	}
	if r := h.verify(); !r.Whole() || r.Erased != 4 {
		t.Errorf("%s", r)
	}
	got := h.all(Filter{})
	if len(got) != 2 || got[0].IP != "" || len(got[0].Erased) != 3 || got[1].IP == "" || got[1].Personal["email"] != "" {
		t.Errorf("%+v", got)
	}
}

func TestOneWellFormedRecordWhateverIsPutIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	evil := "a\r\nb\x1b[31m\x00\"},{\u202eevil\u2028\xff\xfe" + strings.Repeat("x", 1<<20)
	h.record(Event{
		Action: evil, Actor: Ref{evil, evil}, Object: Ref{"agent", evil}, Result: evil, Reason: evil, Personal: map[string]string{"email": evil, evil: evil},
		Changes: slicesRepeat(Change{Field: evil, Old: evil, New: evil, Personal: true}, 1000),
	})
	h.seal()
	if r := h.verify(); !r.Whole() || r.Entries != 1 {
		t.Fatalf("%s", r)
	}
	var out strings.Builder
	if err := h.Export(t.Context(), "", &out, JSONLines, Filter{Action: h.all(Filter{})[0].Action}, Ref{"operator", "root"}); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != 1 || strings.ContainsAny(out.String(), "\x1b\x00\r\u202e") || out.Len() > 100_000 {
		t.Errorf("%d lines of %d bytes", n, out.Len())
	}
}

func slicesRepeat(c Change, n int) (list []Change) {
	for range n {
		list = append(list, c)
	}
	return list
}

func TestAHundredWritersAndASealerLoseNothing(t *testing.T) {
	t.Parallel()
	racing(t, newHouse(t), 100)
}

func TestAHundredWritersAndASealerLoseNothingOnPostgreSQL(t *testing.T) {
	t.Parallel()
	engine, err := postgres.Open(t.Context(), postgres.Options{URL: storetest.Postgres(t), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	racing(t, furnished(t, houseOn(t, t.TempDir(), engine)), 100)
}

func racing(t *testing.T, h *house, writers int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var sealing, writing sync.WaitGroup
	for range 2 { // two nodes
		sealing.Go(func() {
			for ctx.Err() == nil {
				if err := h.Seal(t.Context(), ""); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range writers {
		writing.Go(func() {
			for range 10 {
				if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error { return h.Record(t.Context(), tx, signIn) }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	stop()
	sealing.Wait()
	h.seal()
	if r := h.verify(); !r.Whole() || r.Entries != uint64(10*writers) || r.Unsealed != 0 {
		t.Errorf("%s", r)
	}
}

func TestARecordThatCommitsLateIsSealed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.seal()
	now := h.Now
	h.Now = func() time.Time { return now().Add(-time.Hour) } // the clock goes back, too
	h.record(signIn)
	h.Now = now
	h.seal()
	if r := h.verify(); !r.Whole() || r.Entries != 2 {
		t.Errorf("%s", r)
	}
}

func TestRunSealsWithinASecondAndMakesCheckpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		h.Failed = func(err error) { t.Error(err) }
		go func() { done <- h.Run(ctx) }()
		time.Sleep(time.Minute)
		h.record(signIn)
		time.Sleep(time.Second)
		if r := h.verify(); r.Entries != 1 || r.Unsealed != 0 || r.LastCheckpoint != 1 {
			t.Errorf("after a second: %s", r)
		}
		h.record(signIn)
		time.Sleep(time.Second)
		if r := h.verify(); r.Entries != 2 || r.LastCheckpoint != 1 {
			t.Errorf("after another: %s", r)
		}
		h.Count("", Event{Action: TokenIssue, Actor: Ref{"client", "bot"}})
		h.record(signIn)
		stop()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if r := h.verify(); !r.Whole() || r.Entries != 4 || r.LastCheckpoint != 4 {
			t.Errorf("at the end: %s", r)
		}
		h.close()
	})
}

func TestFrequentThingsAreCountedByTheMinute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h.Now = func() time.Time { return at }
	for range 100_000 {
		h.Count("", Event{Action: TokenIssue, Actor: Ref{"client", "bot"}})
	}
	for i := range 2 * maxCounted {
		h.Count("", Event{Action: SignInFailure, Result: Refused, Object: Ref{"agent", strings.Repeat("x", i%100) + string(rune(i))}})
	}
	if err := h.flush(t.Context(), false); err != nil || len(h.all(Filter{})) != 0 {
		t.Errorf("before the minute is over: %v", err)
	}
	at = at.Add(time.Minute)
	if err := h.flush(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	got := h.all(Filter{Action: "token"})
	if len(got) != 1 || got[0].Count != 100_000 || got[0].ActorID != "bot" || !got[0].Time.Equal(time.Date(2026, 1, 2, 3, 4, 0, 0, time.UTC)) {
		t.Errorf("%+v", got)
	}
	total := 0
	rest := h.all(Filter{Action: SignInFailure})
	for _, e := range rest {
		total += e.Count
	}
	if total != 2*maxCounted || len(rest) > maxCounted+1 {
		t.Errorf("%d in %d records", total, len(rest))
	}
}

func TestChangesOfKeysAreRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.Keys.Ensure(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if err := h.Keys.Rotate(t.Context(), "", keys.ES256); err != nil {
		t.Fatal(err)
	}
	if made, rotated := h.all(Filter{Action: KeyCreate}), h.all(Filter{Action: KeyRotate}); len(made) != 2 || len(rotated) != 1 {
		t.Errorf("%v, %v", made, rotated)
	}
}

func TestASealedRecordIsSmall(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.record(signIn)
	h.seal()
	if err := h.Store.View(t.Context(), "", func(tx store.Tx) error {
		for item, err := range tx.Scan(store.AuditEntries.Kind, nil, nil) {
			if err != nil {
				return err
			}
			size := len(store.AppendFrame(nil, "", store.AuditEntries.Kind, item.Key, item.Value, time.Time{})) + len(item.Key)
			t.Logf("a sign-in takes %d bytes", size)
			if size > 450 {
				t.Errorf("%d bytes: %s", size, item.Value)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func BenchmarkRecord(b *testing.B) {
	h := newHouse(b)
	ctx := client(b.Context())
	b.ReportAllocs()
	_ = h.Store.Update(b.Context(), "", func(tx store.Tx) error {
		for b.Loop() {
			// One transaction for all would measure its overlay, not Record.
			if err := h.Record(ctx, discard{tx}, signIn); err != nil {
				b.Fatal(err)
			}
		}
		return nil
	})
}

// discard is a transaction that drops what is put.
type discard struct{ store.Tx }

func (discard) Put(store.Kind, []byte, []byte, time.Time) error { return nil }

func BenchmarkSeal(b *testing.B) {
	h := newHouse(b)
	for b.Loop() {
		b.StopTimer()
		_ = h.Store.Update(b.Context(), "", func(tx store.Tx) error {
			for range pageSize {
				if err := h.Record(client(b.Context()), tx, signIn); err != nil {
					return err
				}
			}
			return nil
		})
		b.StartTimer()
		h.seal()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*pageSize), "µs/record")
}
