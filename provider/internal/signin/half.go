package signin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// What a sign-in has proven is never in the browser. Once a first factor has
// succeeded and another step is due it is stored, under a new id and for the
// browser with that id's sealed cookie, and every further step moves it to yet
// another: what was planted, copied or opened in a second tab before is worth
// nothing after.

// half is a sign-in of which at least one factor is proven.
type half struct {
	flow
	site  *site.Site
	agent store.Agent
	facts Facts
	rules Rules
	step  Step
	now   time.Time

	stored bool // under its id
}

// Ways in which a step is not taken.
var (
	errNotBegun  = errors.New("no factor is proven yet")
	errElsewhere = errors.New("another step is due")
)

// outcome is what became of one try.
type outcome struct {
	step    Step
	wait    time.Duration // the network, or the agent's factors, have to wait so long; nothing was judged
	problem string        // what was typed does not do: the key of its words; the step is still due
	session store.Session // of StepDone, with the cookie's value
	cookie  string
	agent   store.Agent
	moved   store.SignIn // the sign-in under its new id
	device  func(w http.ResponseWriter, r *http.Request)
}

// open reads the half-done sign-in and asks Next what is due.
func (x *SignIn) open(tx store.Tx, r *http.Request, s *site.Site, f flow) (half, error) {
	proven, err := store.SignIns.Get(tx, f.ID)
	if errors.Is(err, store.ErrNotFound) {
		return half{}, errNotBegun
	}
	if err != nil {
		return half{}, fmt.Errorf("find the sign-in: %w", err)
	}
	h := half{flow: f, site: s, now: x.Now(), stored: true}
	h.AgentID, h.AMR, h.AuthTime, h.Remembered, h.Skipped = proven.AgentID, proven.AMR, proven.AuthTime, proven.Remembered, proven.Skipped
	h.Login, h.Asked, h.AskedUnknown, h.Expires = proven.Login, proven.Asked, proven.AskedUnknown, proven.Expires
	if h.agent, err = agentOrNone(tx, h.AgentID); err != nil {
		return half{}, err
	}
	return h, x.ask(tx, r, &h)
}

// ask puts the question to Next.
func (x *SignIn) ask(tx store.Tx, r *http.Request, h *half) (err error) {
	h.IP = ""
	if ip := web.ClientIP(r.Context()); ip.IsValid() {
		h.IP = ip.String()
	}
	if h.facts, err = x.facts(tx, r, h.site, h.agent); err != nil {
		return err
	}
	if h.facts.Linked, err = linked(tx, h); err != nil {
		return err
	}
	h.rules = h.flow.rules(h.site, h.now)
	if c := h.site.Enforcing(h.agent.Email, h.now); c != nil {
		h.rules.Enforced = c.ID
	}
	h.step = Next(h.SignIn, h.agent, h.facts, h.rules, h.now)
	return nil
}

// settle does what Next says, in the transaction of the step that was just
// taken: it starts the session, or parks the sign-in for the next step.
func (x *SignIn) settle(tx store.Tx, r *http.Request, h *half, out *outcome) error {
	if err := x.ask(tx, r, h); err != nil {
		return err
	}
	out.step = h.step
	if h.stored {
		if err := store.SignIns.Delete(tx, h.ID); err != nil {
			return err
		}
	}
	switch h.step.Name {
	case StepDone:
		out.agent = h.agent
		return x.finish(tx, r, h, out)
	case StepRefused:
		return x.record(tx, r, h.agent, audit.SignInRefused, audit.Refused, h.step.Reason)
	case StepPassword: // voided meanwhile: from the start
		return nil
	}
	return x.park(tx, h, out)
}

