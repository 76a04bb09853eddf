package oauth

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

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
	payload, err := x.idPayload(keys.AtHash(alg, out.GetAccessToken()))
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

// idClaims are those that every ID token has (OpenID Connect Core, section 2).
// There is one audience, so there is no azp. A refreshed one says when and how
// the agent signed in then, and has no nonce (section 12.2). auth_time is left out
// where nobody knows it: whoever asked for it was sent to sign in instead.
type idClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience string   `json:"aud"`
	Expires  int64    `json:"exp"`
	IssuedAt int64    `json:"iat"`
	AuthTime int64    `json:"auth_time,omitempty"`
	Nonce    string   `json:"nonce,omitempty"`
	ACR      string   `json:"acr,omitempty"`
	AMR      []string `json:"amr,omitempty"`
	SID      string   `json:"sid,omitempty"`
	AtHash   string   `json:"at_hash"`
}

// idPayload is an ID token's payload. What is known of the person comes behind
// the protocol's claims, and none of it has one of their names.
func (x *exchange) idPayload(atHash string) ([]byte, error) {
	a := &x.grant.Authorization
	payload, err := json.Marshal(idClaims{
		Issuer: x.site.Issuer, Subject: a.AgentID, Audience: a.ClientID, IssuedAt: x.now.Unix(), Expires: x.now.Add(seconds(x.site.Lifetimes.IDToken)).Unix(),
		AuthTime: authTime(a), Nonce: x.nonce, ACR: a.ACR, AMR: a.AMR, SID: a.SID, AtHash: atHash,
	})
	person := x.idPerson()
	if err != nil || len(person) == 0 {
		return payload, err
	}
	more, err := json.Marshal(person)
	if err != nil {
		return nil, err
	}
	payload[len(payload)-1] = ','
	return append(payload, more[1:]...), nil
}

// idPerson are the claims about the agent. What the scopes profile, email,
// address and phone give is at userinfo; roles and groups stand here too, and so
// does what the claims parameter asked for.
func (x *exchange) idPerson() map[string]any {
	asked := requestedClaims(x.grant.Claims, "id_token")
	var person map[string]any
	for _, c := range personClaims {
		byScope := (c.scope == scopeRoles || c.scope == scopeGroups) && slices.Contains(x.scopes, c.scope)
		if !byScope && !(asked[c.name] && inCeiling(x.client, c.scope)) {
			continue
		}
		if v := c.value(x.agent); v != nil {
			if person == nil {
				person = map[string]any{}
			}
			person[c.name] = v
		}
	}
	return person
}
