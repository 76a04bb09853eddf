package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// leeway is how much longer than its life a token may be accepted by a verifier
// whose clock is slow.
const leeway = 2 * time.Minute

// End deletes the session, revokes what was granted in it, tells the verifiers,
// and records why and who did it: the agent, unless by says otherwise. Ending what
// has ended does nothing.
func (x *Sessions) End(ctx context.Context, tx store.Tx, s *site.Site, rec store.Session, reason string, by ...audit.Ref) error {
	live, err := store.Sessions.Has(tx, rec.Hash)
	if err == nil && live {
		err = store.Sessions.Delete(tx, rec.Hash)
	}
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	revoked, err := revokeGrants(tx, "sid", rec.SID)
	if err != nil {
		return fmt.Errorf("end session: %w", err)
	}
	if !live && len(revoked) == 0 {
		return nil
	}
	if err := Announce(tx, x.Now(), store.Revocation{SID: rec.SID, Reason: reason}); err != nil {
		return err
	}
	agent := audit.Ref{Type: "agent", ID: rec.AgentID}
	e := audit.Event{Action: audit.SessionEnd, Actor: actor(agent, by), Object: audit.Ref{Type: "session", ID: rec.SID}, Reason: reason}
	if e.Actor != agent {
		e.Changes = []audit.Change{{Field: "agent", New: rec.AgentID}}
	}
	return x.Audit.Record(ctx, tx, e)
}

func actor(usual audit.Ref, by []audit.Ref) audit.Ref {
	if len(by) > 0 {
		return by[0]
	}
	return usual
}

// EndSID is End by the session's public name. It ends what was granted under the
// sid even if the session itself is gone; found says whether there was any of it.
func (x *Sessions) EndSID(ctx context.Context, tx store.Tx, s *site.Site, sid, reason string, by ...audit.Ref) (found bool, err error) {
	rec, err := store.Sessions.Find(tx, "sid", sid)
	if err == nil {
		return true, x.End(ctx, tx, s, rec, reason, by...)
	}
	if !errors.Is(err, store.ErrNotFound) || sid == "" {
		return false, ignoreNotFound(err)
	}
	for _, g := range collect(store.Grants.List(tx, "sid", sid), &err) {
		if !g.Revoked {
			return true, x.End(ctx, tx, s, store.Session{SID: sid, AgentID: g.AgentID}, reason, by...)
		}
	}
	return false, ignoreNotFound(err)
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// EndAll ends every session of the agent and every sign-in under way, revokes
// every grant, and moves the agent's NotBefore on, so that nothing begun earlier
// counts, whatever node's clock it was begun by. It writes the agent:
// load it again afterwards. n is how many sessions there were.
func (x *Sessions) EndAll(ctx context.Context, tx store.Tx, s *site.Site, agentID, reason string, by ...audit.Ref) (n int, err error) {
	agent, err := store.Agents.Get(tx, agentID)
	if err != nil {
		return 0, fmt.Errorf("end all sessions: %w", err)
	}
	agent.NotBefore = x.Now().UTC()
	if err := store.Agents.Put(tx, &agent); err != nil {
		return 0, fmt.Errorf("end all sessions: %w", err)
	}
	if err := dropSignIns(tx, agentID); err != nil {
		return 0, err
	}
	for _, rec := range collect(store.Sessions.List(tx, "agent", agentID), &err) {
		n++
		err = errors.Join(err, store.Sessions.Delete(tx, rec.Hash))
	}
	var families []string
	if err == nil {
		families, err = revokeGrants(tx, "agent", agentID)
	}
	if err != nil {
		return 0, fmt.Errorf("end all sessions: %w", err)
	}
	entries := []store.Revocation{{Subject: agentID, Before: agent.NotBefore, Reason: reason}}
	for _, id := range families { // by name too: then no clock has a say in it
		entries = append(entries, store.Revocation{JTI: id, Reason: reason})
	}
	for _, entry := range entries {
		if err := Announce(tx, agent.NotBefore, entry); err != nil {
			return 0, err
		}
	}
	return n, x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.SessionEndAll, Actor: actor(audit.Ref{}, by), Object: audit.Ref{Type: "agent", ID: agentID}, Reason: reason,
		Changes: []audit.Change{{Field: "sessions", New: fmt.Sprint(n)}},
	})
}

