package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
)

// idTokenType is the typ of an ID token's header.
const idTokenType = "JWT"

// idTokenHandler takes the place of fosite's OpenID Connect handlers, which
// choose hashes by a header of the session and hold one key.
type idTokenHandler struct{ *OAuth }

// HandleTokenEndpointRequest has nothing to check.
func (idTokenHandler) HandleTokenEndpointRequest(context.Context, fosite.AccessRequester) error {
	return nil
}

// PopulateTokenEndpointResponse adds an ID token where openid was granted.
func (h idTokenHandler) PopulateTokenEndpointResponse(ctx context.Context, _ fosite.AccessRequester, out fosite.AccessResponder) error {
	x := exchangeFrom(ctx)
	if x.noID || !slices.Contains(x.scopes, scopeOpenID) {
		return nil
	}
	alg := x.client.IDTokenAlg
	if alg == "" {
		alg = keys.RS256
	}
	payload, err := json.Marshal(x.idClaims(keys.AtHash(alg, out.GetAccessToken())))
	if err != nil {
		return fmt.Errorf("encode ID token: %w", err)
	}
	token, err := h.Keys.Sign(ctx, x.site, alg, idTokenType, payload)
	if err != nil {
		return err
	}
	out.SetExtra("id_token", token)
	return nil
}

// CanSkipClientAuth is always false.
func (idTokenHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest is true for what an agent granted.
func (idTokenHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantCode) || r.GetGrantTypes().ExactOne(grantRefresh)
}

// idClaims are an ID token's (OpenID Connect Core, section 2). There is one
// audience, so there is no azp. A refreshed one says when and how the agent
// signed in then, and has no nonce (section 12.2). What the scopes profile,
// email, address and phone give is at userinfo; roles and groups stand here too,
// and so does what the claims parameter asked for.
func (x *exchange) idClaims(atHash string) map[string]any {
	a := &x.grant.Authorization
	life := time.Duration(x.site.Lifetimes.IDToken) * time.Second
	claims := map[string]any{}
	asked := requestedClaims(a.Claims, "id_token")
	for _, c := range personClaims {
		byScope := (c.scope == scopeRoles || c.scope == scopeGroups) && slices.Contains(x.scopes, c.scope)
		if !byScope && !(asked[c.name] && inCeiling(x.client, c.scope)) {
			continue
		}
		if v := c.value(x.agent); v != nil {
			claims[c.name] = v
		}
	}
	claims["iss"], claims["sub"], claims["aud"] = x.site.Issuer, a.AgentID, a.ClientID
	claims["iat"], claims["exp"] = x.now.Unix(), x.now.Add(life).Unix()
	claims["auth_time"], claims["sid"], claims["at_hash"] = a.AuthTime.Unix(), a.SID, atHash
	if a.ACR != "" {
		claims["acr"] = a.ACR
	}
	if len(a.AMR) > 0 {
		claims["amr"] = a.AMR
	}
	if x.nonce != "" {
		claims["nonce"] = x.nonce
	}
	return claims
}
