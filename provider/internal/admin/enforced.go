package admin

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// What is done about somebody's password where their domain signs in through a
// connection alone is worth a word: the password lets nobody in. Break-glass lifts that
// for minutes, so it does not count here.

// What an operator hears then.
const (
	passwordIdle   = "the password lets nobody in"
	invitationIdle = "the invitation leads there, and no password is chosen"
)

// enforcing is the one of the connections by which alone that address signs in; nil: none.
func enforcing(all []*store.Connection, proven []string, email string) *store.Connection {
	_, domain, _ := strings.Cut(email, "@")
	for _, c := range all {
		if c.Enforces(domain, proven) {
			return c
		}
	}
	return nil
}

// warnOfEnforced names the agents that a plan makes and who sign in elsewhere.
func (a *Admin) warnOfEnforced(ctx context.Context, p *plan, warnings *[]string) error {
	all, err := a.connectionsAfter(ctx, p)
	if err != nil {
		return err
	}
	proven := p.settings.after.Proven()
	names := map[string][]string{}
	for _, e := range p.agents {
		if e.before != nil || e.after.Inactive {
			continue
		}
		c := enforcing(all, proven, e.after.Email)
		if c == nil {
			continue
		}
		words := passwordIdle
		switch {
		case slices.Contains(e.after.Roles, policy.Administrators):
			words = unlinkedAdministrator(c)
		case p.invites && !p.passwords[e.after.Email]:
			words = invitationIdle
		}
		words = enforcedWords(c, words)
		names[words] = append(names[words], e.after.Email)
	}
	for _, words := range sortedKeys(names) {
		*warnings = append(*warnings, fmt.Sprintf("agent %s: %s", fewOf(names[words]), words))
	}
	return nil
}

// connectionsAfter are the site's as the plan leaves them.
func (a *Admin) connectionsAfter(ctx context.Context, p *plan) (all []*store.Connection, err error) {
	if !p.fresh {
		s, err := a.Sites.Load(ctx, p.path)
		if err != nil {
			return nil, err
		}
		all = s.Connections()
	}
	for _, e := range p.connections {
		id := firstOf(e).ID
		all = slices.DeleteFunc(all, func(c *store.Connection) bool { return c.ID == id })
		if e.after != nil {
			all = append(all, e.after)
		}
	}
	return all, nil
}

// fewOf names some, and says how many more there are.
func fewOf(names []string) string {
	if n := len(names) - maxNamed; n > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxNamed], ", "), n)
	}
	return strings.Join(names, ", ")
}

// enforcedWarning is what is said of one agent; empty: their password counts.
func enforcedWarning(tx store.Tx, s *site.Site, agent *store.Agent, words string) (string, error) {
	c := enforcing(s.Connections(), s.Proven, agent.Email)
	if c == nil {
		return "", nil
	}
	if slices.Contains(agent.Roles, policy.Administrators) {
		linked, err := rehearsedBy(tx, agent.ID, c.ID)
		if err != nil {
			return "", err
		}
		if !linked {
			words = unlinkedAdministrator(c)
		}
	}
	return fmt.Sprintf("agent %s: %s", agent.Email, enforcedWords(c, words)), nil
}

// rehearsedBy reports whether a rehearsal has linked the agent to the connection.
func rehearsedBy(tx store.Tx, agentID, connection string) (bool, error) {
	for link, err := range store.Links.List(tx, "agent", agentID) {
		if err != nil {
			return false, fmt.Errorf("list the agent's links: %w", err)
		}
		if link.Connection == connection && link.Rehearsed {
			return true, nil
		}
	}
	return false, nil
}

func enforcedWords(c *store.Connection, words string) string {
	return fmt.Sprintf("connection %s is enforced for their domain: %s", c.ID, words)
}

// unlinkedAdministrator is how one gets in whom no rehearsal has linked.
func unlinkedAdministrator(c *store.Connection) string {
	return fmt.Sprintf("an administrator who is not linked gets in by break-glass and a rehearsal only: "+
		"chatelaine break-glass lift --control single_sign_on, a sign-in with the password, chatelaine connection rehearse %s", c.ID)
}
