package admin

import (
	"context"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// follow tells those who hold tokens what they have lost: agents one by one,
// clients by name, and everybody when a role or the allowlist became narrower.
// What somebody gained, their next token says.
func (a *Admin) follow(ctx context.Context, tx store.Tx, s *site.Site, p *plan) error {
	for _, e := range p.agents {
		if e.before == nil || e.after == nil { // a removed one's sessions have ended before
			continue
		}
		if err := a.agentChanged(ctx, tx, s, e.before, e.after); err != nil {
			return err
		}
	}
	for _, e := range p.clients {
		if reason := clientLoss(e); reason != "" {
			if err := session.Announce(tx, a.Now(), store.Revocation{ClientID: e.before.ID, Reason: reason}); err != nil {
				return err
			}
		}
	}
	for _, reason := range siteLosses(p) {
		if err := session.Announce(tx, a.Now(), store.Revocation{All: true, Reason: reason}); err != nil {
			return err
		}
	}
	return nil
}

// clientLoss says why a client's tokens are void, or "".
func clientLoss(e edit[store.Client]) string {
	switch {
	case e.before == nil:
		return ""
	case e.after == nil:
		return "client_deleted"
	case e.after.Disabled && !e.before.Disabled:
		return "client_disabled"
	case lost(strings.Fields(e.before.Scope), strings.Fields(e.after.Scope)) || e.before.FirstParty && !e.after.FirstParty,
		e.after.DefaultResource != e.before.DefaultResource || narrowedResources(e.before.Resources, e.after.Resources):
		return "client_changed"
	}
	return ""
}

// lost reports whether something of before is not in after.
func lost(before, after []string) bool {
	return slices.ContainsFunc(before, func(s string) bool { return !slices.Contains(after, s) })
}

// narrowedResources knows that an empty list means all of the site's.
func narrowedResources(before, after []string) bool {
	return len(after) > 0 && (len(before) == 0 || lost(before, after))
}

func siteLosses(p *plan) []string {
	var reasons []string
	for _, e := range p.roles {
		if e.before == nil {
			continue
		}
		if e.after == nil || lost(e.before.Permissions, e.after.Permissions) {
			reasons = append(reasons, "role_changed")
			break
		}
	}
	before, after := p.settings.before.Allowlist, p.settings.after.Allowlist
	if after.Enabled && !sameJSON(before, after) {
		reasons = append(reasons, "allowlist_changed")
	}
	if len(p.settings.before.Resources) > 0 && !sameJSON(p.settings.before.Resources, p.settings.after.Resources) {
		for _, r := range p.settings.before.Resources {
			if !slices.ContainsFunc(p.settings.after.Resources, func(n store.Resource) bool { return n.Identifier == r.Identifier }) {
				reasons = append(reasons, "resource_removed")
				break
			}
		}
	}
	return reasons
}

// agentChanged ends at once what a deactivated agent holds, and what would let
// them in again without more than it takes now.
func (a *Admin) agentChanged(ctx context.Context, tx store.Tx, s *site.Site, before, after *store.Agent) error {
	if !after.Inactive || before.Inactive {
		return a.Sessions.AgentChanged(ctx, tx, s, *before, *after, operator(ctx))
	}
	if _, err := a.Sessions.EndAll(ctx, tx, s, after.ID, "deactivated", operator(ctx)); err != nil {
		return err
	}
	if _, err := a.Factors.ForgetAll(ctx, tx, after.ID, operator(ctx)); err != nil {
		return err
	}
	return store.PasswordLinks.Delete(tx, after.ID)
}
