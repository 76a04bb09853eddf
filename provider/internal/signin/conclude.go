package signin

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Reasons of a failed try in the audit log, besides policy's of a refused one.
const (
	reasonPassword = "wrong_password"
	reasonNone     = "no_password"
	reasonAccount  = "unknown_account"
	reasonWaits    = "account_waits"
	reasonNetwork  = "network_waits"
	reasonEnforced = "single_sign_on_only"
)

// conclude is the transaction that answers: what the try proved goes to Next, and
// what Next says is done, counted and recorded together. It is finished also for
// somebody who has hung up, or hanging up would make a guess free.
func (x *SignIn) conclude(r *http.Request, s *site.Site, f flow, limits limits, seen sighting) (outcome, error) {
	var out outcome
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), concludeTime)
	defer cancel()
	r = r.WithContext(ctx)
	before := seen
	err := x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		now := x.Now()
		seen = before
		if err := seen.again(ctx, tx, limits, now); err != nil {
			return err
		}
		if seen.wait > 0 {
			out = outcome{wait: seen.wait}
			return nil
		}
		agent, err := agentOrNone(tx, seen.agent.ID)
		if err != nil {
			return err
		}
		out = outcome{step: Step{Name: StepPassword}}
		if !seen.proven || !seen.samePassword(agent) {
			return x.fail(tx, r, s, limits, &seen, agent, now)
		}
		h := half{flow: f, site: s, agent: agent, now: now}
		h.AgentID, h.AMR, h.AuthTime = agent.ID, []string{amrPassword}, now
		if err := x.ask(tx, r, &h); err != nil {
			return err
		}
		if h.step.Name != StepPassword && h.step.Name != StepRefused { // or the cookie's new value would reach nobody
			if h.Remembered, err = x.remembered(tx, r, &h, &out); err != nil {
				return err
			}
		}
		if err := x.settle(tx, r, &h, &out); err != nil {
			return err
		}
		if out.step.Name == StepPassword { // inactive, or voided
			return x.fail(tx, r, s, limits, &seen, agent, now)
		}
		if out.step.Name == StepRefused {
			return nil
		}
		return x.passwordDone(tx, r, limits, &seen, &h)
	})
	if err != nil {
		return outcome{}, fmt.Errorf("conclude the sign-in: %w", err)
	}
	switch {
	case out.wait > 0:
		x.countWait(s)
	case out.step.Name == StepPassword && !seen.recorded():
		x.count(s, seen)
	}
	return out, nil
}

// concludeTime bounds the answering transaction, whoever still waits for it.
const concludeTime = 10 * time.Second

// again reads the counters as they are now: tries beside this one may have been
// counted since, and then this one is answered as a waiting account's, even if
// it is right.
func (seen *sighting) again(ctx context.Context, tx store.Tx, limits limits, now time.Time) error {
	refused := seen.refused
	t, err := limits.look(tx, seen.email, seen.device, web.ClientIP(ctx), now)
	if err != nil {
		return err
	}
	t.refused = t.refused || refused
	seen.try = t
	seen.proven = seen.proven && !t.refused
	return nil
}

// samePassword reports whether agent still has the password that was proven. Its
// hash may be another one if a sign-in beside this one has replaced an old kind.
func (seen sighting) samePassword(agent store.Agent) bool {
	return agent.PasswordHash == seen.agent.PasswordHash ||
		seen.newHash != "" && agent.PasswordHash != "" && agent.PasswordChanged.Equal(seen.agent.PasswordChanged)
}

// passwordDone forgets the account's failures and brings the hash up to date.
func (x *SignIn) passwordDone(tx store.Tx, r *http.Request, limits limits, seen *sighting, h *half) error {
	if err := limits.succeeded(tx, &seen.try); err != nil {
		return err
	}
	if seen.newHash == "" || h.agent.PasswordHash != seen.agent.PasswordHash {
		return nil
	}
	h.agent.PasswordHash = seen.newHash
	if err := store.Agents.Put(tx, &h.agent); err != nil {
		return err
	}
	return x.record(tx, r, h.agent, audit.PasswordRehash, audit.Success, "")
}

