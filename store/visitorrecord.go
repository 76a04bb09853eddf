package store

import (
	"slices"
	"time"
)

// Visitor is one whom the customer has vouched for, or the name that such a one had
// before. An anonymous visitor has no record.
type Visitor struct {
	ID string `json:"id"` // the sub of their tokens
	// Alias is the visitor that this one turned out to be. Then nothing else is set
	// but when.
	Alias string `json:"alias,omitempty"`

	// Subjects are MACs of who they are to a connection; a visitor merged of two has
	// several. Marks are MACs of what a ban may name. Both are made with a secret of
	// the site, so that nothing can be guessed from them.
	Subjects []string         `json:"subjects,omitempty"`
	Marks    []string         `json:"marks,omitempty"`
	Sealed   []byte           `json:"sealed,omitempty"` // VisitorFields as JSON, bound to the ID
	Sessions []VisitorSession `json:"sessions,omitempty"`
	Created  time.Time        `json:"created"`
	Seen     time.Time        `json:"seen"`
	// Whole is when the visitor may begin as many sessions at once as ever again.
	Whole time.Time `json:"whole,omitzero"`
}

// VisitorSession is a browser in which a visitor is known: one family of tokens.
type VisitorSession struct {
	SID        string    `json:"sid"`
	Connection string    `json:"connection"`
	Since      int64     `json:"since"` // of the connection: another of its name is not it
	Assurance  string    `json:"assurance"`
	Identity   string    `json:"identity,omitempty"` // MAC of the jti that began it, for a page that is loaded again
	Upstream   string    `json:"upstream,omitempty"` // MAC of who it is that is logged in there
	Index      string    `json:"index,omitempty"`    // MAC of what tells their sessions there apart
	AuthTime   time.Time `json:"auth_time,omitzero"` // zero: not known
	Shown      time.Time `json:"shown"`              // when they last showed who they are
	Generation uint64    `json:"generation"`         // of the renewal token that counts
	Rotated    time.Time `json:"rotated"`            // when the one before was used
}

// Visitors are found by "alias", "subject", "upstream" and "mark".
var Visitors = Table[Visitor]{
	Kind: "visitor", Key: func(v *Visitor) string { return v.ID },
	Sealed: func(v *Visitor) []*[]byte { return []*[]byte{&v.Sealed} },
	Lookups: []Lookup[Visitor]{
		{Name: "alias", Values: func(v *Visitor) []string { return given(v.Alias) }},
		{Name: "subject", Values: func(v *Visitor) []string { return v.Subjects }, Unique: true},
		{Name: "upstream", Values: upstreams},
		{Name: "mark", Values: func(v *Visitor) []string { return v.Marks }},
	},
}

// upstreams are the logins elsewhere that the visitor's sessions rest on.
func upstreams(v *Visitor) (keys []string) {
	for _, one := range v.Sessions {
		if one.Upstream != "" && !slices.Contains(keys, one.Upstream) {
			keys = append(keys, one.Upstream)
		}
	}
	return keys
}

func given(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}
