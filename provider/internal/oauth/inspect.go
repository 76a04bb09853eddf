package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	visitors "github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrInactive is a token that is not a live access token of this site.
var ErrInactive = errors.New("token is not active")

// Inactive is an ErrInactive that knows why: one of policy's reasons, or empty
// if the token is none of ours.
type Inactive struct{ Reason string }

// Error names the reason.
func (e *Inactive) Error() string { return ErrInactive.Error() + ": " + e.Reason }

// Is makes it an ErrInactive.
func (e *Inactive) Is(target error) bool { return target == ErrInactive }

// maxClockAhead is how far in the future a token of ours may have been issued,
// for nodes whose clocks differ.
const maxClockAhead = 60 * time.Second

// Token is an access token that is genuine and, now, alive. It is shared: do not
// change what it points to.
type Token struct {
	Claims      *AccessClaims
	Payload     []byte             // the claims as signed
	Client      *store.Client      // who got it; a visitor's is nobody's that is registered
	Agent       *store.Agent       // whose it is; nil for a client's own
	Grant       *store.Grant       // the family; nil for a client's own
	Permissions []string           // its entitlements that the agent still has
	Visitor     *visitors.Standing // of a visitor; nil for all others
	IP          netip.Addr         // the session's latest browser address, looked up only where an allowlist is on
}

// Inspect verifies an access token and looks up, in one View, whether it is
// alive: neither it nor its family revoked, its agent and client active and not
// cut off after it was issued, its visitor not banned. Anything else is ErrInactive. A store that fails
// is an error of another kind and never an answer.
func (o *OAuth) Inspect(ctx context.Context, s *site.Site, raw string) (Token, error) {
	return o.InspectAt(ctx, s, raw, netip.Addr{})
}

// InspectAt is Inspect for who shows the token from that address, which bans are judged
// by; the zero Addr is not known.
func (o *OAuth) InspectAt(ctx context.Context, s *site.Site, raw string, ip netip.Addr) (Token, error) {
	v, err := o.genuine(ctx, s, raw)
	if err != nil {
		return Token{}, err
	}
	if v.claims.SubjectType == policy.Visitor {
		return o.liveVisitor(ctx, s, v, ip)
	}
	return o.live(ctx, s, v)
}

// genuine verifies the token itself: a JWT of type at+jwt, or an opaque one.
func (o *OAuth) genuine(ctx context.Context, s *site.Site, raw string) (*verified, error) {
	if !strings.Contains(raw, ".") {
		return o.opaque(ctx, s, raw)
	}
	v := o.meta.seen.get(s, raw)
	if v == nil {
		payload, _, err := o.Keys.Verify(ctx, s, raw, accessTokenType)
		if err != nil {
			return nil, notOurs(err)
		}
		if v, err = readClaims(s, payload); err != nil {
			return nil, err
		}
		o.meta.seen.put(raw, v)
	}
	return v, o.inTime(v)
}

// notOurs tells a token that is no good from a store that is.
func notOurs(err error) error {
	for _, fault := range []error{keys.ErrUnknownKey, keys.ErrSignature, keys.ErrType, keys.ErrMalformed} {
		if errors.Is(err, fault) {
			return &Inactive{}
		}
	}
	return fmt.Errorf("verify token: %w", err)
}

func readClaims(s *site.Site, payload []byte) (*verified, error) {
	v := &verified{site: s, payload: payload}
	if err := json.Unmarshal(payload, &v.claims); err != nil {
		return nil, &Inactive{}
	}
	c := &v.claims
	if c.Issuer != s.Issuer || c.Site != s.Path || c.ID == "" || c.ClientID == "" || c.Subject == "" {
		return nil, &Inactive{}
	}
	return v, nil
}

func (o *OAuth) inTime(v *verified) error {
	now := o.Now()
	if !now.Before(time.Unix(v.claims.Expires, 0)) {
		return &Inactive{policy.ReasonTokenExpired}
	}
	if now.Add(maxClockAhead).Before(time.Unix(v.claims.IssuedAt, 0)) {
		return &Inactive{policy.ReasonTokenNotYetValid}
	}
	return nil
}

