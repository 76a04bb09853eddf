package store

import "time"

// PasswordLink is the one live link with which an agent sets a password without
// knowing the old one: the newest. Only its hash is stored.
type PasswordLink struct {
	AgentID string    `json:"agent"`
	Hash    string    `json:"hash"`              // hex SHA-256 of the link's secret
	Email   string    `json:"email"`             // where it was sent: void once the agent's is another
	Invites bool      `json:"invites,omitempty"` // to set a new agent's first password
	Mailed  bool      `json:"mailed,omitempty"`  // so that whoever has it reads that mailbox
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
}

// PasswordLinks are found by "hash".
var PasswordLinks = Table[PasswordLink]{
	Kind: "password-link", Key: func(l *PasswordLink) string { return l.AgentID }, Expires: func(l *PasswordLink) time.Time { return l.Expires },
	Lookups: []Lookup[PasswordLink]{{Name: "hash", Values: func(l *PasswordLink) []string { return []string{l.Hash} }}},
}
