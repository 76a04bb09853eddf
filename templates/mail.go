package templates

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html"
	"html/template"
	"strings"
	"sync"
	text "text/template"
	"time"
)

//go:embed mail/*.html mail/*.txt
var mailFiles embed.FS

// MailFrame is what every mail says besides its own matter.
type MailFrame struct {
	SiteName  string    `json:"site"`
	Color     string    `json:"color,omitempty"`
	Locale    string    `json:"locale,omitempty"`  // from Match
	Name      string    `json:"name,omitempty"`    // the reader's
	SiteURL   string    `json:"site_url"`          // without a slash at its end
	Time      time.Time `json:"time"`              // of the act
	Network   string    `json:"network,omitempty"` // that the act came from; empty: not said
	RequestID string    `json:"request_id,omitempty"`
}

// Mail is a mail's own matter, as it waits in the outbox. Make one by one of the
// structs that are a MailPage.
type Mail struct {
	Name   string    `json:"name"`             // names its words: mail.{name}.subject, .lead, .button, .note, .not_you
	URL    string    `json:"url,omitempty"`    // the button leads there; empty: there is none
	Until  time.Time `json:"until,omitzero"`   // {until} in the words
	Detail string    `json:"detail,omitempty"` // {detail} in the words
}

// MailPage is one of the mails of this package.
type MailPage interface{ Mail() Mail }

// ResetMail brings the link with which a forgotten password is replaced.
type ResetMail struct {
	URL   string
	Until time.Time // the link's end
}

// InvitationMail brings the link with which a new agent sets a first password.
type InvitationMail struct {
	URL   string
	Until time.Time
}

// NoticeMail says what has happened to the reader's account. Kinds that have no
// words are told of in general terms.
type NoticeMail struct {
	Kind   string    // one of the Notice… constants
	URL    string    // where to do something about it
	Until  time.Time // of a lock or of what break-glass has lifted
	Detail string    // the name of a factor, a control
}

// Kinds of notices.
const (
	NoticePasswordChanged  = "password_changed"
	NoticePasswordReset    = "password_reset"
	NoticeLocked           = "locked"
	NoticeFactorAdded      = "factor_added"
	NoticeFactorRemoved    = "factor_removed"
	NoticeFactorsReset     = "factors_reset" // by an administrator
	NoticeCodesRenewed     = "codes_renewed"
	NoticeRecoveryCodeUsed = "recovery_code_used"
	NoticePasskeyAdded     = "passkey_added"
	NoticeTooManyCodes     = "too_many_codes"
	NoticeDeviceStolen     = "device_stolen"
	NoticeProfileChanged   = "profile_changed"
	NoticeEmailChanged     = "email_changed"
	NoticeSessionsEnded    = "sessions_ended"
	NoticeSSOOnly          = "sso_only" // a reset was asked for, and there is no password here; Detail: the connection, if it is known
	NoticeLinked           = "linked"   // the account was linked to a connection, Detail
	NoticeUnlinked         = "unlinked" // and is not any more
	// NoticeCertificateEnding tells administrators that a certificate of the
	// connection Detail ends, Until.
	NoticeCertificateEnding = "certificate_ending"
	NoticeBreakGlassLifted  = "break_glass_lifted"
	NoticeBreakGlassEnded   = "break_glass_ended"
	noticeOther             = "other"
)

// TestMail says that sending works.
type TestMail struct{}

// Mail gives it the shape in which it waits.
func (p ResetMail) Mail() Mail { return Mail{Name: "reset", URL: p.URL, Until: p.Until} }

// Mail gives it the shape in which it waits.
func (p InvitationMail) Mail() Mail { return Mail{Name: "invitation", URL: p.URL, Until: p.Until} }

// Mail gives it the shape in which it waits.
func (p NoticeMail) Mail() Mail {
	if p.Kind == NoticeSSOOnly && p.Detail != "" {
		p.Kind = "sso_only_by"
	}
	return Mail{Name: p.Kind, URL: p.URL, Until: p.Until, Detail: p.Detail}
}

// Mail gives it the shape in which it waits.
func (TestMail) Mail() Mail { return Mail{Name: "test"} }

// MailText is a mail in words.
type MailText struct{ Subject, Text, HTML string }

// mailView is what the sources see.
type mailView[S ~string] struct {
	Locale, Dir            string
	Subject, Greeting      S
	Lead, Note, NotYou     S
	Button                 S
	URL                    string
	About, WhenLabel, When S
	NetworkLabel, Network  S
	RequestLabel, Request  S
	Sent                   S
	Palette                *palette
}

