package store

import (
	"slices"
	"time"
)

// Kinds of a Connection, and whom it is for.
const (
	ConnectionSAML = "saml"
	ConnectionJWT  = "jwt"
	ConnectionOIDC = "oidc"

	ForAgents   = "agents"
	ForVisitors = "visitors"
)

// Connection is a customer's own login, through which agents or visitors sign in.
// Exactly one of SAML, JWT and OIDC is set, the one of Kind.
type Connection struct {
	ID       string `json:"id"` // part of its URLs; immutable
	Kind     string `json:"kind"`
	For      string `json:"for"`
	Name     string `json:"name"`
	Disabled bool   `json:"disabled,omitempty"`

	// Domains lead here from the address that somebody types. They count for linking,
	// creation and enforcement only as far as the site has proven them.
	Domains []string `json:"domains,omitempty"` // canonical
	Default bool     `json:"default,omitempty"` // the sign-in page leads here by itself
	Create  bool     `json:"create,omitempty"`  // agents are made at their first sign-in
	// Enforce switches passwords and passkeys off for its proven domains, once
	// EnforceReady says that it was rehearsed.
	Enforce bool `json:"enforce,omitempty"`
	// IdPInitiated lets the provider begin.
	IdPInitiated bool `json:"idp_initiated,omitempty"`
	// TrustSecondFactor takes the provider's word that it has asked for one.
	TrustSecondFactor bool `json:"trust_second_factor,omitempty"`
	// SkewSeconds is what its clock may differ by; zero: 60.
	SkewSeconds int `json:"skew_seconds,omitempty"`

	Attributes    []Attribute `json:"attributes,omitempty"`     // by Field
	RoleMap       []Mapped    `json:"role_map,omitempty"`       // to role keys
	DepartmentMap []Mapped    `json:"department_map,omitempty"` // to department keys

	SAML *SAMLConnection `json:"saml,omitempty"`
	JWT  *JWTConnection  `json:"jwt,omitempty"`
	OIDC *OIDCConnection `json:"oidc,omitempty"`

	Created time.Time `json:"created"`
	Updated time.Time `json:"updated"`
	// Rebound is when it was given another provider: its subjects are not those of before.
	Rebound time.Time `json:"rebound,omitzero"`
	// Resumed is when it was switched on again: what visitors had by it before is over.
	Resumed time.Time `json:"resumed,omitzero"`
	// Changed is when something changed that a rehearsal covers: all but Name,
	// Disabled, Default and Enforce. Rehearsed is when an administrator has signed in
	// through it last, and who.
	Changed     time.Time `json:"changed"`
	Rehearsed   time.Time `json:"rehearsed,omitzero"`
	RehearsedBy string    `json:"rehearsed_by,omitempty"`
}

// Attribute says where one of our fields comes from: the first of From that has a
// value, else Constant.
type Attribute struct {
	Field    string   `json:"field"`
	From     []string `json:"from,omitempty"`
	Constant string   `json:"constant,omitempty"`
	Type     string   `json:"type,omitempty"` // string (also if empty), number, boolean or list
}

// Mapped says what one value of the provider's stands for here.
type Mapped struct {
	Value string   `json:"value"`
	To    []string `json:"to"`
}

// SAMLConnection is an identity provider: by its metadata, or by hand.
type SAMLConnection struct {
	MetadataURL string `json:"metadata_url,omitempty"`
	MetadataXML string `json:"metadata_xml,omitempty"`
	// MetadataCertificates, PEM, must have signed the metadata, if there are any.
	MetadataCertificates []string `json:"metadata_certificates,omitempty"`
	EntityID             string   `json:"entity_id,omitempty"`
	SSOURL               string   `json:"sso_url,omitempty"`
	SSOBinding           string   `json:"sso_binding,omitempty"` // redirect (also if empty) or post
	SLOURL               string   `json:"slo_url,omitempty"`
	Certificates         []string `json:"certificates,omitempty"` // PEM
	SignRequests         bool     `json:"sign_requests,omitempty"`
	RequireEncryption    bool     `json:"require_encryption,omitempty"`
	ForceAuthn           bool     `json:"force_authn,omitempty"`
	NameIDFormat         string   `json:"name_id_format,omitempty"`
	AuthnContexts        []string `json:"authn_contexts,omitempty"`
	// Subject is the attribute that names the subject for good; empty: the NameID.
	Subject string `json:"subject,omitempty"`
}

// JWTConnection is a customer's own login page, or server, that makes JWTs.
type JWTConnection struct {
	LoginURL  string            `json:"login_url,omitempty"`
	LogoutURL string            `json:"logout_url,omitempty"`
	Issuer    string            `json:"issuer,omitempty"`  // what iss must be; empty: any text, where iss is demanded at all
	Dialect   string            `json:"dialect,omitempty"` // "", zendesk or comm100
	AllowGet  bool              `json:"allow_get,omitempty"`
	Keys      []VerificationKey `json:"keys,omitempty"`
	JWKSURL   string            `json:"jwks_url,omitempty"`
	// Required refuses a visitor of this site without an identity JWT that holds.
	Required bool `json:"required,omitempty"`
	// UserHash lets a site vouch by a static HMAC of the visitor's id: it never ends
	// and is no proof of presence.
	UserHash bool `json:"user_hash,omitempty"`
}

