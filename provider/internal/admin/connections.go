package admin

import (
	"context"
	"fmt"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// writeConnections writes the connections. What somebody has through one that is
// removed or disabled ends; what was proven by one that changed counts no more.
func (a *Admin) writeConnections(ctx context.Context, tx store.Tx, s *site.Site, p *plan) error {
	for _, e := range p.connections {
		if e.before == nil {
			continue
		}
		id := e.before.ID
		switch {
		case e.after == nil:
			if err := a.endConnection(ctx, tx, s, e.before, "connection_removed"); err != nil {
				return err
			}
			if err := forgetConnection(tx, id); err != nil {
				return fmt.Errorf("forget connection %s: %w", id, err)
			}
		case !e.after.Rebound.Equal(e.before.Rebound):
			if err := a.endConnection(ctx, tx, s, e.before, "connection_changed"); err != nil {
				return err
			}
			if err := deleteBy(tx, &store.Links, "connection", id, 0); err != nil {
				return fmt.Errorf("forget the links of connection %s: %w", id, err)
			}
		case e.after.Disabled && !e.before.Disabled:
			if err := a.endConnection(ctx, tx, s, e.before, "connection_disabled"); err != nil {
				return err
			}
		case !sameJSON(rehearsable(*e.before), rehearsable(*e.after)):
			if err := forgetHalfDone(tx, id); err != nil {
				return err
			}
			if err := forgetAnswers(tx, id); err != nil {
				return err
			}
		}
	}
	return putAll(tx, &store.Connections, p.connections)
}

// endConnection ends every session that began at the connection, what outlives such a
// session, and every sign-in that is under way there.
func (a *Admin) endConnection(ctx context.Context, tx store.Tx, s *site.Site, c *store.Connection, reason string) error {
	var live []store.Session
	for rec, err := range store.Sessions.List(tx, "connection", c.ID) {
		if err != nil {
			return fmt.Errorf("list the sessions of connection %s: %w", c.ID, err)
		}
		live = append(live, rec)
	}
	for _, rec := range live {
		if err := a.Sessions.End(ctx, tx, s, rec, reason, operator(ctx)); err != nil {
			return err
		}
	}
	if err := a.Sessions.RevokeLogin(ctx, tx, s, c.ID, "", reason, operator(ctx)); err != nil {
		return err
	}
	if c.For == store.ForVisitors { // those of others renew
		if err := session.Announce(tx, a.Now(), store.Revocation{ClientID: records.ClientID, Reason: reason, Before: a.Now().UTC().Add(records.Heard)}); err != nil {
			return err
		}
	}
	if err := forgetHalfDone(tx, c.ID); err != nil {
		return err
	}
	return forgetAnswers(tx, c.ID)
}

// forgetHalfDone removes sign-ins that have come from the connection and wait for
// another step.
func forgetHalfDone(tx store.Tx, id string) error {
	return deleteWhere(tx, &store.SignIns, func(s *store.SignIn) bool { return s.Connection == id })
}

// forgetAnswers removes what the connection has proven and nobody has come for.
func forgetAnswers(tx store.Tx, id string) error {
	if err := deleteWhere(tx, &store.Answers, func(x *store.Answer) bool { return x.Connection == id }); err != nil {
		return err
	}
	return deleteWhere(tx, &store.VisitorProofs, func(x *store.VisitorProof) bool { return x.Connection == id })
}

// deleteWhere is for tables whose records live for minutes.
func deleteWhere[T any](tx store.Tx, table *store.Table[T], which func(*T) bool) error {
	var keys []string
	for rec, err := range table.All(tx, "") {
		if err != nil {
			return err
		}
		if which(&rec) {
			keys = append(keys, table.Key(&rec))
		}
	}
	for _, key := range keys {
		if err := table.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// forgetConnection takes with a connection its links, keys and what was fetched
// for it: another of that name begins with nothing.
func forgetConnection(tx store.Tx, id string) error {
	if err := deleteBy(tx, &store.Links, "connection", id, 0); err != nil {
		return err
	}
	if err := deleteBy(tx, &store.ConnectionKeys, "connection", id, 0); err != nil {
		return err
	}
	if err := deleteBy(tx, &store.Traces, "connection", id, 0); err != nil {
		return err
	}
	return store.AllFetched.Delete(tx, id)
}

// banKind is a ban's kind in lists of changes.
const banKind = "ban"

// writeBans makes and lifts bans where all bans are made and lifted.
func (a *Admin) writeBans(ctx context.Context, tx store.Tx, p *plan) error {
	for _, e := range p.bans {
		var err error
		if e.after == nil {
			err = a.Visitors.UnbanIn(ctx, tx, e.before.ID, operator(ctx))
		} else {
			_, err = a.Visitors.BanIn(ctx, tx, *e.after, operator(ctx))
		}
		if text := web.PublicText(err); text != "" {
			return usage("visitor_bans: %s: %s", banWords(firstOf(e)), text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
