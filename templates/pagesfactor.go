package templates

import (
	"html/template"
	"time"
)

// CodePage asks for the second factor: a code of an authenticator app, a recovery
// code in the same field of a form of its own, a passkey, or all of them.
// Fields: code, remember (any value); credential, filled by script, in the
// form of the passkey. Buttons: continue, recovery-continue (kind: recovery), passkey.
type CodePage struct {
	Frame
	Action, CSRF  string // CSRF is sent back as csrf, if set, by every form
	ClientName    string // empty: not shown
	AgentEmail    string // who signs in
	Problem       string // key under problem.…, which begins with recovery_ where that field is at fault; empty: none
	RememberDays  int    // 0: not offered
	Remember      bool   // was ticked
	NoApp         bool   // there is no authenticator app to ask a code of
	NoCodes       bool   // there are no recovery codes left
	PasskeyURL    string // gives the options of navigator.credentials.get as JSON to a POST; empty: no passkeys
	PasskeyAction string // where the passkey's answer goes
	OnlyPasskey   bool   // nothing but a passkey will do
	SkipAction    string // where the form for another way goes, with OnlyPasskey; button: skip; empty: none
	CancelURL     string // empty: not offered
}

// EnrolPage adds an authenticator app, or a passkey instead.
// Fields: enrolment, name, code; credential in the form of the passkey. Buttons:
// continue, passkey, skip (a form of its own).
type EnrolPage struct {
	Frame
	Action, CSRF  string
	ClientName    string // empty: not shown
	AgentEmail    string
	Enrolment     string       // sent back as enrolment
	QR            template.URL // data:image/png
	Secret        string       // what the QR code says, to be typed: base32 in groups
	URI           string       // and as a link for a phone: otpauth://…; empty: not offered
	Name          string       // what was typed
	Problem       string
	Required      bool      // sign-in does not go on without
	GraceUntil    time.Time // when it will be required; zero: it is not, or is already
	SkipAction    string    // where the form to put it off goes; empty: not offered
	PasskeyURL    string    // options of navigator.credentials.create; empty: not offered
	PasskeyAction string
	CancelURL     string // empty: not offered
}

// PasskeyPage adds a passkey and nothing else. Fields: name, credential; button: passkey.
type PasskeyPage struct {
	Frame
	Action, CSRF string
	OptionsURL   string
	Name         string
	Problem      string
	CancelURL    string
}

// RecoveryCodesPage shows new recovery codes, this once, to print, copy or keep
// as a file. Field: saved; button: continue.
type RecoveryCodesPage struct {
	Frame
	Action, CSRF string
	AgentEmail   string
	Codes        []string
	Problem      string // saved_missing
	Renewed      bool   // they replace others, which work no more
}

// SessionsFullPage says that sessions elsewhere end if this sign-in goes on.
// Button: continue.
type SessionsFullPage struct {
	Frame
	Action, CSRF string
	ClientName   string
	Limit        int           // so many at once
	Sessions     []SessionLine // those that will end
	CancelURL    string
}

// BreakGlassPage lifts one control for some minutes, by an offline code.
// Fields: email, password, code, control; button: continue.
type BreakGlassPage struct {
	Frame
	Action, CSRF string
	Email        string
	Control      string   // what was chosen: one of Controls
	Controls     []string // second_factor, allowlist, single_sign_on; nil: these three
	Minutes      int      // for how long
	Problems     []string // keys; email_, password_, code_ and control_ are about a field
}

// BreakGlassDonePage says what is lifted and until when.
type BreakGlassDonePage struct {
	Frame
	Control   string
	Until     time.Time
	SignInURL string // empty: not offered
}

// LocaleLinks are none, as a link to the same page would lead to one without codes.
func (RecoveryCodesPage) LocaleLinks() []LocaleLink { return nil }

// LocaleLinks are none, as the same address is the form again.
func (BreakGlassDonePage) LocaleLinks() []LocaleLink { return nil }

func (CodePage) file() string           { return "code" }
func (EnrolPage) file() string          { return "enrol" }
func (PasskeyPage) file() string        { return "passkey" }
func (RecoveryCodesPage) file() string  { return "recovery_codes" }
func (SessionsFullPage) file() string   { return "sessions_full" }
func (BreakGlassPage) file() string     { return "break_glass" }
func (BreakGlassDonePage) file() string { return "break_glass_done" }

// AtCode reports whether the code of the app is at fault.
func (p CodePage) AtCode() bool { return p.Problem == "wrong_code" || concerns("code", p.Problem) }

func (p CodePage) check() error          { return local(p.Action, p.PasskeyAction, p.PasskeyURL, p.SkipAction) }
func (p EnrolPage) check() error         { return local(p.Action, p.SkipAction, p.PasskeyAction, p.PasskeyURL) }
func (p PasskeyPage) check() error       { return local(p.Action, p.OptionsURL) }
func (p RecoveryCodesPage) check() error { return local(p.Action) }
func (p SessionsFullPage) check() error  { return local(p.Action) }
func (p BreakGlassPage) check() error    { return local(p.Action) }

// Choices are what can be lifted.
func (p BreakGlassPage) Choices() []string {
	if p.Controls == nil {
		return []string{"second_factor", "allowlist", "single_sign_on"}
	}
	return p.Controls
}

// passkeyForm is the form of a passkey's ceremony, on whatever page; nil: none.
type passkeyForm struct {
	Ceremony                string // get, create
	Action, URL, CSRF, Flow string
	Primary                 bool // it is what the page is for
	Or                      bool // it stands below another way
	Autofill                bool // the browser may offer passkeys in the field email
	Named                   bool // it asks for a name
	Name                    string
}

// Passkey is the form of the passkey.
func (p SignInPage) Passkey() *passkeyForm {
	if p.PasskeyURL == "" {
		return nil
	}
	return &passkeyForm{Ceremony: "get", Action: p.PasskeyAction, URL: p.PasskeyURL, Flow: p.Flow, Or: true, Autofill: true}
}

// Passkey is the form of the passkey.
func (p CodePage) Passkey() *passkeyForm {
	if p.PasskeyURL == "" {
		return nil
	}
	alone := p.OnlyPasskey || p.NoApp
	return &passkeyForm{Ceremony: "get", Action: p.PasskeyAction, URL: p.PasskeyURL, CSRF: p.CSRF, Primary: alone, Or: !alone}
}

// Passkey is the form of the passkey.
func (p EnrolPage) Passkey() *passkeyForm {
	if p.PasskeyURL == "" {
		return nil
	}
	return &passkeyForm{Ceremony: "create", Action: p.PasskeyAction, URL: p.PasskeyURL, CSRF: p.CSRF}
}

// Passkey is the form of the passkey.
func (p PasskeyPage) Passkey() *passkeyForm {
	return &passkeyForm{Ceremony: "create", Action: p.Action, URL: p.OptionsURL, CSRF: p.CSRF, Primary: true, Named: true, Name: p.Name}
}
