package signin

import (
	"errors"
	"net/netip"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

// ledger is counters in a real store with a clock that the test moves.
type ledger struct {
	t   *testing.T
	s   store.Store
	mu  sync.Mutex
	now time.Time
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	l := &ledger{t: t, now: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)}
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "a.db"), Now: l.time})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	l.s = engine
	return l
}

func (l *ledger) time() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

func (l *ledger) pass(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// try is a wrong password as conclude counts it: what may not be judged counts
// nothing.
func (l *ledger) try(limits limits, email, ip string) try {
	l.t.Helper()
	var got try
	l.update(func(tx store.Tx) (err error) {
		got, err = guess(tx, limits, email, netip.MustParseAddr(ip), l.time())
		return err
	})
	return got
}

func guess(tx store.Tx, limits limits, email string, ip netip.Addr, now time.Time) (try, error) {
	got, err := limits.look(tx, email, "", ip, now)
	if err != nil || got.refused || got.wait > 0 {
		return got, err
	}
	err = limits.failed(tx, &got, now)
	return got, err
}

func (l *ledger) update(fn func(store.Tx) error) {
	l.t.Helper()
	if err := l.s.Update(l.t.Context(), "", fn); err != nil {
		l.t.Fatal(err)
	}
}

// judged counts how many of n tries are let through.
func (l *ledger) judged(limits limits, email, ip string, n int) int {
	l.t.Helper()
	through := 0
	for range n {
		if got := l.try(limits, email, ip); !got.refused && got.wait == 0 {
			through++
		}
	}
	return through
}

var lock5 = limits{lockAfter: 5, lock: 30 * time.Minute}

func TestAnAccountLocksAfterSoManyFailuresForSoLong(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	for i := range 5 {
		if got := l.try(lock5, "ana@acme.example", "192.0.2.1"); got.refused || got.locked != (i == 4) {
			t.Fatalf("try %d: %+v", i+1, got)
		}
	}
	if n := l.judged(lock5, "ana@acme.example", "192.0.2.2", 3); n != 0 {
		t.Errorf("%d tries were judged while locked", n)
	}
	if n := l.judged(lock5, "bob@acme.example", "192.0.2.1", 1); n != 1 {
		t.Error("another account is locked too")
	}
	l.pass(30*time.Minute - time.Second)
	if n := l.judged(lock5, "ana@acme.example", "192.0.2.1", 1); n != 0 {
		t.Error("unlocked too early, or tries moved the lock")
	}
	l.pass(time.Second)
	if n := l.judged(lock5, "ana@acme.example", "192.0.2.1", 10); n != 5 {
		t.Errorf("after the lock %d tries were judged, want 5", n)
	}
}

func TestSuccessForgetsTheAccountsFailuresButNotTheNetworks(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	both := limits{Throttle: Throttle{PerNetwork: 6}, lockAfter: 3, lock: time.Hour}
	for range 2 {
		l.try(both, "ana@acme.example", "192.0.2.1")
		l.try(both, "ana@acme.example", "192.0.2.1")
		l.update(func(tx store.Tx) error {
			good, err := both.look(tx, "ana@acme.example", "", netip.MustParseAddr("192.0.2.1"), l.time())
			if err != nil || good.refused || good.wait > 0 {
				t.Errorf("the right password is not judged: %+v", good)
			}
			return errors.Join(err, both.succeeded(tx, &good))
		})
	}
	if got := l.try(both, "x@acme.example", "192.0.2.1"); got.wait != 0 {
		t.Errorf("after 4 failures: %+v", got)
	}
	l.try(both, "y@acme.example", "192.0.2.1")
	if got := l.try(both, "ana@acme.example", "192.0.2.1"); got.wait != 30*time.Second {
		t.Errorf("after 6 failures: %+v", got)
	}
	if got := l.try(both, "ana@acme.example", "192.0.2.2"); got.wait != 0 || got.refused {
		t.Errorf("another network: %+v", got)
	}
}

func TestWaitsGrowToAQuarterOfAnHour(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	slow := limits{Throttle: Throttle{PerNetwork: 2}}
	if n := l.judged(slow, "a@acme.example", "192.0.2.1", 9); n != 2 {
		t.Fatalf("%d were judged, want 2", n)
	}
	want := 30 * time.Second
	for range 8 {
		got := l.try(slow, "a@acme.example", "192.0.2.1")
		if got.wait != want {
			t.Errorf("wait %v, want %v", got.wait, want)
		}
		l.pass(got.wait)
		if got := l.try(slow, "a@acme.example", "192.0.2.1"); got.wait != 0 {
			t.Fatalf("after the wait: %+v", got)
		}
		want = min(2*want, 15*time.Minute)
	}
	l.pass(30 * time.Minute)
	if n := l.judged(slow, "a@acme.example", "192.0.2.1", 9); n != 2 {
		t.Errorf("after a quiet time %d were judged, want 2", n)
	}
}

func TestANetworkIsAnAddressOrASlash64(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	one := limits{Throttle: Throttle{PerNetwork: 1}}
	l.try(one, "a@acme.example", "2001:db8:1:2::1")
	for ip, waits := range map[string]bool{"2001:db8:1:2:ffff::9": true, "2001:db8:1:3::1": false, "192.0.2.1": false} {
		if got := l.try(one, "a@acme.example", ip); (got.wait > 0) != waits {
			t.Errorf("%s: %+v", ip, got)
		}
	}
	if got := l.try(one, "a@acme.example", "::ffff:192.0.2.1"); got.wait == 0 {
		t.Error("the mapped form is another network")
	}
}

func TestAWaitingNetworkLocksNoAccount(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	both := limits{Throttle: Throttle{PerNetwork: 2}, lockAfter: 5, lock: time.Hour}
	l.judged(both, "x@acme.example", "192.0.2.66", 2)
	l.judged(both, "ana@acme.example", "192.0.2.66", 20)
	if got := l.try(both, "ana@acme.example", "192.0.2.1"); got.refused {
		t.Error("tries that were not judged locked an account")
	}
}

func TestOffIsOff(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	if n := l.judged(limits{}, "ana@acme.example", "192.0.2.1", 100); n != 100 {
		t.Errorf("%d of 100 were judged", n)
	}
	l.update(func(tx store.Tx) error {
		for a, err := range store.AllAttempts.All(tx, "") {
			t.Errorf("counted all the same: %+v %v", a, err)
		}
		return nil
	})
}

func TestParallelGuessesNeverExceedTheLimit(t *testing.T) {
	t.Parallel()
	for name, limits := range map[string]limits{
		"lock":        lock5,
		"per account": {Throttle: Throttle{PerAccount: 5}},
		"per network": {Throttle: Throttle{PerNetwork: 5}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLedger(t)
			var through atomic.Int32
			var wg sync.WaitGroup
			for range 50 {
				wg.Go(func() {
					if got := l.try(limits, "ana@acme.example", "192.0.2.1"); !got.refused && got.wait == 0 {
						through.Add(1)
					}
				})
			}
			wg.Wait()
			if n := through.Load(); n != 5 {
				t.Errorf("%d guesses were let through, want 5", n)
			}
		})
	}
}

func TestCountersSurviveARestart(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.db")
	now := time.Now()
	tries := 0
	for i := range 3 {
		engine, err := bolt.Open(bolt.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := engine.Update(t.Context(), "", func(tx store.Tx) error {
				got, err := guess(tx, lock5, "ana@acme.example", netip.Addr{}, now)
				if tries++; got.locked != (tries == 5) || got.refused != (tries == 6) {
					t.Errorf("try %d, after %d restarts: %+v", tries, i, got)
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
