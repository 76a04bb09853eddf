package policy

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// PasswordRules is what a site asks of a password. Zero switches a rule off, but
// no password has fewer than LeastPassword characters or more than MostPassword.
type PasswordRules struct {
	MinLength           int // characters, counted in NFC
	MinLengthWithFactor int // of an agent who holds a second factor; zero: MinLength
	CharacterKinds      int // how many of upper case, lower case, digit and special

	RefuseNames    bool // the agent's names, the parts of their address, the site's name
	RefuseCommon   bool // what many people use, disguised or with something added
	CommonWhole    bool // only a whole common password, as NIST asks: with something added it is another
	RefuseBreached bool // what a source of breached passwords holds, if there is one

	History          int // not one of the last so many, the current one among them
	MaxAgeDays       int // a password must be changed when it is older
	WarnDays         int // and one is asked to so long before
	MaxChangesPerDay int // by the agent, in 24 hours
	LockAfter        int // failed sign-ins
	LockMinutes      int
}

// The limits that hold whatever a site says.
const (
	LeastPassword = 8
	MostPassword  = 128
	// MostHistory bounds the hashes of one change of a password.
	MostHistory = 24
)

// PasswordGuide is the account security guide's policy, the one of a new site.
func PasswordGuide() PasswordRules {
	return PasswordRules{
		MinLength: 8, CharacterKinds: 3, RefuseNames: true, RefuseCommon: true, RefuseBreached: true,
		History: 5, MaxAgeDays: 40, WarnDays: 3, MaxChangesPerDay: 3, LockAfter: 5, LockMinutes: 30,
	}
}

// PasswordNIST is NIST SP 800-63B-4, section 3.1.1: length and a list of what is
// known, no composition and no expiry.
func PasswordNIST() PasswordRules {
	return PasswordRules{
		MinLength: 15, MinLengthWithFactor: 8, RefuseCommon: true, CommonWhole: true, RefuseBreached: true,
		LockAfter: 5, LockMinutes: 30,
	}
}

// PasswordPCI is PCI DSS 4.0.1, requirements 8.3.4 to 8.3.9: 12 characters with
// letters and digits among them, which only all four kinds make sure of, and 90
// days. That standard also wants a second factor and 15 idle minutes.
func PasswordPCI() PasswordRules {
	return PasswordRules{
		MinLength: 12, CharacterKinds: 4, RefuseNames: true, RefuseCommon: true, RefuseBreached: true,
		History: 4, MaxAgeDays: 90, WarnDays: 7, MaxChangesPerDay: 3, LockAfter: 5, LockMinutes: 30,
	}
}

// The rules as checks name them; the words for a page are those of the message
// key password_rule.<rule>.
const (
	PasswordLength   = "length"   // Use at least {wanted} characters.
	PasswordTooLong  = "too_long" // Use at most {wanted} characters.
	PasswordText     = "text"     // The password has a character that can't be used.
	PasswordKinds    = "kinds"    // Mix {wanted} of the four: capital letters, small letters, digits, other signs.
	PasswordNames    = "names"    // Leave out your name, your e-mail address and the name of the site.
	PasswordCommon   = "common"   // Many people use this password, or one very like it, so it is easy to guess.
	PasswordBreached = "breached" // This password is in a list of stolen ones that attackers try first.
	PasswordHistory  = "history"  // Choose one that is not among your last {wanted}.
	PasswordRate     = "rate"     // The password can be changed {wanted} times in 24 hours.
)

// PasswordCheck is one rule, held to one password.
type PasswordCheck struct {
	Rule   string `json:"rule"`
	OK     bool   `json:"ok"`
	Wanted int    `json:"wanted,omitempty"` // the rule's number, where it has one
	Later  bool   `json:"later,omitempty"`  // not judged while one types: it is when the password is set
}

// PasswordFacts is what the rules need to know besides the password.
type PasswordFacts struct {
	Names     []string // of the agent, whole, as they stand
	Addresses []string // of the agent: e-mail
	Site      string   // its name
	HasFactor bool     // the agent holds a second factor
	// Common reports whether a password in the form of FoldPassword is commonly
	// used, and Breached whether the very one is known. Nil: nobody knows.
	Common, Breached func(string) bool
}

