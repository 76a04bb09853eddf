package factor

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// one is an authenticator of that agent. ErrNoFactor.
func one(tx store.Tx, agentID, id string) (store.Authenticator, error) {
	a, err := store.Authenticators.Get(tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return a, fmt.Errorf("find a factor: %w", err)
	}
	if err != nil || a.AgentID != agentID {
		return store.Authenticator{}, ErrNoFactor
	}
	return a, nil
}

// Rename gives one of the agent's authenticators another name. ErrNoFactor,
// ErrName.
func (x *Factors) Rename(ctx context.Context, tx store.Tx, _ *site.Site, agentID, id, name string, by ...audit.Ref) error {
	name, err := cleanName(name)
	if err != nil {
		return err
	}
	a, err := one(tx, agentID, id)
	if err != nil || a.Name == name {
		return err
	}
	old := a.Name
	a.Name = name
	if err := store.Authenticators.Put(tx, &a); err != nil {
		return fmt.Errorf("rename a factor: %w", err)
	}
	return x.record(ctx, tx, audit.FactorRename, a, by, audit.Change{Field: "old_name", Old: old, Personal: true})
}

// Remove removes one of the agent's authenticators, and with the last of them the
// recovery codes, which stand in for nothing then. It returns what is left;
// whether the agent may do without is the caller's to ask before. ErrNoFactor.
func (x *Factors) Remove(ctx context.Context, tx store.Tx, _ *site.Site, agentID, id string, by ...audit.Ref) (Held, error) {
	a, err := one(tx, agentID, id)
	if err != nil {
		return Held{}, err
	}
	if err := x.drop(ctx, tx, a, by); err != nil {
		return Held{}, err
	}
	if _, err := x.ForgetAll(ctx, tx, agentID, by...); err != nil {
		return Held{}, err
	}
	held, err := x.Has(tx, agentID)
	if err == nil && !held.Any() && held.Codes > 0 {
		held.Codes = 0
		err = store.RecoveryCodes.Delete(tx, agentID)
	}
	return held, err
}

func (x *Factors) drop(ctx context.Context, tx store.Tx, a store.Authenticator, by []audit.Ref) error {
	if err := store.Authenticators.Delete(tx, a.ID); err != nil {
		return fmt.Errorf("remove a factor: %w", err)
	}
	return x.record(ctx, tx, audit.FactorRemove, a, by)
}

// Reset takes everything from the agent, for somebody who has lost it: factors,
// recovery codes, remembered devices, what was begun, and the wrong codes. Ending
// sessions and telling the agent is the caller's. It returns what there was.
func (x *Factors) Reset(ctx context.Context, tx store.Tx, _ *site.Site, agentID string, by audit.Ref) (Held, error) {
	held, err := x.Has(tx, agentID)
	if err != nil {
		return Held{}, err
	}
	if err := Delete(tx, agentID); err != nil {
		return Held{}, err
	}
	return held, x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.FactorReset, Actor: by, Object: audit.Ref{Type: policy.Agent, ID: agentID},
		Changes: []audit.Change{
			{Field: "totp", Old: strconv.Itoa(held.TOTP), New: "0"}, {Field: "passkeys", Old: strconv.Itoa(held.Passkeys), New: "0"},
			{Field: "recovery_codes", Old: strconv.Itoa(held.Codes), New: "0"},
		},
	})
}

// Delete removes all that is kept of an agent here, without a record of its own:
// for an agent that is deleted.
func Delete(tx store.Tx, agentID string) error {
	err := errors.Join(
		deleteAll(tx, &store.Authenticators, agentID, func(a store.Authenticator) string { return a.ID }),
		deleteAll(tx, &store.Enrolments, agentID, func(e store.Enrolment) string { return e.ID }),
		deleteAll(tx, &store.Devices, agentID, func(d store.Device) string { return d.ID }),
		store.RecoveryCodes.Delete(tx, agentID),
		store.AllFactorTries.Delete(tx, agentID),
	)
	if err != nil {
		return fmt.Errorf("delete an agent's factors: %w", err)
	}
	return nil
}

func deleteAll[T any](tx store.Tx, table *store.Table[T], agentID string, id func(T) string) error {
	var ids []string
	for rec, err := range table.List(tx, "agent", agentID) {
		if err != nil {
			return err
		}
		ids = append(ids, id(rec))
	}
	for _, id := range ids {
		if err := table.Delete(tx, id); err != nil {
			return err
		}
	}
	return nil
}
