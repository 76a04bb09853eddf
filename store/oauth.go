package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// Client is an OAuth client; JSON names are those of RFC 7591.
type Client struct {
	ID                      string          `json:"client_id"`
	Name                    string          `json:"client_name,omitempty"`
	Company                 string          `json:"company,omitempty"`
	Description             string          `json:"description,omitempty"`
	LogoURI                 string          `json:"logo_uri,omitempty"`
	ClientURI               string          `json:"client_uri,omitempty"`
	PolicyURI               string          `json:"policy_uri,omitempty"`
	TOSURI                  string          `json:"tos_uri,omitempty"`
	Secrets                 []ClientSecret  `json:"secrets,omitempty"` // two during a rotation
	RedirectURIs            []string        `json:"redirect_uris,omitempty"`
	PostLogoutRedirectURIs  []string        `json:"post_logout_redirect_uris,omitempty"`
	GrantTypes              []string        `json:"grant_types"`
	ResponseTypes           []string        `json:"response_types,omitempty"`
	Scope                   string          `json:"scope,omitempty"` // the ceiling, space-separated
	TokenEndpointAuthMethod string          `json:"token_endpoint_auth_method"`
	StrictAuthMethod        bool            `json:"strict_auth_method,omitempty"` // only the registered method
	JWKS                    json.RawMessage `json:"jwks,omitempty"`
	JWKSURI                 string          `json:"jwks_uri,omitempty"`
	ApplicationType         string          `json:"application_type,omitempty"` // web or native
	IDTokenAlg              string          `json:"id_token_signed_response_alg,omitempty"`
	FirstParty              bool            `json:"first_party,omitempty"`
	RequirePKCE             bool            `json:"require_pkce"`
	MayAssertIP             bool            `json:"may_assert_ip,omitempty"`
	DefaultResource         string          `json:"default_resource,omitempty"`
	Resources               []string        `json:"resources,omitempty"` // audiences it may ask for; empty: any of the site's
	RotateRefreshTokens     bool            `json:"rotate_refresh_tokens"`
	IDTokenOnRefresh        bool            `json:"id_token_on_refresh"`
	DefaultMaxAge           *int            `json:"default_max_age,omitempty"`
	RequireAuthTime         bool            `json:"require_auth_time,omitempty"`
	Disabled                bool            `json:"disabled,omitempty"`
	// NotBefore voids what the client got before it.
	NotBefore time.Time `json:"not_before,omitzero"`
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
}