// finish starts the session. One that this browser had is replaced: nothing that
// was planted or shared before the sign-in is worth anything after it. Where the
// site allows only so many at once, others end. A link that was sent meanwhile is
// void: its owner needs it no more.
func (x *SignIn) finish(tx store.Tx, r *http.Request, h *half, out *outcome) (err error) {
	if err := spend(tx, h.agent.ID, store.LinkVoid); err != nil {
		return err
	}
	out.session, out.cookie, err = x.Sessions.Start(r.Context(), tx, h.site, session.Start{
		AgentID: h.agent.ID, AMR: h.AMR, ACR: acr(h.AMR), AuthTime: h.asked(), Remembered: h.Remembered, Lifted: h.lifted(), Replaces: session.Presented(r), EndOver: true,
		SingleSignOnLifted: h.singleSignOnLifted(), AskedUnknown: h.AskedUnknown, Login: h.Login,
	})
	if err != nil {
		return err
	}
	return x.record(tx, r, h.agent, audit.SignInSuccess, audit.Success, "")
}

// lifted reports whether the agent was not asked for a second factor that they
// hold because break-glass has lifted it.
func (h *half) lifted() bool {
	return h.rules.Credentials.SecondFactorOff && h.facts.any() && acr(h.AMR) == policy.ACRPassword && !h.Remembered
}

// singleSignOnLifted reports whether the agent is in by another way than the one that
// is enforced, because break-glass has lifted that.
func (h *half) singleSignOnLifted() bool {
	c := h.site.Enforced(h.agent.Email)
	return c != nil && !(slices.Contains(h.AMR, amrFederated) && h.Connection == c.ID)
}

// recorded reports whether a failed try is a record of its own. Tries at what
// nobody has, and tries that were not judged, are counted by the minute.
func (seen sighting) recorded() bool { return seen.agent.ID != "" && !seen.refused }

// fail leaves a trace. A try that is only counted takes a commit like the others
// all the same, so that the time to answer does not tell them apart.
func (x *SignIn) fail(tx store.Tx, r *http.Request, s *site.Site, limits limits, seen *sighting, agent store.Agent, now time.Time) error {
	if !seen.refused {
		if err := limits.failed(tx, &seen.try, now); err != nil {
			return err
		}
	}
	if !seen.recorded() {
		return store.AllAttempts.Put(tx, &store.Attempts{Key: "noted:" + seen.account.Key, Last: now, Expires: now.Add(time.Minute)})
	}
	if err := x.record(tx, r, seen.agent, audit.SignInFailure, audit.Refused, why(agent)); err != nil || !seen.locked {
		return err
	}
	if err := x.seldom(tx, r, s, agent, "locked"); err != nil {
		return err
	}
	return x.record(tx, r, seen.agent, audit.SignInLocked, audit.Success, "")
}

func (x *SignIn) count(s *site.Site, seen sighting) {
	e := audit.Event{Action: audit.SignInFailure, Result: audit.Refused, Reason: reasonAccount}
	if seen.agent.ID != "" {
		e.Object = audit.Ref{Type: policy.Agent, ID: seen.agent.ID}
		e.Reason = reasonWaits
	}
	x.Audit.Count(s.Path, e)
}

// countWait counts a try of a network that has to wait: it was not judged.
func (x *SignIn) countWait(s *site.Site) {
	x.Audit.Count(s.Path, audit.Event{Action: audit.SignInFailure, Result: audit.Refused, Reason: reasonNetwork})
}

func why(agent store.Agent) string {
	switch {
	case agent.Inactive:
		return policy.ReasonSubjectInactive
	case agent.PasswordHash == "":
		return reasonNone
	}
	return reasonPassword
}

// record notes what became of an agent's sign-in. The actor of a failed one is
// nobody: it proved nothing.
func (x *SignIn) record(tx store.Tx, r *http.Request, agent store.Agent, action, result, reason string) error {
	e := audit.Event{Action: action, Object: audit.Ref{Type: policy.Agent, ID: agent.ID}, Result: result, Reason: reason}
	if action == audit.SignInSuccess || action == audit.SignInRefused {
		e.Actor = e.Object
	}
	return x.Audit.Record(r.Context(), tx, e)
}
