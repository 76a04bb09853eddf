package session

import (
	"cmp"
	"context"
	"fmt"
	"slices"

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
	slices.SortFunc(all, func(a, b store.Session) int {
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

// EndOthers ends the agent's sessions but the one with that key, and says how
// many there were.
func (x *Sessions) EndOthers(ctx context.Context, tx store.Tx, s *site.Site, agentID, keep, reason string, by ...audit.Ref) (n int, err error) {
	all := collect(store.Sessions.List(tx, "agent", agentID), &err)
	if err != nil {
		return 0, fmt.Errorf("end other sessions: %w", err)
	}
	for _, rec := range all {
		if rec.Hash == keep {
			continue
		}
		if err := x.End(ctx, tx, s, rec, reason, by...); err != nil {
			return 0, err
		}
		n++
	}
	return n, nil
}
