package admin

import (
	"context"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Invitation is a link with which an agent chooses a password. URL is there only
// where it was not mailed: then whoever asked hands it over, and it is shown this
// once.
type Invitation struct {
	Site    string `json:"site"`
	Email   string `json:"email"`
	URL     string `json:"url,omitempty"`
	Mailed  bool   `json:"mailed,omitempty"`
	Warning string `json:"warning,omitempty"` // no password can be chosen by it
}

// invite makes an agent's invitation; an earlier one is void from here on.
func (a *Admin) invite(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, by audit.Ref) (Invitation, error) {
	link, mailed, err := a.InvitationLink(ctx, tx, s, agent, by)
	in := Invitation{Site: s.Path, Email: agent.Email, URL: link, Mailed: mailed}
	if mailed {
		in.URL = "" // its reader proves the address: nobody else gets it
	}
	return in, err
}

// inviteNew invites the agents that a plan made without a password.
func (a *Admin) inviteNew(ctx context.Context, tx store.Tx, s *site.Site, p *plan) error {
	for _, agent := range p.toInvite() {
		in, err := a.invite(ctx, tx, s, *agent, operator(ctx))
		if err != nil {
			return err
		}
		p.invited = append(p.invited, in)
	}
	return nil
}

// toInvite are the agents that the plan makes without a password.
func (p *plan) toInvite() (agents []*store.Agent) {
	for _, e := range p.agents {
		if p.invites && e.before == nil && e.after.PasswordHash == "" && !e.after.Inactive && !p.passwords[e.after.Email] {
			agents = append(agents, e.after)
		}
	}
	return agents
}

// inviteAgent is for who has lost the invitation, or the password.
func (a *Admin) inviteAgent(ctx context.Context, in agentInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	if a.InvitationLink == nil {
		return nil, usage("this server makes no invitations")
	}
	var out Invitation
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		if rec.Inactive {
			return usage("%s is inactive: chatelaine agent activate %s", rec.Email, rec.Email)
		}
		if out, err = a.invite(ctx, tx, s, rec, operator(ctx)); err != nil {
			return err
		}
		out.Warning, err = enforcedWarning(tx, s, &rec, invitationIdle)
		return err
	})
	return out, err
}
