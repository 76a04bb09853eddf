package templates

import "errors"

// Modes of a Window.
const (
	ModePopup    = "popup"    // opened by a page of another site, which is told how it ends
	ModeFrame    = "frame"    // shown within a page of another site, which is told how it ends
	ModeRedirect = "redirect" // a tab of its own, as all others are
)

// Window is where a page may be shown besides a tab of its own: in a pop-up that
// stays in touch with its opener, or in a frame of exactly that origin's pages.
// The zero Window is a tab of its own.
type Window struct{ Mode, Origin string }

// WindowOf is the window that a page is meant for; web sets its headers by it.
func WindowOf(page Page) Window {
	w := page.window()
	if !origin(w.Origin) || w.Mode != ModePopup && w.Mode != ModeFrame {
		return Window{}
	}
	return w
}

func (f Frame) window() Window { return f.Window }

// Framed reports whether the page is shown in a frame, where room is scarce.
func (f Frame) Framed() bool { return f.Window.Mode == ModeFrame }

// FederationErrorPage says why a sign-in through a customer's own login ended
// without one. Its words are those of federation_error.{Code}; details are for
// administrators, and elsewhere.
type FederationErrorPage struct {
	Frame
	Code           string // token_expired, not_linked_administrator, …; others are told of in general terms
	ConnectionName string // empty: not known
	RequestID      string
	RetryURL       string // empty: not offered
	SignInURL      string // another way to sign in, or what has to be done first; empty: not offered
	RehearseURL    string // empty: not offered
	PasswordsOff   bool   // for whom it is about
	CancelURL      string // empty: not offered
	ClientName     string // the application that CancelURL leads back to; empty: not shown
}

// FederationConfirmPage asks before somebody is signed in whom the provider has
// sent unasked. Field: handle; button: continue.
type FederationConfirmPage struct {
	Frame
	Action, Handle string
	ConnectionName string
	Email          string // who it would be
	CurrentEmail   string // who is signed in now, as somebody else; empty: nobody
	CancelURL      string // empty: not offered
}

// RehearsePage says what the rehearsal of a connection is and does.
// Field: csrf; button: continue.
type RehearsePage struct {
	Frame
	Action, CSRF   string
	ConnectionName string
	Email          string   // the administrator's own
	Domains        []string // that the connection is, or would be, enforced for
	Links          bool     // the account is not linked yet, and will be
	BackURL        string   // empty: not offered
}

// RehearsedPage says how a rehearsal went, to the administrator.
type RehearsedPage struct {
	Frame
	ConnectionName string
	OK             bool
	Code, Reason   string // of one that failed; Reason is English, as in the trace
	RequestID      string // of one that failed
	Email          string // the administrator's own
	EmailThere     string // at the provider, if it is another
	Checks         []CheckLine
	Said           []SaidLine // what the provider said, by its own names
	Got            []SaidLine // and what our fields became of it
	Unlinked       []string   // administrators of its domains who are not linked: with enforcement they would need break-glass
	RehearseURL    string     // whole, for them
	Unlink         string     // the command that parts what stands in the way; empty: nothing of that kind does
	Enforce        string     // what the site file has to say next; empty: nothing
	NextURL        string     // where to go on, or to try again; empty: not offered
}

// CheckLine is one check. The locale's words for Name (check.…) come before Name.
type CheckLine struct {
	Name          string
	OK            bool
	Expected, Got string // empty: not shown
	Absent        bool   // something optional, which was not sent
}

// SaidLine is a name with its values.
type SaidLine struct {
	Name   string
	Values []string
}

// ProviderPostPage sends fields to an identity provider at once (SAML's HTTP-POST
// binding), or at the press of the button continue where there is no script. web
// has to be told the provider's origin as one that a form may lead to.
type ProviderPostPage struct {
	Frame
	Action         string // http(s) only, anything else is an error
	Fields         [][2]string
	ConnectionName string
}

