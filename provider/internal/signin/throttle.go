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

// try is a sign-in that has been counted, or was not let through.
type try struct {
	account string        // key of its counter
	network string        // key of its counter
	refused bool          // the account has to wait: whatever was typed is wrong
	locked  bool          // this try, should it fail, was the one that locks
	wait    time.Duration // the network has to wait so long
}

// reserve counts a try before it is judged, so that no more than the limit are
// judged however many come at once. An account that does not exist is counted
// like one that does. A network that has to wait touches no account's counter.
func (l limits) reserve(tx store.Tx, email string, ip netip.Addr, now time.Time) (try, error) {
	t := try{account: store.AccountAttempts(email), network: store.NetworkAttempts(web.Network(ip))}
	if l.network() {
		a, err := attempts(tx, t.network, now)
		if err != nil {
			return t, err
		}
		if t.wait = a.Until.Sub(now); t.wait > 0 {
			return t, nil
		}
		t.wait = 0
		if err := count(tx, &a, now, waitAfter(a.Count+1, l.PerNetwork)); err != nil {
			return t, err
		}
	}
	if !l.account() {
		return t, nil
	}
	a, err := attempts(tx, t.account, now)
	if err != nil {
		return t, err
	}
	if now.Before(a.Until) {
		t.refused = true
		return t, nil
	}
	if l.locks() && a.Count >= l.lockAfter { // the lock has run out
		a = store.Attempts{Key: a.Key}
	}
	wait := waitAfter(a.Count+1, l.PerAccount)
	if l.locks() && a.Count+1 >= l.lockAfter {
		wait, t.locked = max(wait, l.lock), true
	}
	return t, count(tx, &a, now, wait)
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

// succeeded forgets the account's failures and gives the network back this try:
// its other failures stay, or one's own account would wash away the guessing of
// others.
func (l limits) succeeded(tx store.Tx, t try, now time.Time) error {
	if l.account() {
		if err := store.AllAttempts.Delete(tx, t.account); err != nil {
			return err
		}
	}
	return giveBack(tx, t.network, l.network(), now)
}

// unjudged gives back a try that was counted and could not be judged.
func (l limits) unjudged(tx store.Tx, t try, now time.Time) error {
	if err := giveBack(tx, t.account, l.account() && !t.refused, now); err != nil {
		return err
	}
	return giveBack(tx, t.network, l.network(), now)
}

func giveBack(tx store.Tx, key string, counted bool, now time.Time) error {
	if !counted {
		return nil
	}
	a, err := attempts(tx, key, now)
	if err != nil || a.Count == 0 {
		return err
	}
	a.Count--
	a.Until = time.Time{} // was set by this try: one that waits counts no other
	if a.Count == 0 {
		return store.AllAttempts.Delete(tx, key)
	}
	return store.AllAttempts.Put(tx, &a)
}
