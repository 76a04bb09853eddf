package store

import (
	"slices"
	"time"
)

// PasswordLink is the one live link with which an agent sets a password without
// knowing the old one: the newest. Only its hash is stored. The record outlives
// the link, so that its page can say what became of it.
type PasswordLink struct {
	AgentID string       `json:"agent"`
	Hash    string       `json:"hash"`              // hex SHA-256 of the link's secret; empty: there is no live one
	Email   string       `json:"email"`             // where it was sent: void once the agent's is another
	Invites bool         `json:"invites,omitempty"` // to set a new agent's first password
	Mailed  bool         `json:"mailed,omitempty"`  // so that whoever has it reads that mailbox
	SignIn  string       `json:"sign_in,omitempty"` // id of the sign-in that was left to ask for it
	Created time.Time    `json:"created"`
	Expires time.Time    `json:"expires"`
	Former  []FormerLink `json:"former,omitempty"` // the newest last
}

// FormerLink is a link that works no more, and why not.
type FormerLink struct {
	Hash string `json:"hash"`
	Why  string `json:"why"`
}

// Why a link works no more, besides its age.
const (
	LinkUsed     = "used"
	LinkReplaced = "replaced" // by a newer one
	LinkVoid     = "void"     // something else came
)

const (
	formerLinks = 5                   // of an agent are remembered
	linkKept    = 30 * 24 * time.Hour // after the link has expired
)

// Spend makes the live link a former one.
func (l *PasswordLink) Spend(why string) {
	if l.Hash == "" {
		return
	}
	l.Former = append(slices.Clone(l.Former), FormerLink{Hash: l.Hash, Why: why})
	l.Former = l.Former[max(0, len(l.Former)-formerLinks):]
	l.Hash, l.SignIn = "", ""
}

// Why is why a link that this record knows works no more; "" if it is the live one.
func (l *PasswordLink) Why(hash string) string {
	for _, f := range l.Former {
		if f.Hash == hash {
			return f.Why
		}
	}
	return ""
}

func (l *PasswordLink) hashes() (all []string) {
	if l.Hash != "" {
		all = append(all, l.Hash)
	}
	for _, f := range l.Former {
		all = append(all, f.Hash)
	}
	return all
}

// PasswordLinks are found by "hash", former ones too.
var PasswordLinks = Table[PasswordLink]{
	Kind: "password-link", Key: func(l *PasswordLink) string { return l.AgentID },
	Expires: func(l *PasswordLink) time.Time { return l.Expires.Add(linkKept) },
	Lookups: []Lookup[PasswordLink]{{Name: "hash", Values: (*PasswordLink).hashes}},
}
