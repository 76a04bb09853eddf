package oauth

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/handler/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
)

// grant is how one grant type is answered: handlers in the order in which each
// first checks and then adds to the answer.
type grant struct{ handlers []fosite.TokenEndpointHandler }

// composeGrants puts fosite's handlers and ours together. The code handler comes
// before PKCE, which reads the code's record, and the gate after both: a network
// refusal must not say more than a wrong proof does.
func (o *OAuth) composeGrants() map[string]grant {
	tokens := &tokenStrategy{o}
	records := &records{o}
	config := fositeConfig()
	o.codes = &oauth2.AuthorizeExplicitGrantHandler{
		AccessTokenStrategy: tokens, RefreshTokenStrategy: tokens, AuthorizeCodeStrategy: codeStrategy{},
		CoreStorage: records, TokenRevocationStorage: records, Config: config,
	}
	own := &oauth2.ClientCredentialsGrantHandler{
		HandleHelper: &oauth2.HandleHelper{AccessTokenStrategy: tokens, AccessTokenStorage: records, Config: config}, Config: config,
	}
	return map[string]grant{
		grantCode:    {[]fosite.TokenEndpointHandler{o.codes, pkceHandler{}, redeemGate{o}, idTokenHandler{o}}},
		grantRefresh: {[]fosite.TokenEndpointHandler{&refreshHandler{OAuth: o, tokens: tokens}, idTokenHandler{o}}},
		grantClient:  {[]fosite.TokenEndpointHandler{own}},
	}
}

// fositeConfig says what fosite's handlers may decide. Lifetimes are the site's
// and put in afterwards; redirect URIs and resources have been checked before.
func fositeConfig() *fosite.Config {
	return &fosite.Config{
		ScopeStrategy:                 fosite.ExactScopeStrategy,
		AudienceMatchingStrategy:      func([]string, []string) error { return nil },
		RedirectSecureChecker:         func(context.Context, *url.URL) bool { return true },
		RefreshTokenScopes:            []string{scopeOffline},
		SanitationWhiteList:           []string{"code", "redirect_uri"},
		OmitRedirectScopeParam:        true,
		DisableRefreshTokenValidation: true,
	}
}

// exchange takes a request through the handlers of its grant type. It is
// fosite.NewAccessRequest and NewAccessResponse without the parsing, which is
// done before it, and without asking every handler of every grant.
func (o *OAuth) exchange(ctx context.Context, grantType string, x *exchange) (*tokenAnswer, error) {
	request := fosite.NewAccessRequest(&grantSession{})
	request.ID, request.Form, request.Client = "-", x.form, fositeClient{x.client}
	request.GrantTypes, request.RequestedAt = fosite.Arguments{grantType}, x.now
	request.RequestedScope = x.scopes
	handlers := o.grants[grantType].handlers
	for _, h := range handlers {
		if err := h.HandleTokenEndpointRequest(ctx, request); err != nil && !errors.Is(err, fosite.ErrUnknownRequest) {
			return nil, errors.Join(ours(err), x.burn())
		}
	}
	response := fosite.NewAccessResponse()
	x.trace = false // from here on something is written: only all of it, or nothing
	for _, h := range handlers {
		if err := h.PopulateTokenEndpointResponse(ctx, request, response); err != nil && !errors.Is(err, fosite.ErrUnknownRequest) {
			return nil, ours(err)
		}
	}
	if response.AccessToken == "" {
		return nil, errors.New("fosite made no access token")
	}
	return answerOf(response, x), nil
}

func answerOf(r *fosite.AccessResponse, x *exchange) *tokenAnswer {
	refresh, _ := r.GetExtra("refresh_token").(string)
	id, _ := r.GetExtra("id_token").(string)
	return &tokenAnswer{
		AccessToken: r.AccessToken, TokenType: "Bearer", ExpiresIn: int(x.claims.Expires - x.claims.IssuedAt),
		RefreshToken: refresh, IDToken: id, Scope: strings.Join(x.scopes, " "),
	}
}

// fositeClient shows a client of ours to fosite. It has no secret there: clients
// are authenticated before.
type fositeClient struct{ c *store.Client }

func (f fositeClient) GetID() string                      { return f.c.ID }
func (f fositeClient) GetHashedSecret() []byte            { return nil }
func (f fositeClient) GetRedirectURIs() []string          { return f.c.RedirectURIs }
func (f fositeClient) GetGrantTypes() fosite.Arguments    { return f.c.GrantTypes }
func (f fositeClient) GetResponseTypes() fosite.Arguments { return fosite.Arguments{"code"} }
func (f fositeClient) GetScopes() fosite.Arguments        { return strings.Fields(f.c.Scope) }
func (f fositeClient) IsPublic() bool                     { return f.c.Public() }
func (f fositeClient) GetAudience() fosite.Arguments      { return nil }

// grantSession is the session that fosite carries around. Everything that counts
// is in the exchange; times are the site's, not fosite's.
type grantSession struct{ subject string }

// SetExpiresAt does nothing: expiries are ours.
func (s *grantSession) SetExpiresAt(fosite.TokenType, time.Time) {}

// GetExpiresAt has none to tell.
func (s *grantSession) GetExpiresAt(fosite.TokenType) time.Time { return time.Time{} }

// GetUsername has none to tell.
func (s *grantSession) GetUsername() string { return "" }

// GetSubject is the agent's ID, if an agent is meant.
func (s *grantSession) GetSubject() string { return s.subject }

// Clone copies it.
func (s *grantSession) Clone() fosite.Session { c := *s; return &c }
