package mail

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/mail"
	"net/textproto"
	"strconv"
	"strings"
	"syscall"
	"time"

	gomail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"
)

// mechanisms are the ways to show the password, the best first. Those that show
// it as it is are behind TLS, or on this machine: ParseServer sees to it.
var mechanisms = []gomail.SMTPAuthType{gomail.SMTPAuthSCRAMSHA256, gomail.SMTPAuthSCRAMSHA1, gomail.SMTPAuthPlain, gomail.SMTPAuthLogin}

// Send hands the letter to the server and returns what the server said. An error
// is a *Refusal if the server answered no.
func (s *Server) Send(ctx context.Context, l Letter) (answer string, err error) {
	msg, err := compose(l)
	if err != nil {
		return "", err
	}
	talk := s.talk
	if talk == 0 {
		talk = talkTime
	}
	ctx, cancel := context.WithTimeout(ctx, talk)
	defer cancel()
	var line net.Conn
	client, err := s.client(l, func(_ context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(ctx, network, address) // its own context ends with the greeting
		line = conn
		return conn, err
	})
	if err != nil {
		return "", err
	}
	session, err := client.DialToSMTPClientWithContext(ctx)
	if line != nil {
		defer line.Close()
	}
	if err != nil {
		return "", s.greeted(ctx, err)
	}
	if answer, err = hand(session, msg); err != nil {
		return "", refused(ctx, err)
	}
	_ = session.Quit() // it has the letter, whatever it says to that
	return printable(answer), nil
}

// hand gives the letter to a server that has greeted us, and returns what it says.
func hand(session *smtp.Client, msg *gomail.Msg) (answer string, err error) {
	from, err := msg.GetSender(false)
	if err != nil {
		return "", err
	}
	to, err := msg.GetRecipients()
	if err != nil {
		return "", err
	}
	if err := session.Mail(from); err != nil {
		return "", err
	}
	for _, address := range to {
		if err := session.Rcpt(address); err != nil {
			return "", err
		}
	}
	w, err := session.Data()
	if err != nil {
		return "", err
	}
	if _, err := msg.WriteTo(w); err != nil {
		return "", err // without the end: what is half written is no letter
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	if said, ok := w.(interface{ ServerResponse() string }); ok {
		answer = said.ServerResponse()
	}
	return answer, nil
}

func (s *Server) client(l Letter, dial gomail.DialContextFunc) (*gomail.Client, error) {
	options := []gomail.Option{
		gomail.WithPort(s.port), gomail.WithHELO(s.hello), gomail.WithDialContextFunc(dial), gomail.WithTimeout(talkTime), gomail.WithTLSConfig(s.tls()),
		gomail.WithoutNoop(), gomail.WithoutRset(),
	}
	switch {
	case s.implicitTLS:
		options = append(options, gomail.WithSSL())
	case s.plain:
		options = append(options, gomail.WithTLSPolicy(gomail.NoTLS))
	case s.optional:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSOpportunistic))
	default:
		options = append(options, gomail.WithTLSPolicy(gomail.TLSMandatory))
	}
	if s.user != "" {
		options = append(options, gomail.WithUsername(s.user), gomail.WithPassword(s.pass), gomail.WithOpportunisticSMTPAuth(mechanisms...))
	}
	if ascii(l.To.Address) { // asking for SMTPUTF8 bars the way over servers that lack it
		options = append(options, gomail.WithoutSMTPUTF8())
	}
	return gomail.NewClient(s.host, options...)
}

func (s *Server) tls() *tls.Config {
	return &tls.Config{ServerName: s.host, RootCAs: s.roots, MinVersion: tls.VersionTLS12}
}

// dial connects. The connection ends with ctx, whoever sets what deadline later.
func (s *Server) dial(ctx context.Context, network, address string) (net.Conn, error) {
	limit := s.connect
	if limit == 0 {
		limit = connectTime
	}
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	conn := &boundedConn{Conn: raw, left: maxAnswers}
	if deadline, ok := whole.Deadline(); ok {
		_ = raw.SetDeadline(deadline)
	}
	conn.release = context.AfterFunc(whole, func() { _ = raw.Close() })
	if !s.implicitTLS {
		return conn, nil
	}
	secure := tls.Client(conn, s.tls())
	if err := secure.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secure, nil
}

// maxAnswers is the most that a server may say in a conversation, in bytes.
const maxAnswers = 1 << 20

var errTooMuch = errors.New("the server says too much")

// boundedConn keeps the one deadline that it was given, and hears so much only.
type boundedConn struct {
	net.Conn
	left    int
	release func() bool
}

func (*boundedConn) SetDeadline(time.Time) error      { return nil }
func (*boundedConn) SetReadDeadline(time.Time) error  { return nil }
func (*boundedConn) SetWriteDeadline(time.Time) error { return nil }

