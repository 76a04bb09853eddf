package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showPassword is GET /account/password.
func (x *Account) showPassword(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathPassword, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		if v.passwordsOff() { // there is nothing to prove oneself for
			return templates.AccountPasswordPage{AccountFrame: x.frame(r, v), Off: true}, nil
		}
		if err := v.prove(); err != nil {
			return nil, err
		}
		return x.passwordPage(tx, r, v, nil, nil)
	})
}

// passwordsOff reports whether a password of the agent's lets nobody in now.
func (v *visit) passwordsOff() bool { return v.site.Enforcing(v.Agent.Email, v.now) != nil }

// errPasswordsOff is a new password for an account that signs in elsewhere.
var errPasswordsOff = fmt.Errorf("%w: passwords are off for the account", web.ErrNotFound)

// mayChoose is mayChange, and holds the form to there being one.
func (v *visit) mayChoose(form url.Values) error {
	if err := v.mayChange(form); err != nil {
		return err
	}
	if v.passwordsOff() {
		return errPasswordsOff
	}
	return nil
}

// passwordPage has every rule, and what it says of what was typed: of nothing
// where checks is nil.
func (x *Account) passwordPage(tx store.Tx, r *http.Request, v *visit, checks []policy.PasswordCheck, problems []string) (templates.Page, error) {
	base := v.site.Base()
	page := templates.AccountPasswordPage{
		AccountFrame: x.frame(r, v), Action: base + pathPassword, HasPassword: v.Agent.PasswordHash != "", Changed: v.Agent.PasswordChanged,
		CheckURL: base + pathPasswordCheck, Problems: problems, NeedsCurrent: v.Agent.PasswordHash != "",
	}
	_, page.Days = v.passwordAge()
	judged := checks != nil
	if !judged {
		checks = x.Rules.Check(v.site, v.who(), "")
	}
	for _, c := range checks {
		line := templates.RuleLine{Rule: c.Rule, Wanted: c.Wanted}
		switch {
		case !judged || c.Later:
		case c.OK:
			line.State = templates.RuleOK
		default:
			line.State = templates.RuleFailed
		}
		page.Rules = append(page.Rules, line)
	}
	if ok, from := policy.MayChangePassword(password.RulesOf(v.site.Settings.Password), v.Agent.PasswordSelfChanges, v.now); !ok {
		page.NotBefore = from
	}
	all, err := x.Sessions.List(tx, v.site, v.Agent.ID)
	page.Ends = max(0, len(all)-1)
	return page, err
}

func (v *visit) who() password.Who { return password.WhoIs(&v.Agent, v.held.Any()) }

// checkPassword is POST /account/password/check, by script: the ticks.
func (x *Account) checkPassword(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	type tick struct {
		Rule   string `json:"rule"`
		OK     bool   `json:"ok"`
		Wanted int    `json:"wanted,omitempty"`
		Later  bool   `json:"later,omitempty"`
	}
	var who password.Who
	err = x.view(r, func(_ store.Tx, v *visit) error {
		who = v.who()
		return v.mayChoose(form)
	})
	if err != nil {
		return x.byScript(err)
	}
	ticks := []tick{}
	for _, c := range x.Rules.Check(site.From(r.Context()), who, form.Get("new_password")) {
		ticks = append(ticks, tick{c.Rule, c.OK, c.Wanted, c.Later})
	}
	return web.WriteJSON(w, http.StatusOK, map[string]any{"rules": ticks})
}

// byScript is an error as a script gets it: it cannot go and sign in.
func (x *Account) byScript(err error) error {
	var must *mustSignIn
	if errors.As(err, &must) {
		return session.ErrNone
	}
	return err
}

