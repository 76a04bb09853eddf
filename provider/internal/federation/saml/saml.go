// Package saml is the core of a SAML 2.0 service provider: it judges responses
// and logout messages, reads and writes metadata, and makes requests. It alone
// imports crewjam/saml, goxmldsig and etree.
//
// It is pure: it takes bytes, keys, settings and the time, and returns values.
// It keeps nothing, fetches nothing and has no routes. What it cannot know is
// its caller's: that an ID is used once (Assertion.ID until Assertion.Until),
// that the browser is the one that asked (Expect.InResponseTo), who the subject
// is here, and where RelayState may lead.
//
// How a message is judged, in this order, each step before anything of the next
// is looked at: its size and form over the bytes (scan.go); its shape and the one
// assertion in its one place (response.go); the Response's signature, if it has
// one; decryption; the assertion's signature (signature.go, decrypt.go); and last
// what it says, read out of the very bytes that a signature was verified over
// (conditions.go). Every check is returned, with what was expected and what came,
// for administrators to read; whoever tries to sign in learns none of it.
package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"time"
	"unicode/utf8"
)

// Names of checks. A trace shows them; a page has a sentence for each.
const (
	CheckSize                = "size"
	CheckXML                 = "xml"
	CheckShape               = "shape"
	CheckSignature           = "signature"
	CheckAlgorithm           = "algorithm"
	CheckCertificate         = "certificate"
	CheckDecryption          = "decryption"
	CheckStatus              = "status"
	CheckIssuer              = "issuer"
	CheckDestination         = "destination"
	CheckRecipient           = "recipient"
	CheckAudience            = "audience"
	CheckClock               = "clock"
	CheckInResponseTo        = "in_response_to"
	CheckSubjectConfirmation = "subject_confirmation"
	CheckConditions          = "conditions"
	CheckNameID              = "name_id"
	CheckAuthnStatement      = "authn_statement"
	CheckAttribute           = "attribute"
	CheckEntityID            = "entity_id"
	CheckEndpoint            = "endpoint"
	CheckBinding             = "binding"
)

// Check is one thing that was looked at. Expected and Got are for administrators:
// Got may be a stranger's words, cut to 200 characters.
type Check struct {
	Name          string
	OK            bool
	Expected, Got string
}

// Refused is the error of everything that judges a message.
type Refused struct {
	Check
	// Status are the peer's status codes, the outer first, if it refused by itself.
	Status []string
}

// Error names the check and repeats nothing of the message.
func (r *Refused) Error() string { return fmt.Sprintf("saml: refused by the check %q", r.Name) }

// Expect is what a Response must agree with.
type Expect struct {
	// IdP is the one pinned to the connection; its certificates are the only ones that count.
	IdP IdP
	// Audience is our entity ID, ACS the address the Response must be meant for.
	Audience, ACS string
	// InResponseTo is the ID of our request. If it is empty, the Response must be an
	// answer to none, and Unsolicited must allow that.
	InResponseTo string
	Unsolicited  bool
	// DecryptionKeys are ours, several during a rollover; at most two are tried.
	DecryptionKeys []*rsa.PrivateKey
	// Encrypted refuses an assertion in clear.
	Encrypted bool
	Now       time.Time
	// Skew is what clocks may differ by, a minute if it is zero. MaxAge is how old
	// an IssueInstant may be, five minutes if it is zero.
	Skew, MaxAge time.Duration
}

// Defaults and limits.
const (
	DefaultSkew   = time.Minute
	DefaultMaxAge = 5 * time.Minute
	// MaxMessage is the most bytes of a message's XML.
	MaxMessage = 256 << 10
)

// NameID is a subject as its provider calls it. Identity is all of it, within a connection.
type NameID struct {
	Value, Format, NameQualifier, SPNameQualifier string
}

// Assertion is what a pinned certificate has signed for us, now.
type Assertion struct {
	ID         string
	ResponseID string
	Issuer     string
	NameID     NameID
	// InResponseTo is empty if the identity provider began.
	InResponseTo string
	IssueInstant time.Time
	// Until is when the assertion is refused by its age, whatever comes: its ID must
	// be remembered until then.
	Until        time.Time
	SessionIndex string
	// SessionEnds is when our session must end, zero if the provider does not say.
	SessionEnds  time.Time
	AuthnInstant time.Time
	AuthnContext string
	// Attributes are by Name, their values in the order they came. Friendly leads from
	// a FriendlyName to a Name where that is unambiguous: see Values.
	Attributes map[string][]string
	Friendly   map[string]string
	// Certificate is the pinned one whose key signed the assertion or its Response.
	Certificate *x509.Certificate
}

// Values are an attribute's, by its Name; else by its FriendlyName, if no attribute
// is named so and only one Name goes by it.
func (a Assertion) Values(name string) []string {
	if values, ok := a.Attributes[name]; ok {
		return values
	}
	return a.Attributes[a.Friendly[name]]
}

// checks gathers what was looked at and remembers the first that failed.
type checks struct {
	list   []Check
	failed *Check
}

func (c *checks) add(name string, ok bool, expected, got string) bool {
	check := Check{Name: name, OK: ok, Expected: cut(expected), Got: cut(got)}
	c.list = append(c.list, check)
	if !ok && c.failed == nil {
		c.failed = &check
	}
	return ok
}

// refuse adds a failed check and is the error of it.
func (c *checks) refuse(name, expected, got string) error {
	c.add(name, false, expected, got)
	return c.err()
}

func (c *checks) err() error {
	if c.failed == nil {
		return nil
	}
	return &Refused{Check: *c.failed}
}

// cut keeps the beginning of a stranger's words, without control characters.
func cut(s string) string {
	const most = 200
	runes := make([]rune, 0, min(len(s), most))
	for _, r := range s {
		if len(runes) == most {
			return string(runes) + "…"
		}
		if isControl(r) {
			r = utf8.RuneError
		}
		runes = append(runes, r)
	}
	return string(runes)
}

// isControl also finds the marks that turn the direction of text around, and what
// stands for a character that there is not.
func isControl(r rune) bool {
	return r == utf8.RuneError || r < 0x20 || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x2028 || r == 0x2029
}