// RevokeGrant ends one token family and tells the verifiers of it by the grant's
// id, with which the jti of each of its access tokens begins. The caller records
// why.
func (x *Sessions) RevokeGrant(_ context.Context, tx store.Tx, _ *site.Site, g store.Grant, reason string) error {
	if g.Revoked {
		return nil
	}
	if err := revoke(tx, g); err != nil {
		return fmt.Errorf("revoke grant: %w", err)
	}
	return Announce(tx, x.Now(), store.Revocation{JTI: g.ID, Reason: reason})
}

func revokeGrants(tx store.Tx, lookup, value string) (ids []string, err error) {
	for _, g := range collect(store.Grants.List(tx, lookup, value), &err) {
		if !g.Revoked {
			ids = append(ids, g.ID)
			err = errors.Join(err, revoke(tx, g))
		}
	}
	return ids, err
}

// revoke keeps the grant's record, so that a reuse of its tokens is recognised.
func revoke(tx store.Tx, g store.Grant) (err error) {
	g.Revoked = true
	if err := store.Grants.Put(tx, &g); err != nil {
		return err
	}
	for _, t := range collect(store.OpaqueTokens.List(tx, "grant", g.ID), &err) {
		err = errors.Join(err, store.OpaqueTokens.Delete(tx, t.Hash))
	}
	return err
}

// collect reads a list to its end before anything of it is changed.
func collect[T any](list func(func(T, error) bool), failed *error) (all []T) {
	for rec, err := range list {
		if err != nil {
			*failed = err
			return nil
		}
		all = append(all, rec)
	}
	return all
}

// AgentChanged says what a change of an agent means for what they hold: an
// inactive one loses everything, and so does one who becomes an administrator:
// what let them in may be less than it takes to be one. One with fewer roles or
// departments, or others, keeps the sessions and has to get new tokens. Call it
// after after was written.
func (x *Sessions) AgentChanged(ctx context.Context, tx store.Tx, s *site.Site, before, after store.Agent, by ...audit.Ref) error {
	switch {
	case after.Inactive && !before.Inactive:
		_, err := x.EndAll(ctx, tx, s, after.ID, "deactivated", by...)
		return err
	case administers(after) && !administers(before):
		_, err := x.EndAll(ctx, tx, s, after.ID, "became_administrator", by...)
		return err
	case lost(before.Roles, after.Roles) || lost(before.Departments, after.Departments):
		return Announce(tx, x.Now(), store.Revocation{Subject: after.ID, Reason: "roles_changed"})
	}
	return nil
}

func administers(a store.Agent) bool { return slices.Contains(a.Roles, policy.Administrators) }

func lost(before, after []string) bool {
	return slices.ContainsFunc(before, func(v string) bool { return !slices.Contains(after, v) })
}

// settles is how long after now an entry still refuses what is issued, where it
// goes by the time: a token may be made beside the transaction that revokes, and
// the clocks of two nodes differ a little.
const settles = 250 * time.Millisecond

// Announce appends to the revocation feed. Before is left out where nothing else
// closes the gap between now and the commit: then it is a little after now. Expires
// is when no token issued by then can be alive, if it is left out.
func Announce(tx store.Tx, now time.Time, r store.Revocation) error {
	if r.Before.IsZero() {
		r.Before = now.UTC()
		if r.JTI == "" && r.SID == "" {
			r.Before = r.Before.Add(settles)
		}
	}
	if r.Expires.IsZero() {
		settings, err := store.GetSettings(tx)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("announce revocation: %w", err)
		}
		r.Expires = r.Before.Add(seconds(settings.LongestLife(now)) + leeway)
	}
	sequence, err := store.Next(tx, store.RevocationSequence)
	if err != nil {
		return fmt.Errorf("announce revocation: %w", err)
	}
	r.Sequence = sequence
	if err := store.Revocations.Put(tx, &r); err != nil {
		return fmt.Errorf("announce revocation: %w", err)
	}
	return nil
}
