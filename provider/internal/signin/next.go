package signin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

// StepName says what a sign-in needs next.
type StepName string

// The steps.
const (
	StepPassword StepName = "password" // show the form: nobody has proven to be this agent
	StepRefused  StepName = "refused"  // end it: Reason says by which rule
	StepDone     StepName = "done"     // start the session
)

// Step is the next step of a sign-in.
type Step struct {
	Name   StepName
	Reason string // of StepRefused: policy's
}

// Rules is what the site has decided about signing in, as far as it concerns
// this client.
type Rules struct {
	Allowlist *policy.Allowlist
	Pathway   policy.Pathway
}

// Next is the only place that orders a sign-in: password, network, done. Every
// way in and every step comes back here, and every earlier fact is proven anew:
// the agent is active and nothing has voided the proof since it was given.
// signIn.IP is where the browser is now.
func Next(signIn store.SignIn, agent store.Agent, rules Rules, now time.Time) Step {
	for _, due := range []func(store.SignIn, store.Agent, Rules, time.Time) (Step, bool){
		dueProof, dueNetwork,
	} {
		if step, ok := due(signIn, agent, rules, now); ok {
			return step
		}
	}
	return Step{Name: StepDone}
}

// dueProof asks for the password unless this sign-in holds a proof of it that
// still counts. An agent who was deactivated meanwhile has none.
func dueProof(signIn store.SignIn, agent store.Agent, _ Rules, now time.Time) (Step, bool) {
	proven := agent.ID != "" && signIn.AgentID == agent.ID && slices.Contains(signIn.AMR, amrPassword) &&
		!signIn.AuthTime.IsZero() && !signIn.AuthTime.After(now) && now.Before(signIn.Expires)
	void := agent.Inactive || signIn.AuthTime.Before(agent.NotBefore) || signIn.AuthTime.Before(agent.PasswordChanged)
	return Step{Name: StepPassword}, !proven || void
}

// dueNetwork refuses an agent whom the allowlist does not let in from here.
func dueNetwork(signIn store.SignIn, agent store.Agent, rules Rules, now time.Time) (Step, bool) {
	addr, _ := netip.ParseAddr(signIn.IP) // the zero Addr is nowhere
	decision := policy.Admit(policy.Request{
		Now:     now,
		Subject: policy.Subject{Type: policy.Agent, ID: agent.ID, Roles: agent.Roles, Active: !agent.Inactive, AuthTime: signIn.AuthTime},
		IP:      addr, Pathway: rules.Pathway, Allowlist: rules.Allowlist,
	})
	return Step{Name: StepRefused, Reason: decision.Reason}, !decision.Allowed
}
