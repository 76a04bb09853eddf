package account

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// maxCredential is more than a passkey's answer can have, in bytes.
const maxCredential = 48 << 10

// beginTOTP is GET /account/factors/totp. It draws a seed, which counts for
// nothing until a code of it comes back, and is gone in ten minutes. The parameter
// enrolment names one that was drawn here before a sign-in came in between: it may
// have been scanned already, so it is shown again.
func (x *Account) beginTOTP(w http.ResponseWriter, r *http.Request) error {
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	var page templates.EnrolPage
	said := hear(r)
	err = x.within(r, x.Store.Update, func(tx store.Tx, v *visit) error {
		if err := v.prove(); err != nil {
			return err
		}
		draft, err := x.kept(r, v.Agent.ID, pathTOTP)
		if err != nil {
			return err
		}
		begun, err := x.Factors.Enrolling(tx, v.site, v.Agent, v.owner(), query.Get("enrolment"))
		if errors.Is(err, factor.ErrNoEnrolment) {
			begun, err = x.Factors.BeginTOTP(r.Context(), tx, v.site, v.Agent, v.owner())
		}
		page = x.enrolPage(r, v, begun, draft.Get("name"), said.problem)
		return err
	})
	if err != nil {
		return x.lead(w, r, againTOTP(query.Get("enrolment")), err)
	}
	said.forget(w, r)
	return x.Web.Render(w, r, http.StatusOK, page)
}

// againTOTP is the path that comes back to an enrolment.
func againTOTP(enrolment string) string {
	if enrolment == "" {
		return pathTOTP
	}
	return pathTOTP + "?" + url.Values{"enrolment": {enrolment}}.Encode()
}

// owner is what an enrolment belongs to: the session, whatever its cookie.
func (v *visit) owner() string { return "session:" + v.Session.SID }

func (x *Account) enrolPage(r *http.Request, v *visit, begun factor.Enrolment, name, problem string) templates.EnrolPage {
	base := v.site.Base()
	return templates.EnrolPage{
		Frame: x.Web.Frame(r), Action: base + pathTOTP, CSRF: v.csrf, AgentEmail: v.Agent.Email,
		Enrolment: begun.ID, QR: begun.QR, Secret: begun.Seed, URI: begun.URI, Name: name, Problem: problem, CancelURL: base + pathFactors,
	}
}

// added is what became of a new factor, once it is committed.
type added struct {
	problem string // why not
	again   templates.Page
	renewed renewed
	codes   *templates.RecoveryCodesPage // of the first factor
	notice  string
}

// confirmTOTP is POST /account/factors/totp: the code that confirms the seed.
func (x *Account) confirmTOTP(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	id, name := form.Get("enrolment"), form.Get("name")
	var out added
	err = x.update(r, form, func(tx store.Tx, v *visit) error {
		got, err := x.Factors.ConfirmTOTP(r.Context(), tx, v.site, v.Agent, v.owner(), id, form.Get("code"), name)
		if errors.Is(err, factor.ErrName) {
			got, err = factor.Added{Reason: "name_invalid"}, nil
		}
		if err != nil {
			return err
		}
		if got.OK {
			out, err = x.added(r, tx, v, got, templates.NoticeFactorAdded, "otp", "mfa")
			return err
		}
		begun, err := x.Factors.Enrolling(tx, v.site, v.Agent, v.owner(), id)
		if errors.Is(err, factor.ErrNoEnrolment) { // that was one wrong code too many
			out = added{problem: "enrolment_expired"}
			return nil
		}
		out = added{problem: got.Reason, again: x.enrolPage(r, v, begun, name, got.Reason)}
		return err
	})
	if errors.Is(err, factor.ErrNoEnrolment) {
		out, err = added{problem: "enrolment_expired"}, nil
	}
	return x.answerAdded(w, r, pathTOTP, againTOTP(id), name, out, err)
}

// added does what follows on a new factor: recovery codes with the first, an end
// to what was begun elsewhere, a mail, and a new cookie for this session.
func (x *Account) added(r *http.Request, tx store.Tx, v *visit, got factor.Added, kind string, amr ...string) (out added, err error) {
	ctx := r.Context()
	if got.First {
		if out.codes, err = x.newCodes(ctx, tx, r, v); err != nil {
			return out, err
		}
	}
	if out.notice = "totp_added"; kind == templates.NoticePasskeyAdded {
		out.notice = "passkey_added"
	}
	out.renewed, err = x.factorsChanged(ctx, tx, v, kind, amr...)
	return out, err
}

// newCodes makes recovery codes and the one page that shows them.
func (x *Account) newCodes(ctx context.Context, tx store.Tx, r *http.Request, v *visit) (*templates.RecoveryCodesPage, error) {
	codes, err := x.Factors.NewCodes(ctx, tx, v.site, v.Agent, v.me())
	return &templates.RecoveryCodesPage{
		Frame: x.Web.Frame(r), Action: v.site.Base() + pathSaved, CSRF: v.csrf, AgentEmail: v.Agent.Email,
		Codes: codes, Renewed: v.held.Codes > 0,
	}, err
}

