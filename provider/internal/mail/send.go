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
	"time"

	gomail "github.com/wneessen/go-mail"
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
	client, err := s.client(l, func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := s.dial(ctx, network, address)
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
		return "", greeted(err)
	}
	if err := client.SendWithSMTPClient(session, msg); err != nil && !msg.IsDelivered() {
		return "", refused(err)
	}
	_ = session.Quit() // it has the letter, whatever it says to that
	return printable(msg.ServerResponse()), nil
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
		return 0, errors.New("the server says too much")
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
	if strings.ContainsFunc(l.To.Address, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return nil, errors.New("the address holds a control character")
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

// refused finds the server's answer in what go-mail returns for a letter.
func refused(err error) error {
	var send *gomail.SendError
	var answer *textproto.Error
	switch {
	case errors.As(err, &answer):
	case errors.As(err, &send) && send.ErrorCode() > 0:
		answer = &textproto.Error{Code: send.ErrorCode(), Msg: answerIn(send.Error(), send.ErrorCode())}
	default:
		return broken(err)
	}
	r := &Refusal{Code: answer.Code, Text: printable(answer.Msg), Enhanced: enhanced(answer.Msg)}
	switch r.Code {
	case 530, 534, 535, 538: // it wants TLS or a password: that can be set right
	default:
		r.Final = r.Code >= 500 && r.Code < 600
	}
	return r
}

// answerIn cuts the server's answer out of go-mail's sentence about it.
func answerIn(sentence string, code int) string {
	_, rest, _ := strings.Cut(sentence, strconv.Itoa(code)+" ")
	rest, _, _ = strings.Cut(rest, ", affected ")
	return rest
}

// greeted makes an error of what failed before the letter's turn: however the
// server said it, the letter is not at fault.
func greeted(err error) error {
	var answer *textproto.Error
	if errors.As(err, &answer) {
		return &Refusal{Code: answer.Code, Text: printable(answer.Msg), Enhanced: enhanced(answer.Msg)}
	}
	return broken(err)
}

// brokenError is a conversation that did not come to its end. Its text holds no
// address.
type brokenError struct{ text string }

func (e *brokenError) Error() string { return e.text }

// broken keeps of an error what is about the connection.
func broken(err error) error {
	var op *net.OpError
	var certificate *tls.CertificateVerificationError
	var timeout net.Error
	switch {
	case errors.As(err, &certificate):
		return &brokenError{"the server's certificate: " + certificate.Err.Error()}
	case errors.As(err, &op) && op.Op == "dial":
		return &brokenError{op.Error()}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &brokenError{"the server took too long"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed):
		return &brokenError{"the server broke off"}
	}
	var send *gomail.SendError
	if errors.As(err, &send) {
		return &brokenError{"the conversation broke off: " + send.Reason.String()}
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
