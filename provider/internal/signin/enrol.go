package signin

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showEnrol is GET /sign-in/{id}/enrol. It draws a seed, which counts for nothing
// until a code of it comes back.
func (x *SignIn) showEnrol(w http.ResponseWriter, r *http.Request) error {
	f, h, err := x.due(r, StepEnrol)
	if err != nil {
		return x.away(w, r, f, err)
	}
	var begun factor.Enrolment
	err = x.Store.Update(r.Context(), h.site.Path, func(tx store.Tx) (err error) {
		begun, err = x.Factors.BeginTOTP(r.Context(), tx, h.site, h.agent, f.ID)
		return err
	})
	if err != nil {
		return err
	}
	return x.enrolForm(w, r, h, http.StatusOK, begun, "", "")
}

func (x *SignIn) enrolForm(w http.ResponseWriter, r *http.Request, h half, status int, begun factor.Enrolment, name, problem string) error {
	page := templates.EnrolPage{
		Frame: x.Web.Frame(r), Action: h.path(h.site, "/enrol"), Enrolment: begun.ID, QR: begun.QR, Secret: begun.Seed, URI: begun.URI,
		Name: name, Problem: problem, Required: !h.step.mayWait(), GraceUntil: h.step.Until, AgentEmail: h.agent.Email, ClientName: h.clientName(), CancelURL: h.cancelURL(h.site),
	}
	if h.step.mayWait() {
		page.SkipAction = h.path(h.site, "/skip/"+string(StepEnrol))
	}
	if factor.PasskeysPossible(h.site) {
		page.PasskeyURL, page.PasskeyAction = h.path(h.site, "/enrol/passkey/options"), h.path(h.site, "/enrol/passkey")
	}
	return x.Web.Render(w, r, status, page, h.formActions()...)
}

// submitEnrol is POST /sign-in/{id}/enrol: the code that confirms the seed.
func (x *SignIn) submitEnrol(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	id, code, name := form.Get("enrolment"), form.Get("code"), form.Get("name")
	var at half
	var again factor.Enrolment
	var codes []string
	out, err := x.take(r, f, StepEnrol, func(tx store.Tx, h *half, out *outcome) (err error) {
		at, codes = *h, nil
		added, err := x.Factors.ConfirmTOTP(r.Context(), tx, h.site, h.agent, f.ID, id, code, name)
		if errors.Is(err, factor.ErrName) {
			added, err = factor.Added{Reason: "name_invalid"}, nil
		}
		if err != nil {
			return err
		}
		if !added.OK {
			out.problem = added.Reason
			again, err = x.Factors.Enrolling(tx, h.site, h.agent, f.ID, id)
			return err
		}
		codes, err = x.enrolled(tx, r, h, added, "factor_added")
		return err
	})
	switch {
	case errors.Is(err, factor.ErrNoEnrolment):
		return web.SeeOther(w, r, f.path(site.From(r.Context()), "/enrol")) // too old, or too many wrong codes: a new seed
	case err != nil:
		return x.away(w, r, f, err)
	case out.problem != "":
		return x.enrolForm(w, r, at, http.StatusUnprocessableEntity, again, name, out.problem)
	}
	return x.showCodes(w, r, f, out, codes, at.agent.Email)
}

// enrolled notes that the agent has shown the factor that was just added, ends
// what was begun elsewhere without it, and makes recovery codes if it is the first.
func (x *SignIn) enrolled(tx store.Tx, r *http.Request, h *half, added factor.Added, kind string) (codes []string, err error) {
	unknown := h.AskedUnknown
	if err := x.proven(tx, r, h, factor.Proof{OK: true, AMR: added.AMR}, nil); err != nil {
		return nil, err
	}
	h.AskedUnknown = unknown // whoever is at the browser can set one up
	ref := audit.Ref{Type: policy.Agent, ID: h.agent.ID}
	if _, err := x.Sessions.EndOthers(r.Context(), tx, h.site, h.agent.ID, session.Presented(r), "factors_changed", ref); err != nil {
		return nil, err
	}
	if err := x.notice(tx, r, h.site, h.agent, kind); err != nil {
		return nil, err
	}
	if added.First {
		return x.Factors.NewCodes(r.Context(), tx, h.site, h.agent)
	}
	return nil, nil
}

