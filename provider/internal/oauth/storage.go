package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/store"
)

// records is fosite's storage over the exchange's transaction. It hands out
// fresh copies only, and looks at whose a code is before it says anything.
type records struct{ *OAuth }

// CreateAuthorizeCodeSession has nothing to do: what a code says is in the code.
func (records) CreateAuthorizeCodeSession(context.Context, string, fosite.Requester) error {
	return nil
}

// GetAuthorizeCodeSession reads a code of this client. One that has been
// redeemed is fosite.ErrInvalidatedAuthorizeCode; another client's is not there,
// nor is one that was burnt. Of racers that all read that there is no family yet
// the engine lets one commit; the others run again and find it.
func (r records) GetAuthorizeCodeSession(ctx context.Context, family string, _ fosite.Session) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x.code == nil {
		g, err := store.Grants.Get(x.tx, family)
		if err == nil {
			return r.redeemed(x, g)
		}
		if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("load the family of a code: %w", err)
		}
		if x.code, err = x.unspent(family); err != nil {
			return nil, err
		}
	}
	if x.code.ClientID != x.client.ID {
		x.trace = true
		return nil, fosite.ErrNotFound
	}
	return codeRequest(x, family), nil
}

// unspent opens the request's code, unless it was burnt.
func (x *exchange) unspent(family string) (*authCode, error) {
	code, err := openCode(x.codeKey, x.site.Path, x.form.Get("code"))
	if errors.Is(err, errNoCode) {
		return nil, fosite.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	burnt, err := store.AllSpent.Has(x.tx, burntCode(family))
	if err != nil {
		return nil, fmt.Errorf("look for a burnt code: %w", err)
	}
	if burnt {
		return nil, fosite.ErrNotFound
	}
	return code, nil
}

// redeemed is the answer to a code that has bought a family.
func (records) redeemed(x *exchange, g store.Grant) (fosite.Requester, error) {
	x.grant, x.trace = &g, true
	if g.ClientID != x.client.ID {
		return nil, fosite.ErrNotFound
	}
	request := fosite.NewRequest()
	request.ID = g.ID
	return request, fosite.ErrInvalidatedAuthorizeCode
}

// codeRequest is the authorization request that a code stands for.
func codeRequest(x *exchange, family string) *fosite.Request {
	request := fosite.NewRequest()
	request.ID, request.Client, request.Session = family, fositeClient{x.client}, &grantSession{subject: x.code.AgentID}
	request.RequestedScope, request.GrantedScope = x.code.Scopes, x.code.Scopes
	request.Form = url.Values{"redirect_uri": {x.code.RedirectURI}}
	return request
}

// InvalidateAuthorizeCodeSession has nothing to do: the family that the code buys
// is created under the code's own ID, and there can be one.
func (records) InvalidateAuthorizeCodeSession(context.Context, string) error { return nil }

// CreateAccessTokenSession writes an opaque token; of a JWT nothing is stored.
func (records) CreateAccessTokenSession(ctx context.Context, _ string, _ fosite.Requester) error {
	x := exchangeFrom(ctx)
	if x.fresh == nil {
		return nil
	}
	return store.OpaqueTokens.Put(x.tx, x.fresh)
}

// CreateRefreshTokenSession has nothing to do: the family's record, which the
// strategy has changed, is written once, at the end.
func (records) CreateRefreshTokenSession(context.Context, string, string, fosite.Requester) error {
	return nil
}

// RevokeRefreshToken ends the family that a replayed code bought.
func (r records) RevokeRefreshToken(ctx context.Context, _ string) error {
	x := exchangeFrom(ctx)
	return r.revokeReused(ctx, x, "code_replayed")
}

// RevokeAccessToken has nothing to do: the family's end is its tokens' end.
func (records) RevokeAccessToken(context.Context, string) error { return nil }

// The rest of fosite's storage is not asked for: refresh tokens, introspection
// and revocation are ours.

func (records) GetAccessTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

func (records) DeleteAccessTokenSession(context.Context, string) error { return nil }

func (records) GetRefreshTokenSession(context.Context, string, fosite.Session) (fosite.Requester, error) {
	return nil, fosite.ErrNotFound
}

func (records) DeleteRefreshTokenSession(context.Context, string) error { return nil }

func (records) RotateRefreshToken(context.Context, string, string) error { return nil }
