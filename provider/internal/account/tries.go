package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// Whoever has got hold of a session does not thereby get to guess the password:
// so many wrong ones, in all of the agent's sessions, and none counts for a
// while. Tries at the sign-in are counted apart, or a stolen session could lock
// its owner out.
const (
	maxTries = 5
	triesFor = 15 * time.Minute
)

// tooMany says how long no password is judged.
type tooMany struct{ wait time.Duration }

func (e *tooMany) Error() string {
	return fmt.Sprintf("too many wrong passwords: none is judged for %s", e.wait)
}

func triesKey(v *visit) string { return "account-password:" + v.Agent.ID }

func tries(tx store.Tx, v *visit) (store.Attempts, error) {
	a, err := store.AllAttempts.Get(tx, triesKey(v))
	if errors.Is(err, store.ErrNotFound) || err == nil && !v.now.Before(a.Expires) {
		return store.Attempts{Key: triesKey(v), First: v.now}, nil
	}
	return a, err
}

// mayTry is tooMany while no password is judged.
func (x *Account) mayTry(tx store.Tx, v *visit) error {
	a, err := tries(tx, v)
	if err == nil && a.Count >= maxTries {
		err = &tooMany{a.Expires.Sub(v.now)}
	}
	return err
}

// count counts a try before it is judged, or of many at once each would be: what
// the answer keeps to itself its time would tell. tooMany, while none is judged.
func (x *Account) count(tx store.Tx, v *visit) error {
	if err := x.mayTry(tx, v); err != nil {
		return err
	}
	a, err := tries(tx, v)
	if err != nil {
		return err
	}
	a.Count++
	a.Last, a.Expires = v.now, v.now.Add(triesFor)
	return store.AllAttempts.Put(tx, &a)
}

// giveBack takes a try back that was not judged.
func (x *Account) giveBack(tx store.Tx, v *visit) error {
	a, err := tries(tx, v)
	if err != nil || a.Count == 0 {
		return err
	}
	a.Count--
	return store.AllAttempts.Put(tx, &a)
}

// recordWrong records a wrong password, which is counted already.
func (x *Account) recordWrong(ctx context.Context, tx store.Tx, v *visit) error {
	return x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.PasswordChange, Actor: v.me(), Object: v.me(), Result: audit.Refused, Reason: "wrong_password",
	})
}

func (x *Account) forgetWrong(tx store.Tx, v *visit) error {
	return store.AllAttempts.Delete(tx, triesKey(v))
}
