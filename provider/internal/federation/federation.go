// Package federation owns signing in through a customer's own login, a
// connection: sending the browser there, judging what it brings back, and saying
// whose account that is.
//
// Routes, each below /federation/{id}, the connection:
//
//	GET       /start     sends the browser to the provider; without {id}, a visitor chooses
//	GET POST  /resume    finishes what a provider's answer began; POST after a confirmation
//	GET       /metadata  ours, for a SAML provider
//	POST      /acs       a SAML response
//	GET POST  /slo       a SAML logout request, or the answer to ours
//	GET POST  /jwt       a JWT of the customer's login page
//	GET       /callback  the answer of an OpenID provider
//	POST      /backchannel   an OpenID provider's logout token
//	GET POST  /rehearse  an administrator tries the connection and links their account
//	GET       /logout    goes on to sign out at the provider
//
// A provider's answer proves something only together with the cookie of the flow
// that asked for it. SAML responses and JWTs come as posts from another site,
// without our cookies: they are verified, kept sealed under a one-time handle, and
// finished by a GET that must hold the cookie. Whoever sends an answer that nobody
// asked for is let in only where the connection says so, after a page that names
// the account.
//
// An agent's sign-in ends here by a half-done sign-in that signin goes on with, so
// that every rule still applies; a visitor's by a proof that visitor takes. Nothing
// here starts a session, issues a token, or makes anybody an administrator. Who
// fails is told in a sentence; what did not match is in the trace, for
// administrators.
package federation

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/keyset"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// ErrNoConnection is a path of a connection that does not exist, is not in use, or
// is of another kind.
var ErrNoConnection = errors.New("no such connection")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrNoConnection, Status: http.StatusNotFound, OAuth: "not_found", Key: "not_found"},
	{Err: oidc.ErrUnfit, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "unavailable"},
	{Err: oidc.ErrUnavailable, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "unavailable"},
	{Err: oidc.ErrSharedIssuer, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: keyset.ErrKeys, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "unavailable"},
	{Err: profile.ErrValue, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
}

// Options is what a Federation needs.
type Options struct {
	Store    store.Store
	Sites    *site.Sites
	Keys     *keys.Keys
	Sealer   *store.Sealer
	Audit    *audit.Log
	Sessions *session.Sessions
	Factors  *factor.Factors
	Web      *web.Web
	Client   *http.Client // web.NewOutboundClient's
	// Tell tells an agent by mail what happened; nil: nobody is told.
	Tell func(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, n templates.NoticeMail) error
	// VisitorSignedOut ends what a visitor has by a login that is over there.
	VisitorSignedOut func(ctx context.Context, tx store.Tx, s *site.Site, over session.UpstreamLogout) error
	// VisitorMark is a MAC of who a visitor is to the connection, for the audit log.
	VisitorMark func(tx store.Tx, c *store.Connection, subject string) (string, error)
	Failed      func(error) // hears of faults in the background; nil: nobody does
	Now         func() time.Time
}

// Federation answers the routes.
type Federation struct {
	Options
	keysets *keyset.Sets
	oidc    *oidc.Provider
	fetches sync.Map // site path + connection → chan struct{}, full while it is fetched
	pairs   sync.Map // likewise: one making of a key pair at a time
	traces  allowance
}

// New returns a Federation.
func New(o Options) *Federation {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	return &Federation{
		Options: o,
		keysets: keyset.New(keyset.Options{Client: o.Client, Sealer: o.Sealer, Now: o.Now}),
		oidc:    oidc.New(oidc.Options{Client: o.Client, Now: o.Now}),
	}
}

// Routes adds the routes, relative to a site's prefix.
func (x *Federation) Routes(mux *http.ServeMux) {
	page, anyOrigin := x.Web.Page, x.Web.AnyOriginPage
	for pattern, handler := range map[string]http.Handler{
		"GET /start":        page(x.start),
		"GET /resume":       page(x.resume),
		"POST /resume":      page(x.confirm),
		"GET /metadata":     page(x.metadata),
		"POST /acs":         anyOrigin(x.acs),
		"GET /slo":          anyOrigin(x.slo),
		"POST /slo":         anyOrigin(x.slo),
		"GET /jwt":          anyOrigin(x.jwt),
		"POST /jwt":         anyOrigin(x.jwt),
		"GET /callback":     page(x.callback),
		"POST /backchannel": x.Web.JSON(x.backchannel),
		"GET /rehearse":     page(x.showRehearsal),
		"POST /rehearse":    page(x.rehearse),
		"GET /logout":       page(x.logout),
	} {
		method, path := cut(pattern)
		mux.Handle(method+" /federation/{id}"+path, handler)
	}
	mux.Handle("GET /federation/start", page(x.choose))
}
