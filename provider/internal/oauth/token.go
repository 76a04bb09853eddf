package oauth

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// tokenAnswer is the token endpoint's answer (RFC 6749, section 5.1).
type tokenAnswer struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int    `json:"expires_in"` // seconds
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
	Scope        string `json:"scope"`
}

// token is POST /oauth/token.
func (o *OAuth) token(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := readBody(r)
	if err != nil {
		return err
	}
	if o.VisitorGrant != nil && form.Get("grant_type") == grantVisitor {
		return o.visitorGrant(w, r, s, form)
	}
	answer, err := o.issue(r, s, form)
	if err != nil {
		return basicChallenge(w, s, err)
	}
	return web.WriteJSON(w, http.StatusOK, answer)
}

func (o *OAuth) issue(r *http.Request, s *site.Site, form url.Values) (*tokenAnswer, error) {
	client, proof, err := o.authenticate(r, s, form)
	if err != nil {
		return nil, err
	}
	x := &exchange{site: s, client: client, form: form, proof: proof, now: o.Now().UTC(), ip: web.ClientIP(r.Context())}
	grantType := form.Get("grant_type")
	if err := cmp.Or(o.checkGrant(client, grantType), oneTarget(form)); err != nil {
		return nil, o.countRefusal(x, err)
	}
	if grantType == grantClient {
		return o.clientCredentials(r.Context(), x)
	}
	if x.codeKey, err = o.Keys.Secret(r.Context(), s.Path, keys.SecretCode); err != nil {
		return nil, err
	}
	if x.secret, err = o.Keys.Secret(r.Context(), s.Path, secretRefresh); err != nil {
		return nil, err
	}
	return o.transact(r.Context(), grantType, x)
}

// readBody reads the form of a request that may hold secrets: only by POST, and
// never from the URL.
func readBody(r *http.Request) (url.Values, error) {
	if r.Method != http.MethodPost {
		return nil, web.ErrMethod
	}
	if r.URL.RawQuery != "" {
		return nil, web.Public(ErrInvalidRequest, "send parameters in the body, not in the URL")
	}
	return web.ReadForm(r)
}

// checkGrant: a grant type that we know, and that the client is registered for.
func (o *OAuth) checkGrant(c *store.Client, grantType string) error {
	if grantType == "" {
		return web.Public(ErrInvalidRequest, "grant_type is missing")
	}
	if _, known := o.grants[grantType]; !known {
		return web.Public(ErrUnsupportedGrantType, "grant_type is not one of authorization_code, refresh_token, client_credentials and, for visitors, "+grantVisitor)
	}
	if !slices.Contains(c.GrantTypes, grantType) || grantType == grantClient && c.Public() {
		return web.Public(ErrUnauthorizedClient, "this client is not registered for that grant_type")
	}
	return nil
}
