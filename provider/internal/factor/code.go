package factor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// The budget of wrong codes of one agent, over all sessions, networks and kinds
// of codes: nothing but time gives any back.
const (
	MaxWrongCodes = 10
	CodeWindow    = 15 * time.Minute
	tellEvery     = 24 * time.Hour // how often the agent is told of a spent budget
)

// CheckCode checks what was typed: the code of an authenticator app, or a
// recovery code. It counts a wrong one and uses up a right one, so commit the
// transaction whatever Proof says. With the budget spent nothing is compared,
// and Proof.Wait says how long. Wrong codes are the caller's to record.
func (x *Factors) CheckCode(_ context.Context, tx store.Tx, _ *site.Site, agent store.Agent, typed string) (Proof, error) {
	now := x.Now().UTC()
	tries, err := wrongCodes(tx, agent.ID, now)
	if err != nil {
		return Proof{}, err
	}
	if len(tries.Wrong) >= MaxWrongCodes {
		return Proof{Reason: ReasonWait, Wait: CodeWindow - time.Duration(now.UnixMilli()-tries.Wrong[0])*time.Millisecond}, nil
	}
	p, err := x.code(tx, agent.ID, typed, now)
	if err != nil || p.OK {
		return p, err
	}
	tries.Wrong = append(tries.Wrong, now.UnixMilli())
	if len(tries.Wrong) >= MaxWrongCodes && now.Sub(tries.Told) >= tellEvery {
		tries.Told, p.Alert = now, true
	}
	tries.Expires = latest(now.Add(CodeWindow), tries.Told.Add(tellEvery))
	if err := store.AllFactorTries.Put(tx, &tries); err != nil {
		return Proof{}, fmt.Errorf("count a wrong code: %w", err)
	}
	return p, nil
}

// wrongCodes are the agent's within the window, the oldest first.
func wrongCodes(tx store.Tx, agentID string, now time.Time) (store.FactorTries, error) {
	tries, err := store.AllFactorTries.Get(tx, agentID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return tries, fmt.Errorf("read the wrong codes: %w", err)
	}
	tries.AgentID = agentID
	since := now.Add(-CodeWindow).UnixMilli()
	tries.Wrong = slices.DeleteFunc(tries.Wrong, func(at int64) bool { return at <= since })
	return tries, nil
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (x *Factors) code(tx store.Tx, agentID, typed string, now time.Time) (Proof, error) {
	if hash, ok := mfa.RecoveryHash(agentID, typed); ok {
		return x.recoveryCode(tx, agentID, hash)
	}
	return x.totp(tx, agentID, asTyped(typed), now)
}

// asTyped takes out the space that phones show in the middle of a code, and no
// other.
func asTyped(code string) string {
	if len(code) == 7 && code[3] == ' ' {
		return code[:3] + code[4:]
	}
	return code
}

func (x *Factors) totp(tx store.Tx, agentID, code string, now time.Time) (Proof, error) {
	all, err := authenticators(tx, agentID)
	if err != nil {
		return Proof{}, err
	}
	found, step := -1, int64(0)
	for i, a := range all {
		if a.Type != store.FactorTOTP {
			continue
		}
		seed, err := x.open(tx, store.Authenticators.Kind, a.ID, a.Seed)
		if err != nil {
			return Proof{}, err
		}
		if matched, ok := mfa.Match(seed, code, now, a.LastStep); ok && found < 0 {
			found, step = i, matched
		}
	}
	if found < 0 {
		return Proof{Reason: ReasonCode}, nil
	}
	a := all[found]
	a.LastStep, a.Used = step, now
	if err := store.Authenticators.Put(tx, &a); err != nil {
		return Proof{}, fmt.Errorf("note the step of a code: %w", err)
	}
	return Proof{OK: true, AgentID: agentID, Type: store.FactorTOTP, AuthenticatorID: a.ID, AMR: []string{"otp", "mfa"}, ACR: policy.ACRTwoFactors}, nil
}

func (x *Factors) recoveryCode(tx store.Tx, agentID string, hash []byte) (Proof, error) {
	set, err := store.RecoveryCodes.Get(tx, agentID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Proof{}, fmt.Errorf("read the recovery codes: %w", err)
	}
	place := mfa.FindRecoveryCode(set.Hashes, hash)
	if place < 0 {
		return Proof{Reason: ReasonCode}, nil
	}
	set.Hashes = slices.Delete(set.Hashes, place, place+1)
	if err := store.RecoveryCodes.Put(tx, &set); err != nil {
		return Proof{}, fmt.Errorf("use a recovery code: %w", err)
	}
	return Proof{OK: true, AgentID: agentID, Type: Recovery, AMR: []string{"mfa", "recovery"}, ACR: policy.ACRTwoFactors, CodesLeft: len(set.Hashes)}, nil
}

// NewCodes makes ten recovery codes, to be shown once; the agent's old ones are
// dead. ErrNoFactor: there is nothing that they could stand in for.
func (x *Factors) NewCodes(ctx context.Context, tx store.Tx, _ *site.Site, agent store.Agent, by ...audit.Ref) ([]string, error) {
	held, err := x.Has(tx, agent.ID)
	if err != nil {
		return nil, err
	}
	if !held.Any() {
		return nil, ErrNoFactor
	}
	codes, hashes := mfa.NewRecoveryCodes(agent.ID)
	if err := store.RecoveryCodes.Put(tx, &store.RecoverySet{AgentID: agent.ID, Hashes: hashes, Created: x.Now().UTC()}); err != nil {
		return nil, fmt.Errorf("keep recovery codes: %w", err)
	}
	if _, err := x.ForgetAll(ctx, tx, agent.ID); err != nil {
		return nil, err
	}
	return codes, x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.RecoveryCodesRenew, Actor: actor(agent.ID, by), Object: audit.Ref{Type: policy.Agent, ID: agent.ID},
	})
}
