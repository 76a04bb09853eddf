package store

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/netip"
	"time"
)

func isNotFound(err error) bool { return errors.Is(err, ErrNotFound) }

// Agent is a person who answers chats, administrators among them.
type Agent struct {
	ID            string `json:"id"`    // the sub; UUIDv7, never reused
	Email         string `json:"email"` // canonical: web.CanonicalEmail
	EmailVerified bool   `json:"email_verified,omitempty"`

	Name        string   `json:"name,omitempty"`
	GivenName   string   `json:"given_name,omitempty"`
	FamilyName  string   `json:"family_name,omitempty"`
	Nickname    string   `json:"nickname,omitempty"`
	Picture     string   `json:"picture,omitempty"`
	Locale      string   `json:"locale,omitempty"`
	Zoneinfo    string   `json:"zoneinfo,omitempty"`
	PhoneNumber string   `json:"phone_number,omitempty"`
	Address     *Address `json:"address,omitempty"`

	PasswordHash    string    `json:"password_hash,omitempty"` // PHC string
	PasswordChanged time.Time `json:"password_changed,omitzero"`
	// PasswordHistory is the hashes of former passwords, the newest first.
	PasswordHistory []string `json:"password_history,omitempty"`
	// PasswordSelfChanges is when the agent has changed it, the oldest first; only
	// those of the last day matter.
	PasswordSelfChanges []time.Time `json:"password_self_changes,omitempty"`
	MustChangePassword  bool        `json:"must_change_password,omitempty"` // before anything is issued
	// FactorGrace is when a role first demanded a second factor of this agent, at
	// a sign-in: the days of grace count from it.
	FactorGrace time.Time `json:"factor_grace,omitzero"`

	Roles       []string `json:"roles,omitempty"`       // role keys, sorted
	Departments []string `json:"departments,omitempty"` // department keys, sorted
	Inactive    bool     `json:"inactive,omitempty"`

	// NotBefore voids every session, grant and token begun before it.
	NotBefore time.Time `json:"not_before,omitzero"`
	Created   time.Time `json:"created"`
	Updated   time.Time `json:"updated"`
}

// Address is the OpenID Connect address claim (Core, section 5.1.1).
type Address struct {
	Formatted     string `json:"formatted,omitempty" yaml:"formatted"`
	StreetAddress string `json:"street_address,omitempty" yaml:"street_address"`
	Locality      string `json:"locality,omitempty" yaml:"locality"`
	Region        string `json:"region,omitempty" yaml:"region"`
	PostalCode    string `json:"postal_code,omitempty" yaml:"postal_code"`
	Country       string `json:"country,omitempty" yaml:"country"`
}

// Agents are found by "email" (unique), "role", "department" and
// "password_kind" (PasswordKind of the hash, for PasswordKinds).
var Agents = Table[Agent]{
	Kind: "agent",
	Key:  func(a *Agent) string { return a.ID },
	Lookups: []Lookup[Agent]{
		{Name: "email", Values: func(a *Agent) []string { return []string{a.Email} }, Unique: true},
		{Name: "role", Values: func(a *Agent) []string { return a.Roles }},
		{Name: "department", Values: func(a *Agent) []string { return a.Departments }},
		{Name: "password_kind", Values: func(a *Agent) []string { return []string{PasswordKind(a.PasswordHash)} }},
	},
}

// Role is a set of permissions. Key is immutable and is what tokens carry.
type Role struct {
	Key         string   `json:"key"`
	Name        string   `json:"name"`
	Permissions []string `json:"permissions,omitempty"` // sorted; Administrators holds all whatever stands here
}

// Roles holds a site's roles, the two built-in ones among them.
var Roles = Table[Role]{Kind: "role", Key: func(r *Role) string { return r.Key }}

// Department groups agents. Key is immutable and is what tokens carry.
type Department struct {
	Key               string   `json:"key"`
	Name              string   `json:"name"`
	TranscriptsTo     []string `json:"transcripts_to,omitempty"`
	OfflineMessagesTo []string `json:"offline_messages_to,omitempty"`
}

// Departments holds a site's departments.
var Departments = Table[Department]{Kind: "department", Key: func(d *Department) string { return d.Key }}

// Attempts counts failed tries by account or by network. It is written before
// the try is evaluated and kept over restarts.
type Attempts struct {
	Key     string    `json:"key"` // AccountAttempts or NetworkAttempts
	Count   int       `json:"count"`
	First   time.Time `json:"first"`
	Last    time.Time `json:"last"`
	Until   time.Time `json:"until,omitzero"` // refused until then
	Expires time.Time `json:"expires"`
}

// AllAttempts holds the counters.
var AllAttempts = Table[Attempts]{
	Kind: "attempts", Key: func(a *Attempts) string { return a.Key }, Expires: func(a *Attempts) time.Time { return a.Expires },
}

// AccountAttempts is the key of an account's counter, whether or not there is
// such an account. Deleting the record unlocks the account.
func AccountAttempts(email string) string {
	sum := sha256.Sum256([]byte(email))
	return "account:" + hex.EncodeToString(sum[:16])
}

// NetworkAttempts is the key of a network's counter. All unknown addresses (the
// zero Prefix) are one network.
func NetworkAttempts(network netip.Prefix) string { return "network:" + network.String() }
