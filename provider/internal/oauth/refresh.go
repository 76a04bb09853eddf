package oauth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// refreshGrace is how long a client that repeats its last request, because the
// answer was lost, gets the same successor again.
const refreshGrace = 10 * time.Second

// secretRefresh is the name of a site's key for refresh tokens.
const secretRefresh = "refresh"

// refreshHandler takes the place of fosite's: rotation, reuse detection, grace,
// absolute end and scopes are ours.
type refreshHandler struct {
	*OAuth
	tokens *tokenStrategy
}

// HandleTokenEndpointRequest finds the family and asks mayIssue. Who has no
// authentic token of his own touches nothing; a reuse ends the family.
func (h *refreshHandler) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	x := exchangeFrom(ctx)
	if err := h.family(ctx, x); err != nil {
		return err
	}
	if err := x.loadAgent(x.grant.AgentID); err != nil {
		return err
	}
	browser, err := h.browser(x)
	if err != nil {
		return err
	}
	ip, err := x.address(browser)
	if err != nil {
		return err
	}
	if err := mayIssue(x.site, x.client, x.agent, signedInBy(&x.grant.Authorization), x.grant.Created, ip, x.now); err != nil {
		return err
	}
	if err := h.narrow(x); err != nil {
		return err
	}
	if x.resource, err = x.target(x.grant.Resources); err != nil {
		return err
	}
	x.noID = !x.client.IDTokenOnRefresh
	x.event = audit.Event{Action: audit.TokenRefresh, Actor: clientRef(x.client), Object: audit.Ref{Type: "grant", ID: x.grant.ID}}
	return nil
}

// family loads the grant that the token belongs to, and judges the token.
func (h *refreshHandler) family(ctx context.Context, x *exchange) error {
	invalid := web.Public(ErrInvalidGrant, "the refresh token is not valid")
	token, ok := parseRefreshToken(x.secret, x.form.Get("refresh_token"))
	if !ok {
		return invalid
	}
	g, err := store.Grants.Get(x.tx, token.family)
	if errors.Is(err, store.ErrNotFound) {
		return invalid
	}
	if err != nil {
		return fmt.Errorf("load grant: %w", err)
	}
	was := g
	x.grant, x.before, x.trace = &g, &was, true
	if g.ClientID != x.client.ID || g.Revoked || !x.now.Before(g.Expires) || !x.now.Before(g.End) {
		return invalid
	}
	raw := x.form.Get("refresh_token")
	switch {
	case token.generation == g.Generation && isSumOf(g.Current, raw):
		return nil
	case token.generation >= g.Generation: // authentic, yet not of this history: a restored store
		return invalid
	case token.generation+1 == g.Generation && isSumOf(g.Previous, raw) && x.now.Before(g.Rotated.Add(refreshGrace)):
		x.repeated = true
		return nil
	}
	if err := h.revokeReused(ctx, x, "refresh_token_reused"); err != nil {
		return err
	}
	return web.Public(ErrInvalidGrant, "the refresh token has been used before, so its whole family was revoked")
}

// revokeReused ends a family whose code or older refresh token came back: one of
// the two who have it is not the client.
func (o *OAuth) revokeReused(ctx context.Context, x *exchange, reason string) error {
	x.event.Action = audit.TokenReuse
	x.fault = o.Sessions.RevokeGrant(ctx, x.tx, x.site, *x.grant, reason)
	return x.fault
}

// browser is the latest address of the agent's browser, looked up only where it
// will be judged. It outlives the session in the family's record.
func (h *refreshHandler) browser(x *exchange) (string, error) {
	if x.client.Public() || !x.site.Allowlist.AppliesTo(pathway(x.client)) {
		return x.grant.IP, nil
	}
	rec, err := store.Sessions.Find(x.tx, "sid", x.grant.SID)
	if errors.Is(err, store.ErrNotFound) {
		return x.grant.IP, nil
	}
	if err != nil {
		return "", fmt.Errorf("load session: %w", err)
	}
	x.grant.IP = rec.IP
	return rec.IP, nil
}

// narrow takes away what client or agent no longer allow, and what the request
// leaves out. More than was granted is never had.
func (h *refreshHandler) narrow(x *exchange) error {
	scopes := filter(x.grant.Scopes, func(s string) bool { return allowedScope(x.client, s) })
	if !slices.Contains(scopes, scopeOffline) {
		return web.Public(ErrInvalidGrant, "offline_access is no longer allowed")
	}
	scopes, err := x.consented(scopes)
	if err != nil {
		return err
	}
	asked, err := parseScope(x.form.Get("scope"))
	if err != nil {
		return err
	}
	for _, s := range asked {
		if !slices.Contains(scopes, s) {
			return web.Public(ErrInvalidScope, "scope is more than was granted")
		}
	}
	if x.scopes = scopes; len(asked) > 0 {
		x.scopes = asked
	}
	return nil
}

// consented are those of the scopes that the agent still lets the client have.
func (x *exchange) consented(scopes []string) ([]string, error) {
	if x.client.FirstParty {
		return scopes, nil
	}
	consent, err := store.Consents.Get(x.tx, store.ConsentKey(x.agent.ID, x.client.ID))
	if errors.Is(err, store.ErrNotFound) {
		return nil, web.Public(ErrInvalidGrant, "the agent has withdrawn consent")
	}
	if err != nil {
		return nil, fmt.Errorf("load consent: %w", err)
	}
	return filter(scopes, func(s string) bool { return slices.Contains(consent.Scopes, s) }), nil
}

// PopulateTokenEndpointResponse rotates and writes the family.
func (h *refreshHandler) PopulateTokenEndpointResponse(ctx context.Context, _ fosite.AccessRequester, out fosite.AccessResponder) error {
	x := exchangeFrom(ctx)
	access, _, err := h.tokens.GenerateAccessToken(ctx, nil)
	if err != nil {
		return err
	}
	out.SetAccessToken(access)
	out.SetTokenType("bearer")
	out.SetExtra("refresh_token", x.rotate())
	x.grant.Expires = x.idleEnd()
	if err := store.Replace(x.tx, &store.Grants, x.before, x.grant); err != nil {
		return fmt.Errorf("write the grant: %w", err)
	}
	if x.fresh == nil {
		return nil
	}
	return store.OpaqueTokens.Put(x.tx, x.fresh)
}

// rotate returns the refresh token to go on with. A public client's always
// rotates.
func (x *exchange) rotate() string {
	token, g := x.form.Get("refresh_token"), x.grant
	switch {
	case x.repeated:
		return successor(x.secret, g.ID, g.Generation, token)
	case !x.client.RotateRefreshTokens && !x.client.Public():
		return token
	}
	g.Generation++
	next := successor(x.secret, g.ID, g.Generation, token)
	g.Previous, g.Current, g.Rotated = g.Current, tokenSum(next), x.now
	return next
}

// CanSkipClientAuth is always false.
func (h *refreshHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool {
	return false
}

// CanHandleTokenEndpointRequest is true for refresh tokens.
func (h *refreshHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantRefresh)
}
