package oauth

import (
	"context"
	"net/netip"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// anonymous is the assurance of a visitor of whom nothing is known.
const anonymous = "anonymous"

// liveVisitor looks up what may have ended a visitor's token: a ban, another name, the
// end of their session, an erasure.
func (o *OAuth) liveVisitor(ctx context.Context, s *site.Site, v *verified, ip netip.Addr) (Token, error) {
	t := Token{Claims: &v.claims, Payload: v.payload, Client: &store.Client{ID: visitors.ClientID, TokenEndpointAuthMethod: authNone}}
	c := t.Claims
	if o.Visitors == nil || c.ClientID != visitors.ClientID || cutOff(c.Issued(), s.Settings.NotBefore) {
		return t, &Inactive{policy.ReasonRevoked}
	}
	standing, err := o.Visitors.Stand(ctx, s, visitors.Token{
		Subject: c.Subject, SID: c.SID, ID: c.ID, Issued: c.Issued(), Anonymous: c.Assurance == anonymous, Typed: c.Typed.Email,
	})
	if err != nil {
		return t, err
	}
	t.Visitor = &standing
	request := t.Request(s, o.Now(), "")
	request.IP = ip
	if d := standing.Admit(request); !d.Allowed {
		return t, &Inactive{d.Reason}
	}
	return t, nil
}
