package signin

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showBreakGlass is GET /break-glass.
func (x *SignIn) showBreakGlass(w http.ResponseWriter, r *http.Request) error {
	if _, err := web.ReadQuery(r); err != nil {
		return err
	}
	return x.breakGlassForm(w, r, http.StatusOK, url.Values{})
}

func (x *SignIn) breakGlassForm(w http.ResponseWriter, r *http.Request, status int, form url.Values, problems ...string) error {
	page := templates.BreakGlassPage{
		Frame: x.Web.Frame(r), Action: site.From(r.Context()).Base() + "/break-glass",
		Controls: store.Controls(), Minutes: int(store.MaxBreakGlass / time.Minute), Problems: problems,
	}
	if typed := form.Get("email"); len(typed) <= maxTyped {
		page.Email = typed
	}
	if control := form.Get("control"); slices.Contains(page.Controls, control) {
		page.Control = control
	}
	return x.Web.Render(w, r, status, page)
}

// submitBreakGlass is POST /break-glass: an administrator's password and an
// offline code lift one control. No allowlist, second factor or single sign-on
// stands before it, because it is for the day when those fail.
func (x *SignIn) submitBreakGlass(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	typed, status, problem := parseCredentials(form)
	if problem != "" {
		return x.breakGlassForm(w, r, status, form, problem)
	}
	if !slices.Contains(store.Controls(), form.Get("control")) {
		return x.breakGlassForm(w, r, http.StatusUnprocessableEntity, form, "control_missing")
	}
	lifted, wait, err := x.breakGlass(r, typed, form.Get("code"), form.Get("control"))
	switch {
	case errors.Is(err, password.ErrBusy):
		w.Header().Set("Retry-After", "1")
		return x.breakGlassForm(w, r, http.StatusServiceUnavailable, form, "busy")
	case errors.Is(err, breakglass.ErrLifted):
		return x.breakGlassForm(w, r, http.StatusConflict, form, "control_lifted")
	case err != nil:
		return err
	case wait > 0:
		w.Header().Set("Retry-After", retryAfter(wait))
		return x.breakGlassForm(w, r, http.StatusTooManyRequests, form, "throttled")
	case lifted.Control == "":
		return x.breakGlassForm(w, r, http.StatusUnprocessableEntity, form, "break_glass")
	}
	s := site.From(r.Context())
	x.Glass.Said(s, lifted)
	return x.Web.Render(w, r, http.StatusOK, templates.BreakGlassDonePage{
		Frame: x.Web.Frame(r), Control: lifted.Control, Until: lifted.Until, SignInURL: s.Base() + "/account",
	})
}

// breakGlass judges the password as a sign-in does, counters included, and then
// the code. Whatever is wrong has one answer; lifted is then the zero value.
func (x *SignIn) breakGlass(r *http.Request, typed credentials, code, control string) (lifted store.BreakGlass, pause time.Duration, err error) {
	s := site.From(r.Context())
	slot, err := x.Passwords.Slot(r.Context())
	if err != nil {
		return lifted, 0, err
	}
	defer slot.Release()
	limits := x.Throttle.limits(s)
	device, err := x.known(r, s) // whom strangers keep locked is whom this is for
	if err != nil {
		return lifted, 0, err
	}
	seen, err := x.look(r.Context(), s, limits, typed.email, device)
	if err != nil || seen.wait > 0 {
		return lifted, seen.wait, err
	}
	kinds, err := x.kindsInUse(r.Context(), s)
	if err != nil {
		return lifted, 0, err
	}
	deadline := slot.Deadline(kinds)
	seen.judge(r.Context(), slot, typed.pw)
	slot.Release()

	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), concludeTime)
	defer cancel()
	r = r.WithContext(ctx)
	before := seen
	err = x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		seen, lifted = before, store.BreakGlass{}
		if err := seen.again(ctx, tx, limits, x.Now()); err != nil || seen.wait > 0 {
			return err
		}
		agent, err := agentOrNone(tx, seen.agent.ID)
		if err != nil {
			return err
		}
		if seen.proven && !agent.Inactive && seen.samePassword(agent) && slices.Contains(agent.Roles, policy.Administrators) {
			by := audit.Ref{Type: policy.Agent, ID: agent.ID}
			b, ok, err := x.Glass.Use(ctx, tx, s, code, control, by)
			if err != nil {
				return err
			}
			if ok {
				lifted = b
				return limits.succeeded(tx, &seen.try)
			}
		}
		return x.fail(tx, r, s, limits, &seen, agent, x.Now())
	})
	if err == nil && seen.wait == 0 && lifted.Control == "" {
		if !seen.recorded() {
			x.count(s, seen)
		}
		wait(ctx, deadline.Sub(x.Now()))
	}
	return lifted, seen.wait, err
}
