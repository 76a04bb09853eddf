package policy

import (
	"slices"
	"time"
)

// The authentication contexts of agents, as the claim acr spells them.
const (
	ACRPassword   = "aal1" // one factor
	ACRTwoFactors = "aal2" // a password and a code, or a recovery code
	ACRPasskey    = "phr"  // phishing-resistant: a passkey that verified its user
)

// AMRFederated is what the claim amr says of a sign-in through a customer's own
// login. RFC 8176 has no name for it; this one is in wide use.
const AMRFederated = "fed"

// ACRValues are all of them, the weakest first.
func ACRValues() []string { return []string{ACRPassword, ACRTwoFactors, ACRPasskey} }

// ACRMeets reports whether a sign-in of context have is at least as strong as
// want. What is not one of ours meets nothing and is met by nothing.
func ACRMeets(have, want string) bool {
	h, w := slices.Index(ACRValues(), have), slices.Index(ACRValues(), want)
	return w >= 0 && h >= w
}

// CredentialRules is what a site asks of its agents' credentials. Zero switches a
// rule off.
type CredentialRules struct {
	RequiredRoles    []string // whoever has one of these needs a second factor
	GraceDays        int      // to enrol one in
	RememberDays     int      // a remembered device counts, if not 0
	SecondFactorOff  bool     // break-glass has lifted the second factor for now
	PasswordAgeDays  int      // a password older than this must be changed
	PasswordWarnDays int      // and this long before, one is asked to
}

// CredentialFacts is what is known of an agent and of how they signed in.
type CredentialFacts struct {
	Roles     []string
	HasFactor bool // holds a TOTP authenticator or a passkey
	// GraceStart is when a role first demanded a second factor; the zero time: not
	// yet, so that grace begins now.
	GraceStart      time.Time
	HasPassword     bool
	PasswordChanged time.Time // zero: not known, and never too old
	MustChange      bool      // an administrator, or an import, has said so

	ACR        string // of the sign-in, so far
	AMR        []string
	Remembered bool // a remembered device stood in for a factor
	Lifted     bool // break-glass had lifted the factor that was due
}

// CredentialDue is what has to happen with an agent's credentials.
type CredentialDue struct {
	// SecondFactor: the agent holds one and has not shown it in this sign-in.
	SecondFactor bool
	// Enrol: a role demands a second factor and the agent holds none. It may wait
	// until EnrolBy; after that, and with Blocks, it may not.
	Enrol   bool
	EnrolBy time.Time
	// Password is why the password must be changed: DueExpired,
	// DueMustChange, or empty.
	Password string
	// WarnDays is in how many days it will have to be, counted from 1, where one is
	// to be told; else 0.
	WarnDays int
	// Blocks: nothing may be issued before, neither a session nor a token, and what
	// was begun under milder rules does not go on.
	Blocks bool
}

// Why a password must be changed.
const (
	DueExpired    = "expired"
	DueMustChange = "must_change"
)

// CredentialsDue says what is due. The sign-in asks it for the next step, and
// every token and every use of a session asks it whether it Blocks, so that what
// a sign-in demands cannot be had without one.
func CredentialsDue(rules CredentialRules, who CredentialFacts, now time.Time) CredentialDue {
	var due CredentialDue
	due.factor(rules, who, now)
	due.password(rules, who, now)
	return due
}

func (due *CredentialDue) factor(rules CredentialRules, who CredentialFacts, now time.Time) {
	shown := ACRMeets(who.ACR, ACRTwoFactors) || who.Remembered && rules.RememberDays > 0
	if rules.SecondFactorOff || shown {
		return
	}
	due.SecondFactor = who.HasFactor
	due.Blocks = who.Lifted
	if !slices.ContainsFunc(who.Roles, func(r string) bool { return slices.Contains(rules.RequiredRoles, r) }) {
		return
	}
	start := who.GraceStart
	if start.IsZero() || start.After(now) {
		start = now
	}
	due.Enrol = !who.HasFactor
	due.EnrolBy = start.AddDate(0, 0, rules.GraceDays)
	due.Blocks = due.Blocks || !now.Before(due.EnrolBy)
}

// password judges only a sign-in that rests on the password: a passkey is as good
// as on its first day.
func (due *CredentialDue) password(rules CredentialRules, who CredentialFacts, now time.Time) {
	if !who.HasPassword || len(who.AMR) > 0 && !slices.Contains(who.AMR, "pwd") {
		return
	}
	switch {
	case who.MustChange:
		due.Password = DueMustChange
	default:
		age := PasswordRules{MaxAgeDays: rules.PasswordAgeDays, WarnDays: rules.PasswordWarnDays}
		state, days := PasswordAge(age, who.PasswordChanged, now)
		if due.WarnDays = days; state == PasswordExpired {
			due.Password = DueExpired
		}
	}
	due.Blocks = due.Blocks || due.Password != ""
}
