// Package signin owns how an agent signs in: the order of its steps (Next), the
// form, the judging of passwords, the counting of failures, and the one-time
// link that creates a site's first administrator.
//
// Routes:
//
//	GET       /sign-in                   explains, or leads home who is signed in
//	GET POST  /sign-in/{id}              the form of the sign-in that a sealed cookie holds
//	GET POST  /sign-in/{id}/factor       the second factor
//	POST      /sign-in/{id}/passkey      a passkey, as second factor or alone; …/options; GET leads to the step
//	GET POST  /sign-in/{id}/enrol        a second factor that is due; …/passkey, …/passkey/options
//	GET POST  /sign-in/{id}/on           after a connection's login; after the recovery codes
//	GET POST  /sign-in/{id}/password     a new password that is due; …/check
//	GET POST  /sign-in/{id}/sessions     sessions elsewhere end
//	POST      /sign-in/{id}/skip/{step}  put a step off that may wait
//	GET POST  /forgot                    ask for a link by mail
//	GET       /reset/{token}, /invitation/{token}
//	GET POST  /reset                     the new password of that link; …/check
//	GET POST  /break-glass               lift one control by an offline code
//	GET POST  /set-up/{token}            the first administrator
//	POST      /set-up/{token}/check      whether a password keeps the rules, as one types
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

	"github.com/chatelaine-id/chatelaine/policy"
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

// What a first factor proves: a password, by RFC 8176's name, and the word of a
// connection's login, for which RFC 8176 has none; federation writes it.
const (
	amrPassword  = "pwd"
	amrFederated = policy.AMRFederated
)

// ErrLinkSpent is a link for a password or a first administrator that is unknown,
// used, replaced, void or too old.
var ErrLinkSpent = errors.New("the link does not work any more")

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
	Factors   *factor.Factors
	Keys      *keys.Keys
	Glass     *breakglass.Glass
	Mail      Mail // nil: none
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
	for path, page := range map[string][2]web.HandlerFunc{ // GET and POST; nil: none
		"/sign-in/{id}/factor":                {x.showFactor, x.submitFactor},
		"/sign-in/{id}/passkey":               {x.restart, x.submitPasskey},
		"/sign-in/{id}/passkey/options":       {nil, x.passkeyOptions},
		"/sign-in/{id}/enrol":                 {x.showEnrol, x.submitEnrol},
		"/sign-in/{id}/enrol/passkey":         {x.restart, x.submitEnrolPasskey},
		"/sign-in/{id}/enrol/passkey/options": {nil, x.enrolPasskeyOptions},
		"/sign-in/{id}/on":                    {x.arrive, x.on},
		"/sign-in/{id}/password":              {x.showNewPassword, x.submitNewPassword},
		"/sign-in/{id}/password/check":        {nil, x.checkNewPassword},
		"/sign-in/{id}/sessions":              {x.showSessions, x.submitSessions},
		"/sign-in/{id}/skip/{step}":           {nil, x.skip},
		"/forgot":                             {x.showForgot, x.submitForgot},
		"/reset":                              {x.showReset, x.submitReset},
		"/reset/check":                        {nil, x.checkReset},
		"/reset/{token}":                      {x.openLink, nil},
		"/invitation/{token}":                 {x.openLink, nil},
		"/break-glass":                        {x.showBreakGlass, x.submitBreakGlass},
	} {
		if page[0] != nil {
			mux.Handle("GET "+path, x.Web.Page(page[0]))
		}
		if page[1] != nil {
			mux.Handle("POST "+path, x.Web.Page(page[1]))
		}
	}
	mux.Handle("GET /set-up/{token}", x.Web.Page(x.showSetUp))
	mux.Handle("POST /set-up/{token}", x.Web.Page(x.submitSetUp))
	mux.Handle("POST /set-up/{token}/check", x.Web.Page(x.checkSetUp))
}
