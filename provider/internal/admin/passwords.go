package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

type setPasswordInput struct {
	Site     string `json:"site"`
	Email    string `json:"email"`
	Password string `json:"password"`
}

type ended struct {
	Ended   int    `json:"ended"`             // sessions
	Warning string `json:"warning,omitempty"` // the password lets nobody in
}

// setPassword ends every session of the agent: whoever had the old password may
// hold one.
func (a *Admin) setPassword(ctx context.Context, in setPasswordInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	prepared, err := a.prepare(ctx, s, in)
	if err != nil {
		return nil, err
	}
	var out ended
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		if err := prepared.Apply(tx, &rec, a.Now()); err != nil {
			return err
		}
		if err := store.Agents.Put(tx, &rec); err != nil {
			return err
		}
		if out.Ended, err = a.Sessions.EndAll(ctx, tx, s, rec.ID, "password_set", operator(ctx)); err != nil {
			return err
		}
		if _, err := a.Factors.ForgetAll(ctx, tx, rec.ID, operator(ctx)); err != nil {
			return err
		}
		if err := store.PasswordLinks.Delete(tx, rec.ID); err != nil {
			return err
		}
		if err := a.notify(ctx, tx, s, rec, templates.NoticePasswordReset); err != nil {
			return err
		}
		if out.Warning, err = enforcedWarning(tx, s, &rec, passwordIdle); err != nil {
			return err
		}
		return a.record(ctx, tx, audit.PasswordChange, audit.Ref{Type: "agent", ID: rec.ID}, Change{})
	})
	if errors.Is(err, password.ErrChanged) {
		err = errMoved
	}
	return out, err
}

// prepare holds the new password to the site's rules and hashes it.
func (a *Admin) prepare(ctx context.Context, s *site.Site, in setPasswordInput) (p password.Prepared, err error) {
	var rec store.Agent
	var factors bool
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		if rec, err = findAgent(tx, in.Email); err != nil {
			return err
		}
		factors, err = hasFactor(tx, &rec)
		return err
	})
	if err != nil {
		return p, err
	}
	var checks []policy.PasswordCheck
	err = a.patiently(ctx, func() error {
		p, checks, err = a.Rules.Prepare(ctx, s, &rec, password.WhoIs(&rec, factors), in.Password, password.Administrator)
		return err
	})
	if failed := policy.PasswordFailed(checks); err == nil && len(failed) > 0 {
		err = usage("the password of %s breaks the site's rules: %s", rec.Email, brokenRules(failed))
	}
	return p, err
}

// hasFactor reports whether an agent holds an authenticator.
func hasFactor(tx store.Tx, agent *store.Agent) (bool, error) {
	for _, err := range store.Authenticators.Keys(tx, "agent", agent.ID) {
		return err == nil, err
	}
	return false, nil
}

// patiently waits while sign-ins have the cores: they come first.
func (a *Admin) patiently(ctx context.Context, hash func() error) error {
	for {
		if err := hash(); !errors.Is(err, password.ErrBusy) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (a *Admin) hash(ctx context.Context, text string) (hash string, err error) {
	err = a.patiently(ctx, func() error {
		hash, err = a.Passwords.Hash(ctx, text)
		return err
	})
	return hash, err
}

// checkPasswords holds the passwords of agents that are to be made to the rules
// that their site will have. On loopback those of a file may be as weak as a test
// wants them, but for the limits that hold everywhere.
func (a *Admin) checkPasswords(ctx context.Context, file *siteFile, plans []*plan, h how, warnings *[]string) error {
	var faults faultList
	for i, p := range plans {
		s := &site.Site{Settings: *p.settings.after}
		made := map[string]*store.Agent{}
		for _, e := range p.agents {
			if e.before == nil {
				made[e.after.Email] = e.after
			}
		}
		for _, f := range file.Sites[i].Agents {
			agent := made[f.Email]
			if agent == nil || !f.Password.given() {
				continue
			}
			who := password.WhoIs(agent, f.TOTPSecret.given())
			failed := policy.PasswordFailed(a.checkPassword(ctx, s, who, f.Password.reveal(), h))
			switch {
			case len(failed) == 0:
			case h.must == mayExist && a.loopback() && allowed(f.Password.reveal()):
				*warnings = append(*warnings, fmt.Sprintf("agent %s: the password breaks the site's rules, which is accepted on loopback only: %s", f.Email, brokenRules(failed)))
			default:
				faults.add(f.At, "agent %s: the password breaks the site's rules: %s", f.Email, brokenRules(failed))
			}
		}
	}
	return faults.err()
}

// checkPassword asks a service of breached passwords about a single agent's only:
// a file may have thousands.
func (a *Admin) checkPassword(ctx context.Context, s *site.Site, who password.Who, text string, h how) []policy.PasswordCheck {
	if h.must == mustNotExist {
		return a.Rules.Judge(ctx, s, who, text)
	}
	return a.Rules.Check(s, who, text)
}

// allowed reports whether a password keeps the limits that no site can change.
func allowed(text string) bool {
	return len(policy.PasswordFailed(policy.CheckPassword(policy.PasswordRules{}, policy.PasswordFacts{}, text))) == 0
}

// brokenRules says to an operator what a password must be.
func brokenRules(failed []policy.PasswordCheck) string {
	var said []string
	for _, c := range failed {
		said = append(said, ruleWords(c))
	}
	return strings.Join(said, "; ")
}

func ruleWords(c policy.PasswordCheck) string {
	switch c.Rule {
	case policy.PasswordLength:
		return fmt.Sprintf("it has fewer than %d characters", c.Wanted)
	case policy.PasswordTooLong:
		return fmt.Sprintf("it has more than %d characters", c.Wanted)
	case policy.PasswordText:
		return "it is not text"
	case policy.PasswordKinds:
		return fmt.Sprintf("it mixes fewer than %d of upper case, lower case, digits and other signs", c.Wanted)
	case policy.PasswordNames:
		return "a name of the agent or of the site, or a part of the address is in it"
	case policy.PasswordCommon:
		return "many people use it, or one very like it"
	case policy.PasswordBreached:
		return "it is known from a breach"
	case policy.PasswordHistory:
		return fmt.Sprintf("it is one of the agent's last %d", c.Wanted)
	default:
		return "it breaks the rule " + c.Rule
	}
}
