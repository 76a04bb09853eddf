package mail

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/mail"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// post is a mail server that we did not write, with what it was told.
type post struct {
	addr  string
	roots *x509.CertPool

	mu       sync.Mutex
	got      []received
	password []string // all that were shown to it

	// What it says to a letter; nil: it takes it.
	from, to func(string) error
	data     func(c *smtp.Conn, r io.Reader) error
}

type received struct {
	from string
	to   []string
	raw  []byte
	tls  bool
}

func (r received) message(t *testing.T) *mail.Message {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(r.raw))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (p *post) come() []received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]received(nil), p.got...)
}

// newPost starts one. Its certificate is for the names; with none it offers no
// TLS.
func newPost(t *testing.T, implicit bool, change func(*smtp.Server), names ...string) *post {
	t.Helper()
	p := &post{}
	s := smtp.NewServer(smtp.BackendFunc(func(c *smtp.Conn) (smtp.Session, error) { return &postSession{post: p, conn: c}, nil }))
	s.Domain, s.ErrorLog = "mx.acme.example", log.New(io.Discard, "", 0)
	if len(names) > 0 {
		s.TLSConfig, p.roots = certificate(t, names...)
	}
	if change != nil {
		change(s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.addr = l.Addr().String()
	if implicit {
		l = tls.NewListener(l, s.TLSConfig)
	}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return p
}

// certificate is one for the names, of an authority of its own.
func certificate(t *testing.T, names ...string) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}, roots
}

type postSession struct {
	post *post
	conn *smtp.Conn
	now  received
}

func (s *postSession) AuthMechanisms() []string { return []string{sasl.Plain} }

func (s *postSession) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		s.post.mu.Lock()
		defer s.post.mu.Unlock()
		s.post.password = append(s.post.password, password)
		if user != "chatelaine" || password != "right" {
			return smtp.ErrAuthFailed
		}
		return nil
	}), nil
}

func (s *postSession) Mail(from string, _ *smtp.MailOptions) error {
	_, s.now.tls = s.conn.TLSConnectionState()
	if s.now.from = from; s.post.from != nil {
		return s.post.from(from)
	}
	return nil
}

func (s *postSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if s.post.to != nil {
		if err := s.post.to(to); err != nil {
			return err
		}
	}
	s.now.to = append(s.now.to, to)
	return nil
}

func (s *postSession) Data(r io.Reader) error {
	if s.post.data != nil {
		if err := s.post.data(s.conn, r); err != nil {
			return err
		}
	}
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	s.now.raw = raw
	s.post.mu.Lock()
	defer s.post.mu.Unlock()
	s.post.got = append(s.post.got, s.now)
	return nil
}

func (s *postSession) Reset()        { s.now = received{} }
func (s *postSession) Logout() error { return nil }

// rude is a server that speaks as it likes.
func rude(t *testing.T, speak func(net.Conn)) (addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				speak(c)
			}()
		}
	}()
	return l.Addr().String()
}
