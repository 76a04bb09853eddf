package signin

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showFactor is GET /sign-in/{id}/factor.
func (x *SignIn) showFactor(w http.ResponseWriter, r *http.Request) error {
	f, h, err := x.due(r, StepFactor)
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.factorForm(w, r, h, http.StatusOK, "")
}

// factorForm asks for what the agent holds: a passkey, a code, or either.
func (x *SignIn) factorForm(w http.ResponseWriter, r *http.Request, h half, status int, problem string) error {
	page := templates.CodePage{
		Frame: x.Web.Frame(r), Action: h.path(h.site, "/factor"), ClientName: h.clientName(), AgentEmail: h.agent.Email, Problem: problem,
		RememberDays: h.rules.Credentials.RememberDays, CancelURL: h.cancelURL(h.site),
	}
	if h.Fresh {
		page.RememberDays = 0
	}
	if h.facts.Passkeys > 0 && factor.PasskeysPossible(h.site) {
		page.PasskeyURL, page.PasskeyAction = h.path(h.site, "/passkey/options"), h.path(h.site, "/passkey")
	}
	page.NoApp, page.NoCodes = h.facts.TOTPs == 0, h.facts.Codes == 0
	page.OnlyPasskey = h.step.Reason == policy.ACRPasskey || page.NoApp && page.NoCodes
	if h.step.mayWait() {
		page.SkipAction = h.path(h.site, "/skip/"+string(StepFactor))
	}
	return x.Web.Render(w, r, status, page, h.formActions()...)
}

// maxCode is more than a code of any kind has.
const maxCode = 64

// submitFactor is POST /sign-in/{id}/factor: a code of an app, or a recovery code.
func (x *SignIn) submitFactor(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	code, remember, recovery := form.Get("code"), form.Get("remember") != "", form.Get("kind") == factor.Recovery
	var at half
	out, err := x.take(r, f, StepFactor, func(tx store.Tx, h *half, out *outcome) (err error) {
		at = *h
		switch {
		case h.step.Reason == policy.ACRPasskey:
			out.problem = "passkey_wanted"
			return nil
		case code == "":
			out.problem = "code_missing"
			return nil
		case len(code) > maxCode:
			out.problem = "wrong_code"
			return nil
		}
		proof, err := x.Factors.CheckCode(r.Context(), tx, h.site, h.agent, code)
		if err != nil {
			return err
		}
		if err := x.proven(tx, r, h, proof, out); err != nil || !proof.OK {
			return err
		}
		return x.remember(tx, r, h, remember, out)
	})
	if err != nil {
		return x.away(w, r, f, err)
	}
	if recovery {
		out.problem = cmp.Or(ofRecovery[out.problem], out.problem)
	}
	return x.factorTaken(w, r, f, at, out)
}

// ofRecovery are the words for problems with the field for recovery codes: of
// these it makes no sense to wait for the next one.
var ofRecovery = map[string]string{"code_missing": "recovery_missing", factor.ReasonCode: "recovery_wrong"}

// factorTaken leads on, or shows the form again.
func (x *SignIn) factorTaken(w http.ResponseWriter, r *http.Request, f flow, at half, out outcome) error {
	switch {
	case out.wait > 0:
		w.Header().Set("Retry-After", retryAfter(out.wait))
		return x.factorForm(w, r, at, http.StatusTooManyRequests, "too_many_codes")
	case out.problem != "":
		return x.factorForm(w, r, at, http.StatusUnprocessableEntity, out.problem)
	}
	return x.goOn(w, r, f, out)
}

// proven adds what a factor has proven to the sign-in, or leaves the trace of
// what it has not. Whoever shows one is a person of now.
func (x *SignIn) proven(tx store.Tx, r *http.Request, h *half, proof factor.Proof, out *outcome) error {
	if proof.OK {
		for _, method := range proof.AMR {
			if !slices.Contains(h.AMR, method) {
				h.AMR = append(slices.Clone(h.AMR), method)
			}
		}
		h.AuthTime, h.AskedUnknown, h.Remembered = h.now, false, false
		if proof.Type == factor.Recovery {
			return x.notice(tx, r, h.site, h.agent, "recovery_code_used")
		}
		return nil
	}
	out.problem, out.wait = proof.Reason, proof.Wait
	if proof.Alert {
		if err := x.notice(tx, r, h.site, h.agent, proof.Reason); err != nil {
			return err
		}
	}
	if out.wait > 0 { // nothing was compared: it is counted by the minute
		x.Audit.Count(h.site.Path, audit.Event{Action: audit.SignInFailure, Result: audit.Refused, Reason: proof.Reason, Object: audit.Ref{Type: policy.Agent, ID: h.agent.ID}})
		return nil
	}
	return x.record(tx, r, h.agent, audit.SignInFailure, audit.Refused, proof.Reason)
}

// remember makes this browser one in which no second factor is asked for, for
// the days that the site allows.
func (x *SignIn) remember(tx store.Tx, r *http.Request, h *half, asked bool, out *outcome) error {
	if !asked || h.Fresh || h.rules.Credentials.RememberDays == 0 {
		return nil
	}
	cookie, err := x.Factors.Remember(r.Context(), tx, h.site, h.agent, r)
	if err != nil {
		return err
	}
	s := h.site
	out.device = func(w http.ResponseWriter, r *http.Request) { factor.SetDevice(w, r, s, cookie) }
	return nil
}

// remembered reports whether this browser stands in for a second factor. A copy
// of its cookie that was used elsewhere is told to the agent.
func (x *SignIn) remembered(tx store.Tx, r *http.Request, h *half, out *outcome) (bool, error) {
	if h.Fresh || h.site.Settings.TwoFactor.RememberDays == 0 {
		return false, nil
	}
	use, err := x.Factors.Remembered(r.Context(), tx, h.site, h.agent, r)
	if err != nil {
		return false, err
	}
	s := h.site
	switch {
	case use.Stolen:
		out.device = factor.ClearDevice
		return false, x.notice(tx, r, h.site, h.agent, "device_stolen")
	case use.Cookie != "":
		out.device = func(w http.ResponseWriter, r *http.Request) { factor.SetDevice(w, r, s, use.Cookie) }
	}
	return use.OK, nil
}
