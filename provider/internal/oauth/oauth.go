// Package oauth is the authorization server: OAuth 2.0 and OpenID Connect for a
// site's clients. It alone imports fosite, and uses it as an engine behind its
// own endpoints: see docs/decisions/0020-fosite-seam.md.
//
// Routes, under the site's issuer:
//
//	GET POST  /oauth/authorize         begins an authorization
//	GET       /oauth/authorize/{id}    goes on with one after the sign-in
//	GET POST  /consent/{id}            asks the agent on behalf of a third party
//	POST      /oauth/token             authorization_code, refresh_token, client_credentials, a visitor's JWT
//
// and those of metaRoutes: introspection, revocation, userinfo, discovery, JWKS
// and sign-out. What one exchange checks, consumes, issues and records is one
// transaction, and the answer goes out after its commit. Every token, on every
// pathway, passes mayIssue. It must not sign anyone in: it hands over to signin
// by a redirect and a sealed cookie.
package oauth

import (
	"crypto/rand"
	"encoding/base64"
	"net/http"
	"time"

	"github.com/ory/fosite/handler/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Grant types that the token endpoint knows.
const (
	grantCode    = "authorization_code"
	grantRefresh = "refresh_token"
	grantClient  = "client_credentials"
)

// Options is what an OAuth needs, set once. Store is Sites.Store().
type Options struct {
	Store    store.Store
	Sites    *site.Sites
	Keys     *keys.Keys
	Audit    *audit.Log
	Sessions *session.Sessions
	Web      *web.Web
	Outbound *http.Client      // for clients' jwks_uri; nil: none is fetched
	Visitors *visitors.Records // says of their tokens whether they live; nil: none does
	// VisitorGrant answers for visitors who come with a JWT; nil: nobody does.
	VisitorGrant VisitorGrant
	Now          func() time.Time
}

// OAuth answers for one house.
type OAuth struct {
	Options
	grants  map[string]grant
	codes   *oauth2.AuthorizeExplicitGrantHandler
	secrets guesses // at clients' secrets, apart from those at tokens: these come from anybody
	jwks    *clientKeys
	meta    meta
}

// New returns an OAuth.
func New(o Options) *OAuth {
	if o.Now == nil {
		o.Now = time.Now
	}
	x := &OAuth{Options: o, jwks: newClientKeys()}
	x.grants = x.composeGrants()
	return x
}

// Routes adds the routes; paths are relative to the site's prefix.
func (o *OAuth) Routes(mux *http.ServeMux) {
	mux.Handle("/oauth/authorize", o.Web.AnyOriginPage(o.authorize))
	mux.Handle("GET /oauth/authorize/{id}", o.Web.Page(o.resume))
	mux.Handle("GET /consent/{id}", o.Web.Page(o.showConsent))
	mux.Handle("POST /consent/{id}", o.Web.Page(o.submitConsent))
	mux.Handle("/oauth/token", o.cors(o.Web.JSON(o.token)))
	o.metaRoutes(mux)
}

// randomToken is n random bytes in base64url.
func randomToken(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}