func (o *OAuth) opaque(ctx context.Context, s *site.Site, raw string) (*verified, error) {
	if !strings.HasPrefix(raw, accessPrefix) || len(raw) > 256 {
		return nil, &Inactive{}
	}
	var rec store.OpaqueToken
	err := o.Store.View(ctx, s.Path, func(tx store.Tx) error {
		var err error
		rec, err = store.OpaqueTokens.Get(tx, opaqueKey(raw))
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, &Inactive{}
	}
	if err != nil {
		return nil, fmt.Errorf("load token: %w", err)
	}
	v, err := readClaims(s, rec.Claims)
	if err != nil {
		return nil, err
	}
	return v, o.inTime(v)
}

// live looks up what may have ended the token since it was issued.
func (o *OAuth) live(ctx context.Context, s *site.Site, v *verified) (Token, error) {
	t := Token{Claims: &v.claims, Payload: v.payload, Permissions: v.claims.Entitlements}
	client, err := o.Sites.Client(ctx, s, v.claims.ClientID)
	if errors.Is(err, site.ErrNoClient) {
		return t, &Inactive{policy.ReasonRevoked}
	}
	if err != nil {
		return t, err
	}
	t.Client = client
	if client.Disabled {
		return t, &Inactive{policy.ReasonRevoked}
	}
	err = o.Store.View(ctx, s.Path, func(tx store.Tx) error {
		if denied, err := store.AllSpent.Has(tx, deniedKey(v.claims.ID)); err != nil || denied {
			return orInactive(err, policy.ReasonRevoked)
		}
		if v.claims.SubjectType == policy.Agent {
			return o.liveAgent(tx, s, v, &t)
		}
		if issued := v.claims.Issued(); cutOff(issued, client.NotBefore) || cutOff(issued, s.Settings.NotBefore) {
			return &Inactive{policy.ReasonRevoked}
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	return t, nil
}

// cutOff says whether what began then is void. A token knows its beginning in
// milliseconds only: of two events in one it is taken for the older.
func cutOff(began, notBefore time.Time) bool {
	return !notBefore.IsZero() && began.Before(notBefore)
}

func orInactive(err error, reason string) error {
	if err != nil {
		return err
	}
	return &Inactive{reason}
}

func (o *OAuth) liveAgent(tx store.Tx, s *site.Site, v *verified, t *Token) error {
	now, err := v.lookUp(tx)
	if err != nil {
		return err
	}
	grant, agent := &now.grant.Record, &now.agent.Record
	if grant.Revoked || grant.ClientID != t.Claims.ClientID || grant.AgentID != t.Claims.Subject {
		return &Inactive{policy.ReasonRevoked}
	}
	if agent.Inactive {
		return &Inactive{policy.ReasonSubjectInactive}
	}
	if cutOff(grant.Created, agent.NotBefore) || cutOff(grant.Created, t.Client.NotBefore) || cutOff(grant.Created, s.Settings.NotBefore) {
		return &Inactive{policy.ReasonRevoked}
	}
	t.Grant, t.Agent = grant, agent
	t.Permissions = both(t.Claims.Entitlements, s.Permissions(agent.Roles))
	if s.Allowlist.Enabled() {
		return o.sessionIP(tx, t)
	}
	return nil
}

// lookUp reads the family and the agent.
func (v *verified) lookUp(tx store.Tx) (*footing, error) {
	var last, now footing
	if kept := v.last.Load(); kept != nil {
		last = *kept
	}
	grantID, _ := store.GrantOf(v.claims.ID)
	var err error
	if now.grant, err = store.Reread(tx, &store.Grants, grantID, last.grant); errors.Is(err, store.ErrNotFound) {
		return nil, &Inactive{policy.ReasonRevoked}
	} else if err != nil {
		return nil, err
	}
	if now.agent, err = store.Reread(tx, &store.Agents, v.claims.Subject, last.agent); errors.Is(err, store.ErrNotFound) {
		return nil, &Inactive{policy.ReasonSubjectInactive}
	} else if err != nil {
		return nil, err
	}
	if now != last {
		v.last.Store(&now)
	}
	return &now, nil
}

func (o *OAuth) sessionIP(tx store.Tx, t *Token) error {
	session, err := store.Sessions.Find(tx, "sid", t.Claims.SID)
	if errors.Is(err, store.ErrNotFound) {
		t.IP, _ = netip.ParseAddr(t.Grant.IP) // ended by age: the family remembers
		return nil
	}
	if err != nil {
		return err
	}
	t.IP, _ = netip.ParseAddr(session.IP) // unknown matches nothing
	return nil
}

// both is what is in a and in b; a itself if that is all of it.
func both(a, b []string) []string {
	if !slices.ContainsFunc(a, func(x string) bool { return !has(b, x) }) {
		return a
	}
	return slices.DeleteFunc(slices.Clone(a), func(x string) bool { return !has(b, x) })
}

// has looks in a sorted slice.
func has(sorted []string, x string) bool {
	_, found := slices.BinarySearch(sorted, x)
	return found
}

// For reports whether the token is meant for this client: it got the token, or
// is registered for the audience. A visitor's was got by no client.
func (t Token) For(c *store.Client) bool {
	if c.ID == t.Claims.ClientID && t.Visitor == nil {
		return true
	}
	return slices.ContainsFunc(t.Claims.Audience, func(aud string) bool {
		return c.DefaultResource == aud || slices.Contains(c.Resources, aud)
	})
}

// Request puts the token to policy, with the session's address; the caller may
// name another.
func (t Token) Request(s *site.Site, now time.Time, action string) policy.Request {
	r := policy.Request{
		Now: now, Action: action,
		Subject: policy.Subject{
			Type: t.Claims.SubjectType, ID: t.Claims.Subject, Permissions: t.Permissions, Active: true,
			ACR: t.Claims.ACR, Assurance: t.Claims.Assurance, AuthTime: time.Unix(t.Claims.AuthTime, 0),
		},
		Token:   &policy.Token{Audience: t.Claims.Audience, Expires: time.Unix(t.Claims.Expires, 0)},
		IP:      t.IP,
		Pathway: pathway(t.Client), Allowlist: s.Allowlist,
	}
	if t.Agent != nil {
		r.Subject.Roles = t.Agent.Roles
	}
	if t.Visitor != nil {
		r.Bans, r.Known = t.Visitor.Bans, t.Visitor.Facts
	}
	return r
}

// deniedKey names a revoked token among the spent things.
func deniedKey(jti string) string { return "jti:" + jti }
