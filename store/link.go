package store

import "time"

// Link says which agent a subject of a connection is. Identity is the connection
// and the subject, never an address. It goes with its agent: whoever comes by that
// subject then is new.
type Link struct {
	Connection string `json:"connection"`
	Subject    string `json:"subject"` // as the connection names it, whole; see LinkKey
	AgentID    string `json:"agent"`
	Email      string `json:"email,omitempty"` // what the provider said last, for people to recognise
	// Rehearsed says that an administrator has made it of their own account, by a
	// rehearsal: no other is good for one.
	Rehearsed bool      `json:"rehearsed,omitempty"`
	Created   time.Time `json:"created"`
	Used      time.Time `json:"used,omitzero"`
}

// LinkKey is the key of a subject's link.
func LinkKey(connection, subject string) string { return connection + " " + subject }

// Links are found by "agent" and "connection".
var Links = Table[Link]{
	Kind: "link", Key: func(l *Link) string { return LinkKey(l.Connection, l.Subject) },
	Lookups: []Lookup[Link]{
		{Name: "agent", Values: func(l *Link) []string { return []string{l.AgentID} }},
		{Name: "connection", Values: func(l *Link) []string { return []string{l.Connection} }},
	},
}

// Answer is what a provider has said of somebody, verified, until the browser
// that holds the flow's cookie comes for it. It is found by the hash of a handle
// that stands in that browser's next address, and is taken once.
type Answer struct {
	Hash       string    `json:"hash"` // hex SHA-256 of the handle
	Connection string    `json:"connection"`
	Sealed     []byte    `json:"sealed"` // the identity, in federation's own form
	Expires    time.Time `json:"expires"`
}

// Answers live for some minutes.
var Answers = Table[Answer]{
	Kind: "answer", Key: func(a *Answer) string { return a.Hash }, Expires: func(a *Answer) time.Time { return a.Expires },
	Sealed: func(a *Answer) []*[]byte { return []*[]byte{&a.Sealed} },
}

// Trace is what was checked in one attempt to sign in through a connection, for
// administrators.
type Trace struct {
	ID         string    `json:"id"` // its time and chance: in order
	Connection string    `json:"connection"`
	Sealed     []byte    `json:"sealed"` // TraceRecord as JSON
	Expires    time.Time `json:"expires"`
}

// Traces live for ten minutes, the last of each connection; found by "connection".
var Traces = Table[Trace]{
	Kind: "trace", Key: func(t *Trace) string { return t.ID }, Expires: func(t *Trace) time.Time { return t.Expires },
	Sealed:  func(t *Trace) []*[]byte { return []*[]byte{&t.Sealed} },
	Lookups: []Lookup[Trace]{{Name: "connection", Values: func(t *Trace) []string { return []string{t.Connection} }}},
}

// TraceRecord is what a Trace holds sealed.
type TraceRecord struct {
	Time      time.Time           `json:"time"`
	RequestID string              `json:"request_id"`
	IP        string              `json:"ip,omitempty"`
	Step      string              `json:"step"`   // start, answer, finish, logout, check
	Result    string              `json:"result"` // success, or the fault's code
	Reason    string              `json:"reason,omitempty"`
	Subject   string              `json:"subject,omitempty"`
	Checks    []Check             `json:"checks,omitempty"`
	Claims    map[string][]string `json:"claims,omitempty"` // what the provider said, by its own names
}

// Check is one thing that was looked at. Expected and Got are for administrators
// only: Got may be a stranger's words.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Got      string `json:"got,omitempty"`
	// Absent says that something optional was not sent: it holds, and there is nothing
	// to see.
	Absent bool `json:"absent,omitempty"`
}