// answerAdded answers a form that adds a factor. back is the way to its page from
// a sign-in, and name the name that was typed.
func (x *Account) answerAdded(w http.ResponseWriter, r *http.Request, path, back, name string, out added, err error) error {
	switch {
	case errors.Is(err, factor.ErrTooMany):
		return x.failed(w, r, pathFactors, "too_many_factors")
	case err != nil:
		return x.leadKeeping(w, r, path, back, url.Values{"name": {name}}, err)
	case out.again != nil:
		return x.Web.Render(w, r, http.StatusUnprocessableEntity, out.again)
	case out.problem != "":
		return x.failed(w, r, path, out.problem)
	}
	web.ClearCookie(w, r, draftCookie)
	x.hand(w, r, out.renewed)
	if out.codes != nil {
		say(w, r, noticeCookie, out.notice)
		return x.Web.Render(w, r, http.StatusOK, *out.codes)
	}
	return x.done(w, r, pathFactors, out.notice)
}

// beginPasskey is GET /account/factors/passkey.
func (x *Account) beginPasskey(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathPasskey, true, func(_ store.Tx, v *visit) (templates.Page, error) {
		if !factor.PasskeysPossible(v.site) {
			return nil, factor.ErrNoPasskeys
		}
		draft, err := x.kept(r, v.Agent.ID, pathPasskey)
		return x.passkeyPage(r, v, draft.Get("name"), v.said.problem), err
	})
}

func (x *Account) passkeyPage(r *http.Request, v *visit, name, problem string) templates.PasskeyPage {
	base := v.site.Base()
	return templates.PasskeyPage{
		Frame: x.Web.Frame(r), Action: base + pathPasskey, CSRF: v.csrf, OptionsURL: base + pathOptions, Name: name, Problem: problem, CancelURL: base + pathFactors,
	}
}

// passkeyOptions is POST /account/factors/passkey/options, by script: what
// navigator.credentials.create wants to know.
func (x *Account) passkeyOptions(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	var options []byte
	err = x.view(r, func(tx store.Tx, v *visit) (err error) {
		if err := v.mayChange(form); err != nil {
			return err
		}
		options, err = x.Factors.BeginPasskey(r.Context(), tx, v.site, v.Agent, v.owner())
		return err
	})
	if err != nil {
		return x.byScript(err)
	}
	web.WriteJSONBytes(w, http.StatusOK, options)
	return nil
}

// finishPasskey is POST /account/factors/passkey: the new passkey's answer.
func (x *Account) finishPasskey(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	answer, name := []byte(form.Get("credential")), form.Get("name")
	if len(answer) > maxCredential {
		return web.ErrTooLarge
	}
	var out added
	err = x.update(r, form, func(tx store.Tx, v *visit) error {
		got, err := x.Factors.FinishPasskey(r.Context(), tx, v.site, v.Agent, v.owner(), answer, name)
		if errors.Is(err, factor.ErrName) {
			got, err = factor.Added{Reason: "name_invalid"}, nil
		}
		switch {
		case err != nil:
			return err
		case !got.OK:
			out = added{problem: got.Reason, again: x.passkeyPage(r, v, name, got.Reason)}
			return nil
		}
		out, err = x.added(r, tx, v, got, templates.NoticePasskeyAdded, "user", "mfa")
		return err
	})
	return x.answerAdded(w, r, pathPasskey, pathPasskey, name, out, err)
}

func (x *Account) askCodes(_ store.Tx, _ *http.Request, v *visit, _ string) (templates.ConfirmPage, error) {
	if !v.held.Any() {
		return templates.ConfirmPage{}, &refusal{"changed_meanwhile"}
	}
	return templates.ConfirmPage{Kind: "renew_codes", Count: v.held.Codes}, nil
}

// renewCodes shows ten new recovery codes, this once.
func (x *Account) renewCodes(ctx context.Context, tx store.Tx, r *http.Request, v *visit, _ string) (finish, error) {
	page, err := x.newCodes(ctx, tx, r, v)
	if err != nil {
		return nil, err
	}
	if err := x.tell(ctx, tx, v, templates.NoticeCodesRenewed); err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		factor.ClearDevice(w, r)
		say(w, r, noticeCookie, "codes_renewed")
		return x.Web.Render(w, r, http.StatusOK, *page)
	}, nil
}

// codesSaved is POST /account/factors/saved: the codes have been looked at.
func (x *Account) codesSaved(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	if err := x.view(r, func(_ store.Tx, v *visit) error { return v.showed(form) }); err != nil {
		return x.lead(w, r, pathFactors, err)
	}
	return web.SeeOther(w, r, site.From(r.Context()).Base()+pathFactors)
}
