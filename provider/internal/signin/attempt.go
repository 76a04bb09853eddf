package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// outcome is what became of one try.
type outcome struct {
	step    Step
	wait    time.Duration // the network has to wait so long; nothing was judged
	session store.Session // of StepDone, with the cookie's value
	cookie  string
}

// attempt judges one try in two commits: it is counted, then hashed outside any
// transaction, then answered. Everything between is the same whoever was named,
// and a refusal is answered at a deadline rather than when it is ready.
func (x *SignIn) attempt(r *http.Request, s *site.Site, f flow, typed credentials) (outcome, error) {
	ctx := r.Context()
	slot, err := x.Passwords.Enter()
	if err != nil {
		return outcome{}, err
	}
	defer slot.Release()
	limits := x.Throttle.limits(s)
	if limits.account() {
		done, err := x.turns.take(ctx, s.Path+"\x00"+typed.email)
		if err != nil {
			return outcome{}, fmt.Errorf("wait for the account's turn: %w", errors.Join(web.ErrBusy, err))
		}
		defer done()
	}
	seen, err := x.reserve(ctx, s, limits, typed.email)
	if err != nil {
		return outcome{}, err
	}
	if seen.wait > 0 {
		x.Audit.Count(s.Path, audit.Event{Action: audit.SignInFailure, Result: audit.Refused, Reason: reasonNetwork})
		return outcome{wait: seen.wait}, nil
	}
	if err := slot.Turn(ctx); err != nil {
		if failed := x.unjudged(ctx, s, limits, seen); failed != nil {
			err = failed
		}
		return outcome{}, err
	}
	kinds, err := x.kindsInUse(ctx, s)
	if err != nil {
		return outcome{}, err
	}
	deadline := slot.Deadline(kinds)
	seen.judge(ctx, slot, typed.pw)
	slot.Release()
	out, err := x.conclude(r, s, f, limits, seen)
	if err != nil {
		return outcome{}, err
	}
	if out.step.Name == StepPassword {
		wait(ctx, deadline.Sub(x.Now()))
	}
	return out, nil
}

// sighting is what the first transaction saw and the hash then proved.
type sighting struct {
	try
	agent   store.Agent // the zero Agent: nobody has this address
	proven  bool        // the password is the agent's, and it counts
	newHash string      // replaces one of an older kind; "" for none
}

// reserve counts the try and looks the agent up, in a transaction that writes
// only if something is counted.
func (x *SignIn) reserve(ctx context.Context, s *site.Site, limits limits, email string) (sighting, error) {
	var seen sighting
	run := x.Store.View
	if limits.account() || limits.network() {
		run = x.Store.Update
	}
	err := run(ctx, s.Path, func(tx store.Tx) (err error) {
		seen = sighting{}
		if seen.try, err = limits.reserve(tx, email, web.ClientIP(ctx), x.Now()); err != nil || seen.wait > 0 {
			return err
		}
		seen.agent, err = store.Agents.Find(tx, "email", email)
		if errors.Is(err, store.ErrNotFound) {
			seen.agent, err = store.Agent{}, nil
		}
		return err
	})
	if err != nil {
		return sighting{}, fmt.Errorf("count the attempt: %w", err)
	}
	return seen, nil
}

// judge hashes, also where the answer is known. A new hash is made only where
// the session will be started, so that nothing else takes longer.
func (seen *sighting) judge(ctx context.Context, slot *password.Slot, pw string) {
	ok, rehash, err := slot.Verify(seen.agent.PasswordHash, pw)
	if err != nil {
		web.Log(ctx).Error().Err(err).Str("agent", seen.agent.ID).Msg("a stored password hash cannot be used")
	}
	seen.proven = ok && !seen.refused && !seen.agent.Inactive
	if seen.proven && rehash {
		seen.newHash = slot.Hash(pw)
	}
}

// unjudged gives the try back: an overload must not lock anyone out.
func (x *SignIn) unjudged(ctx context.Context, s *site.Site, limits limits, seen sighting) error {
	if ctx.Err() != nil || !limits.account() && !limits.network() {
		return nil // who hangs up has had the try
	}
	err := x.Store.Update(ctx, s.Path, func(tx store.Tx) error { return limits.unjudged(tx, seen.try, x.Now()) })
	if err != nil {
		return fmt.Errorf("give the attempt back: %w", err)
	}
	return nil
}

// wait lets d pass, or less if nobody waits for the answer any more.
func wait(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// kindsInUse are the kinds of password hashes that a site holds, looked up once
// a minute.
type kindsInUse struct {
	kinds []string
	until time.Time
}

func (x *SignIn) kindsInUse(ctx context.Context, s *site.Site) ([]string, error) {
	now := x.Now()
	x.mu.Lock()
	known, ok := x.kinds[s.Path]
	x.mu.Unlock()
	if ok && now.Before(known.until) {
		return known.kinds, nil
	}
	known = kindsInUse{until: now.Add(time.Minute)}
	err := x.Store.View(ctx, s.Path, func(tx store.Tx) (err error) {
		known.kinds, err = store.PasswordKinds(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look up the kinds of password hashes: %w", err)
	}
	x.mu.Lock()
	x.kinds[s.Path] = known
	x.mu.Unlock()
	return known.kinds, nil
}