// UseUserHash is the use of a secret that makes user_hashes, and verifies no JWT: a
// user_hash of an id that reads like a token would be that token's signature.
const UseUserHash = "user_hash"

// Targets are all keys that a map leads to.
func Targets(m []Mapped) (keys []string) {
	for _, v := range m {
		keys = append(keys, v.To...)
	}
	return keys
}

// VerificationKey verifies JWTs: a shared secret or a public key.
type VerificationKey struct {
	KID       string `json:"kid,omitempty"`
	Use       string `json:"use,omitempty"`        // UseUserHash, or empty
	Alg       string `json:"alg,omitempty"`        // empty: by the kind of key
	Secret    []byte `json:"secret,omitempty"`     // sealed
	PublicKey string `json:"public_key,omitempty"` // PEM
}

// OIDCConnection is an OpenID provider.
type OIDCConnection struct {
	Issuer       string   `json:"issuer"`
	ClientID     string   `json:"client_id"`
	ClientSecret []byte   `json:"client_secret,omitempty"` // sealed
	AuthMethod   string   `json:"token_endpoint_auth_method,omitempty"`
	Scopes       []string `json:"scopes,omitempty"`     // empty: openid profile email
	Prompt       string   `json:"prompt,omitempty"`     // sent along
	ACRValues    []string `json:"acr_values,omitempty"` // asked for
	// AssumeVerified takes the addresses of its proven domains as verified if the
	// provider says nothing of it, as Entra ID does.
	AssumeVerified bool `json:"assume_verified,omitempty"`
	// AssumeFresh takes an answer without auth_time for one of just now where the
	// provider was to ask anew.
	AssumeFresh bool `json:"assume_fresh,omitempty"`
}

// Connections are found by "for".
var Connections = Table[Connection]{
	Kind: "connection", Key: func(c *Connection) string { return c.ID },
	Lookups: []Lookup[Connection]{{Name: "for", Values: func(c *Connection) []string { return []string{c.For} }}},
	Sealed:  sealedOfConnection,
}

func sealedOfConnection(c *Connection) (all []*[]byte) {
	if c.JWT != nil {
		for i := range c.JWT.Keys {
			all = append(all, &c.JWT.Keys[i].Secret)
		}
	}
	if c.OIDC != nil {
		all = append(all, &c.OIDC.ClientSecret)
	}
	return all
}

// EnforceReady reports whether the connection may be enforced: somebody has
// rehearsed it since it changed last.
func (c *Connection) EnforceReady() bool {
	return !c.Rehearsed.IsZero() && !c.Rehearsed.Before(c.Changed)
}

// Enforces reports whether agents with an address of that domain sign in through
// the connection and no other way. proven are the site's.
func (c *Connection) Enforces(domain string, proven []string) bool {
	return c.For == ForAgents && c.Enforce && !c.Disabled && c.EnforceReady() && c.Proves(domain, proven)
}

// Since tells the connection from another that had its ID before, and from itself with
// another provider, in microseconds.
func (c *Connection) Since() int64 {
	if c.Rebound.After(c.Created) {
		return c.Rebound.UnixMicro()
	}
	return c.Created.UnixMicro()
}

// Proves reports whether the connection may speak for addresses of that domain.
func (c *Connection) Proves(domain string, proven []string) bool {
	return domain != "" && slices.Contains(c.Domains, domain) && slices.Contains(proven, domain)
}

// ConnectionKey is our own key pair for a connection: it signs requests and
// decrypts assertions.
type ConnectionKey struct {
	ID          string    `json:"id"` // connection "/" number
	Connection  string    `json:"connection"`
	Private     []byte    `json:"private"`     // PKCS #8, sealed
	Certificate []byte    `json:"certificate"` // DER
	Created     time.Time `json:"created"`
	// Activates is when it begins to sign; before, it is only published.
	Activates time.Time `json:"activates"`
}

// ConnectionKeys are found by "connection".
var ConnectionKeys = Table[ConnectionKey]{
	Kind: "connection-key", Key: func(k *ConnectionKey) string { return k.ID },
	Sealed:  func(k *ConnectionKey) []*[]byte { return []*[]byte{&k.Private} },
	Lookups: []Lookup[ConnectionKey]{{Name: "connection", Values: func(k *ConnectionKey) []string { return []string{k.Connection} }}},
}

// Fetched is the last good document of a connection's URL, and what came of the
// last try.
type Fetched struct {
	Connection string    `json:"connection"`
	URL        string    `json:"url"`
	Body       []byte    `json:"body,omitempty"`
	At         time.Time `json:"at,omitzero"`     // when Body came
	Tried      time.Time `json:"tried"`           // when it was last tried
	Next       time.Time `json:"next"`            // when it is tried again
	Fault      string    `json:"fault,omitempty"` // of the last try; for administrators
}

// AllFetched holds them by connection.
var AllFetched = Table[Fetched]{Kind: "fetched", Key: func(f *Fetched) string { return f.Connection }}