// CheckPassword holds a password to every rule that is on and that can be
// answered without the agent's other passwords, in the order of a page, and
// answers for each. PasswordTooLong and PasswordText are there only where they
// are broken.
func CheckPassword(rules PasswordRules, facts PasswordFacts, pw string) []PasswordCheck {
	checks := make([]PasswordCheck, 0, 8)
	add := func(on bool, rule string, ok bool, wanted int) {
		if on {
			checks = append(checks, PasswordCheck{Rule: rule, OK: ok, Wanted: wanted})
		}
	}
	pw, length, text := readable(pw)
	least := rules.Least(facts.HasFactor)
	add(true, PasswordLength, length >= least, least)
	add(length > MostPassword, PasswordTooLong, false, MostPassword)
	add(!text, PasswordText, false, 0)
	add(rules.CharacterKinds > 0, PasswordKinds, passwordKinds(pw) >= rules.CharacterKinds, rules.CharacterKinds)
	folded := foldPassword(pw)
	if rules.RefuseNames {
		add(true, PasswordNames, !holdsName(folded, facts), 0)
	}
	if rules.RefuseCommon {
		add(true, PasswordCommon, pw != "" && !commonlyUsed(withoutSpaces(folded), rules.CommonWhole, facts.Common), 0)
	}
	if rules.RefuseBreached && facts.Breached != nil {
		add(true, PasswordBreached, pw != "" && !facts.Breached(pw), 0)
	}
	return checks
}

// Least is how many characters a password needs.
func (rules PasswordRules) Least(hasFactor bool) int {
	least := rules.MinLength
	if hasFactor && rules.MinLengthWithFactor > 0 {
		least = rules.MinLengthWithFactor
	}
	return min(max(least, LeastPassword), MostPassword)
}

// PasswordFailed returns the rules that are broken.
func PasswordFailed(checks []PasswordCheck) (failed []PasswordCheck) {
	for _, c := range checks {
		if !c.OK {
			failed = append(failed, c)
		}
	}
	return failed
}

// readable returns a password in NFC, cut where it is far too long, its
// characters, and whether it is text: UTF-8 without a NUL.
func readable(typed string) (pw string, length int, text bool) {
	const most = 32 * MostPassword // bytes; more than so many characters take
	text = utf8.ValidString(typed) && strings.IndexByte(typed, 0) < 0
	if len(typed) > most {
		cut := strings.ToValidUTF8(typed[:most], "")
		return first(norm.NFC.String(cut), MostPassword), MostPassword + 1, text
	}
	pw = norm.NFC.String(strings.ToValidUTF8(typed, ""))
	length = utf8.RuneCountInString(pw)
	return first(pw, MostPassword), length, text
}

func first(s string, n int) string {
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// passwordKinds counts which of upper case, lower case, digit and special there
// are. A letter without case, a space and an emoji are special.
func passwordKinds(pw string) int {
	var upper, lower, digit, special int
	for _, r := range pw {
		switch {
		case unicode.IsUpper(r) || unicode.IsTitle(r):
			upper = 1
		case unicode.IsLower(r):
			lower = 1
		case unicode.IsDigit(r):
			digit = 1
		default:
			special = 1
		}
	}
	return upper + lower + digit + special
}

// PasswordState is what the age of a password means.
type PasswordState int

// A password is fresh, to be changed in some days, or to be changed now.
const (
	PasswordFresh PasswordState = iota
	PasswordWarn
	PasswordExpired
)

// PasswordAge says what becomes of a password that was set then. With
// PasswordWarn come the days that are left, counted from 1. The zero time is not
// known, and never too old.
func PasswordAge(rules PasswordRules, changed, now time.Time) (state PasswordState, days int) {
	if rules.MaxAgeDays <= 0 || changed.IsZero() {
		return PasswordFresh, 0
	}
	const day = 24 * time.Hour
	left := changed.AddDate(0, 0, rules.MaxAgeDays).Sub(now)
	if left <= 0 {
		return PasswordExpired, 0
	}
	if days = int((left + day - 1) / day); days <= rules.WarnDays {
		return PasswordWarn, days
	}
	return PasswordFresh, 0
}

// MayChangePassword reports whether an agent may change their password once
// more, after these changes, and if not, from when on. A change that lies ahead,
// since a clock was set back, counts.
func MayChangePassword(rules PasswordRules, changes []time.Time, now time.Time) (ok bool, from time.Time) {
	if rules.MaxChangesPerDay <= 0 {
		return true, time.Time{}
	}
	recent := RecentPasswordChanges(changes, now)
	if len(recent) < rules.MaxChangesPerDay {
		return true, time.Time{}
	}
	return false, recent[len(recent)-rules.MaxChangesPerDay].AddDate(0, 0, 1)
}

// RecentPasswordChanges are those of the last 24 hours, the oldest first, as
// changes is.
func RecentPasswordChanges(changes []time.Time, now time.Time) []time.Time {
	var recent []time.Time
	for _, at := range changes {
		if at.After(now.Add(-24 * time.Hour)) {
			recent = append(recent, at)
		}
	}
	return recent
}
