package store

import (
	"crypto/sha256"
	"encoding/hex"
	"time"
)

// Kinds of an Authenticator.
const (
	FactorTOTP    = "totp"
	FactorPasskey = "passkey"
)

// Authenticator is a confirmed second factor of an agent: an authenticator app
// or a passkey.
type Authenticator struct {
	ID       string    `json:"id"`
	AgentID  string    `json:"agent"`
	Type     string    `json:"type"` // FactorTOTP or FactorPasskey
	Name     string    `json:"name,omitempty"`
	Created  time.Time `json:"created"`
	Used     time.Time `json:"used,omitzero"`
	Imported bool      `json:"imported,omitempty"` // it came with a site file

	Seed     []byte `json:"seed,omitempty"`      // sealed
	LastStep int64  `json:"last_step,omitempty"` // the RFC 6238 step of the last code that counted

	CredentialID []byte   `json:"credential,omitempty"`
	PublicKey    []byte   `json:"public_key,omitempty"` // COSE
	Counter      uint32   `json:"counter,omitempty"`
	AAGUID       []byte   `json:"aaguid,omitempty"`
	Transports   []string `json:"transports,omitempty"`
	Synced       bool     `json:"synced,omitempty"`
	BackedUp     bool     `json:"backed_up,omitempty"`
	OnThisDevice bool     `json:"on_this_device,omitempty"`
}

// Authenticators are found by "agent" and "credential" (unique, CredentialKey).
var Authenticators = Table[Authenticator]{
	Kind:   "authenticator",
	Key:    func(a *Authenticator) string { return a.ID },
	Sealed: func(a *Authenticator) []*[]byte { return []*[]byte{&a.Seed} },
	Lookups: []Lookup[Authenticator]{
		{Name: "agent", Values: func(a *Authenticator) []string { return []string{a.AgentID} }},
		{Name: "credential", Values: func(a *Authenticator) []string { return []string{CredentialKey(a.CredentialID)} }, Unique: true},
	},
}

// CredentialKey is a credential's id as a lookup holds it; "" for none.
func CredentialKey(id []byte) string {
	if len(id) == 0 {
		return ""
	}
	sum := sha256.Sum256(id)
	return hex.EncodeToString(sum[:])
}

// RecoverySet is what is left of an agent's recovery codes.
type RecoverySet struct {
	AgentID string    `json:"agent"`
	Hashes  [][]byte  `json:"hashes"` // of those that are not used yet
	Created time.Time `json:"created"`
}

// RecoveryCodes holds one set an agent.
var RecoveryCodes = Table[RecoverySet]{Kind: "recovery-codes", Key: func(r *RecoverySet) string { return r.AgentID }}

// FactorTries are an agent's wrong codes of late, in milliseconds since 1970, and
// when the agent was last told of too many.
type FactorTries struct {
	AgentID string    `json:"agent"`
	Wrong   []int64   `json:"wrong,omitempty"`
	Told    time.Time `json:"told,omitzero"`
	Expires time.Time `json:"expires"`
}

// AllFactorTries holds them by agent, whatever session they were made in.
var AllFactorTries = Table[FactorTries]{
	Kind: "factor-tries", Key: func(f *FactorTries) string { return f.AgentID }, Expires: func(f *FactorTries) time.Time { return f.Expires },
}

// Enrolment is an authenticator app that has been begun and is not confirmed by
// a code: it counts for nothing.
type Enrolment struct {
	ID      string    `json:"id"`
	AgentID string    `json:"agent"`
	Owner   string    `json:"owner"` // the session or sign-in that began it; nobody else confirms it
	Seed    []byte    `json:"seed"`  // sealed
	Tries   int       `json:"tries,omitempty"`
	Expires time.Time `json:"expires"`
}

// Enrolments are found by "agent".
var Enrolments = Table[Enrolment]{
	Kind:    "enrolment",
	Key:     func(e *Enrolment) string { return e.ID },
	Expires: func(e *Enrolment) time.Time { return e.Expires },
	Sealed:  func(e *Enrolment) []*[]byte { return []*[]byte{&e.Seed} },
	Lookups: []Lookup[Enrolment]{{Name: "agent", Values: func(e *Enrolment) []string { return []string{e.AgentID} }}},
}

// Device is a browser in which a second factor need not be shown for a while.
type Device struct {
	ID        string    `json:"id"` // hex SHA-256 of the cookie's constant part, cut
	AgentID   string    `json:"agent"`
	Hash      []byte    `json:"hash"`               // SHA-256 of the cookie's changing part
	Previous  []byte    `json:"previous,omitempty"` // and of the one before
	Rotated   time.Time `json:"rotated"`
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Created   time.Time `json:"created"`
	Seen      time.Time `json:"seen"`
	Expires   time.Time `json:"expires"`
}

// Devices are found by "agent".
var Devices = Table[Device]{
	Kind:    "device",
	Key:     func(d *Device) string { return d.ID },
	Expires: func(d *Device) time.Time { return d.Expires },
	Lookups: []Lookup[Device]{{Name: "agent", Values: func(d *Device) []string { return []string{d.AgentID} }}},
}
