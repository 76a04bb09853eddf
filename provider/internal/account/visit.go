package account

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// proofLife is how long after a sign-in the account can be changed, and skew how
// much our clock may be behind that of the node where it was.
const (
	proofLife = 5 * time.Minute
	skew      = 5 * time.Second
)

// secretForms is the name of the site's key that binds forms to sessions.
const secretForms = "account-forms"

// visit is a request by an agent who is signed in, as its transaction sees it.
type visit struct {
	session.Visit
	site *site.Site
	held factor.Held
	now  time.Time
	csrf string // of the forms
	said words
}

// me is the agent in the audit log.
func (v *visit) me() audit.Ref { return audit.Ref{Type: policy.Agent, ID: v.Agent.ID} }

// mustSignIn is the sign-in that has to come first.
type mustSignIn struct{ store.SignIn }

func (e *mustSignIn) Error() string { return "the agent has to sign in first" }

// enter finds out who is there. Without a session, or with one that lacks what
// the rules ask now, it is mustSignIn; a web.Refusal refuses the network.
func (x *Account) enter(tx store.Tx, r *http.Request, key []byte) (*visit, error) {
	s := site.From(r.Context())
	found, err := x.Sessions.Visit(tx, r, s)
	switch {
	case errors.Is(err, session.ErrNone):
		return nil, &mustSignIn{}
	case errors.Is(err, session.ErrLacking):
		return nil, &mustSignIn{store.SignIn{AgentHint: found.Agent.ID}}
	case err != nil:
		return nil, err
	}
	v := &visit{Visit: found, site: s, now: x.Now().UTC(), csrf: formToken(key, found.Session)}
	v.held, err = x.Factors.Has(tx, found.Agent.ID)
	return v, err
}

// formToken binds forms to the session, whose sid outlives a new cookie: so does
// a form in another tab.
func formToken(key []byte, rec store.Session) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(rec.SID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// proven reports whether the session rests on a proof that is new and strong
// enough to change the account: a remembered browser is none.
func (v *visit) proven() bool {
	age := v.now.Sub(v.Session.AuthTime)
	return !v.Session.AskedUnknown && age >= -skew && age < proofLife && (!v.needsFactor() || policy.ACRMeets(v.Session.ACR, policy.ACRTwoFactors))
}

// needsFactor reports whether a change takes a second factor: whoever holds one
// shows it. Where break-glass has lifted that, administrators need not, who are to
// help themselves and then others; anybody else's password would be enough to
// take an account over for good in those minutes.
func (v *visit) needsFactor() bool {
	lifted := v.site.Lifted(store.ControlSecondFactor, v.now) && slices.Contains(v.Agent.Roles, policy.Administrators)
	return v.held.Any() && !lifted
}

// prove is mustSignIn unless the agent is proven.
func (v *visit) prove() error {
	if v.proven() {
		return nil
	}
	again := &mustSignIn{store.SignIn{AgentHint: v.Agent.ID, Fresh: true}}
	if v.needsFactor() {
		again.ACR = policy.ACRTwoFactors
	}
	return again
}

// view runs fn in a View, for a page. Afterwards the session has been used.
func (x *Account) view(r *http.Request, fn func(tx store.Tx, v *visit) error) error {
	ctx := r.Context()
	var found store.Session
	err := x.within(r, x.Store.View, func(tx store.Tx, v *visit) error {
		found = v.Session
		return fn(tx, v)
	})
	if err != nil {
		return err
	}
	return x.Sessions.Touch(ctx, site.From(ctx), found, web.ClientIP(ctx))
}

// update runs fn in an Update for a form that this session has shown, by an agent
// who is proven. The session is not touched besides: what is done is done, and a
// second write that failed would say otherwise.
func (x *Account) update(r *http.Request, form url.Values, fn func(tx store.Tx, v *visit) error) error {
	return x.within(r, x.Store.Update, func(tx store.Tx, v *visit) error {
		if err := v.mayChange(form); err != nil {
			return err
		}
		return fn(tx, v)
	})
}

func (v *visit) mayChange(form url.Values) error {
	if err := v.showed(form); err != nil {
		return err
	}
	return v.prove()
}

// showed is ErrForged for a form that this session has not shown.
func (v *visit) showed(form url.Values) error {
	if !hmac.Equal([]byte(v.csrf), []byte(form.Get("csrf"))) {
		return ErrForged
	}
	return nil
}

// within is a transaction that knows who is there.
func (x *Account) within(r *http.Request, run func(context.Context, string, func(store.Tx) error) error, fn func(store.Tx, *visit) error) error {
	ctx := r.Context()
	s := site.From(ctx)
	key, err := x.Keys.Secret(ctx, s.Path, secretForms)
	if err != nil {
		return err
	}
	return run(ctx, s.Path, func(tx store.Tx) error {
		v, err := x.enter(tx, r, key)
		if err != nil {
			return err
		}
		return fn(tx, v)
	})
}

// lead sends the browser to the sign-in if that is what err asks for, and from
// there to back, a path with its query.
func (x *Account) lead(w http.ResponseWriter, r *http.Request, back string, err error) error {
	var must *mustSignIn
	if !errors.As(err, &must) {
		return err
	}
	s := site.From(r.Context())
	rec := must.SignIn
	rec.Return = back
	id, err := x.Sessions.BeginSignIn(w, r, s, rec)
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, s.Base()+"/sign-in/"+url.PathEscape(id))
}

// done says on the next page what has been done, and goes there.
func (x *Account) done(w http.ResponseWriter, r *http.Request, page, notice string) error {
	say(w, r, noticeCookie, notice)
	return web.SeeOther(w, r, site.From(r.Context()).Base()+page)
}

// failed says on the next page why it has not been done, and goes there.
func (x *Account) failed(w http.ResponseWriter, r *http.Request, page, problem string) error {
	say(w, r, problemCookie, problem)
	return web.SeeOther(w, r, site.From(r.Context()).Base()+page)
}

// tell mails the agent what has been done to the account.
func (x *Account) tell(ctx context.Context, tx store.Tx, v *visit, kind string) error {
	if x.Mail == nil || !x.Mail.Configured() {
		return nil
	}
	return x.Mail.Notice(ctx, tx, v.site, v.Agent, kind)
}

// renew gives the session a new cookie after a change of what it rests on. amr is
// what the agent has proven besides.
func (x *Account) renew(ctx context.Context, tx store.Tx, v *visit, replaces string, amr ...string) (renewed, error) {
	start := session.Start{
		AgentID: v.Agent.ID, AMR: v.Session.AMR, ACR: v.Session.ACR, Remembered: v.Session.Remembered, Lifted: v.Session.Lifted,
		AuthTime: v.Session.AuthTime, Login: v.Session.Login, Replaces: replaces,
	}
	start.AskedUnknown, start.SingleSignOnLifted = v.Session.AskedUnknown, v.Session.SingleSignOnLifted
	if len(amr) > 0 {
		start.AMR = union(start.AMR, amr)
		if !policy.ACRMeets(start.ACR, policy.ACRTwoFactors) {
			start.ACR = policy.ACRTwoFactors
		}
	}
	rec, value, err := x.Sessions.Start(ctx, tx, v.site, start)
	return renewed{rec, value}, err
}

// renewed is a session's new cookie, to be set once it is committed.
type renewed struct {
	session store.Session
	value   string
}

func union(a, b []string) []string {
	all := slices.Clone(a)
	for _, v := range b {
		if !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}
