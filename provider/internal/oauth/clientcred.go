package oauth

import (
	"context"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
)

// clientCredentials answers a client that acts for itself (RFC 6749, section
// 4.4). A JWT is not stored, so there is nothing to write: no transaction, and
// the token is counted by client and minute. An opaque token, or an assertion
// that must be spent, takes one.
func (o *OAuth) clientCredentials(ctx context.Context, x *exchange) (*tokenAnswer, error) {
	var err error
	x.resource = x.form.Get("resource")
	if err := targetFor(x.site, x.client, x.resource); err != nil {
		return nil, o.countRefusal(x, err)
	}
	if x.scopes, err = clientScopes(x.client, x.form.Get("scope")); err != nil {
		return nil, o.countRefusal(x, err)
	}
	x.event = audit.Event{Action: audit.TokenIssue, Actor: clientRef(x.client)}
	if x.proof != nil || x.site.Resources[x.audience()].AccessTokenFormat == "opaque" {
		return o.transact(ctx, grantClient, x)
	}
	answer, err := o.exchange(withExchange(ctx, x), grantClient, x)
	if err != nil {
		return nil, o.countRefusal(x, err)
	}
	o.Audit.Count(x.site.Path, x.event)
	return answer, nil
}
