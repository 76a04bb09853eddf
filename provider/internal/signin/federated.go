package signin

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// A connection's login hands over by a half-done sign-in: federation stores who
// was proven under an id of its own, gives the browser that id's cookie, and leads
// it to /sign-in/{id}/on. From there it is a sign-in like any other.

// arrive is GET /sign-in/{id}/on: whatever is due after a connection's login. It
// changes nothing for a browser without the sign-in's cookie.
func (x *SignIn) arrive(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	f, err := x.flow(r, s)
	if err != nil {
		return err
	}
	h, err := x.peek(r, f)
	if errors.Is(err, errNotBegun) || err == nil && h.Connection == "" {
		return x.restart(w, r)
	}
	if err != nil {
		return err
	}
	switch h.step.Name {
	case StepDone, StepRefused:
	case StepPassword: // not, or no longer, who was asked for
		return x.form(w, r, f, http.StatusForbidden, "", "other_account")
	default:
		return web.SeeOther(w, r, f.path(s, h.step.page()))
	}
	out, err := x.take(r, f, h.step.Name, func(store.Tx, *half, *outcome) error { return nil })
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.goOn(w, r, f, out)
}

// linked reports whether the connection that the sign-in came through still says
// who the agent is: who an administrator is, by a link that a rehearsal has made.
func linked(tx store.Tx, h *half) (bool, error) {
	if h.Connection == "" || h.site.Connection(h.Connection) == nil {
		return false, nil
	}
	link, err := store.Links.Get(tx, store.LinkKey(h.Connection, h.Subject))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find the link: %w", err)
	}
	administers := slices.Contains(h.agent.Roles, policy.Administrators)
	return link.AgentID == h.agent.ID && (link.Rehearsed || !administers), nil
}

// asked is when somebody was last asked for a proof: where a login of the
// customer's knew the browser already, that is earlier than its word.
func (h *half) asked() time.Time {
	if !h.Asked.IsZero() && h.Asked.Before(h.AuthTime) {
		return h.Asked
	}
	return h.AuthTime
}

// leads is the connection that a form with this address goes to instead of being
// judged: always where the site enforces it, else only without a password.
func (x *SignIn) leads(s *site.Site, email string, hasPassword bool) *store.Connection {
	if c := s.Enforcing(email, x.Now()); c != nil {
		return c
	}
	if hasPassword {
		return nil
	}
	return s.Leading(email)
}

// startURL is where a connection's sign-in begins for this one, or for one of its own
// if there is none.
func (f flow) startURL(s *site.Site, c *store.Connection, email string) string {
	query := url.Values{}
	if f.ID != "" {
		query.Set("flow", f.ID)
	}
	if email != "" {
		query.Set("login_hint", email)
	}
	return s.Base() + "/federation/" + url.PathEscape(c.ID) + "/start?" + query.Encode()
}

// maxOffered is how many connections the page names; with more of them an address
// leads to the right one.
const maxOffered = 8

// offerConnections puts the site's connections on the sign-in page.
func (x *SignIn) offerConnections(s *site.Site, f flow, page *templates.SignInPage) {
	all := s.AgentConnections()
	if len(all) > maxOffered {
		page.ByDomain = true
		return
	}
	for _, c := range all {
		page.Connections = append(page.Connections, templates.ConnectionLink{ID: c.ID, Name: c.Name, URL: f.startURL(s, c, "")})
	}
}

// rehearses is the connection that somebody signs in to rehearse; nil: none. It is no
// way in for them: what it links is their own account.
func (f flow) rehearses(s *site.Site) *store.Connection {
	id, ok := strings.CutPrefix(f.Return, "/federation/")
	if !ok {
		return nil
	}
	if id, ok = strings.CutSuffix(id, "/rehearse"); !ok {
		return nil
	}
	id, err := url.PathUnescape(id)
	if err != nil {
		return nil
	}
	return s.Connection(id)
}

// leadsAway is the connection that the page gives way to, unless somebody came
// back from there to sign in here, or break-glass lifts single sign-on.
func (x *SignIn) leadsAway(r *http.Request, s *site.Site) *store.Connection {
	if r.URL.Query().Has("here") || s.Lifted(store.ControlSingleSignOn, x.Now()) {
		return nil
	}
	return s.DefaultConnection()
}

// lead sends a form's sender to the connection by way of a page: a redirect would
// be held to the form's policy, and that names no provider.
func (x *SignIn) lead(w http.ResponseWriter, r *http.Request, f flow, c *store.Connection, email string) error {
	s := site.From(r.Context())
	target := f.startURL(s, c, email)
	w.Header().Set("Refresh", "0;url="+target)
	return x.Web.Render(w, r, http.StatusOK, templates.LeadPage{Frame: x.Web.Frame(r), Connection: templates.ConnectionLink{ID: c.ID, Name: c.Name, URL: target}})
}
