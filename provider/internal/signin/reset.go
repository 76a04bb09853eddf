package signin

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// linkCookie holds the secret of the link that was opened, so that no page with
// a form has it in its address.
const linkCookie = "password-link"

// openLink is GET /reset/{token} and /invitation/{token}. It spends nothing: mail
// scanners open links too.
func (x *SignIn) openLink(w http.ResponseWriter, r *http.Request) error {
	if _, err := web.ReadQuery(r); err != nil {
		return err
	}
	s, secret := site.From(r.Context()), r.PathValue("token")
	err := x.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		_, _, err := x.findLink(tx, s, secret)
		return err
	})
	var sso *elsewhere
	if err != nil && !errors.As(err, &sso) {
		return x.linkSpent(w, r, err)
	}
	web.SetCookie(w, r, linkCookie, secret, resetLife)
	return web.SeeOther(w, r, s.Base()+"/reset")
}

// linkedPassword is the form for the link that this browser has opened.
func (x *SignIn) linkedPassword(r *http.Request, s *site.Site) (secret string, p newPassword, err error) {
	secret, _ = web.Cookie(r, linkCookie)
	err = x.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		link, agent, err := x.findLink(tx, s, secret)
		if err != nil {
			return err
		}
		p = newPassword{agent: agent, kind: templates.PasswordReset, action: s.Base() + "/reset", check: s.Base() + "/reset/check"}
		if link.Invites {
			p.kind = templates.PasswordInvitation
		}
		p.held, err = x.facts(tx, r, s, agent)
		return err
	})
	return secret, p, err
}

// showReset is GET /reset.
func (x *SignIn) showReset(w http.ResponseWriter, r *http.Request) error {
	_, p, err := x.linkedPassword(r, site.From(r.Context()))
	if err != nil {
		return x.linkSpent(w, r, err)
	}
	return x.newPasswordForm(w, r, http.StatusOK, p)
}

// submitReset is POST /reset. It signs nobody in: the password alone may not be
// all that is asked for.
func (x *SignIn) submitReset(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	secret, p, err := x.linkedPassword(r, s)
	if err != nil {
		return x.linkSpent(w, r, err)
	}
	prepared, ok, err := x.prepare(r, s, &p, form, password.Reset)
	if err != nil || !ok {
		return x.newPasswordAgain(w, r, p, err)
	}
	left := "" // the sign-in that was left for the link
	err = x.Store.Update(r.Context(), s.Path, func(tx store.Tx) error {
		link, agent, err := x.findLink(tx, s, secret)
		if err != nil {
			return err
		}
		left = link.SignIn
		agent.EmailVerified = agent.EmailVerified || link.Mailed
		how := "reset"
		if link.Invites {
			how = "set"
		}
		return x.setPassword(tx, r, s, &agent, prepared, how)
	})
	if errors.Is(err, password.ErrChanged) { // another tab was first
		err = errLinkUsed
	}
	if err != nil {
		return x.linkSpent(w, r, err)
	}
	web.ClearCookie(w, r, linkCookie)
	return x.Web.Render(w, r, http.StatusOK, templates.ResetDonePage{Frame: x.Web.Frame(r), Email: p.agent.Email, Invited: p.kind == templates.PasswordInvitation, SignInURL: x.backTo(r, s, left)})
}

// checkReset is POST /reset/check: the ticks while one types.
func (x *SignIn) checkReset(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	_, p, err := x.linkedPassword(r, s)
	if err != nil {
		return err
	}
	return x.ticks(w, s, p.agent, p.held, form)
}
