package templates

import "slices"

// States of a RuleLine; any other is not known yet.
const (
	RuleOK     = "ok"
	RuleFailed = "failed"
)

// RuleLine is one rule for passwords and what it says of what was typed. The
// words are those of the key password_rule.{Rule}.
type RuleLine struct {
	Rule   string // policy's: length, kinds, names, …
	Wanted int    // the rule's number, if it has one
	State  string // RuleOK, RuleFailed or not known
}

// Kinds of a NewPasswordPage: why there has to be a new password.
const (
	PasswordExpired    = "expired"
	PasswordMustChange = "must_change"
	PasswordWarning    = "warning"    // it expires in Days days
	PasswordReset      = "reset"      // a link has come by mail
	PasswordInvitation = "invitation" // the first password
)

// NewPasswordPage asks for a new password, with the rules it has to keep. While
// one types, the field new_password is posted to CheckURL with the form's hidden
// fields, and the answer {"rules":[{"rule":"length","ok":true}]} ticks the
// rules: "wanted" is a rule's number, "later":true says that it is not judged yet.
// Fields: password (if NeedsCurrent), new_password, confirm_password; buttons:
// continue, skip (a form of its own).
type NewPasswordPage struct {
	Frame
	Action, CSRF string
	ClientName   string // the application one is signing in to; empty: not shown
	Kind         string // PasswordExpired, …
	Days         int    // of PasswordWarning
	Email        string // whose password it is
	Rules        []RuleLine
	CheckURL     string   // empty: no live ticks
	Problems     []string // keys besides the rules that failed; password_, current_ and confirm_ are about a field
	NeedsCurrent bool
	SkipAction   string // where the form to put it off goes; empty: not offered
	CancelURL    string // empty: not offered
}

// ForgotPage asks where to send the link for a new password.
// Field: email; button: continue.
type ForgotPage struct {
	Frame
	Action, CSRF string
	Email        string
	Problem      string
	BackURL      string // to the sign-in; empty: not offered
}

// ForgotSentPage says the same whether there is such an account or not.
type ForgotSentPage struct {
	Frame
	Email   string
	Minutes int // for how long the link works
	BackURL string
}

// ResetDonePage says that the new password works and everything else has ended.
type ResetDonePage struct {
	Frame
	Email     string
	Invited   bool   // it is the first password
	SignInURL string // empty: not offered
}

// Why a link is spent.
const (
	LinkCut      = "cut"     // it is not whole
	LinkExpired  = "expired" // its time is over
	LinkUsed     = "used"
	LinkReplaced = "replaced" // by a newer one
)

// LinkSpentPage says why a link that sets a password does not work, and what to do
// next. It goes with status 410.
type LinkSpentPage struct {
	Frame
	Why       string // LinkCut, …; any other is not known
	ForgotURL string // where to ask for another; empty: no mail is sent, the administrator has to be asked
	SignInURL string // empty: not offered
}

// ElsewherePage says to somebody who has come to choose a password that passwords are
// switched off for their address, and leads to the login that counts: a link with id
// connection-{ID}.
type ElsewherePage struct {
	Frame
	Connection ConnectionLink
	Email      string
	Invited    bool // they are new
	Shut       bool // an administrator who is not linked yet: it does not let them in either
}

// ConnectionName is what the words mention.
func (p ElsewherePage) ConnectionName() string { return p.Connection.Name }

// MailOffPage says that this site sends no mail, so that nobody can be sent a link.
type MailOffPage struct {
	Frame
	BackURL string // empty: not offered
}

// LocaleLinks are none, as the same address is another page by now.
func (ForgotSentPage) LocaleLinks() []LocaleLink { return nil }

// LocaleLinks are none, as a link to the same page would lead to a spent one.
func (ResetDonePage) LocaleLinks() []LocaleLink { return nil }

func (NewPasswordPage) file() string { return "new_password" }
func (ForgotPage) file() string      { return "forgot" }
func (ForgotSentPage) file() string  { return "forgot_sent" }
func (ResetDonePage) file() string   { return "reset_done" }
func (LinkSpentPage) file() string   { return "link_spent" }
func (ElsewherePage) file() string   { return "elsewhere" }
func (MailOffPage) file() string     { return "mail_off" }

func (p NewPasswordPage) check() error { return local(p.Action, p.SkipAction, p.CheckURL) }
func (p ForgotPage) check() error      { return local(p.Action) }

// passwordForm is what the fields for a new password are made of, on whatever page.
type passwordForm struct {
	Rules        []RuleLine
	CheckURL     string
	Problems     []string
	NeedsCurrent bool
}

// Fields is the part of the page that the fields for a new password show.
func (p NewPasswordPage) Fields() any {
	return passwordForm{p.Rules, p.CheckURL, p.Problems, p.NeedsCurrent}
}

// Failed are the rules that are broken, to be said in the summary.
func (p passwordForm) Failed() []RuleLine {
	return slices.DeleteFunc(slices.Clone(p.Rules), func(r RuleLine) bool { return r.State != RuleFailed })
}

// Hidden are rules that are mentioned only where they are broken: they show up
// when the check says so.
func (p passwordForm) Hidden() (hidden []RuleLine) {
	for _, rule := range []RuleLine{{Rule: "too_long", Wanted: mostPassword}, {Rule: "text"}} {
		if !slices.ContainsFunc(p.Rules, func(r RuleLine) bool { return r.Rule == rule.Rule }) {
			hidden = append(hidden, rule)
		}
	}
	return hidden
}

// mostPassword is what no site changes: no password is longer.
const mostPassword = 128
