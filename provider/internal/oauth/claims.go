package oauth

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// accessTokenType is the typ of an access token's header (RFC 9068, section 2.1).
const accessTokenType = "at+jwt"

// AccessClaims are the claims of an access token (RFC 9068); an opaque token's
// are stored in the same form.
type AccessClaims struct {
	Issuer      string   `json:"iss"`
	Subject     string   `json:"sub"`
	Audience    Audience `json:"aud"`
	Expires     int64    `json:"exp"` // seconds since 1970, as are all times here
	IssuedAt    int64    `json:"iat"`
	IssuedMS    int64    `json:"iat_ms,omitempty"` // the same in milliseconds: see docs/decisions/0044
	ID          string   `json:"jti"`              // store.GrantOf finds the family in it
	ClientID    string   `json:"client_id"`
	Scope       string   `json:"scope,omitempty"`
	SID         string   `json:"sid,omitempty"`
	AuthTime    int64    `json:"auth_time,omitempty"`
	ACR         string   `json:"acr,omitempty"`
	AMR         []string `json:"amr,omitempty"`
	Site        string   `json:"site"`         // the site's path, "" for the root
	SubjectType string   `json:"subject_type"` // policy.Agent, Visitor or Client
	Assurance   string   `json:"assurance,omitempty"`
	Typed       typed    `json:"given_by_visitor,omitzero"`

	Roles        []string `json:"roles,omitempty"`
	Groups       []string `json:"groups,omitempty"`
	Entitlements []string `json:"entitlements,omitempty"`

	// AllowedNetworks are CIDRs. Nil: no restriction; empty and not nil: nobody.
	AllowedNetworks      []string `json:"allowed_networks,omitzero"`
	AllowedNetworksCheck string   `json:"allowed_networks_check,omitempty"` // "remote": too many for a token, ask
}

// typed is what a visitor has typed, as far as bans are judged by it.
type typed struct {
	Email string `json:"email,omitempty"`
}

// Audience is the claim aud: one string where there is one, else a list (RFC
// 7519, section 4.1.3).
type Audience []string

// MarshalJSON writes one audience as a string.
func (a Audience) MarshalJSON() ([]byte, error) {
	if len(a) == 1 {
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads both forms.
func (a *Audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = Audience{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return errors.New("aud is neither a string nor a list of them")
	}
	*a = many
	return nil
}

// Issued is when the token was issued, as closely as it says.
func (c *AccessClaims) Issued() time.Time {
	return time.UnixMilli(max(c.IssuedMS, c.IssuedAt*1000))
}

// Scopes is the scope claim as a list.
func (c *AccessClaims) Scopes() []string { return strings.Fields(c.Scope) }

// agentClaims says who the agent is and what this client may do for him, as
// things stand now: roles and networks that change are in the next token.
func agentClaims(s *site.Site, client *store.Client, agent *store.Agent, a *store.Authorization, audience string, now time.Time) AccessClaims {
	c := AccessClaims{
		Issuer: s.Issuer, Subject: agent.ID, Audience: Audience{audience}, ClientID: client.ID, Scope: strings.Join(a.Scopes, " "),
		IssuedAt: now.Unix(), IssuedMS: now.UnixMilli(), Expires: now.Add(accessLife(s)).Unix(),
		SID: a.SID, AuthTime: authTime(a), ACR: a.ACR, AMR: a.AMR, Site: s.Path, SubjectType: policy.Agent,
		Entitlements: entitlements(s.Permissions(agent.Roles), client, a.Scopes),
	}
	if hasScope(a.Scopes, scopeRoles, scopeChat) {
		c.Roles = agent.Roles
	}
	if hasScope(a.Scopes, scopeGroups, scopeChat) {
		c.Groups = agent.Departments
	}
	c.AllowedNetworks, c.AllowedNetworksCheck = networks(s, client, audience, agent.Roles)
	return c
}

// authTime is the claim auth_time; 0: nobody knows.
func authTime(a *store.Authorization) int64 {
	if a.AskedUnknown {
		return 0
	}
	return a.AuthTime.Unix()
}

// clientClaims are those of a client that acts for itself (RFC 6749, section 4.4).
func clientClaims(s *site.Site, client *store.Client, scopes []string, audience string, now time.Time) AccessClaims {
	return AccessClaims{
		Issuer: s.Issuer, Subject: client.ID, Audience: Audience{audience}, ClientID: client.ID, Scope: strings.Join(scopes, " "),
		IssuedAt: now.Unix(), IssuedMS: now.UnixMilli(), Expires: now.Add(accessLife(s)).Unix(), ID: randomToken(16),
		Site: s.Path, SubjectType: policy.Client, Entitlements: named(scopes),
	}
}

func accessLife(s *site.Site) time.Duration {
	return time.Duration(s.Lifetimes.AccessToken) * time.Second
}

// entitlements are held ∩ granted ∩ the client's ceiling: the least authority
// that does. The scope chat stands for every permission.
func entitlements(held []string, client *store.Client, granted []string) []string {
	ceiling := strings.Fields(client.Scope)
	return filter(held, func(p string) bool {
		return covers(granted, p, client.FirstParty) && covers(ceiling, p, client.FirstParty)
	})
}

func covers(scopes []string, permission string, firstParty bool) bool {
	return firstParty && slices.Contains(scopes, scopeChat) || slices.Contains(scopes, permission)
}

// named are the permissions among scopes. Every permission has a dot.
func named(scopes []string) []string {
	return filter(scopes, func(s string) bool { return strings.Contains(s, ".") && policy.ValidPermission(s) })
}

// encode writes the claims of a token with one audience, as all of ours are.
func (c *AccessClaims) encode() ([]byte, error) {
	return json.Marshal(struct {
		Audience string `json:"aud"` // takes the place of the list
		*AccessClaims
	}{c.Audience[0], c})
}

func filter(list []string, keep func(string) bool) []string {
	var out []string
	for _, v := range list {
		if keep(v) {
			out = append(out, v)
		}
	}
	return out
}

// networks are where the token may be used from, for resources that look.
func networks(s *site.Site, client *store.Client, audience string, roles []string) (cidrs []string, check string) {
	if !s.Resources[audience].ChecksNetwork || !s.Allowlist.AppliesTo(pathway(client)) {
		return nil, ""
	}
	allowed := s.Allowlist.CIDRs(roles)
	if len(allowed) > policy.MaxTokenNetworks {
		return nil, "remote"
	}
	cidrs = make([]string, 0, len(allowed))
	for _, p := range allowed {
		cidrs = append(cidrs, p.String())
	}
	return cidrs, ""
}

// pathway is the way in that a client is, for the allowlist's switches.
func pathway(c *store.Client) policy.Pathway {
	if c.ApplicationType == "native" {
		return policy.Mobile
	}
	return policy.Console
}
