package mail

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
)

func aLetter() Letter {
	return Letter{
		ID: "0abc", From: Address{"Acme", "no-reply@acme.example"}, To: Address{"Ana Silva", "ana@acme.example"}, Subject: "Choose a new password",
		Text: "Hello\n", HTML: "<p>Hello</p>\n", Locale: "en", Host: "id.example", Date: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
}

// server reads a URL and gives it short time limits.
func server(t *testing.T, url string, roots *x509.CertPool) *Server {
	t.Helper()
	s, err := ParseServer(url, false)
	if err != nil {
		t.Fatal(err)
	}
	s.roots, s.hello, s.connect, s.talk = roots, "id.example", time.Second, 2*time.Second
	return s
}

func TestTheWaysToAServer(t *testing.T) {
	t.Parallel()
	startTLS, secure, plain := newPost(t, false, nil, "127.0.0.1"), newPost(t, true, nil, "127.0.0.1"), newPost(t, false, func(s *smtp.Server) { s.AllowInsecureAuth = true })
	for url, p := range map[string]*post{
		"smtp://" + startTLS.addr:                                 startTLS,
		"smtp://chatelaine:right@" + startTLS.addr:                startTLS,
		"smtps://" + secure.addr:                                  secure,
		"smtps://chatelaine:right@" + secure.addr:                 secure,
		"smtp://" + plain.addr:                                    plain,
		"smtp://" + plain.addr + "?starttls=off":                  plain,
		"smtp://chatelaine:right@" + plain.addr + "?starttls=off": plain,
	} {
		answer, err := server(t, url, p.roots).Send(t.Context(), aLetter())
		if err != nil || !strings.Contains(answer, "OK: queued") {
			t.Errorf("%s: %q, %v", url, answer, err)
		}
	}
	for p, letters := range map[*post]int{startTLS: 2, secure: 2, plain: 3} {
		got := p.come()
		if len(got) != letters {
			t.Fatalf("%d letters", len(got))
		}
		for _, r := range got {
			if r.tls != (p != plain) || r.from != "no-reply@acme.example" || len(r.to) != 1 || r.to[0] != "ana@acme.example" {
				t.Errorf("%+v", r)
			}
		}
		if len(p.password) != 1 {
			t.Errorf("the password was shown %d times", len(p.password))
		}
	}
}

func TestNoServerSeesAPasswordOrALetterThatItShouldNot(t *testing.T) {
	t.Parallel()
	_, others := certificate(t, "127.0.0.1")
	for name, c := range map[string]struct {
		post *post
		url  string
		own  bool // trust the server's own authority
		want string
	}{
		"it offers no STARTTLS":                   {newPost(t, false, nil), "smtp://chatelaine:right@%s", true, "TLS"},
		"it offers no STARTTLS, and it must":      {newPost(t, false, nil), "smtp://%s?starttls=required", true, "TLS"},
		"another's certificate, and no password":  {newPost(t, false, nil, "mx.other.example"), "smtp://%s", true, "certificate"},
		"its certificate is another's, STARTTLS":  {newPost(t, false, nil, "mx.other.example"), "smtp://chatelaine:right@%s", true, "certificate"},
		"its certificate is another's, TLS":       {newPost(t, true, nil, "mx.other.example"), "smtps://chatelaine:right@%s", true, "certificate"},
		"nobody vouches for its certificate":      {newPost(t, false, nil, "127.0.0.1"), "smtp://chatelaine:right@%s", false, "certificate"},
		"nobody vouches for its certificate, TLS": {newPost(t, true, nil, "127.0.0.1"), "smtps://chatelaine:right@%s", false, "certificate"},
		"it speaks TLS first and we do not":       {newPost(t, true, nil, "127.0.0.1"), "smtp://chatelaine:right@%s", true, ""},
		"we speak TLS first and it does not":      {newPost(t, false, nil, "127.0.0.1"), "smtps://chatelaine:right@%s", true, ""},
		"it takes passwords after STARTTLS only":  {newPost(t, false, nil, "127.0.0.1"), "smtp://chatelaine:right@%s?starttls=off", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			roots := others
			if c.own {
				roots = c.post.roots
			}
			_, err := server(t, fmt.Sprintf(c.url, c.post.addr), roots).Send(t.Context(), aLetter())
			var refusal *Refusal
			if err == nil || errors.As(err, &refusal) && refusal.Final || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
			if len(c.post.password) != 0 || len(c.post.come()) != 0 {
				t.Errorf("it saw %d passwords and %d letters", len(c.post.password), len(c.post.come()))
			}
			if err != nil && strings.Contains(err.Error(), "right") {
				t.Errorf("the error tells the password: %v", err)
			}
			t.Log(err)
		})
	}
}

