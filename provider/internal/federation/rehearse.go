package federation

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// A rehearsal is a sign-in through a connection by an administrator who is signed
// in already, has just shown it, and watches. It changes nothing but this: the
// administrator's own account is linked, which happens nowhere else, and the
// connection may be enforced until it changes.

const (
	// proofLife is how new the administrator's own sign-in must be.
	proofLife = 5 * time.Minute
	// secretForms is account's key that binds forms to sessions; a form of ours names
	// its purpose besides.
	secretForms = "account-forms"
	// permissionSSO is what it takes.
	permissionSSO = "sso.manage"
)

// mustSignIn is the sign-in that has to come first.
type mustSignIn struct{ store.SignIn }

func (e *mustSignIn) Error() string { return "somebody has to sign in first" }

// administrator is who is here, if they may rehearse and have just shown who they
// are; otherwise mustSignIn, a fault, or a web.Refusal.
func (x *Federation) administrator(tx store.Tx, r *http.Request, at *attempt) (session.Visit, error) {
	v, err := x.Sessions.Visit(tx, r, at.site)
	switch {
	case errors.Is(err, session.ErrNone):
		return v, &mustSignIn{}
	case errors.Is(err, session.ErrLacking):
		return v, &mustSignIn{store.SignIn{AgentHint: v.Agent.ID}}
	case err != nil:
		return v, err
	}
	at.agent = v.Agent.ID
	if !slices.Contains(at.site.Permissions(v.Agent.Roles), permissionSSO) {
		return v, refuse(codeNotAdministrator, "the agent lacks the permission %s", permissionSSO)
	}
	held, err := x.Factors.Has(tx, v.Agent.ID)
	if err != nil {
		return v, err
	}
	if !held.Any() { // a password alone would hand the house to whom the provider names
		return v, refuse(codeFactorNeeded, "the administrator has no second factor")
	}
	since := x.Now().Sub(v.Session.AuthTime)
	if v.Session.AskedUnknown || since < -skew || since >= proofLife || !policy.ACRMeets(v.Session.ACR, policy.ACRTwoFactors) {
		return v, &mustSignIn{store.SignIn{AgentHint: v.Agent.ID, Fresh: true, ACR: policy.ACRTwoFactors}}
	}
	return v, nil
}

// showRehearsal is GET /rehearse: what it is and does.
func (x *Federation) showRehearsal(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "start")
	if err != nil {
		return err
	}
	if at.conn.For != store.ForAgents {
		return ErrNoConnection
	}
	var page templates.RehearsePage
	key, err := x.Keys.Secret(r.Context(), at.site.Path, secretForms)
	if err != nil {
		return err
	}
	err = x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) error {
		v, err := x.administrator(tx, r, at)
		if err != nil {
			return err
		}
		linked, err := isLinked(tx, at.conn.ID, v.Agent.ID)
		page = templates.RehearsePage{
			Frame: x.Web.Frame(r), Action: at.path("/rehearse"), CSRF: formToken(key, at, v.Session), ConnectionName: at.conn.Name, Email: v.Agent.Email,
			Domains: provenDomains(at.site, at.conn), Links: !linked, BackURL: at.site.Base() + "/account",
		}
		return err
	})
	if err != nil {
		return x.leadToSignIn(w, r, at, err)
	}
	return x.Web.Render(w, r, http.StatusOK, page)
}

// rehearse is POST /rehearse: off to the provider.
func (x *Federation) rehearse(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "start")
	if err != nil {
		return err
	}
	if at.conn.For != store.ForAgents {
		return ErrNoConnection
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	key, err := x.Keys.Secret(r.Context(), at.site.Path, secretForms)
	if err != nil {
		return err
	}
	err = x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) error {
		v, err := x.administrator(tx, r, at)
		if err != nil {
			return err
		}
		if !hmac.Equal([]byte(formToken(key, at, v.Session)), []byte(form.Get("csrf"))) {
			return web.ErrCrossOrigin
		}
		at.flow = x.newFlow(at, modeRehearse)
		at.flow.Agent, at.flow.Session = v.Agent.ID, v.Session.SID
		return nil
	})
	if err != nil {
		return x.leadToSignIn(w, r, at, err)
	}
	return x.end(w, r, at, x.send(w, r, at, asked{fresh: true}))
}

