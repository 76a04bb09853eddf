package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"golang.org/x/text/unicode/norm"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// setUpLife is how long a set-up link works.
const setUpLife = time.Hour

// SetUpLink makes the one-time link that creates the site's first administrator
// and voids the one before; "" if there is an administrator already. Only its
// hash is stored.
func (x *SignIn) SetUpLink(ctx context.Context, s *site.Site) (string, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	hash := sha256.Sum256(secret)
	var needed bool
	err := x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		administered, err := hasAdministrator(tx)
		if needed = !administered; err != nil || administered {
			return err
		}
		now := x.Now()
		return store.SetUps.Put(tx, &store.SetUp{Hash: hash[:], Created: now, Expires: now.Add(setUpLife)})
	})
	if err != nil {
		return "", fmt.Errorf("make the set-up link: %w", err)
	}
	if !needed {
		return "", nil
	}
	return s.URL("/set-up/" + base64.RawURLEncoding.EncodeToString(secret)), nil
}

// hasAdministrator counts the inactive ones too: a site that had one is set up.
func hasAdministrator(tx store.Tx) (bool, error) {
	for _, err := range store.Agents.Keys(tx, "role", policy.Administrators) {
		return err == nil, err
	}
	return false, nil
}

// checkLink is ErrLinkSpent unless token is the site's live link.
func (x *SignIn) checkLink(tx store.Tx, token string) error {
	secret, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || strings.ContainsAny(token, "\r\n") {
		return ErrLinkSpent
	}
	link, err := store.SetUps.Get(tx, store.SetUpKey)
	if errors.Is(err, store.ErrNotFound) {
		return ErrLinkSpent
	}
	if err != nil {
		return err
	}
	hash := sha256.Sum256(secret)
	if subtle.ConstantTimeCompare(hash[:], link.Hash) != 1 || !x.Now().Before(link.Expires) {
		return ErrLinkSpent
	}
	administered, err := hasAdministrator(tx)
	if err == nil && administered {
		err = ErrLinkSpent
	}
	return err
}

func (x *SignIn) linkWorks(r *http.Request, s *site.Site) error {
	if _, err := web.ReadQuery(r); err != nil {
		return err
	}
	return x.Store.View(r.Context(), s.Path, func(tx store.Tx) error { return x.checkLink(tx, r.PathValue("token")) })
}

func (x *SignIn) showSetUp(w http.ResponseWriter, r *http.Request) error {
	if err := x.linkWorks(r, site.From(r.Context())); err != nil {
		return err
	}
	return x.setUpForm(w, r, http.StatusOK, administrator{}, nil, nil)
}

// setUpForm shows it, with what the rules say of the password: nil if none was typed.
func (x *SignIn) setUpForm(w http.ResponseWriter, r *http.Request, status int, a administrator, checks []policy.PasswordCheck, problems []string) error {
	s := site.From(r.Context())
	judged := checks != nil
	if !judged {
		checks = x.Rules.Check(s, a.who(), "")
	}
	action := s.Base() + "/set-up/" + url.PathEscape(r.PathValue("token"))
	page := templates.SetUpPage{
		Frame: x.Web.Frame(r), Action: action, Email: a.typed, Name: a.name, Rules: ruleLines(checks, judged, true), CheckURL: action + "/check", Problems: problems,
	}
	return x.Web.Render(w, r, status, page)
}

// checkSetUp is POST /set-up/{token}/check: the ticks while one types.
func (x *SignIn) checkSetUp(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	if err := x.linkWorks(r, s); err != nil {
		return err
	}
	a, _ := parseAdministrator(form)
	return x.ticks(w, s, store.Agent{Name: a.name, Email: a.email}, Facts{}, form)
}