// showCodes shows the recovery codes, this once, and then leads on.
func (x *SignIn) showCodes(w http.ResponseWriter, r *http.Request, f flow, out outcome, codes []string, email string) error {
	if out.step.Name == StepRefused || codes == nil {
		return x.goOn(w, r, f, out)
	}
	if _, err := x.cookies(w, r, f, out); err != nil {
		return err
	}
	if out.moved.ID != "" {
		f.ID = out.moved.ID
	}
	page := templates.RecoveryCodesPage{
		Frame: x.Web.Frame(r), Action: f.path(site.From(r.Context()), "/on"), Codes: codes,
		AgentEmail: email,
	}
	return x.Web.Render(w, r, http.StatusOK, page, f.formActions()...)
}

// on is POST /sign-in/{id}/on: the recovery codes are saved.
func (x *SignIn) on(w http.ResponseWriter, r *http.Request) error {
	f, _, err := x.submitted(r)
	if err != nil {
		return err
	}
	h, err := x.peek(r, f)
	if errors.Is(err, errNotBegun) { // it was the last step
		target, err := f.destination(site.From(r.Context()))
		if err != nil {
			return err
		}
		if f.Return != "" {
			x.Sessions.EndSignIn(w, r, f.ID)
		}
		return web.SeeOther(w, r, target)
	}
	if err != nil {
		return err
	}
	return x.goOn(w, r, f, outcome{step: h.step})
}

// enrolPasskeyOptions is POST /sign-in/{id}/enrol/passkey/options.
func (x *SignIn) enrolPasskeyOptions(w http.ResponseWriter, r *http.Request) error {
	f, _, err := x.submitted(r)
	if err != nil {
		return err
	}
	h, err := x.peekStep(r, f, StepEnrol)
	if err != nil {
		return errors.Join(web.ErrNotFound, err)
	}
	var options []byte
	err = x.Store.View(r.Context(), h.site.Path, func(tx store.Tx) (err error) {
		options, err = x.Factors.BeginPasskey(r.Context(), tx, h.site, h.agent, f.ID)
		return err
	})
	if err != nil {
		return err
	}
	web.NoStore(w)
	web.WriteJSONBytes(w, http.StatusOK, options)
	return nil
}

// submitEnrolPasskey is POST /sign-in/{id}/enrol/passkey.
func (x *SignIn) submitEnrolPasskey(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	answer := []byte(form.Get("credential"))
	if len(answer) > maxAnswer {
		return web.ErrTooLarge
	}
	var at half
	var codes []string
	var again factor.Enrolment
	out, err := x.take(r, f, StepEnrol, func(tx store.Tx, h *half, out *outcome) (err error) {
		at, codes = *h, nil
		added, err := x.Factors.FinishPasskey(r.Context(), tx, h.site, h.agent, f.ID, answer, form.Get("name"))
		if errors.Is(err, factor.ErrName) {
			added, err = factor.Added{Reason: "name_invalid"}, nil
		}
		if err != nil {
			return err
		}
		if !added.OK {
			out.problem = added.Reason
			again, err = x.Factors.BeginTOTP(r.Context(), tx, h.site, h.agent, f.ID)
			return err
		}
		codes, err = x.enrolled(tx, r, h, added, "passkey_added")
		return err
	})
	switch {
	case err != nil:
		return x.away(w, r, f, err)
	case out.problem != "":
		return x.enrolForm(w, r, at, http.StatusUnprocessableEntity, again, form.Get("name"), out.problem)
	}
	return x.showCodes(w, r, f, out, codes, at.agent.Email)
}
