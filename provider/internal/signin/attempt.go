package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// attempt judges one try: what is known is read, the password is hashed outside
// any transaction, and one commit re-reads the counters and answers. Everything
// between is the same whoever was named, and a refusal is answered at a deadline
// rather than when it is ready.
func (x *SignIn) attempt(r *http.Request, s *site.Site, f flow, typed credentials) (outcome, error) {
	ctx := r.Context()
	slot, err := x.Passwords.Enter()
	if err != nil {
		return outcome{}, err
	}
	defer slot.Release()
	limits := x.Throttle.limits(s)
	device, err := x.known(r, s)
	if err != nil {
		return outcome{}, err
	}
	seen, err := x.look(ctx, s, limits, typed.email, device)
	if err != nil {
		return outcome{}, err
	}
	if seen.wait > 0 {
		x.countWait(s)
		return outcome{wait: seen.wait}, nil
	}
	if err := slot.Turn(ctx); err != nil {
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
	if out.wait == 0 && out.step.Name == StepPassword {
		wait(ctx, deadline.Sub(x.Now()))
	}
	return out, nil
}

// sighting is what was seen before the hash, and what the hash then proved.
type sighting struct {
	try
	email   string      // as it was typed, in its canonical form
	device  string      // the counter of this browser, if it is known as the agent's
	agent   store.Agent // the zero Agent: nobody has this address
	proven  bool        // the password is the agent's, and it counts
	newHash string      // replaces one of an older kind; "" for none
}

// look reads the counters and the agent. It writes nothing: what counts is that
// no answer is given before the try is counted, and that is conclude's.
func (x *SignIn) look(ctx context.Context, s *site.Site, limits limits, email string, device known) (sighting, error) {
	var seen sighting
	err := x.Store.View(ctx, s.Path, func(tx store.Tx) (err error) {
		seen = sighting{email: email}
		seen.agent, err = store.Agents.Find(tx, "email", email)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		seen.device = device.counter(seen.agent, x.Now())
		seen.try, err = limits.look(tx, email, seen.device, web.ClientIP(ctx), x.Now())
		return err
	})
	if err != nil {
		return sighting{}, fmt.Errorf("look the account up: %w", err)
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
