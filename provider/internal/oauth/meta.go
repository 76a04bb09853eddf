package oauth

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// meta is what these endpoints keep in memory. Its zero value is ready.
type meta struct {
	seen    seen
	guesses guesses
}

// AuthenticateConfidential is AuthenticateClient for endpoints where a public
// client, which can only name itself, is nobody. It sets the challenge of a 401.
func (o *OAuth) AuthenticateConfidential(w http.ResponseWriter, r *http.Request, form url.Values) (*store.Client, error) {
	client, err := o.AuthenticateClient(r, form)
	if err == nil && client.Public() {
		err = web.Public(ErrInvalidClient, "this endpoint needs a client that authenticates")
	}
	return client, basicChallenge(w, site.From(r.Context()), err)
}

// basicChallenge says how clients authenticate (RFC 6749, section 5.2), if that
// is what is wrong.
func basicChallenge(w http.ResponseWriter, s *site.Site, err error) error {
	if errors.Is(err, ErrInvalidClient) {
		w.Header().Set("WWW-Authenticate", `Basic realm="`+s.Issuer+`", charset="UTF-8"`)
	}
	return err
}

// metaErrors are the rows of the errors that these endpoints give.
var metaErrors = []web.ErrorRow{
	{Err: ErrInactive, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrNoBearer, Status: http.StatusUnauthorized, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrBearer, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrScope, Status: http.StatusUnauthorized, OAuth: "insufficient_scope", Key: "bad_request"},
	{Err: ErrThrottled, Status: http.StatusTooManyRequests, OAuth: "temporarily_unavailable", Key: "busy"},
}

// metaRoutes adds what is not about issuing tokens.
func (o *OAuth) metaRoutes(mux *http.ServeMux) {
	json := func(f web.HandlerFunc) http.Handler { return o.cors(o.Web.JSON(f)) }
	mux.Handle("GET /.well-known/openid-configuration", json(o.discovery))
	mux.Handle("GET /.well-known/oauth-authorization-server", json(o.discovery))
	mux.Handle("GET /oauth/jwks", json(o.keySet))
	mux.Handle("GET /oauth/userinfo", json(o.userinfo))
	mux.Handle("POST /oauth/userinfo", json(o.userinfo))
	mux.Handle("POST /oauth/revoke", json(o.revoke))
	mux.Handle("POST /oauth/introspect", o.Web.JSON(o.introspect)) // servers ask, pages do not
	for path, methods := range map[string]string{
		"/.well-known/openid-configuration": "GET", "/.well-known/oauth-authorization-server": "GET", "/oauth/jwks": "GET",
		"/oauth/userinfo": "GET, POST", "/oauth/revoke": "POST", "/oauth/token": "POST",
	} {
		mux.Handle("OPTIONS "+path, o.preflight(methods))
	}
	mux.Handle("GET /oauth/logout", o.Web.AnyOriginPage(o.logout))
	mux.Handle("POST /oauth/logout", o.Web.AnyOriginPage(o.logout)) // changes nothing by itself
	mux.Handle("POST /oauth/logout/confirm", o.Web.Page(o.logoutConfirmed))
}
