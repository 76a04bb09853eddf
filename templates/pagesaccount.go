package templates

import "time"

// AccountFrame is what each page of one's own account has around it, besides the
// Frame: the navigation, whose links are Base + /account, /account/profile,
// /password, /factors, /sessions, /apps and /activity, and what has just been done.
type AccountFrame struct {
	Frame
	AgentName, AgentEmail string
	CSRF                  string    // sent back as csrf by every form
	Notice                string    // key under notice.…: what has just been done; empty: nothing
	Problem               string    // key under problem.…: why it has not; empty: none
	FactorBy              time.Time // by when a second factor has to be set up; zero: not at all
	SignOutURL            string    // empty: not offered
}

// AccountPage is the overview.
type AccountPage struct {
	AccountFrame
	HasPassword     bool
	PasswordsOff    bool // for the agent: only their organisation's own login counts
	PasswordChanged time.Time
	PasswordDays    int // days until it has to be changed, if that is soon; 0: it is not
	PasswordExpired bool
	TOTPs, Passkeys int
	CodesLeft       int
	Devices         int // remembered
	Sessions        int // with this one
	Apps            int
	Activity        []ActivityLine // the latest few
	BreakGlassURL   string         // for administrators; empty: not offered
	Links           []AccountLink  // the customer's own logins through which the agent signs in
}

// AccountLink is one of them. Link: remove-link-{ID}.
type AccountLink struct {
	ID, ConnectionName string
	Email              string    // as it is known there; empty: not known
	Used               time.Time // zero: never
	RemoveURL          string    // empty: it is how they sign in, and stays
}

// AccountProfilePage shows and changes the agent's names.
// Fields: name, given_name, family_name; button: continue.
type AccountProfilePage struct {
	AccountFrame
	Action                      string
	Name, GivenName, FamilyName string
	Problems                    []string // name_, given_name_ and family_name_ are about a field
	ReadOnly                    bool     // the site's own directory keeps them
	Roles, Departments          []string // names, to be read only
}

// AccountPasswordPage changes the password: NewPasswordPage's fields within the
// account, and its CheckURL. Button: continue.
type AccountPasswordPage struct {
	AccountFrame
	Action       string
	Off          bool // passwords are off for the agent: there is no form
	HasPassword  bool // false: it sets the first
	Changed      time.Time
	Days         int // until it has to be changed, if that is soon
	Rules        []RuleLine
	CheckURL     string
	Problems     []string
	NeedsCurrent bool
	NotBefore    time.Time // no change before: there were too many today; zero: now
	Ends         int       // other sessions that end with a change
}

// AccountBreakGlassPage lifts a control for a colleague who is shut out, or puts
// back what is lifted. Fields: control, act (lift or end); buttons: continue, end.
type AccountBreakGlassPage struct {
	AccountFrame
	Action   string
	Controls []string  // second_factor, allowlist, single_sign_on
	Minutes  int       // for how long
	Lifted   string    // what is lifted now; empty: nothing
	Until    time.Time // and until when
}

// AccountFactorsPage is what stands beside the password. Every row has forms of
// its own: rename (fields id, name) and remove (field id).
type AccountFactorsPage struct {
	AccountFrame
	TOTPs, Passkeys []FactorLine
	CodesLeft       int
	CodesMade       time.Time // zero: there never were any
	Devices         []DeviceLine
	Required        bool   // a role demands a second factor
	AddTOTPURL      string // leads to an EnrolPage
	AddPasskeyURL   string // leads to a PasskeyPage; empty: passkeys are not possible here
	RenameAction    string
	RemoveAction    string // answers with a ConfirmPage
	CodesAction     string // answers with a ConfirmPage; button: renew-codes
	ForgetAction    string // field id
	ForgetAllAction string // button: forget-all, if there are several
}

// FactorLine is an authenticator app or a passkey.
type FactorLine struct {
	ID, Name      string // Name may be empty
	Created, Used time.Time
	Synced        bool // a passkey that may be on several devices
	OnThisDevice  bool // a passkey that a device itself made
}

// DeviceLine is a remembered browser.
type DeviceLine struct {
	ID                     string
	UserAgent              string // as it was sent; shown as “Firefox, Windows”
	Network                string // an address or a network; empty: not known
	Created, Seen, Expires time.Time
	This                   bool // the one that asks
}

