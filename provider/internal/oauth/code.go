package oauth

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// afterlife is how long a family without a refresh token is remembered after its
// last access token, for verifiers whose clocks are slow.
const afterlife = 2 * time.Minute

// redeemGate comes after everything that a code's holder must prove: it asks
// mayIssue, and makes the family.
type redeemGate struct{ *OAuth }

// HandleTokenEndpointRequest looks at agent, session and network as they are now.
// A refusal here does not use the code up.
func (g redeemGate) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	x := exchangeFrom(ctx)
	x.proven, x.trace = true, true
	session, err := g.liveSession(x, x.code.SID)
	if err != nil {
		return err
	}
	if err := x.loadAgent(x.code.AgentID); err != nil {
		return err
	}
	ip, err := x.address(session.IP)
	if err != nil {
		return err
	}
	if err := mayIssue(x.site, x.client, x.agent, signedInBy(&x.code.Authorization), x.code.Issued, ip, x.now); err != nil {
		return err
	}
	if x.resource, err = x.target(x.code.Resources); err != nil {
		return err
	}
	if x.scopes, err = x.consented(x.code.Scopes); err != nil {
		return err
	}
	if len(x.scopes) < len(x.code.Scopes) {
		return web.Public(ErrInvalidGrant, "the agent has withdrawn consent for a part of the scope")
	}
	x.nonce = x.code.Nonce
	x.grant = &store.Grant{ID: grantID(x.form.Get("code")), Authorization: x.code.Authorization, Created: x.now, IP: session.IP}
	x.grant.Nonce = "" // it belongs to the first ID token only
	x.event = audit.Event{
		Action: audit.TokenIssue, Actor: audit.Ref{Type: "agent", ID: x.agent.ID}, Object: clientRef(x.client),
		Changes: []audit.Change{{Field: "grant", New: x.grant.ID}, {Field: "sid", New: x.grant.SID}},
	}
	return nil
}

// PopulateTokenEndpointResponse writes the family, now that its tokens are made.
func (redeemGate) PopulateTokenEndpointResponse(ctx context.Context, _ fosite.AccessRequester, _ fosite.AccessResponder) error {
	x := exchangeFrom(ctx)
	g := x.grant
	g.End = x.now.Add(accessLife(x.site) + afterlife)
	g.Expires = g.End
	if g.Current != nil {
		g.End = x.now.Add(seconds(x.site.Lifetimes.RefreshAbsolute))
		g.Expires = x.idleEnd()
	}
	// The family outlives its code: while there is one, the code is known as used.
	if until := x.code.ValidUntil.Add(afterlife); g.Expires.Before(until) {
		g.Expires = until
		if g.End.Before(until) {
			g.End = until
		}
	}
	if err := store.Grants.Create(x.tx, g); err != nil {
		return fmt.Errorf("write the grant: %w", err)
	}
	return nil
}

// CanSkipClientAuth is always false.
func (redeemGate) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest is true for codes.
func (redeemGate) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantCode)
}

// idleEnd is when the family dies if it is not used again: never after its
// absolute end.
func (x *exchange) idleEnd() time.Time {
	idle := x.now.Add(seconds(x.site.Lifetimes.RefreshIdle))
	if x.grant.End.Before(idle) {
		return x.grant.End
	}
	return idle
}

// target picks the one resource of this answer among those granted: the one that
// the request names, else the client's default, else the first. Where none was
// asked for at the beginning, the client may still name one.
func (x *exchange) target(granted []string) (string, error) {
	resource := x.form.Get("resource")
	switch {
	case len(granted) == 0:
	case resource == "" && slices.Contains(granted, x.client.DefaultResource):
		resource = x.client.DefaultResource
	case resource == "":
		resource = granted[0]
	case !slices.Contains(granted, resource):
		return "", web.Public(ErrInvalidTarget, "resource was not granted")
	}
	return resource, targetFor(x.site, x.client, resource)
}

// burn uses up a code whose rightful client came with a wrong proof (redirect_uri
// or verifier), so that nobody goes on guessing.
func (x *exchange) burn() error {
	if x.code == nil || x.proven || x.code.ClientID != x.client.ID {
		return nil
	}
	x.trace = true
	key := burntCode(grantID(x.form.Get("code")))
	return store.AllSpent.Put(x.tx, &store.Spent{Key: key, Expires: x.code.ValidUntil.Add(afterlife)})
}

// burntCode is the key under which it stands that a code was burnt.
func burntCode(family string) string { return "code:" + family }

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }
