package session

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// List is the agent's sessions that are in force, the last used first. Of those
// that an agent's or a site's cut-off has voided it says nothing.
func (x *Sessions) List(tx store.Tx, s *site.Site, agentID string) ([]store.Session, error) {
	agent, err := store.Agents.Get(tx, agentID)
	if err != nil {
		return nil, ignoreNotFound(err)
	}
	all := collect(store.Sessions.List(tx, "agent", agentID), &err)
	if err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	all = slices.DeleteFunc(all, func(rec store.Session) bool { return x.void(s, &agent, &rec) })
	arrange.By(all, func(a, b store.Session) int {
		return cmp.Or(b.Seen.Compare(a.Seen), b.Created.Compare(a.Created), cmp.Compare(a.SID, b.SID))
	})
	return all, nil
}

// Over is which sessions have to end if the agent begins one more, by the site's
// limit: those unused for longest. replaces is the one whose place the new one
// takes, as Presented tells; "" for none.
func (x *Sessions) Over(tx store.Tx, s *site.Site, agentID, replaces string) ([]store.Session, error) {
	limit := s.Settings.Sessions.MaxAtOnce
	if limit <= 0 {
		return nil, nil
	}
	others, err := x.List(tx, s, agentID)
	if err != nil {
		return nil, err
	}
	others = slices.DeleteFunc(others, func(rec store.Session) bool { return rec.Hash == replaces })
	return others[min(len(others), limit-1):], nil
}

// endOver makes room for one session more.
func (x *Sessions) endOver(ctx context.Context, tx store.Tx, s *site.Site, agentID, replaces string) error {
	over, err := x.Over(tx, s, agentID, replaces)
	if err != nil {
		return err
	}
	for _, rec := range over {
		if err := x.End(ctx, tx, s, rec, "too_many_sessions"); err != nil {
			return err
		}
	}
	return nil
}

// EndOthers ends all that the agent has but the session with that key: sessions,
// sign-ins under way, and what was granted in sessions that are over long since,
// for a refresh token outlives its session. n is how many sessions there were.
func (x *Sessions) EndOthers(ctx context.Context, tx store.Tx, s *site.Site, agentID, keep, reason string, by ...audit.Ref) (n int, err error) {
	if err := dropSignIns(tx, agentID); err != nil {
		return 0, err
	}
	kept := ""
	others := map[string]store.Session{} // by sid
	for _, rec := range collect(store.Sessions.List(tx, "agent", agentID), &err) {
		if rec.Hash == keep {
			kept = rec.SID
			continue
		}
		others[rec.SID] = rec
		n++
	}
	for _, g := range collect(store.Grants.List(tx, "agent", agentID), &err) {
		if _, known := others[g.SID]; !known && !g.Revoked && g.SID != kept {
			others[g.SID] = store.Session{SID: g.SID, AgentID: agentID}
		}
	}
	if err != nil {
		return 0, fmt.Errorf("end other sessions: %w", err)
	}
	for _, sid := range slices.Sorted(maps.Keys(others)) {
		if err := x.End(ctx, tx, s, others[sid], reason, by...); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// dropSignIns forgets what the agent has proven in sign-ins that are not done.
func dropSignIns(tx store.Tx, agentID string) error {
	var ids []string
	for id, failed := range store.SignIns.Keys(tx, "agent", agentID) {
		if failed != nil {
			return fmt.Errorf("drop sign-ins under way: %w", failed)
		}
		ids = append(ids, id)
	}
	for _, id := range ids {
		if err := store.SignIns.Delete(tx, id); err != nil {
			return fmt.Errorf("drop sign-ins under way: %w", err)
		}
	}
	return nil
}
