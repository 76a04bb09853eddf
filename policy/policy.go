// Package policy is the house's rules as pure functions over data: which
// permissions there are, what roles give, which networks may come in, and
// whether a subject may do a thing.
//
// Nothing here reads, writes, logs or looks at a clock: a caller passes values
// and the time, and gets a [Decision]. The server, the console's previews, the
// SDK for chat backends and the tests call the same functions, so that an
// answer never depends on who gave it. Imports: the standard library and
// golang.org/x/text.
package policy

import "time"

// Decision is an answer. The zero Decision is a refusal.
type Decision struct {
	Allowed bool
	// Reason is one of the Reason constants: stable, machine-readable and safe
	// to show to the caller.
	Reason string
	// Obligations is what must happen for the answer to hold (or, in a refusal,
	// to change), in a fixed order.
	Obligations []Obligation
	// Until is how long the answer may be kept. Zero: not at all.
	Until time.Time
}

// Obligation is one thing that the caller must do, such as asking for a newer
// sign-in with {"max_age", "300"}.
type Obligation struct{ Name, Value string }

// The reasons that a Decision can give.
const (
	ReasonAllowed          = "allowed"
	ReasonPermission       = "permission_missing"
	ReasonIPNotAllowed     = "ip_not_allowed"
	ReasonIPUnknown        = "ip_unknown"
	ReasonIPCheckRemote    = "ip_check_remote" // the networks are too many for a token: ask the server
	ReasonSubjectInactive  = "subject_inactive"
	ReasonTokenUnverified  = "token_unverified" // nobody has checked the token
	ReasonTokenExpired     = "token_expired"
	ReasonTokenNotYetValid = "token_not_yet_valid"
	ReasonAudienceMismatch = "audience_mismatch"
	ReasonRevoked          = "revoked"
	ReasonStale            = "stale"            // whether the token is revoked is not known now
	ReasonStepUp           = "step_up_required" // a stronger or newer sign-in is needed (RFC 9470)
	ReasonBanned           = "visitor_banned"
)

// Refuse is a refusal for the given reason, to be kept until the given time.
func Refuse(reason string, until time.Time) Decision {
	return Decision{Reason: reason, Until: until}
}