// submitSetUp checks the link before it hashes and again as it spends it.
func (x *SignIn) submitSetUp(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	if err := x.linkWorks(r, s); err != nil {
		return err
	}
	a, problems := parseAdministrator(form)
	prepared, checks, err := x.setUpPassword(r.Context(), s, a, len(problems) > 0)
	if err != nil {
		return err
	}
	if len(problems) > 0 || len(policy.PasswordFailed(checks)) > 0 {
		return x.setUpForm(w, r, http.StatusUnprocessableEntity, a, checks, problems)
	}
	codes, err := x.claim(r.Context(), s, r.PathValue("token"), a, prepared)
	if errors.Is(err, store.ErrExists) {
		return x.setUpForm(w, r, http.StatusUnprocessableEntity, a, checks, []string{"email_taken"})
	}
	if err != nil {
		return err
	}
	return x.Web.Render(w, r, http.StatusOK, templates.SetUpDonePage{
		Frame: x.Web.Frame(r), Email: a.email, SignInURL: s.Base() + "/account", BreakGlassCodes: codes, BreakGlassURL: s.URL("/break-glass"),
	})
}

// claim spends the link and creates the administrator in one transaction, so
// that of any number of claims one succeeds. It returns the offline codes with
// which an administrator who is shut out gets in again.
func (x *SignIn) claim(ctx context.Context, s *site.Site, token string, a administrator, prepared password.Prepared) (codes []string, err error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("make the agent's id: %w", err)
	}
	err = x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		if err := x.checkLink(tx, token); err != nil {
			return err
		}
		now := x.Now()
		agent := store.Agent{
			ID: id.String(), Email: a.email, Name: a.name, Roles: []string{policy.Administrators},
			Created: now,
		}
		if err := prepared.Apply(tx, &agent, now); err != nil {
			return err
		}
		if err := store.Agents.Create(tx, &agent); err != nil {
			return err
		}
		if err := store.SetUps.Delete(tx, store.SetUpKey); err != nil {
			return err
		}
		ref := audit.Ref{Type: policy.Agent, ID: agent.ID}
		err := x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.SetUpFinish, Actor: ref, Object: ref, Result: audit.Success,
			Changes:  []audit.Change{{Field: "roles", New: policy.Administrators}},
			Personal: map[string]string{"email": agent.Email, "name": agent.Name},
		})
		if err != nil {
			return err
		}
		codes, err = x.Glass.NewCodes(ctx, tx, s, ref)
		return err
	})
	return codes, err
}

// administrator is what was typed for the first one.
type administrator struct {
	typed, email, name, pw string
}

func (a administrator) who() password.Who { return password.Who{Name: a.name, Email: a.email} }

const maxName = 120 // characters

// parseAdministrator lists everything that is wrong at once, as message keys.
func parseAdministrator(form url.Values) (a administrator, problems []string) {
	a = administrator{typed: form.Get("email"), name: strings.TrimSpace(norm.NFC.String(form.Get("name")))}
	var err error
	if a.typed == "" {
		problems = append(problems, "email_missing")
	} else if a.email, err = web.CanonicalEmail(a.typed); err != nil {
		problems = append(problems, "email_invalid")
	}
	switch {
	case a.name == "":
		problems = append(problems, "name_missing")
	case utf8.RuneCountInString(a.name) > maxName:
		problems = append(problems, "name_too_long")
	case strings.ContainsFunc(a.name, func(r rune) bool { return !unicode.IsPrint(r) }):
		problems = append(problems, "name_invalid")
	}
	a.pw = form.Get("new_password")
	if a.pw == "" {
		return a, append(problems, "password_missing")
	}
	if pw, err := password.Normalize(a.pw); err == nil { // else the rules say what is wrong with it
		if again, err := password.Normalize(form.Get("confirm_password")); err != nil || again != pw {
			problems = append(problems, "confirm_mismatch")
		}
	}
	return a, problems
}

// setUpPassword holds the password to the site's rules, and prepares it unless
// something else is wrong; nil: none was typed.
func (x *SignIn) setUpPassword(ctx context.Context, s *site.Site, a administrator, wrong bool) (p password.Prepared, checks []policy.PasswordCheck, err error) {
	switch {
	case a.pw == "":
		return p, nil, nil
	case wrong:
		return p, x.Rules.Check(s, a.who(), a.pw), nil
	}
	return x.Rules.Prepare(ctx, s, &store.Agent{}, a.who(), a.pw, password.Administrator)
}
