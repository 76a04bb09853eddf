package signin

import (
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

const (
	// forgotTime is when a request for a link is answered, or a multiple of it where
	// the house is busy: nothing may tell whether there is such an account.
	forgotTime = 100 * time.Millisecond
	// forgotPerNetwork is how many requests an hour one network has.
	forgotPerNetwork = 30
)

// showForgot is GET /forgot. The parameter flow, if given, is the sign-in that
// was left for it.
func (x *SignIn) showForgot(w http.ResponseWriter, r *http.Request) error {
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	return x.forgotForm(w, r, http.StatusOK, query.Get("flow"), "", "")
}

func (x *SignIn) forgotForm(w http.ResponseWriter, r *http.Request, status int, flow, email, problem string) error {
	s := site.From(r.Context())
	if !x.mails() {
		return x.Web.Render(w, r, http.StatusOK, templates.MailOffPage{Frame: x.Web.Frame(r), BackURL: x.backTo(r, s, flow)})
	}
	if len(email) > maxTyped {
		email = ""
	}
	page := templates.ForgotPage{Frame: x.Web.Frame(r), Action: s.Base() + "/forgot" + flowQuery(flow), Email: email, Problem: problem, BackURL: x.backTo(r, s, flow)}
	return x.Web.Render(w, r, status, page)
}

func flowQuery(flow string) string {
	if flow == "" {
		return ""
	}
	return "?" + url.Values{"flow": {flow}}.Encode()
}

// backTo is the sign-in that this browser left, if it still has it, or else one of
// its own.
func (x *SignIn) backTo(r *http.Request, s *site.Site, flow string) string {
	if _, err := x.Sessions.SignIn(r, s, flow); err != nil {
		return s.Base() + "/account"
	}
	return s.Base() + "/sign-in/" + url.PathEscape(flow)
}

// submitForgot is POST /forgot. The answer is the same, in words, work on the
// disk and time, whether there is such an account, and whether it gets a mail.
func (x *SignIn) submitForgot(w http.ResponseWriter, r *http.Request) error {
	began := x.Now()
	s := site.From(r.Context())
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	flow, typed := query.Get("flow"), form.Get("email")
	if !x.mails() {
		return x.forgotForm(w, r, http.StatusOK, flow, "", "")
	}
	email, err := web.CanonicalEmail(typed)
	switch {
	case typed == "":
		return x.forgotForm(w, r, http.StatusUnprocessableEntity, flow, typed, "email_missing")
	case err != nil:
		return x.forgotForm(w, r, http.StatusUnprocessableEntity, flow, typed, "email_invalid")
	}
	left := flow
	if _, err := x.Sessions.SignIn(r, s, flow); err != nil {
		left = "" // not this browser's
	}
	pause, err := x.mailLink(r, s, email, left)
	if err != nil {
		return err
	}
	if pause > 0 {
		w.Header().Set("Retry-After", retryAfter(pause))
		return x.forgotForm(w, r, http.StatusTooManyRequests, flow, typed, "throttled")
	}
	took := x.Now().Sub(began)
	wait(r.Context(), forgotTime-took%forgotTime)
	page := templates.ForgotSentPage{Frame: x.Web.Frame(r), Email: email, Minutes: int(resetLife / time.Minute), BackURL: x.backTo(r, s, flow)}
	return x.Web.Render(w, r, http.StatusOK, page)
}

// mailLink queues what the owner of the address is to get: a link, the advice to
// use single sign-on, or nothing.
func (x *SignIn) mailLink(r *http.Request, s *site.Site, email, flow string) (wait time.Duration, err error) {
	ctx := r.Context()
	err = x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		now := x.Now()
		if wait, err = x.forgotWait(tx, web.Network(web.ClientIP(ctx)).String(), now); err != nil || wait > 0 {
			return err
		}
		allowed, err := x.Mail.Allow(tx, "reset", email, now) // counts unknown addresses too
		if err != nil {
			return err
		}
		agent, err := store.Agents.Find(tx, "email", email)
		if errors.Is(err, store.ErrNotFound) || err == nil && (agent.Inactive || !allowed) {
			return nil
		}
		if err != nil {
			return err
		}
		return x.offerReset(tx, r, s, agent, flow)
	})
	return wait, err
}

// offerReset mails what suits the agent. Who never had a password and was not
// invited to set one signs in elsewhere.
func (x *SignIn) offerReset(tx store.Tx, r *http.Request, s *site.Site, agent store.Agent, flow string) error {
	invited := false
	if s.Enforcing(agent.Email, x.Now()) != nil {
		return x.notice(tx, r, s, agent, "sso_only")
	}
	if agent.PasswordHash == "" {
		link, err := store.PasswordLinks.Get(tx, agent.ID)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if invited = err == nil && link.Invites; !invited {
			return x.notice(tx, r, s, agent, "sso_only")
		}
	}
	link, err := x.newLink(tx, s, agent, invited, true, flow)
	if err != nil {
		return err
	}
	if err := x.Mail.Link(r.Context(), tx, s, agent, link, invited, life(invited)); err != nil {
		return err
	}
	return x.Audit.Record(r.Context(), tx, audit.Event{
		Action: audit.PasswordForgot, Object: audit.Ref{Type: policy.Agent, ID: agent.ID}, Result: audit.Success,
	})
}

// forgotWait counts the network's request, and says how long the network has to
// wait if it had too many.
func (x *SignIn) forgotWait(tx store.Tx, network string, now time.Time) (time.Duration, error) {
	if x.Throttle.PerNetwork == 0 {
		return 0, nil
	}
	a, err := attempts(tx, "forgot:"+network, now)
	if err != nil {
		return 0, err
	}
	if a.Count >= forgotPerNetwork {
		return a.Expires.Sub(now), nil
	}
	if a.Count == 0 {
		a.First, a.Expires = now, now.Add(time.Hour)
	}
	a.Count++
	a.Last = now
	return 0, store.AllAttempts.Put(tx, &a)
}
