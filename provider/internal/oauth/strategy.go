package oauth

import (
	"context"
	"errors"
	"fmt"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Prefixes tell our opaque tokens apart, for us and for scanners of leaked secrets.
const (
	codePrefix    = "ch_ac_"
	accessPrefix  = "ch_at_"
	refreshPrefix = "ch_rt_"
)

var errNotAsked = errors.New("fosite validates no token here")

// codeStrategy seals codes.
type codeStrategy struct{}

// AuthorizeCodeSignature is the ID of the family that the code buys.
func (codeStrategy) AuthorizeCodeSignature(_ context.Context, code string) string {
	return grantID(code)
}

// GenerateAuthorizeCode seals what authorize has prepared.
func (codeStrategy) GenerateAuthorizeCode(ctx context.Context, _ fosite.Requester) (code, signature string, err error) {
	x := exchangeFrom(ctx)
	code, err = x.code.seal(x.codeKey, x.site.Path)
	return code, "-", err
}

// ValidateAuthorizeCode checks the code's time.
func (codeStrategy) ValidateAuthorizeCode(ctx context.Context, _ fosite.Requester, _ string) error {
	if x := exchangeFrom(ctx); !x.now.Before(x.code.ValidUntil) {
		return web.Public(ErrInvalidGrant, "the code has expired")
	}
	return nil
}

// tokenStrategy makes access tokens (RFC 9068, or opaque for resources that want
// it so) and the first refresh token of a family.
type tokenStrategy struct{ *OAuth }

// GenerateAccessToken makes an access token for the exchange's client, and agent
// if there is one.
func (t *tokenStrategy) GenerateAccessToken(ctx context.Context, _ fosite.Requester) (token, signature string, err error) {
	x := exchangeFrom(ctx)
	if x.grant != nil {
		a := x.grant.Authorization
		a.Scopes = x.scopes
		x.claims = agentClaims(x.site, x.client, x.agent, &a, x.audience(), x.now)
		x.claims.ID = x.grant.ID + "." + randomToken(8)
	} else {
		x.claims = clientClaims(x.site, x.client, x.scopes, x.audience(), x.now)
	}
	payload, err := x.claims.encode()
	if err != nil {
		return "", "", fmt.Errorf("encode access token: %w", err)
	}
	resource := x.site.Resources[x.audience()]
	if resource.AccessTokenFormat == "opaque" {
		token = accessPrefix + randomToken(32)
		x.fresh = &store.OpaqueToken{Hash: opaqueKey(token), Claims: payload, Expires: x.now.Add(accessLife(x.site))}
		if x.grant != nil {
			x.fresh.GrantID = x.grant.ID
		}
		return token, "-", nil
	}
	token, err = t.signAccess(ctx, x, resource.SigningAlg, payload)
	return token, "-", err
}

// signAccess signs with the resource's algorithm, or with ES256 while that key
// is too young for verifiers to know it.
func (t *tokenStrategy) signAccess(ctx context.Context, x *exchange, alg string, payload []byte) (string, error) {
	if alg == "" {
		alg = keys.ES256
	}
	token, err := t.Keys.Sign(ctx, x.site, alg, accessTokenType, payload)
	if errors.Is(err, keys.ErrNotYetActive) && alg != keys.ES256 {
		return t.Keys.Sign(ctx, x.site, keys.ES256, accessTokenType, payload)
	}
	return token, err
}

// AccessTokenSignature is not asked for.
func (t *tokenStrategy) AccessTokenSignature(context.Context, string) string { return "" }

// ValidateAccessToken is not asked for.
func (t *tokenStrategy) ValidateAccessToken(context.Context, fosite.Requester, string) error {
	return errNotAsked
}

// RefreshTokenSignature is not asked for.
func (t *tokenStrategy) RefreshTokenSignature(context.Context, string) string { return "" }

// ValidateRefreshToken is not asked for.
func (t *tokenStrategy) ValidateRefreshToken(context.Context, fosite.Requester, string) error {
	return errNotAsked
}

// GenerateRefreshToken begins the family's chain.
func (t *tokenStrategy) GenerateRefreshToken(ctx context.Context, _ fosite.Requester) (token, signature string, err error) {
	x := exchangeFrom(ctx)
	token = firstRefreshToken(x.secret, x.grant.ID)
	x.grant.Current = tokenSum(token)
	return token, "-", nil
}
