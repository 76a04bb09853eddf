package templates

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"
)

var mailMoment = time.Date(2026, 3, 1, 11, 30, 0, 0, time.UTC)

func mailFrame(tag string) MailFrame {
	return MailFrame{
		SiteName: "Acme & Co", Locale: tag, Name: "Ana <Silva>", SiteURL: "https://id.example/acme", Time: mailMoment,
		Network: "2001:db8:1::/64", RequestID: "01J9Z8Y7",
	}
}

// mailSamples are all mails, as they are written by the house.
func mailSamples() []Mail {
	until := mailMoment.Add(30 * time.Minute)
	all := []MailPage{
		ResetMail{URL: "https://id.example/acme/reset/abc?x=1&y=2", Until: until}, InvitationMail{URL: "https://id.example/acme/invitation/abc", Until: until}, TestMail{},
	}
	for _, kind := range []string{
		NoticePasswordChanged, NoticePasswordReset, NoticeLocked, NoticeFactorAdded, NoticeFactorRemoved, NoticeFactorsReset, NoticeCodesRenewed,
		NoticeRecoveryCodeUsed, NoticePasskeyAdded, NoticeTooManyCodes, NoticeDeviceStolen, NoticeProfileChanged, NoticeEmailChanged,
		NoticeSessionsEnded, NoticeSSOOnly, NoticeUnlinked, noticeOther,
	} {
		all = append(all, NoticeMail{Kind: kind, URL: "https://id.example/acme/account"})
	}
	for _, kind := range []string{NoticeSSOOnly, NoticeLinked, NoticeCertificateEnding} {
		all = append(all, NoticeMail{Kind: kind, URL: "https://id.example/acme/account", Until: until, Detail: "Acme SSO"})
	}
	for _, kind := range []string{NoticeBreakGlassLifted, NoticeBreakGlassEnded} {
		all = append(all, NoticeMail{Kind: kind, URL: "https://id.example/acme/account", Until: until, Detail: "allowlist"})
	}
	var mails []Mail
	for _, page := range all {
		mails = append(mails, page.Mail())
	}
	return mails
}

func renderMail(t *testing.T, f MailFrame, m Mail) MailText {
	t.Helper()
	r := New()
	out, err := r.Mail(f, m)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A folder for each language: all mails as text, and a link's mail as HTML.
func TestMailsReadInEveryLanguageAsTheyDid(t *testing.T) {
	t.Parallel()
	for _, tag := range Locales() {
		var plain strings.Builder
		for _, m := range mailSamples() {
			out := renderMail(t, mailFrame(tag), m)
			fmt.Fprintf(&plain, "=== %s\nSubject: %s\n\n%s\n", m.Name, out.Subject, out.Text)
		}
		goldenMail(t, "mails."+tag+".txt", plain.String())
		goldenMail(t, "reset."+tag+".html", renderMail(t, mailFrame(tag), mailSamples()[0]).HTML)
	}
}

func goldenMail(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "mail", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: run with -update if this is meant (-want +got):\n%s", name, diff)
	}
}

var mailNames = []string{"{site}", "{host}", "{name}", "{detail}", "{until}", "{time}", "{network}", "{request}"}

func TestMailsMentionOnlyWhatTheyAreTold(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	for _, m := range mailSamples() {
		for _, part := range []string{"subject", "lead", "button", "note", "not_you"} {
			known["mail."+m.Name+"."+part] = true
		}
	}
	for _, part := range []string{"greeting", "greeting_nobody", "about", "when", "network", "request", "sent"} {
		known["mail."+part] = true
	}
	for _, tag := range Locales() {
		w, err := readWords(tag)
		if err != nil {
			t.Fatal(err)
		}
		for key, text := range w {
			if !strings.HasPrefix(key, "mail.") {
				continue
			}
			if !known[key] {
				t.Errorf("%s: no mail uses %s", tag, key)
			}
			for _, name := range mention.FindAllString(text, -1) {
				if !slices.Contains(mailNames, name) {
					t.Errorf("%s: %s mentions %s, which no mail knows", tag, key, name)
				}
			}
			if strings.HasSuffix(key, ".subject") && regexp.MustCompile(`\{(?:name|detail|until)\}`).MatchString(text) {
				t.Errorf("%s: %s says more than a subject should", tag, key)
			}
		}
	}
}

