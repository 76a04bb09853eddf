package main

import (
	"bytes"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"mime"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"net/mail"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// postOffice is a mail server that we did not write. It wants STARTTLS and a
// password, and takes mails for acme.example.
type postOffice struct {
	addr  string
	trust string // file of its certificate
	cert  tls.Certificate

	mu     sync.Mutex
	got    []*mail.Message
	bodies []string // the text of each
	server *smtp.Server
}

func newPostOffice(t *testing.T) *postOffice {
	t.Helper()
	// httptest has a certificate for 127.0.0.1, good for decades.
	borrowed := httptest.NewTLSServer(nil)
	defer borrowed.Close()
	p := &postOffice{cert: borrowed.TLS.Certificates[0], trust: filepath.Join(t.TempDir(), "ca.pem")}
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: borrowed.Certificate().Raw})
	if err := os.WriteFile(p.trust, block, 0o600); err != nil {
		t.Fatal(err)
	}
	p.addr = "127.0.0.1:0"
	p.open(t)
	t.Cleanup(func() { p.server.Close() })
	return p
}

func (p *postOffice) open(t *testing.T) {
	t.Helper()
	p.server = smtp.NewServer(p)
	p.server.Domain, p.server.ErrorLog = "mx.acme.example", log.New(io.Discard, "", 0)
	p.server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{p.cert}, MinVersion: tls.VersionTLS12}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String() // the same when it opens again
	go p.server.Serve(l)
}

// environ are the settings of a house that sends through it.
func (p *postOffice) environ() []string {
	return []string{"CHATELAINE_SMTP_URL=smtp://chatelaine:right@" + p.addr, "CHATELAINE_MAIL_FROM=no-reply@acme.example", "SSL_CERT_FILE=" + p.trust}
}

// NewSession begins a conversation.
func (p *postOffice) NewSession(c *smtp.Conn) (smtp.Session, error) {
	return &postCounter{office: p, conn: c}, nil
}

type postCounter struct {
	office *postOffice
	conn   *smtp.Conn
	in     bool
}

func (c *postCounter) AuthMechanisms() []string { return []string{sasl.Plain} }

func (c *postCounter) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		if c.in = user == "chatelaine" && password == "right"; !c.in {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (c *postCounter) Mail(string, *smtp.MailOptions) error {
	if _, secure := c.conn.TLSConnectionState(); !secure || !c.in {
		return smtp.ErrAuthRequired
	}
	return nil
}

func (c *postCounter) Rcpt(to string, _ *smtp.RcptOptions) error {
	if !strings.HasSuffix(to, "@acme.example") {
		return &smtp.SMTPError{Code: 550, EnhancedCode: smtp.EnhancedCode{5, 7, 1}, Message: "no relay for " + to}
	}
	return nil
}

func (c *postCounter) Data(r io.Reader) error {
	m, err := mail.ReadMessage(r)
	if err != nil {
		return err
	}
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	part, err := multipart.NewReader(m.Body, params["boundary"]).NextPart()
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if _, err := text.ReadFrom(part); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	c.office.mu.Lock()
	defer c.office.mu.Unlock()
	c.office.got, c.office.bodies = append(c.office.got, m), append(c.office.bodies, text.String())
	return nil
}

func (*postCounter) Reset()        {}
func (*postCounter) Logout() error { return nil }

// await waits for the n-th mail and returns it with its text.
func (p *postOffice) await(t *testing.T, n int) (*mail.Message, string) {
	t.Helper()
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(20 * time.Millisecond) {
		p.mu.Lock()
		if len(p.got) >= n {
			defer p.mu.Unlock()
			return p.got[n-1], p.bodies[n-1]
		}
		p.mu.Unlock()
	}
	t.Fatalf("mail %d did not come", n)
	return nil, ""
}

// posting is a house that sends through the post office.
func posting(t *testing.T, p *postOffice) (issuer string, sh shell, server *serving, again func() *serving) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, address, binary := folder(t), "127.0.0.1:"+port, buildBinary(t)
	metrics := port
	for metrics == port { // a port that was free once may be given twice
		if metrics, err = freePort(); err != nil {
			t.Fatal(err)
		}
	}
	again = func() *serving {
		s := startServing(t, binary, dir, address, append(p.environ(), "CHATELAINE_METRICS_LISTEN=127.0.0.1:"+metrics)...)
		t.Cleanup(s.kill)
		return s
	}
	return "http://" + address, shell{t, binary, filepath.Join(dir, "data"), "127.0.0.1:" + metrics}, again(), again
}

var linkInMail = regexp.MustCompile(`http://127\.0\.0\.1:\d+/\S+`)

