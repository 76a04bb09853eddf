package mail

import (
	"context"
	"io"
	"mime"
	"mime/multipart"
	"net/mail"
	"slices"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// nasties are what people and their enemies call themselves.
var nasties = []string{
	"Ana\r\nBcc: evil@evil.example", "Ana\nSubject: won", "Ana\r\n\r\nanother body", "Ana\r\n.\r\nMAIL FROM:<x@evil.example>", "Ana\x00\x07\x1b[31m",
	"=?utf-8?q?=0D=0ABcc:_evil=40evil.example?=", "\u202egnp.exe\u202c", "\u2066\u2067x\u2069", "évil <evil@evil.example>", `" <evil@evil.example>, "`, "Ana, Ben; Cid:",
	"http://evil.example/you-won", "www.evil.example", "evil.example/x", "<script>alert(1)</script>", "<img src=//evil.example>", "{{.URL}}{site}{until}",
	"\u2028\u2029\u0085", strings.Repeat("name ", 2000), strings.Repeat("é", 10_000), strings.Repeat("\U0001f600", 998), "=", "?=", "", " ", "\ufeffAna\u200b",
	"أحمد العربي", "Zoë Müller-Łukasz", "\xff\xfe not text",
}

// What somebody is called becomes no header, no recipient, no link and no body.
func TestNoNameBecomesPartOfTheLetter(t *testing.T) {
	t.Parallel()
	h, p := newHouse(t), newPost(t, false, nil, "127.0.0.1")
	m := h.mail(func(o *Options) { o.URL, o.RootCAs = "smtp://"+p.addr, p.roots })
	for i, nasty := range nasties {
		h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
			renamed := site.Site{Path: s.Path, Issuer: s.Issuer, Settings: s.Settings}
			renamed.Settings.Name = nasty
			who := store.Agent{ID: "x", Email: "ana@acme.example", Name: nasty, Locale: []string{"en", "ar", "de", "fr", nasty}[i%5]}
			return m.Tell(ctx, tx, &renamed, who, templates.NoticeMail{Kind: templates.NoticeBreakGlassLifted, Detail: nasty, Until: h.clock()})
		}))
		if h.round(m) != 1 || len(h.waiting()) != 0 {
			t.Fatalf("%.40q was not sent: %+v", nasty, h.waiting())
		}
		got := p.come()
		if len(got) != i+1 {
			t.Fatalf("%.40q: %d letters", nasty, len(got))
		}
		checkLetter(t, nasty, got[i])
	}
}

var headers = []string{
	"Auto-Submitted", "Content-Language", "Content-Type", "Date", "From", "Message-Id", "Mime-Version", "Subject", "To", "X-Auto-Response-Suppress",
}

func checkLetter(t *testing.T, nasty string, r received) {
	t.Helper()
	if diff := cmp.Diff([]string{"ana@acme.example"}, r.to); diff != "" || r.from != "no-reply@acme.example" {
		t.Errorf("%.40q: from %s: %s", nasty, r.from, diff)
	}
	for _, line := range strings.Split(strings.ReplaceAll(string(r.raw), "\r\n", "\n"), "\n") {
		if len(line) > 998 || strings.ContainsFunc(line, func(c rune) bool { return c != '\t' && c < ' ' || c > '~' }) {
			t.Errorf("%.40q: a line that may not be: %.100q", nasty, line)
		}
	}
	msg := r.message(t)
	var names []string
	for name, values := range msg.Header {
		if names = append(names, name); len(values) != 1 {
			t.Errorf("%.40q: %d times %s", nasty, len(values), name)
		}
	}
	slices.Sort(names)
	if diff := cmp.Diff(headers, names); diff != "" {
		t.Errorf("%.40q: -want +got:\n%s", nasty, diff)
	}
	for _, field := range []string{"From", "To"} {
		all, err := msg.Header.AddressList(field)
		if err != nil || len(all) != 1 || strings.ContainsAny(all[0].Name, "<>@\r\n") || len([]rune(all[0].Name)) > maxShown+2 {
			t.Errorf("%.40q: %s: %v, %v", nasty, field, all, err)
		}
	}
	plain, rich := parts(t, msg)
	for _, bad := range []string{"evil.example", "<script", "//evil", "\u202e", "\u2067x"} {
		if strings.Contains(plain, bad) || strings.Contains(rich, bad) {
			t.Errorf("%.40q: it says %q:\n%s", nasty, bad, plain)
		}
	}
	if subject, err := new(mime.WordDecoder).DecodeHeader(msg.Header.Get("Subject")); err != nil || strings.ContainsAny(subject, "\r\n\x00") {
		t.Errorf("%.40q: subject %q, %v", nasty, subject, err)
	}
}

// parts are the two ways in which a letter says the same.
func parts(t *testing.T, m *mail.Message) (plain, rich string) {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/alternative" {
		t.Fatalf("%s, %v", kind, err)
	}
	r := multipart.NewReader(m.Body, params["boundary"])
	for _, want := range []struct {
		kind string
		into *string
	}{{"text/plain", &plain}, {"text/html", &rich}} {
		part, err := r.NextPart()
		if err != nil {
			t.Fatal(err)
		}
		kind, params, err := mime.ParseMediaType(part.Header.Get("Content-Type"))
		if err != nil || kind != want.kind || !strings.EqualFold(params["charset"], "utf-8") {
			t.Errorf("%s; %v, %v", kind, params, err)
		}
		raw, err := io.ReadAll(part) // it undoes quoted-printable
		if err != nil {
			t.Fatal(err)
		}
		*want.into = string(raw)
	}
	if _, err := r.NextPart(); err != io.EOF {
		t.Errorf("there is a third part: %v", err)
	}
	return plain, rich
}