// remote is what would make a mail program fetch something.
var remote = regexp.MustCompile(`(?i)(?:src|srcset|background|poster|data)\s*=|@import|@font-face|url\(|<link|<script|<iframe|<form|<object|<img`)

func TestAMailFetchesNothing(t *testing.T) {
	t.Parallel()
	for _, tag := range Locales() {
		for _, color := range []string{"", "#7a1f5c"} {
			for _, m := range mailSamples() {
				f := mailFrame(tag)
				f.Color = color
				out := renderMail(t, f, m)
				if found := remote.FindString(out.HTML); found != "" {
					t.Errorf("%s in %s holds %s", m.Name, tag, found)
				}
				_, page, _ := strings.Cut(out.HTML, "</style>")
				if strings.Contains(out.HTML, "ZgotmplZ") || strings.ContainsAny(page+out.Text+out.Subject, "{}") {
					t.Errorf("%s in %s has a hole:\n%s\n%s", m.Name, tag, out.Text, out.HTML)
				}
				for _, href := range hrefs(t, out.HTML) {
					if href != m.URL {
						t.Errorf("%s in %s leads to %s", m.Name, tag, href)
					}
				}
			}
		}
	}
}

func hrefs(t *testing.T, page string) (all []string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		for _, a := range z.Token().Attr {
			if a.Key == "href" {
				all = append(all, a.Val)
			}
		}
	}
	return all
}

func TestNamesInAMailAreOnlyText(t *testing.T) {
	t.Parallel()
	for _, nasty := range append(nasties, "{until} {network} {{.URL}} {site}", "<a href=https://evil.example>here</a>", "&lt;b&gt;") {
		f := mailFrame("en")
		f.SiteName, f.Name, f.Network, f.RequestID = nasty, nasty, nasty, nasty
		m := mailSamples()[len(mailSamples())-1]
		m.Detail = nasty
		out := renderMail(t, f, m)
		if strings.Contains(nasty, "{until}") && !strings.Contains(out.Text, "{until} {network} {{.URL}} {site}") {
			t.Errorf("a name was read as words:\n%s", out.Text)
		}
		plain := renderMail(t, mailFrame("en"), m)
		if got, want := tags(t, out.HTML), tags(t, plain.HTML); !slices.Equal(got, want) {
			t.Errorf("with %q it has the elements %v, not %v", nasty, got, want)
		}
	}
}

func tags(t *testing.T, page string) (all []string) {
	t.Helper()
	z := html.NewTokenizer(strings.NewReader(page))
	for z.Next() != html.ErrorToken {
		if tok := z.Token(); tok.Type == html.StartTagToken {
			all = append(all, tok.Data)
		}
	}
	return all
}

func TestAMailLeadsToWebPagesOnly(t *testing.T) {
	t.Parallel()
	r := New()
	for _, address := range []string{"javascript:alert(1)", "data:text/html,x", "//evil.example/x", "/reset/x", "mailto:a@b"} {
		if _, err := r.Mail(mailFrame("en"), Mail{Name: "reset", URL: address}); err == nil {
			t.Errorf("a mail leads to %s", address)
		}
	}
}

func TestANoticeWithoutWordsIsStillANotice(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"brand_new", "", "../etc", "other"} {
		out := renderMail(t, mailFrame("de"), NoticeMail{Kind: name, URL: "https://id.example/account"}.Mail())
		if !strings.Contains(out.Subject, "etwas geändert") {
			t.Errorf("%q has the subject %q", name, out.Subject)
		}
	}
	if out := renderMail(t, mailFrame("xx"), TestMail{}.Mail()); !strings.HasPrefix(out.Subject, "A test mail") {
		t.Errorf("an unknown language gives %q", out.Subject)
	}
}

func TestWhatIsNotKnownIsNotMentioned(t *testing.T) {
	t.Parallel()
	out := renderMail(t, MailFrame{SiteName: "Acme", Locale: "en", SiteURL: "https://id.example", Time: mailMoment}, NoticeMail{Kind: NoticeLocked}.Mail())
	for _, word := range []string{"From network", "Request", "Hello ,", "Choose a new password:", "http"} {
		if strings.Contains(out.Text, word) {
			t.Errorf("the text says %q:\n%s", word, out.Text)
		}
	}
	if strings.Contains(out.Text, "\n\n\n") || !bytes.HasSuffix([]byte(out.Text), []byte("account. Nobody reads answers to this mail.\n")) {
		t.Errorf("the text has holes:\n%s", out.Text)
	}
}
