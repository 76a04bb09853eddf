package store

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"
	"time"
)

// Login is the one at a connection that a session rests on, if it does.
type Login struct {
	Connection string `json:"connection,omitempty"`
	Subject    string `json:"subject,omitempty"` // who that was there
	// Upstream is the session there, for a logout: a name of it or of its subject in
	// base64url, a dot, and what tells it from others of that name.
	Upstream string `json:"upstream,omitempty"`
	// Hint is what a logout there is helped by, sealed by federation.
	Hint string `json:"hint,omitempty"`
}

// Session is one browser's signed-in time. Its key is the SHA-256 of the
// cookie's value; SID is its public name, in tokens and on the feed.
type Session struct {
	Hash     string    `json:"hash"` // hex SHA-256 of the cookie value
	SID      string    `json:"sid"`
	AgentID  string    `json:"agent"`
	AuthTime time.Time `json:"auth_time"`
	// AskedUnknown says that AuthTime is when the Login's provider gave its word, and
	// nobody knows when it asked the agent last: it proves nobody of just now.
	AskedUnknown bool     `json:"asked_unknown,omitempty"`
	AMR          []string `json:"amr,omitempty"` // RFC 8176
	ACR          string   `json:"acr,omitempty"`
	// Remembered says that a remembered device stood in for the second factor: it
	// meets the site's demand for one and is no proof of one (amr and acr).
	Remembered bool `json:"remembered,omitempty"`
	// Lifted says that break-glass had lifted the second factor that was due: the
	// session is good for as long.
	Lifted bool `json:"lifted,omitempty"`
	// SingleSignOnLifted says that break-glass had lifted the single sign-on that was
	// due: the session is good for as long.
	SingleSignOnLifted bool `json:"sso_lifted,omitempty"`
	Login

	IP        string    `json:"ip,omitempty"` // latest browser address
	UserAgent string    `json:"user_agent,omitempty"`
	Created   time.Time `json:"created"`
	Seen      time.Time `json:"seen"`    // moved on at most once a minute
	Expires   time.Time `json:"expires"` // the earlier of idle and absolute end
	End       time.Time `json:"end"`     // absolute end
}

// Sessions are found by "sid" (unique), "agent", "connection" and "upstream"
// (UpstreamKey).
var Sessions = Table[Session]{
	Kind:    "session",
	Key:     func(s *Session) string { return s.Hash },
	Expires: func(s *Session) time.Time { return s.Expires },
	Lookups: []Lookup[Session]{
		{Name: "sid", Values: func(s *Session) []string { return []string{s.SID} }}, // 128 random bits: unique without a check
		{Name: "agent", Values: func(s *Session) []string { return []string{s.AgentID} }},
		{Name: "connection", Values: func(s *Session) []string { return []string{s.Connection} }},
		{Name: "upstream", Values: func(s *Session) []string { return []string{UpstreamKey(s.Connection, s.Upstream)} }},
	},
}

// UpstreamKey finds sessions by the first part of their Upstream; "" for none.
func UpstreamKey(connection, upstream string) string {
	name, _, _ := strings.Cut(upstream, ".")
	if name == "" {
		return ""
	}
	return connection + " " + name
}

// LoginKey names a subject of a connection in 20 characters, however long its own name
// is; "" for no connection. That of a connection without a subject begins those of all
// its subjects.
func LoginKey(connection, subject string) string {
	if connection == "" {
		return ""
	}
	key := shortSum(connection, 6)
	if subject != "" {
		key += shortSum(subject, 9)
	}
	return key
}

// shortSum is the first bytes of a hash, three of them in four characters.
func shortSum(text string, bytes int) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawURLEncoding.EncodeToString(sum[:bytes])
}

// SignIn is a sign-in under way. It travels in a sealed cookie and is stored
// only once a factor has succeeded and another step is due.
type SignIn struct {
	ID       string    `json:"id"`
	Query    string    `json:"query"` // the authorization request, as received
	IP       string    `json:"ip,omitempty"`
	Started  time.Time `json:"started"`
	Expires  time.Time `json:"expires"`
	AgentID  string    `json:"agent,omitempty"` // set by the first factor
	AMR      []string  `json:"amr,omitempty"`
	AuthTime time.Time `json:"auth_time,omitzero"`

	// Return is where the browser goes at the end, a path of this host with its
	// query, for what is not an authorization request; then Query is empty.
	Return string `json:"return,omitempty"`
	// ACR is the least that is wanted: aal2 or phr; empty asks nothing. Who cannot
	// do it is signed in all the same, and whoever asked decides.
	ACR string `json:"want_acr,omitempty"`
	// AgentHint is who has to sign in again, by ID; empty: anybody may.
	AgentHint string `json:"agent_hint,omitempty"`
	// Fresh says that no remembered device takes the place of a factor.
	Fresh bool `json:"fresh,omitempty"`
	// AskAnew says that a provider which knows the browser is to ask all the same.
	AskAnew bool `json:"ask_anew,omitempty"`
	// Remembered is Session's: a remembered device has stood in.
	Remembered bool `json:"remembered,omitempty"`
	// Asked is when the Login's provider asked the agent last, where it says so;
	// AuthTime is when it told us.
	Login
	Asked time.Time `json:"asked,omitzero"`
	// AskedUnknown is Session's: the provider does not say, and nothing else is known.
	AskedUnknown bool `json:"asked_unknown,omitempty"`
	// Skipped are the steps that were put off for this once.
	Skipped []string `json:"skipped,omitempty"`
}

// SignIns holds the half-done ones, found by "agent".
var SignIns = Table[SignIn]{
	Kind: "sign-in", Key: func(s *SignIn) string { return s.ID }, Expires: func(s *SignIn) time.Time { return s.Expires },
	Lookups: []Lookup[SignIn]{{Name: "agent", Values: func(s *SignIn) []string { return []string{s.AgentID} }}},
}