func TestWhatALetterSaysOfItself(t *testing.T) {
	t.Parallel()
	h, p := newHouse(t), newPost(t, false, nil, "127.0.0.1")
	m := h.mail(func(o *Options) {
		o.URL, o.RootCAs, o.From = "smtp://"+p.addr, p.roots, "Zoë’s Post <post@acme.example>"
	})
	reader := ana
	reader.Name, reader.Locale = "Jürgen Groß", "de"
	h.ok(h.update("acme", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.Link(ctx, tx, s, reader, s.URL("/invitation/canary"), true, 0)
	}))
	h.ok(h.update("acme", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.Notice(ctx, tx, s, reader, templates.NoticeLocked)
	}))
	h.round(m)
	got := p.come()
	if len(got) != 1 { // the link was over at once
		t.Fatalf("%d letters", len(got))
	}
	msg := got[0].message(t)
	id := msg.Header.Get("Message-Id")
	if !strings.HasSuffix(id, "@id.example>") || !strings.HasPrefix(id, "<") || len(id) < 30 {
		t.Errorf("Message-ID: %s", id)
	}
	want := mail.Header{
		"From": {"Zoë’s Post <post@acme.example>"}, "To": {"Jürgen Groß <ana@acme.example>"}, "Subject": {"Ihr Konto bei Acme ist vorübergehend gesperrt"},
		"Date": {"Sun, 01 Mar 2026 12:00:00 +0000"}, "Auto-Submitted": {"auto-generated"}, "X-Auto-Response-Suppress": {"All"}, "Content-Language": {"de"},
		"Mime-Version": {"1.0"}, "Message-Id": {id}, "Content-Type": msg.Header["Content-Type"],
	}
	for name, values := range msg.Header {
		if values[0], _ = new(mime.WordDecoder).DecodeHeader(values[0]); name == "From" || name == "To" {
			values[0] = strings.ReplaceAll(values[0], `"`, "")
		}
	}
	if diff := cmp.Diff(want, msg.Header); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	plain, rich := parts(t, msg)
	if !strings.Contains(plain, "Guten Tag, Jürgen Groß,") || !strings.Contains(rich, "<bdi>Jürgen Groß</bdi>") {
		t.Errorf("%s\n%s", plain, rich)
	}
}

func TestALetterArrivesAsItWasWritten(t *testing.T) {
	t.Parallel()
	p := newPost(t, false, func(s *smtp.Server) { s.MaxLineLength = 1000 }, "127.0.0.1")
	l := aLetter()
	l.Text = ".\r\n..\r\n.x\n" + strings.Repeat("long ", 1000) + "\n=3D=\nFrom here\ntrailing \t\n\r\n.\r\nRCPT TO:<evil@evil.example>\n"
	l.HTML = "<p>" + strings.Repeat("ü", 5000) + "</p>\n"
	if _, err := server(t, "smtp://"+p.addr, p.roots).Send(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	got := p.come()
	if len(got) != 1 || len(got[0].to) != 1 {
		t.Fatalf("%+v", got)
	}
	plain, rich := parts(t, got[0].message(t))
	even := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	if diff := cmp.Diff(even(l.Text), even(plain)); diff != "" {
		t.Errorf("text: -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(l.HTML, even(rich)); diff != "" {
		t.Errorf("HTML: -want +got:\n%s", diff)
	}
}

func TestAnAddressThatIsMoreThanOneIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	p := newPost(t, false, nil, "127.0.0.1")
	for _, address := range []string{
		"ana@acme.example\r\nRCPT TO:<evil@evil.example>", "ana @acme.example", "ana\x00@acme.example", "", "ana", "<ana@acme.example>",
		"ana@acme.example>,<evil@evil.example", `"ana@acme.example"@evil.example`, "@relay.example:ana@acme.example", "ana@[127.0.0.1]", "ana(x)@acme.example",
	} {
		l := aLetter()
		l.To.Address = address
		if _, err := server(t, "smtp://"+p.addr, p.roots).Send(t.Context(), l); err == nil {
			t.Errorf("%q was written to: %+v", address, p.come())
		}
	}
}

func TestPlainNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ana Silva": "Ana Silva", "  Ana \t\n Silva ": "Ana Silva", "Dr. Müller": "Dr. Müller", "Dr.Müller": "Dr. Müller", "evil.example": "evil. example",
		"http://evil.example": "http evil. example", "<b>x</b>": "b x b", "a@b": "a b", "evil。example．com": "evil。 example． com", "=?utf-8?q?x?=": "?utf-8?q?x?", "\u202eabc": "abc", "أحمد": "أحمد",
		"Ana\r\nBcc: x": "Ana Bcc x", "": "", "\x00": "", "O'Brien & Söhne, Ltd.": "O'Brien & Söhne, Ltd.", strings.Repeat("x", 64): strings.Repeat("x", 64), strings.Repeat("x", 65): strings.Repeat("x", 64) + "…",
	} {
		if got := plainName(in); got != want {
			t.Errorf("%.40q becomes %q, want %q", in, got, want)
		}
	}
}

func FuzzPlainName(f *testing.F) {
	for _, nasty := range nasties {
		f.Add(nasty)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got := plainName(s)
		if strings.ContainsAny(got, "\r\n\x00<>@/:\\=") || len([]rune(got)) > 2*maxShown+1 || plainName(got) != got && !strings.HasSuffix(got, "…") {
			t.Errorf("%q becomes %q", s, got)
		}
	})
}
