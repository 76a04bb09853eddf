package signin

import (
	"cmp"
	"errors"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// flow is a sign-in under way, with what its request says about the form.
type flow struct {
	store.SignIn
	query  url.Values // the authorization request
	client store.Client
}

func (x *SignIn) flow(r *http.Request, s *site.Site) (flow, error) {
	query, err := web.ReadQuery(r)
	if err != nil {
		return flow{}, err
	}
	for _, field := range []string{"email", "password"} {
		if query.Has(field) { // it is in logs and histories by now
			return flow{}, web.Public(web.ErrBadRequest, "credentials are sent in the body of the form, never in a URL")
		}
	}
	signIn, err := x.Sessions.SignIn(r, s, r.PathValue("id"))
	if err != nil {
		return flow{}, err
	}
	f := flow{SignIn: signIn}
	if f.query, err = web.ParseParameters(signIn.Query); err != nil {
		return flow{}, err
	}
	client, err := x.Sites.Client(r.Context(), s, f.query.Get("client_id"))
	if errors.Is(err, site.ErrNoClient) { // deleted since; the authorization endpoint says so
		return f, nil
	}
	if err != nil {
		return flow{}, err
	}
	f.client = *client
	return f, nil
}

// clientName is what the application is called on a page; "" for none.
func (f flow) clientName() string { return cmp.Or(f.client.Name, f.client.ID) }

// cancelURL leads back to the application without signing in.
func (f flow) cancelURL(s *site.Site) string {
	if f.Return != "" {
		return ""
	}
	return s.Base() + "/oauth/authorize/" + url.PathEscape(f.ID) + "?cancel=1"
}

// formActions are the origins to which the form may lead: Chromium applies
// form-action also to the redirects that follow, up to the client's.
func (f flow) formActions() []string {
	targets := f.client.RedirectURIs
	if asked := f.query.Get("redirect_uri"); asked != "" {
		targets = []string{asked} // the authorization endpoint matched it before the flow began
	}
	var actions []string
	for _, target := range targets {
		u, err := url.Parse(target)
		if err != nil || u.Scheme == "" {
			continue
		}
		action := web.Origin(target)
		if action == "" { // a native application's own scheme
			action = u.Scheme + ":"
		}
		if !slices.Contains(actions, action) {
			actions = append(actions, action)
		}
	}
	return actions
}

func (x *SignIn) explain(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	err := x.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		_, err := x.Sessions.Find(tx, r, s)
		return err
	})
	if err == nil {
		return web.SeeOther(w, r, s.Base()+"/")
	}
	if !errors.Is(err, session.ErrNone) {
		return err
	}
	page := templates.ErrorPage{Frame: x.Web.Frame(r), Status: http.StatusOK, Key: "no_flow"}
	return x.Web.Render(w, r, http.StatusOK, page)
}

func (x *SignIn) show(w http.ResponseWriter, r *http.Request) error {
	f, err := x.flow(r, site.From(r.Context()))
	if err != nil {
		return err
	}
	h, err := x.peek(r, f)
	switch {
	case errors.Is(err, errNotBegun), err == nil && h.step.Name == StepPassword:
		if c := x.leadsAway(r, site.From(r.Context())); c != nil && f.rehearses(site.From(r.Context())) == nil {
			return web.SeeOther(w, r, f.startURL(site.From(r.Context()), c, f.query.Get("login_hint")))
		}
		return x.form(w, r, f, http.StatusOK, f.query.Get("login_hint"), "")
	case err != nil:
		return err
	case h.step.Name == StepDone: // the last page was left before its button was pressed
		return x.form(w, r, f, http.StatusOK, h.agent.Email, "")
	}
	return x.goOn(w, r, f, outcome{step: h.step})
}

// restart leads to the step that is due, from the address of a form whose answer
// was a page: to see it in another language, or after the browser was closed.
func (x *SignIn) restart(w http.ResponseWriter, r *http.Request) error {
	f, err := x.flow(r, site.From(r.Context()))
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, f.path(site.From(r.Context()), ""))
}

