package verify

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Token is a verified access token (RFC 9068). It is shared by all who verify
// the same one: do not change it.
type Token struct {
	ID           string // jti
	Subject      string
	SubjectType  string // policy.Agent, policy.Visitor or policy.Client
	ClientID     string
	SID          string // the session it came from; empty for a machine's
	Site         string // the site's path, "" for the root
	Audience     []string
	Scopes       []string
	Roles        []string // role keys
	Groups       []string // department keys
	Entitlements []string // permissions
	ACR          string
	AMR          []string
	Assurance    string    // of a visitor
	AuthTime     time.Time // zero if the token does not say
	IssuedAt     time.Time
	NotBefore    time.Time // zero if the token does not say
	Expires      time.Time
	// AllowedNetworks is where its holder may come from: nil means anywhere,
	// empty and not nil nowhere.
	AllowedNetworks []netip.Prefix
	// NetworksRemote says that the networks are too many for a token: ask the
	// server.
	NetworksRemote bool

	issuedMS int64  // milliseconds since 1970
	signed   string // header and payload as they were signed
	visitor  *Visitor
	client   *Client
	cleanAt  atomic.Uint64 // the generation of revocations in which none named it
	revoked  atomic.Pointer[string]
}

// Claims decodes the token's claims into what v points to.
func (t *Token) Claims(v any) error {
	_, payload, _ := strings.Cut(t.signed, ".")
	claims, err := strictBase64(payload)
	if err != nil {
		return err
	}
	return json.Unmarshal(claims, v)
}

// Token verifies a raw access token: its form, signature, issuer, audience and
// times, and that nothing has revoked it. A token seen before costs about a
// microsecond. The errors are this package's; a token for which Token returned
// none may be revoked a moment later, so ask [Token.May] at each act, or
// [Client.Watch] it.
func (c *Client) Token(ctx context.Context, raw string) (*Token, error) {
	if len(raw) > maxTokenBytes {
		return nil, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxTokenBytes)
	}
	dot := strings.LastIndexByte(raw, '.')
	if dot < 0 {
		return nil, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	hash := hashSignature(raw[dot+1:])
	t := c.cache.get(hash, raw[:dot])
	if t == nil {
		var err error
		if t, err = c.verify(ctx, raw); err != nil {
			return nil, err
		}
		t.signed = strings.Clone(raw[:dot])
		c.cache.put(hash, t)
	}
	if err := t.live(time.Now()); err != nil {
		return nil, err
	}
	return t, nil
}

func (c *Client) verify(ctx context.Context, raw string) (*Token, error) {
	claims, err := c.payload(ctx, raw)
	if err != nil {
		return nil, err
	}
	t, err := c.readClaims(claims)
	if err != nil {
		return nil, err
	}
	return t, t.timely(time.Now())
}

// timely checks the token's times once; only expiry changes afterwards.
func (t *Token) timely(now time.Time) error {
	leeway := t.client.options.Leeway
	switch {
	case !t.Expires.After(t.IssuedAt) || t.Expires.Sub(t.IssuedAt) > MaxLifetime:
		return fmt.Errorf("%w: lives from %s to %s", ErrClaims, t.IssuedAt, t.Expires)
	case t.IssuedAt.After(now.Add(leeway)):
		return fmt.Errorf("%w: issued at %s, it is %s", ErrNotYetValid, t.IssuedAt, now)
	case t.NotBefore.After(now.Add(leeway)):
		return fmt.Errorf("%w: not before %s, it is %s", ErrNotYetValid, t.NotBefore, now)
	}
	return nil
}

// live judges what changes while a token is in the cache.
func (t *Token) live(now time.Time) error {
	if !now.Before(t.Expires.Add(t.client.options.Leeway)) {
		return fmt.Errorf("%w at %s", ErrExpired, t.Expires)
	}
	if why := t.revocation(); why != nil {
		return fmt.Errorf("%w: %s", ErrRevoked, *why)
	}
	if t.client.denies(now) {
		return ErrStale
	}
	return nil
}

// revocation is why the token was revoked, nil if it was not. The lists are
// searched only when they have grown since this token was last looked up.
func (t *Token) revocation() *string {
	if why := t.revoked.Load(); why != nil {
		return why
	}
	generation := t.client.revoked.generation.Load()
	if t.cleanAt.Load() == generation {
		return nil
	}
	if why, named := t.client.revoked.name(t); named {
		t.revoked.Store(&why)
		return &why
	}
	t.cleanAt.Store(generation)
	return nil
}

// May says whether the token's holder may do the action (a permission's name)
// from the address, here and now, without a call: the permission from
// entitlements, the network from allowed_networks, the token's time and what
// the revocation feed has said. The zero Addr is an unknown address. A reason
// policy.ReasonIPCheckRemote means that only the server knows: use Ask.
func (t *Token) May(action string, ip netip.Addr) policy.Decision {
	return t.decide(policy.Decide, action, ip, policy.Demands{})
}

// Admit is May without a permission, for opening a connection, and with what
// the resource demands of the sign-in (RFC 9470).
func (t *Token) Admit(ip netip.Addr, demands policy.Demands) policy.Decision {
	return t.decide(policy.Admit, "", ip, demands)
}

func (t *Token) decide(rule func(policy.Request) policy.Decision, action string, ip netip.Addr, demands policy.Demands) policy.Decision {
	if t == nil || t.client == nil {
		return policy.Refuse(policy.ReasonTokenUnverified, time.Time{})
	}
	now := time.Now()
	answer := rule(policy.Request{
		Now: now,
		Subject: policy.Subject{
			Type: t.SubjectType, ID: t.Subject, Roles: t.Roles, Permissions: t.Entitlements, Active: true,
			ACR: t.ACR, Assurance: t.Assurance, AuthTime: t.AuthTime,
		},
		Token: &policy.Token{
			Audience: t.Audience, For: t.client.options.Audience, NotBefore: t.NotBefore, Expires: t.Expires, Leeway: t.client.options.Leeway,
			Revoked: t.revocation() != nil, Stale: t.client.denies(now),
		},
		Action: action, IP: ip, AllowedNetworks: t.AllowedNetworks, Demands: demands,
	})
	switch {
	case !answer.Allowed || !t.NetworksRemote:
		return answer
	case !ip.IsValid():
		return policy.Refuse(policy.ReasonIPUnknown, answer.Until)
	}
	return policy.Refuse(policy.ReasonIPCheckRemote, answer.Until)
}