// park stores what is proven under a new id.
func (x *SignIn) park(tx store.Tx, h *half, out *outcome) error {
	if h.step.Name == StepEnrol && h.agent.FactorGrace.IsZero() {
		h.agent.FactorGrace = h.now
		if err := store.Agents.Put(tx, &h.agent); err != nil {
			return err
		}
	}
	id := make([]byte, 16)
	rand.Read(id)
	out.moved = h.SignIn
	out.moved.ID = base64.RawURLEncoding.EncodeToString(id)
	return store.SignIns.Put(tx, &store.SignIn{
		ID: out.moved.ID, Started: h.Started, Expires: h.Expires,
		AgentID: h.AgentID, AMR: h.AMR, AuthTime: h.AuthTime, Remembered: h.Remembered, Skipped: h.Skipped,
		Login: h.Login, Asked: h.Asked, AskedUnknown: h.AskedUnknown,
	})
}

// take takes one step of a half-done sign-in: do proves it, or says what is wrong
// with what was typed, and Next is asked again, in one transaction. Of any number
// of tabs one takes it.
func (x *SignIn) take(r *http.Request, f flow, due StepName, do func(store.Tx, *half, *outcome) error) (out outcome, err error) {
	s := site.From(r.Context())
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), concludeTime)
	defer cancel()
	r = r.WithContext(ctx)
	err = x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		out = outcome{}
		h, err := x.open(tx, r, s, f)
		if err != nil {
			return err
		}
		if out.step = h.step; h.step.Name != due {
			return errElsewhere
		}
		if err := do(tx, &h, &out); err != nil || out.problem != "" || out.wait > 0 {
			return err
		}
		return x.settle(tx, r, &h, &out)
	})
	if err != nil {
		return outcome{}, fmt.Errorf("take the step %s: %w", due, err)
	}
	return out, nil
}

// peek reads the half-done sign-in for a page of that step.
func (x *SignIn) peek(r *http.Request, f flow) (h half, err error) {
	s := site.From(r.Context())
	err = x.Store.View(r.Context(), s.Path, func(tx store.Tx) (err error) {
		h, err = x.open(tx, r, s, f)
		return err
	})
	return h, err
}

// goOn leads the browser to what is next.
func (x *SignIn) goOn(w http.ResponseWriter, r *http.Request, f flow, out outcome) error {
	if out.step.Name == StepRefused {
		return x.refuse(w, r, f, out.step.Reason)
	}
	target, err := x.cookies(w, r, f, out)
	if err != nil {
		return err
	}
	if out.step.Name == StepDone && f.Return != "" {
		x.Sessions.EndSignIn(w, r, f.ID)
	}
	return web.SeeOther(w, r, target)
}

// cookies gives the browser what the step has made, and returns where to go.
func (x *SignIn) cookies(w http.ResponseWriter, r *http.Request, f flow, out outcome) (target string, err error) {
	s := site.From(r.Context())
	if out.device != nil {
		out.device(w, r)
	}
	switch {
	case out.step.Name == StepDone:
		x.Sessions.SetCookie(w, r, out.cookie, out.session)
		if err := x.makeKnown(w, r, s, out.agent); err != nil {
			return "", err
		}
		return f.destination(s)
	case out.moved.ID != "":
		if err := x.move(w, r, s, f.ID, out.moved); err != nil {
			return "", err
		}
		f.ID = out.moved.ID
	}
	return f.path(s, out.step.page()), nil
}

// move gives the browser the sign-in's new cookie and takes the old one. What is
// proven stays out of it.
func (x *SignIn) move(w http.ResponseWriter, r *http.Request, s *site.Site, old string, rec store.SignIn) error {
	rec.AgentID, rec.AMR, rec.AuthTime, rec.Remembered, rec.Skipped = "", nil, time.Time{}, false, nil
	rec.Login, rec.Asked, rec.AskedUnknown = store.Login{}, time.Time{}, false
	x.Sessions.EndSignIn(w, r, old)
	return x.Sessions.UpdateSignIn(w, r, s, rec)
}

// destination is what the sign-in was begun for.
func (f flow) destination(s *site.Site) (string, error) {
	if f.Return == "" {
		return s.Base() + "/oauth/authorize/" + url.PathEscape(f.ID), nil
	}
	if !strings.HasPrefix(f.Return, "/") || strings.HasPrefix(f.Return, "//") || strings.ContainsAny(f.Return, "\\\r\n\t") {
		return "", web.ErrBadRequest // we sealed it, so it cannot be
	}
	return s.Base() + f.Return, nil
}