// Read reads until the server has said too much.
func (c *boundedConn) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errTooMuch
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	return n, err
}

// Close closes the connection.
func (c *boundedConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// compose makes the message of a letter.
func compose(l Letter) (*gomail.Msg, error) {
	m := gomail.NewMsg(gomail.WithNoDefaultUserAgent(), gomail.WithEncoding(gomail.EncodingQP))
	if strings.ContainsFunc(l.To.Address, func(r rune) bool { return r <= ' ' || r == 0x7f }) || strings.ContainsAny(l.To.Address, `"(),:;<>[]\`) {
		return nil, errors.New("the address is not one to be written to")
	}
	m.FromMailAddress(&mail.Address{Name: l.From.Name, Address: l.From.Address})
	m.ToMailAddress(&mail.Address{Name: l.To.Name, Address: l.To.Address})
	m.Subject(strings.Join(strings.Fields(l.Subject), " "))
	m.SetDateWithValue(l.Date)
	m.SetMessageIDWithValue(l.ID + "@" + l.Host)
	m.SetGenHeader("Auto-Submitted", "auto-generated") // RFC 3834
	m.SetGenHeader(gomail.HeaderXAutoResponseSuppress, "All")
	m.SetGenHeader(gomail.HeaderContentLang, l.Locale)
	m.SetBodyString(gomail.TypeTextPlain, l.Text)
	m.AddAlternativeString(gomail.TypeTextHTML, l.HTML)
	return m, nil
}

// Refusal is a server's no. Its text may hold the address: it is for who asked
// for the mail, not for logs.
type Refusal struct {
	Code     int
	Enhanced string // such as 5.1.1; may be empty
	Text     string
	Final    bool // it will not be otherwise later
}

// Error is code and text.
func (r *Refusal) Error() string { return strings.TrimSpace(strconv.Itoa(r.Code) + " " + r.Text) }

// class is Error without the server's own words.
func (r *Refusal) class() string {
	return strings.TrimSpace("refused " + strconv.Itoa(r.Code) + " " + r.Enhanced)
}

// refused is what came of a letter that was not taken.
func refused(ctx context.Context, err error) error {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		return broken(ctx, err)
	}
	r := refusal(answer)
	switch r.Code {
	case 530, 534, 535, 538: // it wants TLS or a password: that can be set right
	default:
		r.Final = r.Code >= 500 && r.Code < 600
	}
	return r
}

func refusal(answer *textproto.Error) *Refusal {
	return &Refusal{Code: answer.Code, Text: printable(answer.Msg), Enhanced: enhanced(answer.Msg)}
}

// greeted makes an error of what failed before the letter's turn: however the
// server said it, the letter is not at fault.
func (s *Server) greeted(ctx context.Context, err error) error {
	var answer *textproto.Error
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &answer):
		return refusal(answer)
	case errors.As(err, &record):
		return &brokenError{"the server does not speak TLS from the first byte: is it smtp:// in place of smtps://?"}
	case strings.Contains(err.Error(), "does not support STARTTLS"):
		return &brokenError{"the server offers no STARTTLS, and without it nothing is sent"}
	case strings.Contains(err.Error(), "does not support SMTP AUTH"):
		return &brokenError{"the server takes no password"}
	}
	b := broken(ctx, err)
	if b.text == tookTooLong && !s.implicitTLS {
		b.text += "; if it speaks TLS from the first byte, write smtps://"
	}
	return b
}

// brokenError is a conversation that did not come to its end. Its text holds no
// address.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

const tookTooLong = "the server took too long"

// broken keeps of an error what is about the connection.
func broken(ctx context.Context, err error) *brokenError {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &certificate):
		return &brokenError{"the server's certificate: " + certificate.Err.Error()}
	case errors.As(err, &op) && op.Op == "dial":
		return &brokenError{op.Error()}
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &brokenError{tookTooLong}
	case errors.Is(err, errTooMuch):
		return &brokenError{errTooMuch.Error()}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return &brokenError{"the server broke off"}
	}
	var protocol textproto.ProtocolError
	if errors.As(err, &protocol) {
		return &brokenError{"the server does not speak SMTP"}
	}
	return &brokenError{printable(err.Error())}
}

// enhanced is the status code of RFC 3463 that an answer begins with, or "".
func enhanced(text string) string {
	word, _, _ := strings.Cut(text, " ")
	var class, subject, detail int
	if n, err := fmt.Sscanf(word, "%d.%d.%d", &class, &subject, &detail); n != 3 || err != nil {
		return ""
	}
	return fmt.Sprintf("%d.%d.%d", class, subject, detail)
}

// printable is a server's text on one line, without control characters, cut.
func printable(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 }), " ")
	if r := []rune(s); len(r) > 300 {
		s = string(r[:300]) + "…"
	}
	return s
}

func ascii(s string) bool { return !strings.ContainsFunc(s, func(r rune) bool { return r > '~' }) }
