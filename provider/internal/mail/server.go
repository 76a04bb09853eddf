package mail

import (
	"crypto/x509"
	"errors"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// Server is a mail server that takes our mails.
type Server struct {
	host        string
	port        int
	implicitTLS bool
	plain       bool // no STARTTLS either
	optional    bool // STARTTLS only if it is offered
	user, pass  string

	hello         string
	roots         *x509.CertPool
	connect, talk time.Duration // zero: connectTime, talkTime
}

// Faults of smtp.url; none repeats the URL, which may hold a password.
var (
	errServerURL  = errors.New("smtp.url: must be smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465")
	errServer465  = errors.New("smtp.url: port 465 speaks TLS from the first byte: write smtps://")
	errServerOff  = errors.New("smtp.url: starttls=off is for a server on this machine (or for a test, with allow_insecure)")
	errServerPass = errors.New("smtp.url: a password goes over TLS, or to a server on this machine")
	errServerHalf = errors.New("smtp.url: user and password belong together")
)

// ParseServer reads smtp.url. smtp:// demands STARTTLS; a server on this machine
// to which no password goes may do without. ?starttls=required demands it there
// too, ?starttls=off says that there is none, which is for loopback (or anyPlain)
// only. smtps:// is TLS from the first byte.
func ParseServer(raw string, anyPlain bool) (*Server, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" || u.Scheme != "smtp" && u.Scheme != "smtps" || strings.Trim(u.Path, "/") != "" || u.Fragment != "" || u.Opaque != "" {
		return nil, errServerURL
	}
	s := &Server{host: u.Hostname(), port: 587, implicitTLS: u.Scheme == "smtps"}
	if s.implicitTLS {
		s.port = 465
	}
	if u.Port() != "" {
		if s.port, err = strconv.Atoi(u.Port()); err != nil || s.port < 1 || s.port > 65535 {
			return nil, errServerURL
		}
	}
	if !s.implicitTLS && s.port == 465 {
		return nil, errServer465
	}
	if err := s.readQuery(u, anyPlain); err != nil {
		return nil, err
	}
	return s, s.readUser(u)
}

func (s *Server) readQuery(u *url.URL, anyPlain bool) error {
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil || len(query) > 1 || len(query) == 1 && (len(query["starttls"]) != 1 || s.implicitTLS) {
		return errServerURL
	}
	switch query.Get("starttls") {
	case "":
		s.optional = !s.implicitTLS && s.loopback() && u.User == nil
		return nil
	case "required":
		return nil
	case "off":
		s.plain = true
	default:
		return errServerURL
	}
	if !s.loopback() && !anyPlain {
		return errServerOff
	}
	return nil
}

func (s *Server) readUser(u *url.URL) error {
	if u.User != nil {
		s.user = u.User.Username()
		s.pass, _ = u.User.Password()
	}
	if (s.user == "") != (s.pass == "") || strings.ContainsAny(s.user+s.pass, "\r\n\x00") {
		return errServerHalf
	}
	if s.user != "" && s.plain && !s.loopback() {
		return errServerPass
	}
	return nil
}

// loopback reports whether the server is on this machine.
func (s *Server) loopback() bool {
	addr, err := netip.ParseAddr(s.host)
	return strings.EqualFold(s.host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
