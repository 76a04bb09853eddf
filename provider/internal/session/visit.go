package session

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrLacking is a session that the site's rules for credentials no longer take:
// its agent has to sign in again, and is asked for what is missing.
var ErrLacking = errors.New("the session lacks what the site asks of a sign-in")

// Visit is a request by an agent who is signed in and may be here.
type Visit struct {
	Session store.Session
	Agent   store.Agent
}

// Visit is Find for the house's own pages, and the one gate before them: the
// agent is active, comes from a network of the allowlist, and has signed in as
// the rules ask now. ErrNone, ErrLacking, or a web.Refusal.
func (x *Sessions) Visit(tx store.Tx, r *http.Request, s *site.Site) (Visit, error) {
	rec, err := x.Find(tx, r, s)
	if err != nil {
		return Visit{}, err
	}
	agent, err := store.Agents.Get(tx, rec.AgentID)
	if err != nil {
		return Visit{}, fmt.Errorf("load the session's agent: %w", err)
	}
	v := Visit{Session: rec, Agent: agent}
	decision := policy.Admit(policy.Request{
		Now: x.Now(), Subject: policy.Subject{Type: policy.Agent, ID: agent.ID, Roles: agent.Roles, Active: !agent.Inactive, AuthTime: rec.AuthTime},
		IP: web.ClientIP(r.Context()), Pathway: policy.Console, Allowlist: s.Allowlist,
	})
	switch {
	case !decision.Allowed:
		return v, &web.Refusal{Reason: decision.Reason}
	case x.due(s, v).Blocks, rec.SingleSignOnLifted && s.Enforcing(agent.Email, x.Now()) != nil:
		return v, ErrLacking
	}
	return v, nil
}

// due is what is due with the agent's credentials. Where no sign-in has met the
// demand for a second factor yet, grace counts from this one.
func (x *Sessions) due(s *site.Site, v Visit) policy.CredentialDue {
	who := site.CredentialFacts(&v.Agent)
	who.ACR, who.AMR, who.Remembered, who.Lifted = v.Session.ACR, v.Session.AMR, v.Session.Remembered, v.Session.Lifted
	if who.GraceStart.IsZero() {
		who.GraceStart = v.Session.AuthTime
	}
	now := x.Now()
	return policy.CredentialsDue(s.CredentialRules(now), who, now)
}