// submitPassword is POST /account/password. A try is counted, the passwords are
// hashed outside any transaction, and one Update answers the old password and
// changes to the new one.
func (x *Account) submitPassword(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	typed := parsePassword(form)
	var seen visit
	err = x.view(r, func(tx store.Tx, v *visit) error {
		if err := v.mayChoose(form); err != nil {
			return err
		}
		seen = *v
		return x.mayTry(tx, v)
	})
	var wait *tooMany
	switch {
	case errors.As(err, &wait):
		return x.passwordWaits(w, r, wait)
	case errors.Is(err, errPasswordsOff): // the page says so
		return web.SeeOther(w, r, site.From(r.Context()).Base()+pathPassword)
	case err != nil:
		return x.lead(w, r, pathPassword, err)
	}
	if typed.current == "" && seen.Agent.PasswordHash != "" {
		typed.problems = append(typed.problems, "current_missing")
	}
	if len(typed.problems) > 0 { // nothing is tried, so nothing counts
		return x.passwordAgain(w, r, http.StatusUnprocessableEntity, judged{checks: x.rulesOf(&seen, typed), problems: typed.problems})
	}
	err = x.update(r, form, x.count)
	switch {
	case errors.Is(err, store.ErrUnavailable): // and nothing will be judged
		return errors.Join(err, x.update(r, form, x.giveBack))
	case errors.As(err, &wait):
		return x.passwordWaits(w, r, wait)
	case err != nil:
		return x.lead(w, r, pathPassword, err)
	}
	out, err := x.judge(r, &seen, typed)
	if errors.Is(err, password.ErrBusy) {
		if err := x.update(r, form, x.giveBack); err != nil {
			return x.lead(w, r, pathPassword, err)
		}
		return x.passwordAgain(w, r, http.StatusServiceUnavailable, judged{problems: []string{"busy"}})
	}
	if err != nil {
		return err
	}
	return x.concludePassword(w, r, form, &seen, out)
}

// typedPassword is what was typed, and what is wrong with it whatever the rules
// say.
type typedPassword struct {
	current, new string
	problems     []string
}

func parsePassword(form url.Values) (t typedPassword) {
	t.current, t.new = form.Get("password"), form.Get("new_password")
	pw, err := password.Normalize(t.new)
	if errors.Is(err, password.ErrEmpty) {
		t.problems = append(t.problems, "password_missing")
	} else if again, wrong := password.Normalize(form.Get("confirm_password")); err == nil && (wrong != nil || again != pw) {
		t.problems = append(t.problems, "confirm_mismatch")
	}
	return t
}

// judged is what the hashes say.
type judged struct {
	current  bool // the old password is right
	prepared password.Prepared
	checks   []policy.PasswordCheck
	problems []string
}

func (j *judged) broken() bool { return len(policy.PasswordFailed(j.checks)) > 0 }

// judge tries the old password, and lists every rule that the new one breaks also
// where that is wrong.
func (x *Account) judge(r *http.Request, v *visit, typed typedPassword) (out judged, err error) {
	if out.current = v.Agent.PasswordHash == ""; !out.current {
		if out.current, err = x.matches(r.Context(), v.Agent.PasswordHash, typed.current); err != nil {
			return out, err
		}
	}
	if !out.current {
		out.checks = x.rulesOf(v, typed)
		return out, nil
	}
	out.prepared, out.checks, err = x.Rules.Prepare(r.Context(), v.site, &v.Agent, v.who(), typed.new, password.Self)
	return out, err
}

// rulesOf is what the rules say of a new password that was typed; nil: none was.
func (x *Account) rulesOf(v *visit, typed typedPassword) []policy.PasswordCheck {
	if typed.new == "" {
		return nil
	}
	return x.Rules.Check(v.site, v.who(), typed.new)
}

func (x *Account) matches(ctx context.Context, hash, typed string) (bool, error) {
	pw, err := password.Normalize(typed)
	if err != nil {
		return false, nil //nolint:nilerr // nobody's password
	}
	slot, err := x.Passwords.Slot(ctx)
	if err != nil {
		return false, err
	}
	defer slot.Release()
	ok, _, err := slot.Verify(hash, pw)
	if err != nil {
		web.Log(ctx).Error().Err(err).Msg("a stored password hash cannot be used")
	}
	return ok, nil
}

