package signin

import (
	"net/netip"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// StepName says what a sign-in needs next.
type StepName string

// The steps, in their order.
const (
	StepPassword    StepName = "password"     // show the form: nobody has proven to be this agent
	StepRefused     StepName = "refused"      // end it: Reason says by which rule
	StepFactor      StepName = "factor"       // a second factor; with Reason acr phr only a passkey will do
	StepEnrol       StepName = "enrol"        // enrol one: it may wait until Until, unless that is zero
	StepNewPassword StepName = "new_password" // change the password: Reason says why; in Days it has to be, if that is not zero
	StepSessions    StepName = "sessions"     // say that sessions elsewhere will end
	StepDone        StepName = "done"         // start the session
)

// Step is the next step of a sign-in.
type Step struct {
	Name   StepName
	Reason string // of StepRefused: policy's; of StepFactor: the acr that is wanted
	Until  time.Time
	Days   int
}

// mayWait reports whether somebody may put the step off for this once.
func (s Step) mayWait() bool {
	return s.Name == StepEnrol && !s.Until.IsZero() || s.Name == StepFactor && s.Reason == policy.ACRPasskey || s.Name == StepNewPassword && s.Days > 0 || s.Name == StepSessions
}

// Rules is what the site has decided about signing in, as far as it concerns
// this client.
type Rules struct {
	Allowlist   *policy.Allowlist
	Pathway     policy.Pathway
	Credentials policy.CredentialRules
	// Enforced is the connection that this agent signs in through, and no other way;
	// empty: there is none.
	Enforced string
}

// Facts is what the store holds on the agent, besides their record.
type Facts struct {
	TOTPs, Passkeys int // second factors
	Codes           int // recovery codes that are left
	SessionsOver    int // that have to end elsewhere if one more begins
	// Linked says that the sign-in's connection is in use and its subject is still
	// this agent.
	Linked bool
}

func (f Facts) any() bool { return f.TOTPs+f.Passkeys > 0 }

// sitting is one question to Next.
type sitting struct {
	store.SignIn
	agent store.Agent
	facts Facts
	rules Rules
	now   time.Time
	due   policy.CredentialDue
}

// Next is the only place that orders a sign-in: password, network, second
// factor, enrolment, password change, sessions elsewhere, done. Every way in and
// every step comes back here, and every earlier fact is proven anew: the agent
// is active and nothing has voided the proof since it was given. signIn.IP is
// where the browser is now.
func Next(signIn store.SignIn, agent store.Agent, facts Facts, rules Rules, now time.Time) Step {
	at := sitting{SignIn: signIn, agent: agent, facts: facts, rules: rules, now: now}
	who := site.CredentialFacts(&agent)
	who.HasFactor, who.ACR, who.AMR, who.Remembered = facts.any(), acr(signIn.AMR), signIn.AMR, signIn.Remembered && !signIn.Fresh
	at.due = policy.CredentialsDue(rules.Credentials, who, now)
	for _, due := range []func(sitting) (Step, bool){dueProof, dueNetwork, dueFactor, dueEnrolment, duePassword, dueSessions} {
		if step, ok := due(at); ok {
			return step
		}
	}
	return Step{Name: StepDone}
}

// skew is how much the clock of a node may be behind that of the one that took the
// step before.
const skew = 5 * time.Second

// dueProof asks for the password, a passkey or another login's word, unless this
// sign-in holds a proof that still counts. An agent who was deactivated meanwhile
// has none, and where somebody has to sign in again nobody else will do.
func dueProof(at sitting) (Step, bool) {
	proven := at.agent.ID != "" && at.AgentID == at.agent.ID && firstFactor(at.AMR) &&
		!at.AuthTime.IsZero() && !at.AuthTime.After(at.now.Add(skew)) && at.now.Before(at.Expires) &&
		(at.AgentHint == "" || at.AgentHint == at.agent.ID)
	federated := slices.Contains(at.AMR, amrFederated)
	void := federated && !at.facts.Linked || at.rules.Enforced != "" && (!federated || at.Connection != at.rules.Enforced) || at.agent.Inactive || at.AuthTime.Before(at.agent.NotBefore) ||
		slices.Contains(at.AMR, amrPassword) && at.AuthTime.Before(at.agent.PasswordChanged)
	return Step{Name: StepPassword}, !proven || void
}

// dueNetwork refuses an agent whom the allowlist does not let in from here.
func dueNetwork(at sitting) (Step, bool) {
	addr, _ := netip.ParseAddr(at.IP) // the zero Addr is nowhere
	decision := policy.Admit(policy.Request{
		Now:     at.now,
		Subject: policy.Subject{Type: policy.Agent, ID: at.agent.ID, Roles: at.agent.Roles, Active: !at.agent.Inactive, AuthTime: at.AuthTime},
		IP:      addr, Pathway: at.rules.Pathway, Allowlist: at.rules.Allowlist,
	})
	return Step{Name: StepRefused, Reason: decision.Reason}, !decision.Allowed
}

// dueFactor asks for a second factor of whoever holds one, and for a stronger one
// where that is wanted. Nobody is asked for what they do not hold.
//
// Who has not the passkey at hand that an application wishes for goes another way:
// the application sees what was shown, and decides.
func dueFactor(at sitting) (Step, bool) {
	have, skipped := acr(at.AMR), slices.Contains(at.Skipped, string(StepFactor))
	switch {
	case at.ACR == policy.ACRPasskey && have != policy.ACRPasskey && at.facts.Passkeys > 0 && !skipped:
		return Step{Name: StepFactor, Reason: policy.ACRPasskey}, true
	case at.due.SecondFactor:
		return Step{Name: StepFactor}, true
	}
	off := at.rules.Credentials.SecondFactorOff && at.Return == "" // our own pages ask for one only where they need it
	return Step{Name: StepFactor}, at.ACR != "" && have == policy.ACRPassword && at.facts.any() && !off && !skipped
}

// dueEnrolment asks to enrol a second factor, and does not let off once the days
// of grace are over.
func dueEnrolment(at sitting) (Step, bool) {
	switch {
	case !at.due.Enrol:
		return Step{}, false
	case at.now.Before(at.due.EnrolBy):
		return Step{Name: StepEnrol, Until: at.due.EnrolBy}, !slices.Contains(at.Skipped, string(StepEnrol))
	}
	return Step{Name: StepEnrol}, true
}

// duePassword asks for a new password, some days before it has to be too.
func duePassword(at sitting) (Step, bool) {
	if at.due.Password != "" {
		return Step{Name: StepNewPassword, Reason: at.due.Password}, true
	}
	step := Step{Name: StepNewPassword, Reason: policy.DueExpired, Days: at.due.WarnDays}
	return step, step.Days > 0 && !slices.Contains(at.Skipped, string(StepNewPassword))
}

// dueSessions says that sessions elsewhere will end, before they do.
func dueSessions(at sitting) (Step, bool) {
	return Step{Name: StepSessions}, at.facts.SessionsOver > 0 && !slices.Contains(at.Skipped, string(StepSessions))
}

// firstFactor reports whether the methods (RFC 8176) let somebody in by
// themselves: a password, a passkey that verified its user, or another login.
func firstFactor(amr []string) bool {
	return slices.Contains(amr, amrPassword) || slices.Contains(amr, amrFederated) || acr(amr) == policy.ACRPasskey
}

// acr is what the methods amount to.
func acr(amr []string) string {
	switch {
	case slices.Contains(amr, "user") && (slices.Contains(amr, "hwk") || slices.Contains(amr, "swk")):
		return policy.ACRPasskey
	case slices.Contains(amr, "mfa"):
		return policy.ACRTwoFactors
	}
	return policy.ACRPassword
}