// AccountSessionsPage lists the browsers in which the agent is signed in.
// Buttons: end-{ID} with the field id; end-others.
type AccountSessionsPage struct {
	AccountFrame
	Sessions        []SessionLine // this one first
	EndAction       string
	EndOthersAction string
}

// SessionLine is one session.
type SessionLine struct {
	ID            string // its public name, the sid
	UserAgent     string
	Network       string
	Created, Seen time.Time
	ACR           string // how it was proven: aal1, aal2, phr
	This          bool
	// Federated says that it came through a customer's own login, by ConnectionName;
	// empty: not known any more.
	Federated      bool
	ConnectionName string
}

// Others is how many sessions are not this one.
func (p AccountSessionsPage) Others() (n int) {
	for _, s := range p.Sessions {
		if !s.This {
			n++
		}
	}
	return n
}

// AccountAppsPage lists the applications that may act for the agent.
// Buttons: revoke-{ID} with the field id.
type AccountAppsPage struct {
	AccountFrame
	Apps         []AppLine
	RevokeAction string // answers with a ConfirmPage
}

// AppLine is an application and what it may do.
type AppLine struct {
	ID, Name, Company string
	URI               string // http(s); empty: not shown
	Scopes            []ScopeLine
	Given             time.Time
	Fixed             bool // the site's own: nobody was asked, and nothing can be taken back
}

// AccountActivityPage is what happened to the account of late.
type AccountActivityPage struct {
	AccountFrame
	Events  []ActivityLine // the newest first
	MoreURL string         // older ones; empty: none
}

// ActivityLine is one event. Its words are those of activity.{Action}.
type ActivityLine struct {
	Action    string // of the audit log
	Result    string // success, refused, failed
	Time      time.Time
	UserAgent string
	Network   string
	Object    string // what it was about, by name; empty: not shown
	Alert     bool   // worth a second look
}

// ConfirmPage says what a dangerous button will do, and does it at a second
// press. Its words are those of confirm.{Kind}.title, .text and .button.
// Button: confirm (name confirm, value yes).
type ConfirmPage struct {
	AccountFrame
	Kind      string // remove_totp, remove_passkey, remove_last, renew_codes, end_session, end_others, forget_device, forget_devices, revoke_app
	Name      string // of what it is about; {name} in the words
	Count     int    // # in the words
	Action    string
	Fields    []Field // sent back
	CancelURL string
}

func (AccountPage) file() string         { return "account" }
func (AccountProfilePage) file() string  { return "account_profile" }
func (AccountPasswordPage) file() string { return "account_password" }
func (AccountFactorsPage) file() string  { return "account_factors" }
func (AccountSessionsPage) file() string { return "account_sessions" }
func (AccountAppsPage) file() string     { return "account_apps" }
func (AccountActivityPage) file() string { return "account_activity" }
func (ConfirmPage) file() string         { return "confirm" }

func (AccountBreakGlassPage) file() string { return "account_break_glass" }

func (p AccountProfilePage) check() error  { return local(p.Action) }
func (p AccountPasswordPage) check() error { return local(p.Action, p.CheckURL) }
func (p AccountFactorsPage) check() error {
	return local(p.RenameAction, p.RemoveAction, p.CodesAction, p.ForgetAction, p.ForgetAllAction)
}
func (p AccountSessionsPage) check() error { return local(p.EndAction, p.EndOthersAction) }
func (p AccountAppsPage) check() error     { return local(p.RevokeAction) }
func (p ConfirmPage) check() error         { return local(p.Action) }

func (p AccountBreakGlassPage) check() error { return local(p.Action) }

// Fields is the part of the page that the fields for a new password show.
func (p AccountPasswordPage) Fields() any {
	return passwordForm{p.Rules, p.CheckURL, p.Problems, p.NeedsCurrent}
}

// factorRow is a line with what its forms need.
type factorRow struct {
	FactorLine
	CSRF, RenameAction, RemoveAction string
}

// Row is a line with what its forms need.
func (p AccountFactorsPage) Row(l FactorLine) any {
	return factorRow{l, p.CSRF, p.RenameAction, p.RemoveAction}
}