// concludePassword is the transaction that answers, also for somebody who has
// hung up.
func (x *Account) concludePassword(w http.ResponseWriter, r *http.Request, form url.Values, seen *visit, out judged) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), concludeTime)
	defer cancel()
	var after renewed
	changed := false
	err := x.update(r.WithContext(ctx), form, func(tx store.Tx, v *visit) error {
		changed = false
		if !out.current || v.Agent.PasswordHash != seen.Agent.PasswordHash {
			return x.recordWrong(ctx, tx, v)
		}
		if err := x.forgetWrong(tx, v); err != nil || out.broken() {
			return err
		}
		changed = true
		var err error
		after, err = x.setPassword(ctx, tx, v, out.prepared)
		return err
	})
	if errors.Is(err, password.ErrTooManyChanges) || errors.Is(err, store.ErrUnavailable) { // the old password was right, or not answered
		err = errors.Join(err, x.update(r.WithContext(ctx), form, x.giveBack))
	}
	switch {
	case errors.Is(err, password.ErrTooManyChanges):
		return x.passwordAgain(w, r, http.StatusUnprocessableEntity, out)
	case err != nil:
		return x.lead(w, r, pathPassword, err)
	case changed:
		x.hand(w, r, after)
		return x.done(w, r, pathAccount, "password_changed")
	case !out.current:
		out.problems = []string{"current_wrong"}
	case !out.broken():
		out.problems = []string{"changed_meanwhile"}
	}
	return x.passwordAgain(w, r, http.StatusUnprocessableEntity, out)
}

// concludeTime bounds the answering transaction, whoever still waits for it.
const concludeTime = 10 * time.Second

// setPassword ends everything that was begun with the old password: sessions,
// grants, remembered devices, links in mails. This session goes on as a new one.
func (x *Account) setPassword(ctx context.Context, tx store.Tx, v *visit, prepared password.Prepared) (renewed, error) {
	agent := v.Agent
	if err := prepared.Apply(tx, &agent, v.now); err != nil {
		return renewed{}, err
	}
	if err := store.Agents.Put(tx, &agent); err != nil {
		return renewed{}, err
	}
	if _, err := x.Sessions.EndAll(ctx, tx, v.site, agent.ID, "password_changed", v.me()); err != nil {
		return renewed{}, err
	}
	if _, err := x.Factors.ForgetAll(ctx, tx, agent.ID, v.me()); err != nil {
		return renewed{}, err
	}
	if err := store.PasswordLinks.Delete(tx, agent.ID); err != nil {
		return renewed{}, err
	}
	if err := x.Audit.Record(ctx, tx, audit.Event{Action: audit.PasswordChange, Actor: v.me(), Object: v.me(), Reason: "changed"}); err != nil {
		return renewed{}, err
	}
	if err := x.tell(ctx, tx, v, templates.NoticePasswordChanged); err != nil {
		return renewed{}, err
	}
	return x.renew(ctx, tx, v, "")
}

// passwordAgain shows the form once more, with all that is wrong.
func (x *Account) passwordAgain(w http.ResponseWriter, r *http.Request, status int, out judged) error {
	var page templates.Page
	err := x.view(r, func(tx store.Tx, v *visit) (err error) {
		page, err = x.passwordPage(tx, r, v, out.checks, out.problems)
		return err
	})
	if err != nil {
		return x.lead(w, r, pathPassword, err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "1")
	}
	return x.Web.Render(w, r, status, page)
}

func (x *Account) passwordWaits(w http.ResponseWriter, r *http.Request, wait *tooMany) error {
	w.Header().Set("Retry-After", strconv.Itoa(int(wait.wait/time.Second)+1))
	return x.passwordAgain(w, r, http.StatusTooManyRequests, judged{problems: []string{"throttled"}})
}
