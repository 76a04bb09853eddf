// Package signin owns how an agent signs in: the order of its steps (Next), the
// form, the judging of passwords, the counting of failures, and the one-time
// link that creates a site's first administrator.
//
// Routes:
//
//	GET       /sign-in          explains, or leads home who is signed in
//	GET POST  /sign-in/{id}     the form of the sign-in that a sealed cookie holds
//	GET POST  /set-up/{token}   the first administrator
//
// A sign-in begins at oauth's authorization endpoint and ends with a session and
// a redirect back there; the two share the sealed cookie and nothing else. A
// wrong password, an unknown, inactive or locked account and one without a
// password have one answer, in words, headers and time. Nothing here starts a
// session but at StepDone, and no password is hashed inside a transaction.
package signin

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// What a password proves: RFC 8176's name, and the level in acr.
const (
	amrPassword = "pwd"
	acrPassword = "aal1"
)

// ErrLinkSpent is a set-up link that is unknown, used, replaced or too old, or of
// a site that has an administrator.
var ErrLinkSpent = errors.New("the set-up link does not work any more")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrLinkSpent, Status: http.StatusGone, OAuth: "invalid_request", Key: "link_spent"},
}

// Options is what a SignIn needs.
type Options struct {
	Store     store.Store
	Sites     *site.Sites
	Sessions  *session.Sessions
	Audit     *audit.Log
	Web       *web.Web
	Passwords *password.Hasher
	Rules     *password.Rules
	Throttle  Throttle
	Now       func() time.Time
}

// SignIn answers the routes.
type SignIn struct {
	Options
	mu    sync.Mutex
	kinds map[string]kindsInUse // by site path
}

// New returns a SignIn.
func New(o Options) *SignIn {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &SignIn{Options: o, kinds: map[string]kindsInUse{}}
}

// Routes adds the routes, relative to a site's prefix.
func (x *SignIn) Routes(mux *http.ServeMux) {
	mux.Handle("GET /sign-in", x.Web.Page(x.explain))
	mux.Handle("GET /sign-in/{id}", x.Web.Page(x.show))
	mux.Handle("POST /sign-in/{id}", x.Web.Page(x.submit))
	mux.Handle("GET /set-up/{token}", x.Web.Page(x.showSetUp))
	mux.Handle("POST /set-up/{token}", x.Web.Page(x.submitSetUp))
}