// form shows the sign-in page. problem is a key of its words; "" for none.
func (x *SignIn) form(w http.ResponseWriter, r *http.Request, f flow, status int, email, problem string) error {
	s := site.From(r.Context())
	page := templates.SignInPage{
		Frame: x.Web.Frame(r), Action: f.path(s, ""), ClientName: f.clientName(), Problem: problem, CancelURL: f.cancelURL(s),
	}
	if len(email) <= maxTyped {
		page.Email = email
	}
	if x.mails() {
		page.ForgotURL = s.Base() + "/forgot" + flowQuery(f.ID)
	}
	if factor.PasskeysPossible(s) {
		page.PasskeyURL, page.PasskeyAction = f.path(s, "/passkey/options"), f.path(s, "/passkey")
	}
	if c := f.rehearses(s); c != nil {
		page.Rehearses = c.Name
	} else {
		x.offerConnections(s, f, &page)
	}
	if f.AgentHint != "" {
		var err error
		if page.Email, err = x.hinted(r, s, f.AgentHint); err != nil {
			return err
		}
		page.FixedEmail = page.Email != ""
	}
	return x.Web.Render(w, r, status, page, f.formActions()...)
}

// hinted is the address of who has to sign in again. It is shown only to the
// browser that holds that agent's session.
func (x *SignIn) hinted(r *http.Request, s *site.Site, agentID string) (email string, err error) {
	err = x.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		email = ""
		rec, err := x.Sessions.Find(tx, r, s)
		if errors.Is(err, session.ErrNone) || err == nil && rec.AgentID != agentID {
			return nil
		}
		if err != nil {
			return err
		}
		agent, err := agentOrNone(tx, agentID)
		email = agent.Email
		return err
	})
	return email, err
}

// maxTyped is more than an e-mail address can have.
const maxTyped = 512

// credentials are what was typed.
type credentials struct {
	typed string // the address as typed, to show it again
	email string // and canonical; what is no address at all is nobody's
	pw    string // in the form that is hashed
}

// parseCredentials returns the problem with what was typed, if it can be told
// without asking the store.
func parseCredentials(form url.Values) (c credentials, status int, problem string) {
	c.typed = form.Get("email")
	if c.typed == "" {
		return c, http.StatusUnprocessableEntity, "email_missing"
	}
	if len(c.typed) > maxTyped {
		return c, http.StatusBadRequest, "email_invalid"
	}
	var err error
	if c.email, err = web.CanonicalEmail(c.typed); err != nil {
		c.email = "not an address: " + c.typed
	}
	c.pw, err = password.Normalize(form.Get("password"))
	switch {
	case errors.Is(err, password.ErrEmpty):
		return c, http.StatusUnprocessableEntity, "password_missing"
	case errors.Is(err, password.ErrTooLong):
		return c, http.StatusBadRequest, "password_too_long"
	case err != nil:
		return c, http.StatusBadRequest, "password_invalid"
	}
	return c, 0, ""
}

func (x *SignIn) submit(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	f, err := x.flow(r, s)
	if err != nil {
		return err
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	typed, status, problem := parseCredentials(form)
	if c := x.leads(s, typed.email, form.Get("password") != ""); c != nil {
		return x.lead(w, r, f, c, typed.email)
	}
	if problem != "" {
		return x.form(w, r, f, status, typed.typed, problem)
	}
	out, err := x.attempt(r, s, f, typed)
	switch {
	case errors.Is(err, password.ErrBusy):
		w.Header().Set("Retry-After", "1")
		return x.form(w, r, f, http.StatusServiceUnavailable, typed.typed, "busy")
	case err != nil:
		return err
	case out.wait > 0:
		w.Header().Set("Retry-After", retryAfter(out.wait))
		return x.form(w, r, f, http.StatusTooManyRequests, typed.typed, "throttled")
	}
	if out.step.Name == StepPassword {
		return x.form(w, r, f, http.StatusUnprocessableEntity, typed.typed, "wrong_credentials")
	}
	return x.goOn(w, r, f, out)
}

func (x *SignIn) refuse(w http.ResponseWriter, r *http.Request, f flow, reason string) error {
	page := templates.RefusedPage{
		Frame: x.Web.Frame(r), Reason: reason, RequestID: web.RequestID(r.Context()),
		RetryURL: f.path(site.From(r.Context()), ""), ClientName: f.clientName(), CancelURL: f.cancelURL(site.From(r.Context())),
	}
	if ip := web.ClientIP(r.Context()); ip.IsValid() {
		page.IP = ip.String()
	}
	return x.Web.Render(w, r, http.StatusForbidden, page)
}

func retryAfter(wait time.Duration) string {
	return strconv.Itoa(int(math.Ceil(wait.Seconds())))
}
