package session

import (
	"context"
	"fmt"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// What was granted in a session that rests on a customer's own login may outlive the
// session by weeks, and ends with that login all the same.

// RevokeLogin revokes what is left of what was granted to a subject of a connection, or
// to all of its subjects if subject is "". Sessions there still are end before, and
// theirs with them.
func (x *Sessions) RevokeLogin(ctx context.Context, tx store.Tx, s *site.Site, connection, subject, reason string, by audit.Ref) error {
	var err error
	all := collect(store.Under(tx, &store.Grants, "login", store.LoginKey(connection, subject)), &err)
	if err != nil {
		return fmt.Errorf("list what a login was granted: %w", err)
	}
	return x.revokeEach(ctx, tx, s, all, reason, by)
}

// RevokeUnlinked revokes what an agent got through a connection, but in the session
// with the sid keep; "": in any.
func (x *Sessions) RevokeUnlinked(ctx context.Context, tx store.Tx, s *site.Site, agentID, connection, keep, reason string, by audit.Ref) error {
	var err error
	all := collect(store.Grants.List(tx, "agent", agentID), &err)
	if err != nil {
		return fmt.Errorf("list an agent's grants: %w", err)
	}
	var gone []store.Grant
	for _, g := range all {
		if g.Login != "" && strings.HasPrefix(g.Login, store.LoginKey(connection, "")) && (keep == "" || g.SID != keep) {
			gone = append(gone, g)
		}
	}
	return x.revokeEach(ctx, tx, s, gone, reason, by)
}

func (x *Sessions) revokeEach(ctx context.Context, tx store.Tx, s *site.Site, all []store.Grant, reason string, by audit.Ref) error {
	for _, g := range all {
		if g.Revoked {
			continue
		}
		if err := x.RevokeGrant(ctx, tx, s, g, reason); err != nil {
			return err
		}
		err := x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.TokenRevoke, Actor: by, Object: audit.Ref{Type: "grant", ID: g.ID}, Result: audit.Success, Reason: reason,
			Changes: []audit.Change{{Field: "agent", New: g.AgentID}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}