func TestAWrongPasswordIsForTheOperatorToMend(t *testing.T) {
	t.Parallel()
	p := newPost(t, false, nil, "127.0.0.1")
	_, err := server(t, "smtp://chatelaine:canary@"+p.addr, p.roots).Send(t.Context(), aLetter())
	var refusal *Refusal
	if !errors.As(err, &refusal) || refusal.Code != 535 || refusal.Final || strings.Contains(err.Error(), "canary") {
		t.Errorf("%#v", err)
	}
	if len(p.come()) != 0 {
		t.Error("it got a letter")
	}
}

func no(code int, text string) func(string) error {
	return func(string) error {
		return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 1, 1}, Message: text}
	}
}

func TestAServersNoIsForNowOrForGood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*post)
		code   int
		final  bool
	}{
		"sender, for now":    {func(p *post) { p.from = no(451, "try later") }, 451, false},
		"sender, for good":   {func(p *post) { p.from = no(553, "not you") }, 553, true},
		"it wants TLS":       {func(p *post) { p.from = no(530, "must issue STARTTLS") }, 530, false},
		"mailbox, for now":   {func(p *post) { p.to = no(452, "full") }, 452, false},
		"mailbox, for good":  {func(p *post) { p.to = no(550, "no such user ana@acme.example") }, 550, true},
		"contents, for now":  {func(p *post) { p.data = func(*smtp.Conn, io.Reader) error { return no(450, "greylisted")("") } }, 450, false},
		"contents, for good": {func(p *post) { p.data = func(*smtp.Conn, io.Reader) error { return no(554, "spam")("") } }, 554, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPost(t, false, nil, "127.0.0.1")
			c.change(p)
			_, err := server(t, "smtp://"+p.addr, p.roots).Send(t.Context(), aLetter())
			var refusal *Refusal
			if !errors.As(err, &refusal) || refusal.Code != c.code || refusal.Final != c.final {
				t.Fatalf("%#v", err)
			}
			if want := fmt.Sprintf("refused %d %d.1.1", c.code, c.code/100); refusal.class() != want || strings.Contains(classOf(err), "ana@") {
				t.Errorf("%q, want %q", refusal.class(), want)
			}
			if !strings.HasPrefix(refusal.Error(), fmt.Sprint(c.code)) || strings.ContainsAny(refusal.Error(), "\r\n") {
				t.Errorf("%q", refusal.Error())
			}
			t.Log(err)
		})
	}
}

// Whatever a server does, a try ends, and is taken for one to be made again.
func TestABadServerIsLeftInTime(t *testing.T) {
	t.Parallel()
	answering := func(say func(c net.Conn, line string) bool) func(net.Conn) {
		return func(c net.Conn) {
			fmt.Fprint(c, "220 mx\r\n")
			for lines := bufio.NewScanner(c); lines.Scan(); {
				if !say(c, lines.Text()) {
					return
				}
			}
		}
	}
	plainUntil := func(verb string, then func(net.Conn) bool) func(net.Conn) {
		inData := false
		return answering(func(c net.Conn, line string) bool {
			word, _, _ := strings.Cut(line, " ")
			switch {
			case inData && line != ".":
				return true
			case word == verb || inData && verb == ".":
				return then(c)
			case word == "DATA":
				inData = true
				fmt.Fprint(c, "354 go on\r\n")
			case inData:
				inData = false
				fmt.Fprint(c, "250 taken\r\n")
			default:
				fmt.Fprint(c, "250 mx\r\n")
			}
			return true
		})
	}
	silent := func(net.Conn) bool { time.Sleep(5 * time.Second); return false }
	gone := func(net.Conn) bool { return false }
	drip := func(c net.Conn) bool {
		for range 200 {
			if _, err := fmt.Fprint(c, "2"); err != nil {
				return false
			}
			time.Sleep(50 * time.Millisecond)
		}
		return false
	}
	for name, speak := range map[string]func(net.Conn){
		"it says nothing":       func(c net.Conn) { silent(c) },
		"it hangs up at once":   func(net.Conn) {},
		"it drips its greeting": func(c net.Conn) { drip(c) },
		"it talks without end": func(c net.Conn) {
			for {
				if _, err := fmt.Fprintf(c, "220-%s\r\n", strings.Repeat("x", 500)); err != nil {
					return
				}
			}
		},
		"one line without end": func(c net.Conn) {
			for {
				if _, err := fmt.Fprint(c, strings.Repeat("x", 4096)); err != nil {
					return
				}
			}
		},
		"it speaks something else":  func(c net.Conn) { fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\n\r\n"); silent(c) },
		"it is busy":                func(c net.Conn) { fmt.Fprint(c, "421 4.3.2 too many connections\r\n") },
		"it does not want us":       func(c net.Conn) { fmt.Fprint(c, "554 5.7.1 not you\r\n") },
		"silent after MAIL":         plainUntil("MAIL", silent),
		"gone after RCPT":           plainUntil("RCPT", gone),
		"gone after DATA":           plainUntil("DATA", gone),
		"silent after the letter":   plainUntil(".", silent),
		"gone after the letter":     plainUntil(".", gone),
		"dripping after the letter": plainUntil(".", drip),
		"421 in the middle":         plainUntil("RCPT", func(c net.Conn) bool { fmt.Fprint(c, "421 4.3.2 shutting down\r\n"); return false }),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			_, err := server(t, "smtp://"+rude(t, speak)+"?starttls=off", nil).Send(t.Context(), aLetter())
			var refusal *Refusal
			if err == nil || errors.As(err, &refusal) && refusal.Final {
				t.Errorf("%v", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("it took %s", took)
			}
			t.Log(err)
		})
	}
}

