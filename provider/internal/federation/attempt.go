package federation

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// attempt is one request of a way through a connection, and what is known of it.
type attempt struct {
	site  *site.Site
	conn  *store.Connection
	step  string // of the trace
	flow  *flow  // nil: none is known
	spent bool   // the flow, by this request

	checks  []store.Check
	said    map[string][]string
	subject string
	agent   string // whose account it is, once that is known
	parted  string // whose link stands in the way of a rehearsal, by address; "" for nobody's
}

func cut(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, path
}

// begin finds the request's connection, of one of those kinds if any are named.
func (x *Federation) begin(r *http.Request, step string, kinds ...string) (*attempt, error) {
	s := site.From(r.Context())
	c := s.Connection(r.PathValue("id"))
	if c == nil {
		return nil, ErrNoConnection
	}
	for _, kind := range kinds {
		if c.Kind == kind {
			return &attempt{site: s, conn: c, step: step}, nil
		}
	}
	if len(kinds) > 0 {
		return nil, ErrNoConnection
	}
	return &attempt{site: s, conn: c, step: step}, nil
}

// url is an absolute URL of the connection's.
func (at *attempt) url(path string) string { return connectionURL(at.site, at.conn, path) }

func connectionURL(s *site.Site, c *store.Connection, path string) string {
	return s.URL("/federation/" + url.PathEscape(c.ID) + path)
}

// path is the same on this host.
func (at *attempt) path(path string) string {
	return at.site.Base() + "/federation/" + url.PathEscape(at.conn.ID) + path
}

// end answers a request that failed: it leaves a trace and a record, and tells the
// person in a sentence. An error that is no fault is returned.
func (x *Federation) end(w http.ResponseWriter, r *http.Request, at *attempt, err error) error {
	f := faultOf(err)
	if f == nil {
		return err
	}
	x.trace(r, at, f)
	x.note(r, at, f)
	return x.tell(w, r, at, f.code, web.RequestID(r.Context()))
}

// tell tells the widget that began the flow, or the person.
func (x *Federation) tell(w http.ResponseWriter, r *http.Request, at *attempt, code, requestID string) error {
	if at.flow != nil && at.flow.Visitor != nil {
		return x.visitorFailed(w, r, at, code, requestID)
	}
	status := statusOf[code]
	if status == 0 {
		status = http.StatusForbidden
	}
	if at.flow != nil && at.flow.Mode == modeRehearse {
		if told, err := x.rehearsalFailed(w, r, at, status, code, requestID); told || err != nil {
			return err
		}
	}
	page, err := x.errorPage(r, at, code, requestID)
	if err != nil {
		return err
	}
	return x.Web.Render(w, r, status, page)
}

// note writes the audit log: of whom nobody knows, by the minute.
func (x *Federation) note(r *http.Request, at *attempt, f *fault) {
	e := audit.Event{Action: audit.FederationRefused, Object: connectionRef(at.conn), Result: audit.Refused, Reason: f.code}
	if at.agent == "" {
		x.Audit.Count(at.site.Path, e)
		return
	}
	e.Changes = []audit.Change{{Field: "agent", New: at.agent}}
	err := x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error { return x.Audit.Record(r.Context(), tx, e) })
	if err != nil {
		web.Log(r.Context()).Error().Err(err).Msg("record a refused sign-in")
	}
}

var statusOf = map[string]int{
	codeProviderDown: http.StatusServiceUnavailable, codeExpired: http.StatusBadRequest, codeTokenInvalid: http.StatusBadRequest,
	codeTokenExpired: http.StatusBadRequest, codeMissing: http.StatusBadRequest, codeReplayed: http.StatusBadRequest,
	codeNotAsked: http.StatusBadRequest,
}

// errorPage says what happened, and leads to what helps.
func (x *Federation) errorPage(r *http.Request, at *attempt, code, requestID string) (templates.FederationErrorPage, error) {
	page := templates.FederationErrorPage{
		Frame: x.Web.Frame(r), Code: code, ConnectionName: at.conn.Name, RequestID: requestID,
	}
	switch {
	case at.conn.For != store.ForAgents:
		return page, nil
	case code == codeAdministrator:
		shut, err := x.passwordsOff(r, at)
		if page.PasswordsOff = shut; shut || err != nil {
			page.SignInURL = at.site.Base() + "/break-glass"
			return page, err
		}
		page.RehearseURL = at.path("/rehearse")
	case code == codeNotAsked:
		page.RetryURL = at.path("/start")
	case code == codeFactorNeeded:
		page.SignInURL = at.site.Base() + "/account/factors"
		return page, nil
	}
	if at.flow != nil && at.flow.Mode == modeAgent {
		if _, err := x.Sessions.SignIn(r, at.site, at.flow.SignIn); err == nil {
			page.RetryURL = at.retryURL(code)
			page.SignInURL = at.site.Base() + "/sign-in/" + url.PathEscape(at.flow.SignIn) + "?here=1"
		}
	}
	if page.SignInURL == "" {
		page.SignInURL = at.site.Base() + "/account"
	}
	return page, nil
}

// retryURL is where the sign-in begins anew, if that may end otherwise.
func (at *attempt) retryURL(code string) string {
	again := at.path(startPath(at.flow.SignIn))
	switch code {
	case codeMisconfigured, codeAdministrator, codeElsewhere:
		return ""
	case codeNoUser, codeInactive, codeLinked, codeEmailMissing, codeEmailUnproven:
		return again + "&" + anotherQuery // the same person would meet it again
	}
	return again
}

// passwordsOff reports whether the account's own password is of no use now.
func (x *Federation) passwordsOff(r *http.Request, at *attempt) (off bool, err error) {
	err = x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) error {
		agent, err := store.Agents.Get(tx, at.agent)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		off = at.site.Enforcing(agent.Email, x.Now()) != nil
		return err
	})
	return off, err
}

// connectionRef is the connection in the audit log.
func connectionRef(c *store.Connection) audit.Ref { return audit.Ref{Type: "connection", ID: c.ID} }