func formToken(key []byte, at *attempt, rec store.Session) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("rehearse " + at.conn.ID + " " + rec.SID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func isLinked(tx store.Tx, connection, agentID string) (bool, error) {
	for link, err := range store.Links.List(tx, "agent", agentID) {
		if err != nil || link.Connection == connection && link.Rehearsed {
			return err == nil, err
		}
	}
	return false, nil
}

// leadToSignIn sends the browser to the sign-in if that is what err asks for, and
// from there back to the rehearsal.
func (x *Federation) leadToSignIn(w http.ResponseWriter, r *http.Request, at *attempt, err error) error {
	var must *mustSignIn
	if !errors.As(err, &must) {
		return x.end(w, r, at, err)
	}
	rec := must.SignIn
	rec.Return = "/federation/" + url.PathEscape(at.conn.ID) + "/rehearse"
	id, err := x.Sessions.BeginSignIn(w, r, at.site, rec)
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, at.site.Base()+"/sign-in/"+url.PathEscape(id)+"?here=1")
}

// finishRehearsal links the administrator's own account and notes that the
// connection works.
func (x *Federation) finishRehearsal(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, handle string) error {
	page := templates.RehearsedPage{Frame: x.Web.Frame(r), ConnectionName: at.conn.Name, OK: true, NextURL: at.site.Base() + "/account"}
	err := x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		v, err := x.administrator(tx, r, at)
		var must *mustSignIn
		switch {
		case errors.As(err, &must) || err == nil && (v.Agent.ID != at.flow.Agent || v.Session.SID != at.flow.Session):
			return refuse(codeExpired, "the session that the rehearsal was begun in is over, or took more than %s", proofLife)
		case err != nil:
			return err
		}
		if err := x.take(tx, at, handle); err != nil {
			return err
		}
		email, err := x.linkOwn(r.Context(), tx, at, id, &v.Agent)
		if err != nil {
			return err
		}
		if page.Email = v.Agent.Email; email != page.Email {
			page.EmailThere = email
		}
		page.RehearseURL = at.url("/rehearse")
		page.Unlinked, err = unlinkedAdministrators(tx, at)
		if err != nil {
			return err
		}
		return x.noteRehearsal(r.Context(), tx, at, &v.Agent)
	})
	if err != nil {
		return err
	}
	x.trace(r, at, nil)
	x.clearFlow(w, r, at.flow)
	if !at.conn.Enforce && len(provenDomains(at.site, at.conn)) > 0 {
		page.Enforce = fmt.Sprintf("connections: [{id: %s, enforce: true}]", at.conn.ID)
	}
	page.Checks, page.Said, page.Got = checkLines(at.checks), saidLines(at.said), gotLines(id)
	return x.Web.Render(w, r, http.StatusOK, page)
}

// linkOwn links the subject to who is signed in here. email is their address there.
func (x *Federation) linkOwn(ctx context.Context, tx store.Tx, at *attempt, id *identity, agent *store.Agent) (email string, err error) {
	if email, err = at.rehearsedEmail(id); err != nil {
		return "", err
	}
	link, err := store.Links.Get(tx, store.LinkKey(at.conn.ID, id.Subject))
	switch {
	case err == nil && link.AgentID == agent.ID:
		link.Rehearsed = true
		return email, store.Links.Put(tx, &link)
	case err == nil:
		if other, err := store.Agents.Get(tx, link.AgentID); err == nil {
			at.parted = other.Email
		}
		return "", refuse(codeLinked, "the subject is linked to another account")
	case !errors.Is(err, store.ErrNotFound):
		return "", err
	}
	if err := notLinkedYet(tx, at.conn.ID, agent.ID); err != nil {
		at.parted = agent.Email
		return "", err
	}
	if err := at.nobodyElses(tx, agent, email); err != nil {
		return "", err
	}
	return email, x.link(ctx, tx, at, id, agent, email, true)
}

// rehearsedEmail is the address at the provider, held to what everybody's is held to
// who is not linked yet: what would shut them out is to fail now. A connection without
// domains links by rehearsals alone, whatever the address.
func (at *attempt) rehearsedEmail(id *identity) (string, error) {
	if len(at.conn.Domains) > 0 {
		return at.provenEmail(id)
	}
	email, err := web.CanonicalEmail(id.Profile.Email)
	if err != nil {
		return "", at.stillTheirs(id)
	}
	return email, at.stillTheirs(id)
}

// nobodyElses refuses an address that another account has here: whoever came back is
// not who left.
func (at *attempt) nobodyElses(tx store.Tx, agent *store.Agent, email string) error {
	other, err := store.Agents.Find(tx, "email", email)
	switch {
	case email == "" || errors.Is(err, store.ErrNotFound) || err == nil && other.ID == agent.ID:
		return nil
	case err != nil:
		return fmt.Errorf("find the agent: %w", err)
	}
	at.check("email", false, agent.Email, email)
	return refuse(codeLinked, "the address there is that of another account here: sign in there as yourself")
}

