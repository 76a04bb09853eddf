package admin

import (
	"context"
	"fmt"
	"iter"

	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// deleteAgent removes an agent and what is theirs.
func (a *Admin) deleteAgent(ctx context.Context, in agentInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out *Applied
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		have, err := loadCurrent(tx, &fileSite{}, false)
		if err != nil {
			return err
		}
		if have.admins[rec.ID] && len(have.admins) == 1 {
			return usage("this would leave the site without an active administrator")
		}
		p := &plan{path: in.Site, settings: edit[store.Settings]{before: &have.settings, after: &have.settings}, agents: []edit[store.Agent]{{before: &rec}}}
		out = &Applied{}
		out.add(p)
		return a.write(ctx, tx, s, p)
	})
	return out, err
}

// forgetAgent takes with an agent what is theirs: sessions, grants, factors,
// remembered browsers, links, mails that wait and consents. It comes before the
// agent's own record goes; forgetActivity, after the audit records of it.
func (a *Admin) forgetAgent(ctx context.Context, tx store.Tx, s *site.Site, agent *store.Agent) error {
	if _, err := a.Sessions.EndAll(ctx, tx, s, agent.ID, "agent_deleted", operator(ctx)); err != nil {
		return err
	}
	if err := factor.Delete(tx, agent.ID); err != nil {
		return err
	}
	if err := forgetMails(tx, agent); err != nil {
		return err
	}
	if err := deleteBy(tx, &store.Consents, "agent", agent.ID, 0); err != nil {
		return fmt.Errorf("forget an agent's consents: %w", err)
	}
	if err := deleteBy(tx, &store.Links, "agent", agent.ID, 0); err != nil {
		return fmt.Errorf("forget an agent's links: %w", err)
	}
	return store.AllAttempts.Delete(tx, store.AccountAttempts(agent.Email))
}

// forgetActivity removes what removed agents' pages of activity showed.
func forgetActivity(tx store.Tx, p *plan) error {
	for _, e := range p.agents {
		if e.after != nil {
			continue
		}
		if err := store.DeleteActivities(tx, e.before.ID); err != nil {
			return fmt.Errorf("forget an agent's activity: %w", err)
		}
	}
	return nil
}

// forgetMails removes an agent's link and the mails to them that wait.
func forgetMails(tx store.Tx, agent *store.Agent) error {
	if err := store.PasswordLinks.Delete(tx, agent.ID); err != nil {
		return fmt.Errorf("forget an agent's link: %w", err)
	}
	if err := deleteBy(tx, &store.Outbox, "address", store.MailAddress(agent.Email), 0); err != nil {
		return fmt.Errorf("forget an agent's mails: %w", err)
	}
	return nil
}

// deleteBy deletes up to limit of the records that a lookup finds; 0: all.
func deleteBy[T any](tx store.Tx, table *store.Table[T], lookup, value string, limit int) error {
	return deleteKeys(tx, table.Keys(tx, lookup, value), limit, table.Delete)
}

// deleteKeys is once in the program for all tables; limit zero is none.
func deleteKeys(tx store.Tx, keys iter.Seq2[string, error], limit int, remove func(store.Tx, string) error) error {
	var found []string
	for key, err := range keys {
		if err != nil {
			return err
		}
		if found = append(found, key); len(found) == limit {
			break
		}
	}
	for _, key := range found {
		if err := remove(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// sweepBatch is how many records of a removed client go at once.
const sweepBatch = 200

// clearUp removes what removed clients were granted. All of it has been void
// since the client went, and would be for another of that name; so this comes
// after the commit, in small ones, however much there is, and what a fault leaves
// behind expires.
func (a *Admin) clearUp(ctx context.Context, p *plan) {
	for _, e := range p.clients {
		if e.after != nil {
			continue
		}
		for more := true; more && ctx.Err() == nil; {
			err := a.Store.Update(ctx, p.path, func(tx store.Tx) (err error) {
				more, err = clearClient(tx, e.before.ID)
				return err
			})
			if err != nil {
				return
			}
		}
	}
}

// clearClient removes a batch, and says whether there may be more. A client of
// that name that was made meanwhile has its own: they stay.
func clearClient(tx store.Tx, id string) (more bool, err error) {
	if again, err := store.Clients.Has(tx, id); err != nil || again {
		return false, err
	}
	var grants []store.Grant
	for g, err := range store.Grants.List(tx, "client", id) {
		if err != nil {
			return false, err
		}
		if grants = append(grants, g); len(grants) == sweepBatch {
			break
		}
	}
	for _, g := range grants {
		if err := deleteBy(tx, &store.OpaqueTokens, "grant", g.ID, 0); err != nil {
			return false, err
		}
		if err := store.Grants.Delete(tx, g.ID); err != nil {
			return false, err
		}
	}
	if err := deleteBy(tx, &store.Consents, "client", id, sweepBatch); err != nil {
		return false, err
	}
	for _, err := range store.Consents.Keys(tx, "client", id) {
		return err == nil, err
	}
	return len(grants) == sweepBatch, nil
}
