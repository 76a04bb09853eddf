package signin

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// newPassword is the form for a new password.
type newPassword struct {
	agent    store.Agent
	held     Facts
	kind     string // templates.PasswordReset, …
	days     int
	action   string
	check    string // where the ticks come from
	skip     string
	client   string // the application that cancel leads back to
	cancel   string
	actions  []string
	problems []string
	checks   []policy.PasswordCheck // of what was typed; nil: nothing was
}

// newPasswordForm shows it, with every rule and what it says of what was typed.
func (x *SignIn) newPasswordForm(w http.ResponseWriter, r *http.Request, status int, p newPassword) error {
	s := site.From(r.Context())
	judged := p.checks != nil
	if !judged {
		p.checks = x.Rules.Check(s, password.WhoIs(&p.agent, p.held.any()), "")
	}
	page := templates.NewPasswordPage{
		Frame: x.Web.Frame(r), Action: p.action, Kind: p.kind, Days: p.days, Email: p.agent.Email,
		CheckURL: p.check, Problems: p.problems, SkipAction: p.skip, ClientName: p.client, CancelURL: p.cancel,
	}
	page.Rules = ruleLines(p.checks, judged, p.agent.PasswordHash == "")
	return x.Web.Render(w, r, status, page, p.actions...)
}

// ruleLines are the rules as a page shows them: without what they say if nothing was
// judged, and without that of former passwords if this is the first.
func ruleLines(checks []policy.PasswordCheck, judged, first bool) (lines []templates.RuleLine) {
	for _, c := range checks {
		if c.Rule == policy.PasswordHistory && first {
			continue
		}
		line := templates.RuleLine{Rule: c.Rule, Wanted: c.Wanted}
		switch {
		case !judged || c.Later:
		case c.OK:
			line.State = templates.RuleOK
		default:
			line.State = templates.RuleFailed
		}
		lines = append(lines, line)
	}
	return lines
}

// newPasswordAgain shows the form again, with what is wrong.
func (x *SignIn) newPasswordAgain(w http.ResponseWriter, r *http.Request, p newPassword, err error) error {
	switch {
	case err == nil:
		return x.newPasswordForm(w, r, http.StatusUnprocessableEntity, p)
	case errors.Is(err, password.ErrBusy):
		w.Header().Set("Retry-After", "1")
		p.problems = []string{"busy"}
		return x.newPasswordForm(w, r, http.StatusServiceUnavailable, p)
	case errors.Is(err, errTooManyChoices):
		w.Header().Set("Retry-After", retryAfter(longest))
		p.problems = []string{"throttled"}
		return x.newPasswordForm(w, r, http.StatusTooManyRequests, p)
	case errors.Is(err, password.ErrTooManyChanges):
		p.problems = []string{"password_rate"}
		return x.newPasswordForm(w, r, http.StatusUnprocessableEntity, p)
	case errors.Is(err, password.ErrChanged):
		p.problems = []string{"password_changed_meanwhile"}
		return x.newPasswordForm(w, r, http.StatusConflict, p)
	}
	return err
}

// ticks answers while one types: every rule, and whether it is kept.
func (x *SignIn) ticks(w http.ResponseWriter, s *site.Site, agent store.Agent, held Facts, form url.Values) error {
	type tick struct {
		Rule   string `json:"rule"`
		OK     bool   `json:"ok"`
		Wanted int    `json:"wanted,omitempty"`
		Later  bool   `json:"later,omitempty"`
	}
	ticks := []tick{}
	for _, c := range x.Rules.Check(s, password.WhoIs(&agent, held.any()), form.Get("new_password")) {
		ticks = append(ticks, tick{c.Rule, c.OK, c.Wanted, c.Later})
	}
	web.NoStore(w)
	return web.WriteJSON(w, http.StatusOK, map[string]any{"rules": ticks})
}

// typedPassword reads the two fields. What the rules say of the first is not
// asked here.
func typedPassword(form url.Values) (typed string, problems []string) {
	typed = form.Get("new_password")
	pw, err := password.Normalize(typed)
	if errors.Is(err, password.ErrEmpty) {
		return "", []string{"password_missing"}
	}
	if again, wrong := password.Normalize(form.Get("confirm_password")); err == nil && (wrong != nil || again != pw) {
		problems = append(problems, "confirm_mismatch")
	}
	return typed, problems
}

// showNewPassword is GET /sign-in/{id}/password.
func (x *SignIn) showNewPassword(w http.ResponseWriter, r *http.Request) error {
	f, h, err := x.due(r, StepNewPassword)
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.newPasswordForm(w, r, http.StatusOK, x.stepPassword(h))
}

// stepPassword is the form of the step.
func (x *SignIn) stepPassword(h half) newPassword {
	p := newPassword{
		agent: h.agent, held: h.facts, kind: h.step.Reason, days: h.step.Days,
		action: h.path(h.site, "/password"), check: h.path(h.site, "/password/check"), actions: h.formActions(),
		client: h.clientName(), cancel: h.cancelURL(h.site),
	}
	if h.step.mayWait() {
		p.kind, p.skip = templates.PasswordWarning, h.path(h.site, "/skip/"+string(StepNewPassword))
	}
	return p
}

