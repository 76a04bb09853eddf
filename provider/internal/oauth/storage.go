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

// CreateAuthorizeCodeSession writes the code that authorize has prepared.
func (records) CreateAuthorizeCodeSession(ctx context.Context, signature string, _ fosite.Requester) error {
	x := exchangeFrom(ctx)
	x.code.Hash = signature
	return store.Codes.Create(x.tx, x.code)
}

// GetAuthorizeCodeSession finds a code of this client. One that has been
// redeemed is fosite.ErrInvalidatedAuthorizeCode; another client's is not there.
func (r records) GetAuthorizeCodeSession(ctx context.Context, signature string, _ fosite.Session) (fosite.Requester, error) {
	x := exchangeFrom(ctx)
	if x.code == nil {
		code, err := store.Codes.Get(x.tx, signature)
		if errors.Is(err, store.ErrNotFound) {
			return r.redeemed(x)
		}
		if err != nil {
			return nil, fmt.Errorf("load code: %w", err)
		}
		x.code = &code
	}
	if x.code.ClientID != x.client.ID {
		x.trace = true
		return nil, fosite.ErrNotFound
	}
	return codeRequest(x), nil
}

// redeemed looks for the family that a code bought.
func (records) redeemed(x *exchange) (fosite.Requester, error) {
	g, err := store.Grants.Get(x.tx, grantID(x.form.Get("code")))
	if errors.Is(err, store.ErrNotFound) {
		return nil, fosite.ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("load grant: %w", err)
	}
	x.grant, x.trace = &g, true
	if g.ClientID != x.client.ID {
		return nil, fosite.ErrNotFound
	}
	request := fosite.NewRequest()
	request.ID = g.ID
	return request, fosite.ErrInvalidatedAuthorizeCode
}

// codeRequest is the authorization request that a code stands for.
func codeRequest(x *exchange) *fosite.Request {
	request := fosite.NewRequest()
	request.ID, request.Client, request.Session = x.code.Hash, fositeClient{x.client}, &grantSession{subject: x.code.AgentID}
	request.RequestedScope, request.GrantedScope = x.code.Scopes, x.code.Scopes
	request.Form = url.Values{"redirect_uri": {x.code.RedirectURI}}
	return request
}

// InvalidateAuthorizeCodeSession uses the code up. Of racers that all read it,
// the engine lets one commit; the others run again and find it gone.
func (records) InvalidateAuthorizeCodeSession(ctx context.Context, signature string) error {
	return store.Codes.Delete(exchangeFrom(ctx).tx, signature)
}

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