// SingleSignOutPage goes on to sign out at the provider too, by URL or by a form,
// or says how that went. Button: continue.
type SingleSignOutPage struct {
	Frame
	ConnectionName string
	URL            string // of the provider; empty: see Action
	Action         string // http(s); empty: there is nothing to go on with
	Fields         [][2]string
	Done           bool   // signed out there too
	Partial        bool   // there or elsewhere somebody may still be signed in
	ReturnURL      string // http(s) or ours; empty: not offered
	SignInURL      string // where to sign in again, once it is done and there is no ReturnURL; empty: not offered
	ClientName     string // the application that ReturnURL leads to; empty: not shown
}

// VisitorDonePage tells the widget, in the window that opened this one or that
// frames it, that its visitor has signed in: a message {type:
// "chatelaine:signed-in", code, state} to pages of exactly Origin.
type VisitorDonePage struct {
	Frame
	Mode   string // ModePopup or ModeFrame
	Origin string // "https://shop.example"; anything else is an error
	Code   string
	State  string
}

// VisitorFailedPage tells the widget {type: "chatelaine:sign-in-failed", state,
// error}, and the visitor in words.
type VisitorFailedPage struct {
	Frame
	Mode      string
	Origin    string // of the widget; empty: it is not known or not let in, and told nothing
	State     string
	Code      string // as FederationErrorPage's
	RequestID string
}

// VisitorChoosePage lets a visitor choose among several logins, links with ids
// connection-{ID}.
type VisitorChoosePage struct {
	Frame
	Connections []ConnectionLink
}

// LocaleLinks are none: a link to the same page would lead to an answer that is
// spent, or leave the form behind.
func (FederationErrorPage) LocaleLinks() []LocaleLink   { return nil }
func (FederationConfirmPage) LocaleLinks() []LocaleLink { return nil }
func (RehearsedPage) LocaleLinks() []LocaleLink         { return nil }
func (ProviderPostPage) LocaleLinks() []LocaleLink      { return nil }
func (SingleSignOutPage) LocaleLinks() []LocaleLink     { return nil }
func (VisitorDonePage) LocaleLinks() []LocaleLink       { return nil }
func (VisitorFailedPage) LocaleLinks() []LocaleLink     { return nil }

func (p VisitorDonePage) window() Window   { return Window{p.Mode, p.Origin} }
func (p VisitorFailedPage) window() Window { return Window{p.Mode, p.Origin} }

// Framed reports whether the page is shown in a frame, where room is scarce.
func (p VisitorDonePage) Framed() bool   { return p.Mode == ModeFrame }
func (p VisitorFailedPage) Framed() bool { return p.Mode == ModeFrame }

func (FederationErrorPage) file() string   { return "federation_error" }
func (FederationConfirmPage) file() string { return "federation_confirm" }
func (RehearsePage) file() string          { return "rehearse" }
func (RehearsedPage) file() string         { return "rehearsed" }
func (ProviderPostPage) file() string      { return "provider_post" }
func (SingleSignOutPage) file() string     { return "single_sign_out" }
func (VisitorDonePage) file() string       { return "visitor_done" }
func (VisitorFailedPage) file() string     { return "visitor_failed" }
func (VisitorChoosePage) file() string     { return "visitor_choose" }

func (p FederationConfirmPage) check() error { return local(p.Action) }
func (p RehearsePage) check() error          { return local(p.Action) }

func (p ProviderPostPage) check() error {
	if !web(p.Action) {
		return errors.New("a form may be posted to http and https only")
	}
	return nil
}

func (p SingleSignOutPage) check() error {
	for _, address := range []string{p.URL, p.Action} {
		if address != "" && !web(address) {
			return errors.New("signing out goes on over http and https only")
		}
	}
	return nil
}

func (p VisitorDonePage) check() error {
	if !origin(p.Origin) || p.Mode != ModePopup && p.Mode != ModeFrame {
		return errors.New("a visitor's code is handed to one origin in a known way only")
	}
	return nil
}

func (p VisitorFailedPage) check() error {
	if p.Origin != "" && !origin(p.Origin) {
		return errors.New("a widget is told at one origin only")
	}
	return nil
}