// submitNewPassword is POST /sign-in/{id}/password. The old password, or a
// passkey, has just been proven in this sign-in.
func (x *SignIn) submitNewPassword(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	h, err := x.peekStep(r, f, StepNewPassword)
	if err != nil {
		return x.away(w, r, f, err)
	}
	by := password.Self
	if h.step.Reason == policy.DueMustChange { // it was not the agent's wish
		by = password.Reset
	}
	p := x.stepPassword(h)
	prepared, ok, err := x.prepare(r, h.site, &p, form, by)
	if err != nil || !ok {
		return x.newPasswordAgain(w, r, p, err)
	}
	out, err := x.take(r, f, StepNewPassword, func(tx store.Tx, h *half, _ *outcome) error {
		if err := x.setPassword(tx, r, h.site, &h.agent, prepared, "changed"); err != nil {
			return err
		}
		h.now = x.Now()
		h.AuthTime = h.now // of all that was proven before, this sign-in alone goes on
		return nil
	})
	switch {
	case errors.Is(err, password.ErrChanged), errors.Is(err, password.ErrTooManyChanges):
		return x.newPasswordAgain(w, r, p, err)
	case err != nil:
		return x.away(w, r, f, err)
	}
	return x.goOn(w, r, f, out)
}

// prepare holds what was typed to the rules and hashes it. p gets what is wrong.
func (x *SignIn) prepare(r *http.Request, s *site.Site, p *newPassword, form url.Values, by password.By) (password.Prepared, bool, error) {
	typed, problems := typedPassword(form)
	p.problems = problems
	if typed == "" {
		return password.Prepared{}, false, nil
	}
	if err := x.countChoice(r, s, p.agent.ID); err != nil {
		return password.Prepared{}, false, err
	}
	who := password.WhoIs(&p.agent, p.held.any())
	prepared, checks, err := x.Rules.Prepare(r.Context(), s, &p.agent, who, typed, by)
	if err != nil {
		return prepared, false, err
	}
	p.checks = checks
	return prepared, len(problems) == 0 && len(policy.PasswordFailed(checks)) == 0, nil
}

// maxChoices is how many passwords may be tried on in a quarter of an hour: each
// is hashed as often as the site remembers former ones.
const maxChoices = 120

var errTooManyChoices = errors.New("too many passwords were tried on")

// countChoice counts one for the agent before it is hashed.
func (x *SignIn) countChoice(r *http.Request, s *site.Site, agentID string) error {
	return x.Store.Update(r.Context(), s.Path, func(tx store.Tx) error {
		now := x.Now()
		a, err := attempts(tx, "choices:"+agentID, now)
		if err != nil {
			return err
		}
		if a.Count >= maxChoices {
			return errTooManyChoices
		}
		if a.Count == 0 {
			a.First, a.Expires = now, now.Add(longest)
		}
		a.Count++
		a.Last = now
		return store.AllAttempts.Put(tx, &a)
	})
}

// setPassword gives the agent the password and ends what was begun with the one
// before: sessions, grants, remembered devices, links. agent is the record after.
func (x *SignIn) setPassword(tx store.Tx, r *http.Request, s *site.Site, agent *store.Agent, prepared password.Prepared, how string) error {
	ctx := r.Context()
	if err := prepared.Apply(tx, agent, x.Now().UTC()); err != nil {
		return err
	}
	if err := store.Agents.Put(tx, agent); err != nil {
		return err
	}
	ref := audit.Ref{Type: policy.Agent, ID: agent.ID}
	if _, err := x.Sessions.EndAll(ctx, tx, s, agent.ID, "password_"+how, ref); err != nil {
		return err
	}
	if _, err := x.Factors.ForgetAll(ctx, tx, agent.ID, ref); err != nil {
		return err
	}
	why := store.LinkUsed
	if how == "changed" {
		why = store.LinkVoid
	}
	if err := spend(tx, agent.ID, why); err != nil {
		return err
	}
	err := x.Audit.Record(ctx, tx, audit.Event{Action: audit.PasswordChange, Actor: ref, Object: ref, Result: audit.Success, Reason: how})
	if err != nil {
		return err
	}
	if err := x.notice(tx, r, s, *agent, "password_"+how); err != nil {
		return err
	}
	*agent, err = store.Agents.Get(tx, agent.ID)
	return err
}

// checkNewPassword is POST /sign-in/{id}/password/check: the ticks while one
// types.
func (x *SignIn) checkNewPassword(w http.ResponseWriter, r *http.Request) error {
	f, form, err := x.submitted(r)
	if err != nil {
		return err
	}
	h, err := x.peekStep(r, f, StepNewPassword)
	if err != nil {
		return errors.Join(web.ErrNotFound, err)
	}
	return x.ticks(w, h.site, h.agent, h.facts, form)
}
