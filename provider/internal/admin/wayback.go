package admin

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// What an operator does for an agent who cannot get in.

// notify tells an agent by mail what an operator has done, if mail is set up.
func (a *Admin) notify(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string) error {
	if a.Notice == nil {
		return nil
	}
	return a.Notice(ctx, tx, s, agent, kind)
}

type unlocked struct {
	Failures    int       `json:"failures"` // failed sign-ins that are forgotten
	LockedUntil time.Time `json:"locked_until,omitzero"`
	WrongCodes  int       `json:"wrong_codes"` // of a second factor, forgotten too
	Inactive    bool      `json:"inactive,omitempty"`
}

// unlockAgent forgets an account's failed sign-ins and wrong codes.
func (a *Admin) unlockAgent(ctx context.Context, in agentInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	var out unlocked
	err := a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		if out, err = a.failures(tx, &rec); err != nil {
			return err
		}
		if err := store.AllAttempts.Delete(tx, store.AccountAttempts(rec.Email)); err != nil {
			return err
		}
		if err := store.AllFactorTries.Delete(tx, rec.ID); err != nil {
			return err
		}
		return a.Audit.Record(ctx, tx, audit.Event{
			Action: audit.AgentUnlock, Actor: operator(ctx), Object: audit.Ref{Type: policy.Agent, ID: rec.ID}, Result: audit.Success,
			Personal: map[string]string{"email": rec.Email},
		})
	})
	return out, err
}

// failures are those that count against an agent now.
func (a *Admin) failures(tx store.Tx, rec *store.Agent) (f unlocked, err error) {
	now := a.Now()
	f.Inactive = rec.Inactive
	tries, err := store.AllAttempts.Get(tx, store.AccountAttempts(rec.Email))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return f, err
	}
	if err == nil && now.Before(tries.Expires) {
		f.Failures = tries.Count
		if now.Before(tries.Until) {
			f.LockedUntil = tries.Until
		}
	}
	codes, err := store.AllFactorTries.Get(tx, rec.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return f, err
	}
	if err == nil && now.Before(codes.Expires) {
		f.WrongCodes = len(codes.Wrong)
	}
	return f, nil
}

type factorsReset struct {
	TOTP     int `json:"totp"`
	Passkeys int `json:"passkeys"`
	Codes    int `json:"recovery_codes"`
	Ended    int `json:"ended"` // sessions
	// Required says that the site demands a second factor of this agent.
	Required bool `json:"required,omitempty"`
}

// resetFactors takes an agent's second factors away, for somebody who has lost
// them. Who has them now may hold a session too: all of them end.
func (a *Admin) resetFactors(ctx context.Context, in agentInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out factorsReset
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		out = factorsReset{}
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		var held factor.Held
		if held, err = a.Factors.Reset(ctx, tx, s, rec.ID, operator(ctx)); err != nil {
			return err
		}
		if out.Ended, err = a.Sessions.EndAll(ctx, tx, s, rec.ID, "factors_reset", operator(ctx)); err != nil {
			return err
		}
		out.TOTP, out.Passkeys, out.Codes = held.TOTP, held.Passkeys, held.Codes
		out.Required = slices.ContainsFunc(rec.Roles, func(key string) bool { return slices.Contains(s.Settings.TwoFactor.RequiredRoles, key) })
		return a.notify(ctx, tx, s, rec, templates.NoticeFactorsReset)
	})
	return out, err
}
