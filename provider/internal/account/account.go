// Package account is an agent's own pages: the names they go by, the password,
// the second factors and remembered browsers, the sessions, the applications
// that act for them, and what happened to the account of late.
//
// Routes, all of which need a session and lead to the sign-in without one:
//
//	GET       /account                          overview
//	GET POST  /account/profile                  the names they go by
//	GET POST  /account/password                 POST …/check: ticks while one types
//	GET       /account/factors                  POST …/rename
//	GET POST  /account/factors/totp             adds an authenticator app
//	GET POST  /account/factors/passkey          adds a passkey; POST …/options
//	GET POST  /account/factors/remove           and …/codes, …/forget, …/forget-all
//	GET       /account/sessions                 GET POST …/end, …/end-others
//	GET       /account/apps                     GET POST …/revoke
//	GET       /account/activity
//	GET POST  /account/links/remove             a customer's own login is no longer theirs
//	GET POST  /account/break-glass              for administrators
//
// Nothing changes but for somebody who has signed in within the last five
// minutes, with a second factor if they hold one; the sign-in is handed over to
// signin by a redirect and comes back. What a change checks is checked in the
// transaction that makes it, with its audit record and its mail to the agent. A
// page never names, shows or changes anything of another agent's.
package account

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrForged is a form that this session did not show.
var ErrForged = errors.New("the form is not this session's")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrForged, Status: http.StatusForbidden, OAuth: "invalid_request", Key: "cross_site"},
}

// Mail puts mails into the outbox, in the caller's transaction.
type Mail interface {
	// Configured reports whether any can be sent.
	Configured() bool
	// Notice tells the agent what has happened to the account.
	Notice(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string) error
}

// Options is what an Account needs, set once. Store is Sites.Store().
type Options struct {
	Store     store.Store
	Sites     *site.Sites
	Keys      *keys.Keys
	Audit     *audit.Log
	Sessions  *session.Sessions
	Web       *web.Web
	Passwords *password.Hasher
	Rules     *password.Rules
	Factors   *factor.Factors
	Glass     *breakglass.Glass
	Mail      Mail // nil: no mail is set up
	Now       func() time.Time
}

// Account answers the routes.
type Account struct{ Options }

// New returns an Account.
func New(o Options) *Account {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Account{o}
}

// Routes adds the routes, relative to a site's prefix.
func (x *Account) Routes(mux *http.ServeMux) {
	for pattern, handler := range map[string]web.HandlerFunc{
		"GET " + pathAccount:        x.overview,
		"GET " + pathProfile:        x.showProfile,
		"POST " + pathProfile:       x.submitProfile,
		"GET " + pathPassword:       x.showPassword,
		"POST " + pathPassword:      x.submitPassword,
		"POST " + pathPasswordCheck: x.checkPassword,
		"GET " + pathFactors:        x.factors,
		"POST " + pathRename:        x.rename,
		"GET " + pathTOTP:           x.beginTOTP,
		"POST " + pathTOTP:          x.confirmTOTP,
		"GET " + pathPasskey:        x.beginPasskey,
		"POST " + pathPasskey:       x.finishPasskey,
		"POST " + pathOptions:       x.passkeyOptions,
		"POST " + pathSaved:         x.codesSaved,
		"GET " + pathSessions:       x.sessions,
		"GET " + pathApps:           x.apps,
		"GET " + pathActivity:       x.activity,
		"GET " + pathBreakGlass:     x.showBreakGlass,
		"POST " + pathBreakGlass:    x.submitBreakGlass,
	} {
		mux.Handle(pattern, x.Web.Page(handler))
	}
	for _, d := range x.dangers() {
		mux.Handle("GET "+d.path, x.Web.Page(func(w http.ResponseWriter, r *http.Request) error { return x.askFirst(w, r, d) }))
		mux.Handle("POST "+d.path, x.Web.Page(func(w http.ResponseWriter, r *http.Request) error { return x.doIt(w, r, d) }))
	}
}

// The pages, relative to a site's prefix.
const (
	pathAccount       = "/account"
	pathProfile       = "/account/profile"
	pathPassword      = "/account/password"
	pathPasswordCheck = "/account/password/check"
	pathFactors       = "/account/factors"
	pathRename        = "/account/factors/rename"
	pathTOTP          = "/account/factors/totp"
	pathPasskey       = "/account/factors/passkey"
	pathOptions       = "/account/factors/passkey/options"
	pathSaved         = "/account/factors/saved"
	pathRemove        = "/account/factors/remove"
	pathCodes         = "/account/factors/codes"
	pathForget        = "/account/factors/forget"
	pathForgetAll     = "/account/factors/forget-all"
	pathSessions      = "/account/sessions"
	pathEnd           = "/account/sessions/end"
	pathEndOthers     = "/account/sessions/end-others"
	pathApps          = "/account/apps"
	pathRevoke        = "/account/apps/revoke"
	pathUnlink        = "/account/links/remove"
	pathActivity      = "/account/activity"
	pathBreakGlass    = "/account/break-glass"
)