// From the page by a mail to the page, with an attacker's Host header on the way.
func TestAForgottenPasswordIsReplacedByTheLinkInAMail(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	issuer, sh, server, _ := posting(t, p)
	// The site file makes kim without a password: the first mail is an invitation.
	if m, text := p.await(t, 1); m.Header.Get("To") != `"Kim New" <kim@acme.example>` || !strings.Contains(text, issuer+"/invitation/") {
		t.Errorf("%v\n%s", m.Header, text)
	}
	ana := newVisitor(t).open(issuer + "/forgot")
	forged, err := http.NewRequest(http.MethodPost, issuer+"/forgot", strings.NewReader("email=ana%40acme.example"))
	if err != nil {
		t.Fatal(err)
	}
	forged.Host = "evil.example"
	forged.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	forged.Header.Set("X-Forwarded-Host", "evil.example")
	resp, err := ana.http.Do(forged)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode == http.StatusOK { // some refuse the host; who does not must not believe it
		if _, text := p.await(t, 2); strings.Contains(text, "evil") {
			t.Errorf("a mail believes the Host header:\n%s", text)
		}
	}
	p.mu.Lock()
	had := len(p.got)
	p.mu.Unlock()
	ana.submit("email", "ana@acme.example")
	m, text := p.await(t, had+1)
	link := linkInMail.FindString(text)
	if m.Header.Get("From") != `"Crash" <no-reply@acme.example>` || !strings.HasPrefix(link, issuer+"/reset/") {
		t.Fatalf("%v\n%s", m.Header, text)
	}
	ana.open(link).submit("new_password", "Nine quiet harbours, 7", "confirm_password", "Nine quiet harbours, 7")
	if in := newVisitor(t).open(issuer+"/account").submit("email", "ana@acme.example", "password", "Nine quiet harbours, 7"); !in.signedIn(issuer) {
		t.Errorf("the new password is none: %d %s", ana.status, ana.page)
	}
	if _, text := p.await(t, had+2); !strings.Contains(text, "has a new password") && !strings.Contains(text, "A new password was set") {
		t.Errorf("no notice of it:\n%s", text)
	}
	if again := newVisitor(t).open(link); again.status != http.StatusGone {
		t.Errorf("the link works twice: %d", again.status)
	}
	if said := newVisitor(t).open("http://" + sh.address + "/metrics").page; !strings.Contains(said, `chatelaine_mails_total{mail="reset",outcome="sent"} `) || !strings.Contains(said, "chatelaine_mails_waiting 0") {
		t.Error("the metrics do not tell of mails")
	}
	server.stop(t)
	for _, secret := range []string{link[strings.LastIndex(link, "/")+1:], "chatelaine:right"} {
		if strings.Contains(server.log.String(), secret) {
			t.Errorf("the log holds %s", secret)
		}
	}
}

// The mail server is down, and then the house dies: what happened is told still.
func TestAMailOutlivesADeadMailServerAndADeadHouse(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	issuer, _, server, again := posting(t, p)
	p.await(t, 1)
	p.server.Close()
	begin := time.Now()
	v := newVisitor(t).open(issuer+"/forgot").submit("email", "ana@acme.example")
	if v.status != http.StatusOK || time.Since(begin) > 3*time.Second {
		t.Errorf("%d after %s", v.status, time.Since(begin))
	}
	if ready := newVisitor(t).open(issuer + "/readyz"); ready.status != http.StatusOK {
		t.Errorf("it is not ready without a mail server: %d", ready.status)
	}
	for begin := time.Now(); !strings.Contains(server.log.String(), "a mail was not sent"); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("it was not tried:\n%s", server.log.String())
		}
	}
	server.kill()
	p.open(t)
	again()
	if _, text := p.await(t, 2); !strings.Contains(text, issuer+"/reset/") {
		t.Errorf("another mail:\n%s", text)
	}
	time.Sleep(time.Second)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.got) != 2 {
		t.Errorf("%d mails", len(p.got))
	}
}

func TestATestMailSaysWhatTheServerSays(t *testing.T) {
	t.Parallel()
	p := newPostOffice(t)
	binary := buildBinary(t)
	send := func(to string, environ ...string) (string, int) {
		cmd := exec.Command(binary, "mail", "test", to)
		cmd.Env = append(append(os.Environ(), p.environ()...), environ...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return string(out), cmd.ProcessState.ExitCode()
	}
	out, code := send("Ana@Acme.example")
	if m, text := p.await(t, 1); code != 0 || !strings.Contains(out, "took the mail and said: 2.0.0 OK: queued") || m.Header.Get("To") != "<ana@acme.example>" || !strings.Contains(text, "can send mail") {
		t.Errorf("exit code %d: %s\n%v\n%s", code, out, m.Header, text)
	}
	for name, c := range map[string]struct {
		to, environ, want string
		code              int
	}{
		"another's address":   {"ana@elsewhere.example", "X=", "550 5.7.1 no relay for ana@elsewhere.example", 1},
		"no address":          {"ana", "X=", "ana", 1},
		"a wrong password":    {"ana@acme.example", "CHATELAINE_SMTP_URL=smtp://chatelaine:canary@" + p.addr, "535 ", 1},
		"nobody is there":     {"ana@acme.example", "CHATELAINE_SMTP_URL=smtp://chatelaine:canary@127.0.0.1:9", "connection refused", 1},
		"an unknown issuer":   {"ana@acme.example", "SSL_CERT_FILE=/dev/null", "certificate", 1},
		"TLS the other way":   {"ana@acme.example", "CHATELAINE_SMTP_URL=smtps://chatelaine:canary@" + p.addr, "is it smtp:// in place of smtps://?", 1},
		"no server is set":    {"ana@acme.example", "CHATELAINE_SMTP_URL=", "smtp.url is empty", 2},
		"a server of no kind": {"ana@acme.example", "CHATELAINE_SMTP_URL=imap://canary", "smtp.url: must be", 2},
	} {
		out, code := send(c.to, c.environ)
		if code != c.code || !strings.Contains(out, c.want) || strings.Contains(out, "canary") || strings.Contains(out, "right@") {
			t.Errorf("%s: exit code %d: %s", name, code, out)
		}
	}
}