// Mail puts a mail into words, in its frame's locale (English if there is no such).
func (r *Renderer) Mail(f MailFrame, m Mail) (MailText, error) {
	if err := m.check(f); err != nil {
		return MailText{}, err
	}
	words, err := r.language(f.Locale).words()
	if err != nil {
		return MailText{}, err
	}
	sources, err := mailSources()
	if err != nil {
		return MailText{}, err
	}
	if _, ok := words["mail."+m.Name+".subject"]; !ok {
		m.Name = noticeOther
	}
	var plain, rich bytes.Buffer
	spoken := mailWords[string]{words, f, m, plainValue(words), func(s string) string { return s }}
	if err := sources.text.Execute(&plain, spoken.view()); err != nil {
		return MailText{}, fmt.Errorf("mail %s: %w", m.Name, err)
	}
	marked := mailWords[template.HTML]{words, f, m, richValue, func(s string) template.HTML { return template.HTML(html.EscapeString(s)) }}
	if err := sources.html.Execute(&rich, marked.view()); err != nil {
		return MailText{}, fmt.Errorf("mail %s: %w", m.Name, err)
	}
	subject := mailWords[string]{words, f, m, func(s string) string { return s }, spoken.as}
	return MailText{Subject: subject.say("subject"), Text: tidy(plain.String()), HTML: rich.String()}, nil
}

// check refuses what must never be sent to anybody.
func (m Mail) check(f MailFrame) error {
	for _, s := range []string{m.URL, f.SiteURL} {
		if s != "" && !web(s) {
			return errors.New("a mail may lead to http and https only")
		}
	}
	return nil
}

// mailSources are the two sources, parsed once.
var mailSources = sync.OnceValues(func() (s struct {
	html *template.Template
	text *text.Template
}, err error) {
	if s.html, err = template.ParseFS(mailFiles, "mail/mail.html"); err != nil {
		return s, err
	}
	s.text, err = text.ParseFS(mailFiles, "mail/mail.txt")
	return s, err
})

// mailWords are the words of one mail, with names in their places as value gives
// them, in the kind of string that as makes.
type mailWords[S ~string] struct {
	words words
	frame MailFrame
	mail  Mail
	value func(string) string
	as    func(string) S
}

func (w mailWords[S]) view() mailView[S] {
	v := mailView[S]{
		Locale: w.words["locale"], Dir: w.words["locale.dir"], Palette: paletteOf(w.frame.Color), URL: w.mail.URL,
		Subject: w.put(w.words["mail."+w.mail.Name+".subject"]),
		Lead:    w.say("lead"), Note: w.say("note"), NotYou: w.say("not_you"), Button: w.say("button"),
		Greeting: w.put(w.words["mail.greeting"]), About: w.put(w.words["mail.about"]), Sent: w.put(w.words["mail.sent"]),
		WhenLabel: w.put(w.words["mail.when"]), When: w.put("{time}"),
	}
	if w.frame.Name == "" {
		v.Greeting = w.put(w.words["mail.greeting_nobody"])
	}
	if w.frame.Network != "" {
		v.NetworkLabel, v.Network = w.put(w.words["mail.network"]), w.put("{network}")
	}
	if w.frame.RequestID != "" {
		v.RequestLabel, v.Request = w.put(w.words["mail.request"]), w.put("{request}")
	}
	return v
}

// say is one part of the mail's own words; a part that has none is empty.
func (w mailWords[S]) say(part string) S { return w.put(w.words["mail."+w.mail.Name+"."+part]) }

// put sets the names into a text.
func (w mailWords[S]) put(text string) S {
	escaped := string(w.as(text))
	return S(strings.NewReplacer(
		"{site}", w.value(w.frame.SiteName), "{host}", w.value(host(w.frame.SiteURL)), "{name}", w.value(w.frame.Name),
		"{detail}", w.value(w.detail()), "{until}", w.value(w.words.spell(w.mail.Until)), "{time}", w.value(w.words.spell(w.frame.Time)),
		"{network}", w.value(w.frame.Network), "{request}", w.value(w.frame.RequestID),
	).Replace(escaped))
}

// detail is the mail's, in words if it names a control.
func (w mailWords[S]) detail() string {
	if text, ok := w.words["control."+w.mail.Detail]; ok {
		return text
	}
	return w.mail.Detail
}

// richValue is a value in a page; its direction is its own.
func richValue(s string) string { return "<bdi>" + html.EscapeString(s) + "</bdi>" }

// plainValue isolates values (U+2068, U+2069) where words run from right to left.
func plainValue(w words) func(string) string {
	return func(s string) string {
		if s == "" || w["locale.dir"] != "rtl" {
			return s
		}
		return "\u2068" + s + "\u2069"
	}
}

// tidy takes out the empty lines that parts without words leave.
func tidy(s string) string {
	for strings.Contains(s, "\n\n\n") {
		s = strings.ReplaceAll(s, "\n\n\n", "\n\n")
	}
	return strings.TrimSpace(s) + "\n"
}