// ClientSecret is the hash of one secret. Generated secrets have 256 bits, so
// SHA-256 is enough (a password's slow hash would only cost every request).
type ClientSecret struct {
	SHA256  []byte    `json:"sha256"`
	Hint    string    `json:"hint,omitempty"` // a number to tell two apart, nothing of the secret
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

// Public reports whether the client has no credential of its own.
func (c *Client) Public() bool { return c.TokenEndpointAuthMethod == "none" }

// Clients holds a site's clients.
var Clients = Table[Client]{Kind: "client", Key: func(c *Client) string { return c.ID }}

// Authorization is what a person granted: the facts that a code carries to the
// token endpoint and that every refresh of its family repeats.
type Authorization struct {
	ClientID  string    `json:"client"`
	AgentID   string    `json:"agent"`
	SID       string    `json:"sid"`
	Login     string    `json:"login,omitempty"`     // LoginKey of the session's, which it outlives
	Scopes    []string  `json:"scopes"`              // granted
	Resources []string  `json:"resources,omitempty"` // RFC 8707, each of the site's
	AuthTime  time.Time `json:"auth_time"`
	// AskedUnknown is the session's: no token says AuthTime.
	AskedUnknown bool     `json:"asked_unknown,omitempty"`
	AMR          []string `json:"amr,omitempty"`
	ACR          string   `json:"acr,omitempty"`
	// Remembered is the session's: a remembered device stood in for a factor.
	Remembered bool `json:"remembered,omitempty"`
	// Lifted is the session's: break-glass had lifted the factor that was due.
	Lifted bool `json:"lifted,omitempty"`
	// SingleSignOnLifted is the session's: break-glass had lifted the single sign-on that was due.
	SingleSignOnLifted bool            `json:"sso_lifted,omitempty"`
	Nonce              string          `json:"nonce,omitempty"`
	Claims             json.RawMessage `json:"claims,omitempty"` // the OIDC claims parameter
}

// Grant is a token family: what a redeemed code became. With a refresh token,
// Generation counts its rotations; only hashes of the tokens are here.
type Grant struct {
	ID string `json:"id"` // of the code: its time and 88 bits of its hash, base64url; each jti begins with it
	Authorization
	Generation  uint32    `json:"generation"`
	Current     []byte    `json:"current,omitempty"`  // half the SHA-256 of the live refresh token
	Previous    []byte    `json:"previous,omitempty"` // of the one before, for the grace
	Rotated     time.Time `json:"rotated,omitzero"`
	IdleSeconds int       `json:"idle,omitempty"`
	Created     time.Time `json:"created"`
	Expires     time.Time `json:"expires"`           // the earlier of idle and absolute end
	End         time.Time `json:"end"`               // absolute end of the family
	Revoked     bool      `json:"revoked,omitempty"` // kept until Expires so that a reuse is recognised
	// IP is the address of the agent's browser when the session was last seen by
	// an exchange: what is judged for a confidential client once the session is over.
	IP string `json:"ip,omitempty"`
}

// Grants are found by "sid", "agent" and "client"; those with a refresh token, which
// outlives its session, by "login" as well.
var Grants = Table[Grant]{
	Kind: "grant", Key: func(g *Grant) string { return g.ID }, Expires: func(g *Grant) time.Time { return g.Expires },
	Lookups: []Lookup[Grant]{
		{Name: "sid", Values: func(g *Grant) []string { return []string{g.SID} }},
		{Name: "agent", Values: func(g *Grant) []string { return []string{g.AgentID} }},
		{Name: "client", Values: func(g *Grant) []string { return []string{g.ClientID} }},
		{Name: "login", Values: func(g *Grant) []string {
			if g.Current == nil {
				return nil
			}
			return []string{g.Login}
		}},
	},
}

// OpaqueToken is an access token for a resource that wants no JWT: its claims,
// under the first half of the SHA-256 of the token, base64url.
type OpaqueToken struct {
	Hash    string          `json:"hash"`
	GrantID string          `json:"grant,omitempty"`
	Claims  json.RawMessage `json:"claims"`
	Expires time.Time       `json:"expires"`
}

// OpaqueTokens holds them.
var OpaqueTokens = Table[OpaqueToken]{
	Kind: "opaque-token", Key: func(t *OpaqueToken) string { return t.Hash }, Expires: func(t *OpaqueToken) time.Time { return t.Expires },
	Lookups: []Lookup[OpaqueToken]{{Name: "grant", Values: func(t *OpaqueToken) []string { return []string{t.GrantID} }}},
}

// Spent is a one-time thing that has been used: an assertion's jti, a revoked
// token's jti. It lives as long as the thing could be tried again.
type Spent struct {
	Key     string    `json:"key"` // type ":" owner ":" hash
	Expires time.Time `json:"expires"`
}

// AllSpent holds them.
var AllSpent = Table[Spent]{Kind: "spent", Key: func(s *Spent) string { return s.Key }, Expires: func(s *Spent) time.Time { return s.Expires }}

// Consent is what an agent allowed a third-party client.
type Consent struct {
	AgentID   string    `json:"agent"`
	ClientID  string    `json:"client"`
	Scopes    []string  `json:"scopes"`
	Resources []string  `json:"resources,omitempty"`
	Given     time.Time `json:"given"`
}

// ConsentKey is the key of an agent's consent to a client.
func ConsentKey(agentID, clientID string) string { return agentID + " " + clientID }

// Consents are found by "agent" and "client".
var Consents = Table[Consent]{
	Kind: "consent", Key: func(c *Consent) string { return ConsentKey(c.AgentID, c.ClientID) },
	Lookups: []Lookup[Consent]{
		{Name: "agent", Values: func(c *Consent) []string { return []string{c.AgentID} }},
		{Name: "client", Values: func(c *Consent) []string { return []string{c.ClientID} }},
	},
}

// Revocation is an entry of the feed that verifiers follow: what it names, and
// was issued before Before, is refused. Exactly one of JTI, SID, Subject,
// ClientID and All is set.
type Revocation struct {
	Sequence uint64    `json:"id"` // the feed's counter, so that a reader resumes
	JTI      string    `json:"jti,omitempty"`
	SID      string    `json:"sid,omitempty"`
	Subject  string    `json:"sub,omitempty"`
	ClientID string    `json:"client_id,omitempty"`
	All      bool      `json:"all,omitempty"` // every token of the site: a role or the allowlist changed
	Reason   string    `json:"reason"`
	Before   time.Time `json:"before"`
	Expires  time.Time `json:"expires"` // when no token it names can be alive
}

// RevocationSequence is the counter of the feed's entries. It never goes back:
// a restore moves it past what any reader can have seen.
const RevocationSequence = "revocation-sequence"

// RevocationKey puts entries in the order of their sequence.
func RevocationKey(sequence uint64) string { return fmt.Sprintf("%016x", sequence) }

// Revocations is the feed, in sequence order. What it says of a token without a
// session's record is found by "of", as RevokedJTI and its kin name it.
var Revocations = Table[Revocation]{
	Kind: "revocation", Key: func(r *Revocation) string { return RevocationKey(r.Sequence) }, Expires: func(r *Revocation) time.Time { return r.Expires },
	Lookups: []Lookup[Revocation]{{Name: "of", Values: func(r *Revocation) []string {
		return []string{RevokedJTI(r.JTI), RevokedSubject(r.Subject), RevokedClient(r.ClientID)}
	}}},
}

// RevokedJTI is what entries of that jti, or family, are found by.
func RevokedJTI(id string) string { return prefixed("jti:", id) }

// RevokedSubject is what entries of that sub are found by.
func RevokedSubject(id string) string { return prefixed("sub:", id) }

// RevokedClient is what entries of that client_id are found by.
func RevokedClient(id string) string { return prefixed("client:", id) }

func prefixed(prefix, id string) string {
	if id == "" {
		return ""
	}
	return prefix + id
}
