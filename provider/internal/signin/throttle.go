package signin

import (
	"errors"
	"net/netip"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Throttle is how many failed sign-ins in a row make an account or a network (an
// address, an IPv6 /64) wait: half a minute at first, twice as long after each
// further failure, a quarter of an hour at most. 0 switches one off.
type Throttle struct{ PerAccount, PerNetwork int }

const (
	firstWait = 30 * time.Second
	longest   = 15 * time.Minute // the longest wait, and how long a failure is remembered
)

// limits are what one try is held to. A site's lock counts as its password
// policy says: after so many failures nothing is accepted for so long, and then
// counting begins anew.
type limits struct {
	Throttle
	lockAfter int
	lock      time.Duration
}

func (l limits) account() bool { return l.PerAccount > 0 || l.locks() }
func (l limits) network() bool { return l.PerNetwork > 0 }
func (l limits) locks() bool   { return l.lockAfter > 0 && l.lock > 0 }

func (t Throttle) limits(s *site.Site) limits {
	p := s.Settings.Password
	return limits{Throttle: t, lockAfter: p.LockAfter, lock: time.Duration(p.LockMinutes) * time.Minute}
}

// waitAfter is how long the count-th failure in a row makes wait.
func waitAfter(count, limit int) time.Duration {
	if limit <= 0 || count < limit {
		return 0
	}
	return min(firstWait<<min(count-limit, 10), longest)
}

// try is one sign-in against its counters.
type try struct {
	account, network store.Attempts // as they stand
	refused          bool           // the account has to wait: whatever was typed is wrong
	locked           bool           // this try failed, and was the one that locks
	wait             time.Duration  // the network has to wait so long
}

// look reads the counters of an account, also of one that does not exist, and of
// a network, and says whether they have to wait. It is asked twice: before the
// hash, to save the work, and in the transaction that answers. Tries that were
// hashed side by side are answered one after the other, each after the one
// before was counted, so that no more than the limit are ever told anything,
// on however many nodes they were judged.
//
// device is the counter of a browser that is known as the account's own, "" if it
// is not: where the account waits, that one counts instead.
func (l limits) look(tx store.Tx, email, device string, ip netip.Addr, now time.Time) (t try, err error) {
	t.account.Key, t.network.Key = store.AccountAttempts(email), store.NetworkAttempts(web.Network(ip))
	if l.network() {
		if t.network, err = attempts(tx, t.network.Key, now); err != nil {
			return t, err
		}
		t.wait = max(0, t.network.Until.Sub(now))
	}
	if l.account() {
		if t.account, err = attempts(tx, t.account.Key, now); err != nil {
			return t, err
		}
		if t.refused = now.Before(t.account.Until); t.refused && device != "" {
			if t.account, err = attempts(tx, device, now); err != nil {
				return t, err
			}
			t.refused = now.Before(t.account.Until)
		}
	}
	return t, nil
}

// failed counts a try that was judged and was wrong.
func (l limits) failed(tx store.Tx, t *try, now time.Time) error {
	if l.network() {
		if err := count(tx, &t.network, now, waitAfter(t.network.Count+1, l.PerNetwork)); err != nil {
			return err
		}
	}
	if !l.account() {
		return nil
	}
	if l.locks() && t.account.Count >= l.lockAfter { // the lock has run out
		t.account = store.Attempts{Key: t.account.Key}
	}
	wait := waitAfter(t.account.Count+1, l.PerAccount)
	if l.locks() && t.account.Count+1 >= l.lockAfter {
		wait, t.locked = max(wait, l.lock), true
	}
	return count(tx, &t.account, now, wait)
}

// succeeded forgets the account's failures. The network's stay, or one's own
// account would wash away the guessing of others.
func (l limits) succeeded(tx store.Tx, t *try) error {
	if t.account.Count == 0 {
		return nil
	}
	return store.AllAttempts.Delete(tx, t.account.Key)
}

// attempts reads a counter; one that does not exist or has run out is zero.
func attempts(tx store.Tx, key string, now time.Time) (store.Attempts, error) {
	a, err := store.AllAttempts.Get(tx, key)
	if errors.Is(err, store.ErrNotFound) || err == nil && !now.Before(a.Expires) {
		return store.Attempts{Key: key}, nil
	}
	return a, err
}

func count(tx store.Tx, a *store.Attempts, now time.Time, wait time.Duration) error {
	if a.Count == 0 {
		a.First = now
	}
	a.Count++
	a.Last, a.Until = now, time.Time{}
	a.Expires = now.Add(longest)
	if wait > 0 {
		a.Until = now.Add(wait)
		a.Expires = now.Add(wait + longest)
	}
	return store.AllAttempts.Put(tx, a)
}
