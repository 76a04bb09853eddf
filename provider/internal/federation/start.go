package federation

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// away is where a source sends the browser: an address, or a form that posts
// itself.
type away struct {
	url    string
	action string
	fields [][2]string
}

// asked is what a source may tell its provider of whom it is about.
type asked struct {
	loginHint string
	fresh     bool // the answer is to say that it asked anew
	another   bool // let them be somebody else than last time
}

// anotherQuery asks for it in a query.
const anotherQuery = "another=1"

// start is GET /start. With flow it is for a sign-in of this browser; with visitor
// for a widget; else it begins a sign-in of its own.
func (x *Federation) start(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "start")
	if err != nil {
		return err
	}
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	if query.Get("visitor") != "" || at.conn.For == store.ForVisitors {
		return x.startVisitor(w, r, at, query)
	}
	hint := asked{loginHint: query.Get("login_hint"), another: query.Get("another") == "1"}
	if len(hint.loginHint) > 254 {
		return web.ErrBadRequest
	}
	signIn := query.Get("flow")
	if signIn == "" {
		signIn, err := x.Sessions.BeginSignIn(w, r, at.site, store.SignIn{Return: "/account"})
		if err != nil {
			return err
		}
		again := at.path(startPath(signIn))
		if hint.loginHint != "" {
			again += "&" + url.Values{"login_hint": {hint.loginHint}}.Encode()
		}
		return web.SeeOther(w, r, again)
	}
	rec, err := x.Sessions.SignIn(r, at.site, signIn)
	if err != nil {
		return err
	}
	hint.fresh = rec.AskAnew || rec.Fresh || rec.AgentHint != ""
	at.flow = x.newFlow(at, modeAgent)
	at.flow.SignIn = signIn
	return x.end(w, r, at, x.send(w, r, at, hint))
}

func (x *Federation) newFlow(at *attempt, mode string) *flow {
	now := x.Now().UTC()
	return &flow{State: newState(), Connection: at.conn.ID, Since: at.conn.Since(), Mode: mode, Started: now, Expires: now.Add(flowLife)}
}

// send asks the connection's source where to go, keeps the flow and sends the
// browser there.
func (x *Federation) send(w http.ResponseWriter, r *http.Request, at *attempt, hint asked) error {
	if at.conn.JWT != nil && at.conn.JWT.LoginURL == "" {
		return refuse(codeProviderDown, "the connection has no login_url: its tokens are for embedded widgets")
	}
	at.flow.Fresh = hint.fresh
	to, err := x.source(at.conn.Kind).Start(r.Context(), at, hint)
	if err != nil {
		return err
	}
	if err := x.keep(w, r, at.site, at.flow); err != nil {
		return err
	}
	return x.leave(w, r, at, to)
}

// leave sends the browser off. From a form of ours it goes by a page, since a
// redirect would be held to the form's policy.
func (x *Federation) leave(w http.ResponseWriter, r *http.Request, at *attempt, to away) error {
	switch {
	case to.url != "" && r.Method == http.MethodGet:
		return web.SeeOther(w, r, to.url)
	case to.url != "":
		w.Header().Set("Refresh", "0;url="+to.url)
		return x.Web.Render(w, r, http.StatusOK, templates.LeadPage{Frame: x.frame(r, at), Connection: templates.ConnectionLink{ID: at.conn.ID, Name: at.conn.Name, URL: to.url}})
	}
	page := templates.ProviderPostPage{Frame: x.frame(r, at), Action: to.action, Fields: to.fields, ConnectionName: at.conn.Name}
	return x.Web.Render(w, r, http.StatusOK, page, formActions(to.action)...)
}

// frame is the page's, which for a visitor is in a window of another site's.
func (x *Federation) frame(r *http.Request, at *attempt) templates.Frame {
	frame := x.Web.Frame(r)
	if at.flow != nil && at.flow.Visitor != nil {
		frame.Window = templates.Window{Mode: at.flow.Visitor.Mode, Origin: at.flow.Visitor.Origin}
	}
	return frame
}

// formActions are the origins that a form to a provider may lead to: browsers hold
// the redirects that follow to them too, and a provider may send people on to
// another host of its own.
func formActions(action string) []string {
	if strings.HasPrefix(action, "https://") {
		return []string{"https:"}
	}
	return []string{web.Origin(action)}
}
