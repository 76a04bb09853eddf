package templates

import "slices"

// Frame is what every page has around it.
type Frame struct {
	SiteName    string
	Logo        string // a path on this host or a data:image/… URL; anything else is not shown
	Color       string // "#0f5e56"; one that CheckColor refuses is not used
	Locale      string // from Match
	Nonce       string // of the answer's Content-Security-Policy
	Base        string // prefix of the site's paths: "" or "/acme"
	LocaleLinks []LocaleLink
	HelpURL     string // http(s) or mailto; empty: not shown
	PrivacyURL  string // http(s); empty: not shown
	Window      Window // where else than in a tab of its own it may be shown; zero: nowhere
}

// LocaleLink leads to the same page in another language; see LocaleLinks.
type LocaleLink struct{ Locale, URL string }

// SignInPage asks for e-mail address and password, or for a passkey.
// Fields: email, password; credential, filled by script, in the form of the
// passkey. Buttons: continue, passkey.
type SignInPage struct {
	Frame
	Flow        string           // sent back as the field flow, if set
	Action      string           // where the form goes
	Email       string           // what was typed, or login_hint
	FixedEmail  bool             // somebody signs in again, and nobody else can
	ClientName  string           // the application one is signing in to; empty: not shown
	Rehearses   string           // the connection that is about to be rehearsed, by name; empty: none
	Notice      string           // key under notice.…: what has just been done; empty: none
	Problem     string           // key under problem.…; empty: none
	Connections []ConnectionLink // at most 8 look right
	ByDomain    bool             // there are too many to list: the address that one types leads to one's own
	// ProblemConnection is the connection's name that Problem sso_only is about; the
	// one of Connections that has it is then the way on.
	ProblemConnection string
	ForgotURL         string // empty: not offered
	PasskeyURL        string // gives the options of navigator.credentials.get as JSON to a POST; empty: no passkeys
	PasskeyAction     string // where the passkey's answer goes
	CancelURL         string // back to the application without signing in; empty: not offered
}

// ConnectionLink offers an agents' single sign-on, as a link with id connection-{ID}.
type ConnectionLink struct{ ID, Name, URL string }

// ConsentPage asks whether a third party's client may act for the agent.
// Field: csrf; buttons: allow, deny (name decision).
type ConsentPage struct {
	Frame
	Action, CSRF          string
	ClientName, Company   string
	ClientURI             string // shown by host; http(s) only
	LogoURI               string // shown only if it is ours: no outside host is contacted
	AgentName, AgentEmail string
	Scopes                []ScopeLine
	SwitchURL             string // to sign in as somebody else; empty: not offered
}

// ScopeLine is one thing the client asks for. The locale's words for Name
// (scope.…) come before Sentence, which serves scopes of the site's own.
type ScopeLine struct{ Name, Sentence string }

// RefusedPage says that the site does not let the agent in from this network.
// It goes with status 403.
type RefusedPage struct {
	Frame
	Reason     string // policy's: ip_not_allowed, ip_unknown
	IP         string // empty: not known
	RequestID  string
	RetryURL   string // empty: not offered
	ClientName string // the application that CancelURL leads back to; empty: not shown
	CancelURL  string // empty: not offered
}

// ErrorPage says what went wrong: by Key (error.{Key}.title and .text), or by
// Status where the key has no words.
type ErrorPage struct {
	Frame
	Status    int
	Key       string
	Detail    string // for the developer: the exact mismatch; may be empty
	RequestID string
	BackURL   string // on this host; empty: not offered
}

// SignOutPage asks whether to sign out. Field: csrf; button: confirm.
type SignOutPage struct {
	Frame
	Action, CSRF string
	Fields       []Field // sent back with the form: state, post_logout_redirect_uri, …
	AgentName    string
	ClientName   string // who asks; empty: not shown
	CancelURL    string // empty: not offered
	// ConnectionName is of the customer's own login that they came through, which the
	// sign-out goes on to; empty: none.
	ConnectionName string
}

// SignedOutPage says that the session is over.
type SignedOutPage struct {
	Frame
	ReturnURL, ClientName string // ReturnURL http(s); empty: not offered
	SignInURL             string // empty: not offered
}

// SetUpPage creates the first administrator.
// Fields: email, name, new_password, confirm_password; button: continue.
type SetUpPage struct {
	Frame
	Action      string
	Email, Name string
	Rules       []RuleLine
	CheckURL    string   // as NewPasswordPage's, which also gets email and name; empty: no live ticks
	Problems    []string // keys under problem.…, which begin with email_, name_, password_ or confirm_ where a field is at fault
}

// SetUpDonePage says that the first administrator exists, and shows the offline
// codes of BreakGlassPage, this once, to print, copy or keep as a file.
type SetUpDonePage struct {
	Frame
	Email           string
	SignInURL       string   // empty: not offered
	BreakGlassCodes []string // empty: none were made
	BreakGlassURL   string   // where they are typed, whole, for the sheet; empty: Base + /break-glass
}

// FormPostPage sends fields to a client at once (OAuth 2.0 Form Post Response
// Mode), or at the press of the button continue where there is no script.
type FormPostPage struct {
	Frame
	Action     string // http(s) only, anything else is an error
	ClientName string
	Fields     []Field
}

// Field is a hidden field.
type Field struct{ Name, Value string }

// HomePage is the site's front door.
type HomePage struct {
	Frame
	AgentName  string // who is signed in; empty: nobody
	SignInURL  string // empty: not offered
	AccountURL string // one's own account; empty: not offered
	SignOutURL string // empty: not offered
	Discovery  string // URL of the discovery document; empty: not shown
}

func (f Frame) frame() Frame { return f }

// Way is the connection that the problem sso_only leads to, if there is one.
func (p SignInPage) Way() *ConnectionLink {
	for _, c := range p.Connections {
		if p.Problem == "sso_only" && c.Name == p.ProblemConnection {
			return &c
		}
	}
	return nil
}

// Others are the connections besides Way.
func (p SignInPage) Others() []ConnectionLink {
	way := p.Way()
	if way == nil {
		return p.Connections
	}
	return slices.DeleteFunc(slices.Clone(p.Connections), func(c ConnectionLink) bool { return c == *way })
}

// LocaleLinks are none, as a link to the same page would lead to a spent one.
func (SetUpDonePage) LocaleLinks() []LocaleLink { return nil }

// Fields is the part of the page that the fields for a new password show.
func (p SetUpPage) Fields() passwordForm { return passwordForm{p.Rules, p.CheckURL, p.Problems, false} }

// Failed are the rules that are broken, to be said in the summary.
func (p SetUpPage) Failed() []RuleLine { return p.Fields().Failed() }

// GlassURL is where the codes are typed.
func (p SetUpDonePage) GlassURL() string {
	if p.BreakGlassURL != "" {
		return p.BreakGlassURL
	}
	return p.Base + "/break-glass"
}

func (SignInPage) file() string    { return "sign_in" }
func (ConsentPage) file() string   { return "consent" }
func (RefusedPage) file() string   { return "refused" }
func (ErrorPage) file() string     { return "error" }
func (SignOutPage) file() string   { return "sign_out" }
func (SignedOutPage) file() string { return "signed_out" }
func (SetUpPage) file() string     { return "set_up" }
func (SetUpDonePage) file() string { return "set_up_done" }
func (FormPostPage) file() string  { return "form_post" }
func (HomePage) file() string      { return "home" }