// page is the last part of the path of the step's page.
func (s Step) page() string {
	switch s.Name {
	case StepFactor:
		return "/factor"
	case StepEnrol:
		return "/enrol"
	case StepNewPassword:
		return "/password"
	case StepSessions:
		return "/sessions"
	}
	return ""
}

func (f flow) path(s *site.Site, page string) string {
	return s.Base() + "/sign-in/" + url.PathEscape(f.ID) + page
}

// away leads somebody who opened the page of a step that is not due to the one
// that is. It returns what is no such case.
func (x *SignIn) away(w http.ResponseWriter, r *http.Request, f flow, err error) error {
	s := site.From(r.Context())
	switch {
	case errors.Is(err, errNotBegun):
		return web.SeeOther(w, r, f.path(s, ""))
	case errors.Is(err, errElsewhere):
		h, err := x.peek(r, f)
		if errors.Is(err, errNotBegun) {
			return web.SeeOther(w, r, f.path(s, ""))
		}
		if err != nil {
			return err
		}
		return x.goOn(w, r, f, outcome{step: h.step})
	}
	return err
}

// skip is POST /sign-in/{id}/skip/{step}: the step that is due is put off for
// this once.
func (x *SignIn) skip(w http.ResponseWriter, r *http.Request) error {
	f, _, err := x.submitted(r)
	if err != nil {
		return err
	}
	step := StepName(r.PathValue("step"))
	out, err := x.take(r, f, step, func(_ store.Tx, h *half, _ *outcome) error {
		if !h.step.mayWait() {
			return errElsewhere
		}
		h.Skipped = append(slices.Clone(h.Skipped), string(step))
		return nil
	})
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.goOn(w, r, f, out)
}

// submitted reads a step's form.
func (x *SignIn) submitted(r *http.Request) (flow, url.Values, error) {
	f, err := x.flow(r, site.From(r.Context()))
	if err != nil {
		return flow{}, nil, err
	}
	form, err := web.ReadForm(r)
	return f, form, err
}

// due is for the page of that step.
func (x *SignIn) due(r *http.Request, step StepName) (f flow, h half, err error) {
	if f, err = x.flow(r, site.From(r.Context())); err != nil {
		return f, h, err
	}
	h, err = x.peekStep(r, f, step)
	return f, h, err
}

func (x *SignIn) peekStep(r *http.Request, f flow, step StepName) (half, error) {
	h, err := x.peek(r, f)
	if err == nil && h.step.Name != step {
		err = errElsewhere
	}
	return h, err
}

// facts counts what the agent holds.
func (x *SignIn) facts(tx store.Tx, r *http.Request, s *site.Site, agent store.Agent) (facts Facts, err error) {
	if agent.ID == "" {
		return facts, nil
	}
	held, err := x.Factors.Has(tx, agent.ID)
	if err != nil {
		return facts, err
	}
	facts.TOTPs, facts.Passkeys, facts.Codes = held.TOTP, held.Passkeys, held.Codes
	over, err := x.Sessions.Over(tx, s, agent.ID, session.Presented(r))
	facts.SessionsOver = len(over)
	return facts, err
}

// rules are what the site demands of a sign-in to this client, now.
func (f flow) rules(s *site.Site, now time.Time) Rules {
	rules := Rules{Allowlist: s.Allowlist, Pathway: policy.Console, Credentials: s.CredentialRules(now)}
	if f.client.ApplicationType == "native" {
		rules.Pathway = policy.Mobile
	}
	return rules
}

func agentOrNone(tx store.Tx, id string) (store.Agent, error) {
	if id == "" {
		return store.Agent{}, nil
	}
	agent, err := store.Agents.Get(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return store.Agent{}, nil
	}
	return agent, err
}