func TestALetterThatIsTakenIsSentWhateverIsSaidGoodbye(t *testing.T) {
	t.Parallel()
	p := rude(t, func(c net.Conn) {
		fmt.Fprint(c, "220 mx\r\n")
		lines := bufio.NewScanner(c)
		for _, answer := range []string{"250 mx", "250 ok", "250 ok", "354 go on"} {
			lines.Scan()
			fmt.Fprint(c, answer+"\r\n")
		}
		for lines.Scan() && lines.Text() != "." {
		}
		fmt.Fprint(c, "250 2.0.0 taken as 42\r\n")
	})
	answer, err := server(t, "smtp://"+p+"?starttls=off", nil).Send(t.Context(), aLetter())
	if err != nil || !strings.Contains(answer, "taken as 42") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	for _, url := range []string{"smtp://" + l.Addr().String(), "smtps://" + l.Addr().String(), "smtp://mx.invalid"} {
		if _, err := server(t, url, nil).Send(t.Context(), aLetter()); err == nil || !strings.Contains(err.Error(), "dial") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestACancelledTryEndsAtOnce(t *testing.T) {
	t.Parallel()
	begun := make(chan struct{})
	addr := rude(t, func(net.Conn) { close(begun); time.Sleep(5 * time.Second) })
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-begun; cancel() }()
	began := time.Now()
	if _, err := server(t, "smtp://"+addr+"?starttls=off", nil).Send(ctx, aLetter()); err == nil || time.Since(began) > time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// A server that dies in the middle of a letter gets it again, whole and once.
func TestAServerThatDiesInALetterGetsItAgain(t *testing.T) {
	t.Parallel()
	h, p := newHouse(t), newPost(t, false, nil, "127.0.0.1")
	died := false
	p.data = func(c *smtp.Conn, r io.Reader) error {
		if died {
			return nil
		}
		died = true
		io.ReadFull(r, make([]byte, 100))
		c.Conn().Close()
		return io.ErrUnexpectedEOF
	}
	m := h.mail(func(o *Options) { o.URL, o.RootCAs = "smtp://"+p.addr, p.roots })
	h.queue(m)
	if h.round(m) != 1 || len(p.come()) != 0 || len(h.waiting()) != 1 {
		t.Fatalf("%d letters, %d wait", len(p.come()), len(h.waiting()))
	}
	h.pass(time.Minute)
	if h.round(m); len(p.come()) != 1 || len(h.waiting()) != 0 || len(h.audited()) != 0 {
		t.Fatalf("%d letters, %d wait, %v", len(p.come()), len(h.waiting()), h.audited())
	}
	if _, err := io.ReadAll(p.come()[0].message(t).Body); err != nil {
		t.Error(err)
	}
}

func TestARefusedMailboxIsInTheAuditLogAndNotInTheLog(t *testing.T) {
	t.Parallel()
	h, p := newHouse(t), newPost(t, false, nil, "127.0.0.1")
	p.to = no(550, "no mailbox for ana@acme.example here")
	m := h.mail(func(o *Options) { o.URL, o.RootCAs = "smtp://"+p.addr, p.roots })
	h.queue(m)
	h.round(m)
	if got := h.audited(); len(got) != 1 || got[0] != "mail.fail given_up: refused 550 5.1.1|ana@acme.example" {
		t.Errorf("%q", got)
	}
	for _, secret := range []string{"ana@", "canary", "no mailbox"} {
		if strings.Contains(h.logged(), secret) {
			t.Errorf("the log says %s:\n%s", secret, h.logged())
		}
	}
}
