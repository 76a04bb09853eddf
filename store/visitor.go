package store

import "time"

// How a site's visitors may sign in.
const (
	SignInOff      = "off"
	SignInOptional = "optional"
	SignInRequired = "required"
)

// VisitorRules is what a site has decided about its visitors.
type VisitorRules struct {
	Anonymous    bool     `json:"anonymous,omitempty"`
	SignIn       string   `json:"sign_in,omitempty"`       // SignInOff (also if empty), SignInOptional or SignInRequired
	Origins      []string `json:"origins,omitempty"`       // of pages that may hold the widget: "https://shop.example"
	TokenMinutes int      `json:"token_minutes,omitempty"` // zero: Lifetimes.VisitorToken
}

// VisitorFields is what is known of a visitor, by the customer's own login or
// word.
type VisitorFields struct {
	ExternalID    string        `json:"external_id,omitempty"`
	Name          string        `json:"name,omitempty"`
	Email         string        `json:"email,omitempty"` // canonical
	EmailVerified bool          `json:"email_verified,omitempty"`
	Phone         string        `json:"phone,omitempty"`
	Picture       string        `json:"picture,omitempty"`
	Locale        string        `json:"locale,omitempty"`
	Custom        []CustomField `json:"custom,omitempty"` // by name
}

// CustomField is one of a site's own; Value is JSON.
type CustomField struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// VisitorProof is who a visitor has shown to be at the customer's own login, until
// the widget that asked comes for it with the verifier of its challenge. It is
// taken once.
type VisitorProof struct {
	Hash       string    `json:"hash"` // hex SHA-256 of the code that the widget was handed
	Connection string    `json:"connection"`
	Challenge  string    `json:"challenge"`          // base64url SHA-256 of the verifier (RFC 7636, section 4.2)
	Origin     string    `json:"origin"`             // of the widget
	AuthTime   time.Time `json:"auth_time,omitzero"` // zero: nobody knows
	Sealed     []byte    `json:"sealed"`             // VisitorProven as JSON
	Expires    time.Time `json:"expires"`
}

// VisitorProven is what a VisitorProof holds sealed.
type VisitorProven struct {
	Since    int64         `json:"since"` // of the connection
	Subject  string        `json:"subject"`
	Upstream string        `json:"upstream,omitempty"` // the session there, for a logout from there
	Fields   VisitorFields `json:"fields"`
}

// VisitorProofLife is how long a VisitorProof waits for its widget.
const VisitorProofLife = time.Minute

// VisitorProofs live for VisitorProofLife.
var VisitorProofs = Table[VisitorProof]{
	Kind: "visitor-proof", Key: func(p *VisitorProof) string { return p.Hash }, Expires: func(p *VisitorProof) time.Time { return p.Expires },
	Sealed: func(p *VisitorProof) []*[]byte { return []*[]byte{&p.Sealed} },
}

// Ban keeps visitors away: every criterion that is set must fit, and at least one
// is.
type Ban struct {
	ID          string `json:"id"`
	VisitorID   string `json:"visitor,omitempty"`
	ExternalID  string `json:"external_id,omitempty"`
	Email       string `json:"email,omitempty"`        // canonical
	EmailDomain string `json:"email_domain,omitempty"` // canonical
	Network     string `json:"network,omitempty"`      // CIDR, masked; of one IPv6 address its /64
	// Subjects are MACs of who those were to a connection on whom it was when they were
	// erased: it stays on them, and says nothing of them.
	Subjects []string  `json:"subjects,omitempty"`
	Reason   string    `json:"reason"`
	By       string    `json:"by,omitempty"` // the actor's id
	InFile   bool      `json:"in_file,omitempty"`
	Created  time.Time `json:"created"`
	Until    time.Time `json:"until,omitzero"` // zero: for good
}

// Bans are all of a site's; an ended one goes by itself.
var Bans = Table[Ban]{
	Kind: "ban", Key: func(b *Ban) string { return b.ID }, Expires: func(b *Ban) time.Time { return b.Until },
}
