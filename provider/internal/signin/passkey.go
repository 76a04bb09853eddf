package signin

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// maxAnswer bounds what a browser says about a passkey.
const maxAnswer = 32 << 10

// passkeyOptions is POST /sign-in/{id}/passkey/options: what the browser is to
// ask of its passkeys. Before anything is proven any of them may answer, and the
// options are the same whoever asks; after the password, the agent's own.
func (x *SignIn) passkeyOptions(w http.ResponseWriter, r *http.Request) error {
	f, _, err := x.submitted(r)
	if err != nil {
		return err
	}
	s := site.From(r.Context())
	var options []byte
	err = x.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		agentID, err := x.provenAgent(tx, f)
		if err != nil {
			return err
		}
		options, err = x.Factors.BeginLogin(r.Context(), tx, s, f.ID, agentID)
		return err
	})
	if err != nil {
		return err
	}
	web.NoStore(w)
	web.WriteJSONBytes(w, http.StatusOK, options)
	return nil
}

// provenAgent is whose password this sign-in has proven; "" for nobody's yet.
func (x *SignIn) provenAgent(tx store.Tx, f flow) (string, error) {
	rec, err := store.SignIns.Get(tx, f.ID)
	if errors.Is(err, store.ErrNotFound) {
		return "", nil
	}
	return rec.AgentID, err
}

// submitPasskey is POST /sign-in/{id}/passkey: the answer of a passkey, as the
// second factor or as the whole sign-in.
func (x *SignIn) submitPasskey(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	answer, remember := []byte(form.Get("credential")), form.Get("remember") != ""
	if len(answer) > maxAnswer {
		return web.ErrTooLarge
	}
	var at half
	out, err := x.take(r, f, StepFactor, func(tx store.Tx, h *half, out *outcome) error {
		at = *h
		proof, err := x.Factors.FinishLogin(r.Context(), tx, h.site, f.ID, h.agent.ID, answer)
		if err != nil {
			return err
		}
		if err := x.proven(tx, r, h, proof, out); err != nil || !proof.OK {
			return err
		}
		return x.remember(tx, r, h, remember, out)
	})
	if errors.Is(err, errNotBegun) {
		return x.passkeyFirst(w, r, f, answer)
	}
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.factorTaken(w, r, f, at, out)
}

// passkeyFirst is a sign-in by passkey alone. It needs no counter, as there is
// nothing to guess, and so works for an account that guesses at its password have
// locked.
func (x *SignIn) passkeyFirst(w http.ResponseWriter, r *http.Request, f flow, answer []byte) error {
	s := site.From(r.Context())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), concludeTime)
	defer cancel()
	r = r.WithContext(ctx)
	var out outcome
	nobodys := false
	var enforced *store.Connection // by which alone the agent signs in
	err := x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		out, nobodys, enforced = outcome{step: Step{Name: StepPassword}}, false, nil
		proof, err := x.Factors.FinishLogin(ctx, tx, s, f.ID, "", answer)
		if err != nil {
			return err
		}
		h := half{flow: f, site: s, now: x.Now()}
		if h.agent, err = agentOrNone(tx, proof.AgentID); err != nil {
			return err
		}
		if nobodys = h.agent.ID == ""; nobodys {
			return x.countPasskey(tx, web.Network(web.ClientIP(ctx)).String(), h.now)
		}
		if !proof.OK {
			return x.proven(tx, r, &h, proof, &out)
		}
		h.AgentID, h.AMR, h.AuthTime = h.agent.ID, proof.AMR, h.now
		if err := x.settle(tx, r, &h, &out); err != nil {
			return err
		}
		if out.step.Name == StepPassword {
			out.problem = factor.ReasonPasskey
			if enforced = s.Enforcing(h.agent.Email, h.now); enforced != nil {
				return x.record(tx, r, h.agent, audit.SignInFailure, audit.Refused, reasonEnforced)
			}
			return x.record(tx, r, h.agent, audit.SignInFailure, audit.Refused, why(h.agent))
		}
		return nil
	})
	if nobodys && (err == nil || errors.Is(err, errFlood)) {
		x.Audit.Count(s.Path, audit.Event{Action: audit.SignInFailure, Result: audit.Refused, Reason: factor.ReasonPasskey})
		out.problem, err = factor.ReasonPasskey, nil
	}
	if err != nil {
		return err
	}
	if enforced != nil {
		return x.lead(w, r, f, enforced, "")
	}
	if out.problem != "" {
		return x.form(w, r, f, http.StatusUnprocessableEntity, "", out.problem)
	}
	return x.goOn(w, r, f, out)
}

// nobodysPasskeys is how many answers in a quarter of an hour one network has of
// passkeys that are nobody's until they leave no trace in the store. A passkey
// that is somebody's gets in all the same.
const nobodysPasskeys = 30

// errFlood undoes what an answer too many would have written.
var errFlood = errors.New("too many passkeys that are nobody's")

func (x *SignIn) countPasskey(tx store.Tx, network string, now time.Time) error {
	if x.Throttle.PerNetwork == 0 {
		return nil
	}
	a, err := attempts(tx, "passkey:"+network, now)
	if err != nil {
		return err
	}
	if a.Count >= nobodysPasskeys {
		return errFlood
	}
	if a.Count == 0 {
		a.First, a.Expires = now, now.Add(longest)
	}
	a.Count, a.Last = a.Count+1, now
	return store.AllAttempts.Put(tx, &a)
}