// rehearsalFailed shows what failed to the administrator who rehearses, and reports
// whether this is their browser.
func (x *Federation) rehearsalFailed(w http.ResponseWriter, r *http.Request, at *attempt, status int, code, requestID string) (bool, error) {
	rec, mine := store.TraceRecord{Checks: at.checks, Claims: at.said}, false
	err := x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) error {
		here, err := x.Sessions.Find(tx, r, at.site)
		if errors.Is(err, session.ErrNone) || err == nil && here.SID != at.flow.Session {
			return nil
		}
		if err != nil {
			return err
		}
		mine = true
		return x.readTrace(tx, at, requestID, &rec)
	})
	if err != nil || !mine {
		return false, err
	}
	page := templates.RehearsedPage{
		Frame: x.Web.Frame(r), ConnectionName: at.conn.Name, Code: code, Reason: rec.Reason, RequestID: requestID,
		Checks: checkLines(rec.Checks), Said: saidLines(rec.Claims), NextURL: at.path("/rehearse"),
	}
	if at.parted != "" {
		page.Unlink = fmt.Sprintf("chatelaine agent unlink %s --connection %s%s", at.parted, at.conn.ID, onSite(at.site))
	}
	return true, x.Web.Render(w, r, status, page)
}

// onSite is what a command needs besides, if it is not about the root site.
func onSite(s *site.Site) string {
	if s.Path == "" {
		return ""
	}
	return " --site " + s.Path
}

func (x *Federation) noteRehearsal(ctx context.Context, tx store.Tx, at *attempt, agent *store.Agent) error {
	now, err := store.Connections.Get(tx, at.conn.ID)
	if err != nil {
		return err
	}
	now.Rehearsed, now.RehearsedBy = x.Now().UTC(), agent.ID
	if err := store.Connections.Put(tx, &now); err != nil {
		return err
	}
	if err := site.Changed(tx); err != nil {
		return err
	}
	return x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.ConnectionRehearse, Actor: audit.Ref{Type: policy.Agent, ID: agent.ID}, Object: connectionRef(at.conn), Result: audit.Success,
	})
}

// provenDomains are those that the connection may be enforced for.
func provenDomains(s *site.Site, c *store.Connection) (list []string) {
	for _, d := range c.Domains {
		if c.Proves(d, s.Proven) {
			list = append(list, d)
		}
	}
	return list
}

// unlinkedAdministrators are those who could not sign in any more, but by
// break-glass, if the connection were enforced.
func unlinkedAdministrators(tx store.Tx, at *attempt) (emails []string, err error) {
	domains := provenDomains(at.site, at.conn)
	for agent, err := range store.Agents.List(tx, "role", policy.Administrators) {
		if err != nil {
			return nil, err
		}
		_, domain, _ := strings.Cut(agent.Email, "@")
		if agent.Inactive || !slices.Contains(domains, domain) {
			continue
		}
		if linked, err := isLinked(tx, at.conn.ID, agent.ID); err != nil {
			return nil, err
		} else if !linked {
			emails = append(emails, agent.Email)
		}
	}
	slices.Sort(emails)
	return emails, nil
}

// checkLines says of several checks of one name that hold so but once: a response and
// its assertion are held to the clock five times.
func checkLines(checks []store.Check) (lines []templates.CheckLine) {
	held := map[string]bool{}
	for _, c := range checks {
		if c.OK && held[c.Name] {
			continue
		}
		held[c.Name] = held[c.Name] || c.OK
		lines = append(lines, templates.CheckLine(c))
	}
	return lines
}

func saidLines(said map[string][]string) (lines []templates.SaidLine) {
	for name, values := range shown(said) {
		lines = append(lines, templates.SaidLine{Name: name, Values: values})
	}
	arrange.By(lines, func(a, b templates.SaidLine) int { return strings.Compare(a.Name, b.Name) })
	return lines
}

// gotLines are our fields as the connection's mapping fills them; roles and
// departments also where there are none.
func gotLines(id *identity) (lines []templates.SaidLine) {
	p := id.Profile
	for _, f := range []struct {
		name   string
		values []string
	}{
		{"email", []string{p.Email}}, {"name", []string{p.Name}}, {"given_name", []string{p.GivenName}}, {"family_name", []string{p.FamilyName}},
		{"picture", []string{p.Picture}}, {"locale", []string{p.Locale}}, {"zoneinfo", []string{p.Zoneinfo}}, {"phone_number", []string{p.Phone}},
	} {
		if f.values[0] != "" {
			lines = append(lines, templates.SaidLine{Name: f.name, Values: f.values})
		}
	}
	return append(lines, templates.SaidLine{Name: "roles", Values: grantable(p.Roles)}, templates.SaidLine{Name: "departments", Values: p.Departments})
}
