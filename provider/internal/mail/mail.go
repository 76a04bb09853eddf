// Package mail owns the outbox: mails are written into it in the transaction of
// the act that they tell of, and sent from it by SMTP in the background.
//
// A mail server that is slow or down delays no page and loses nothing: what
// cannot be sent is tried again, less and less often, for a day. A mail is claimed
// for a while before it is sent, so that of several nodes on one database one
// sends it; a process that dies between the server's word and the note of it
// makes the next one send it a second time, with the same Message-ID. Addresses
// and links are sealed in the store and stand in no log.
//
// It answers no route, knows no rule about who may be written to, and must not
// be asked to send what its caller's transaction has not committed.
package mail

import (
	"context"
	"crypto/x509"
	"errors"
	"net/url"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Errors has no row: what cannot be sent is never a request's fault.

// Limits.
const (
	parallel    = 4                // mails under way at once
	leaseTime   = 3 * time.Minute  // longer than connectTime and talkTime
	connectTime = 10 * time.Second // to the server's address, and for TLS where it comes first
	talkTime    = time.Minute      // the whole conversation
	endTime     = 10 * time.Second // for what is under way when the process ends
	keepTrying  = 24 * time.Hour
	lookEvery   = 30 * time.Second // for mails that another node queued, or was sending
	maxWaiting  = 20               // mails for one address, and one of each other sort
)

// What becomes of mails, for Observe.
const (
	Sent    = "sent"
	Retried = "retried" // could not be sent now
	Failed  = "failed"  // given up, or dropped because too many wait
	Expired = "expired" // its link was over before it could be sent
)

// Options is what a Mail needs, set once. Store is Sites.Store().
type Options struct {
	Store  store.Store
	Sites  *site.Sites
	Sealer *store.Sealer
	Audit  *audit.Log
	Pages  *templates.Renderer

	URL        string         // smtp:// or smtps://; see ParseServer. Empty: no mail is sent, unless Deliver is set
	From       string         // the sender's address, with or without a name
	AllowPlain bool           // to servers off loopback without TLS; never with a password
	RootCAs    *x509.CertPool // nil: the system's

	// Deliver takes the mails in place of a server.
	Deliver func(context.Context, Letter) error

	Now     func() time.Time
	Log     zerolog.Logger
	Observe func(name, outcome string) // is told what becomes of mails; may be nil
}

// Letter is a mail, ready to be sent.
type Letter struct {
	ID       string // the same at each try
	From, To Address
	Subject  string
	Text     string
	HTML     string
	Locale   string
	Host     string // the issuer's
	Date     time.Time
}

// Address is whom a letter is from or to.
type Address struct{ Name, Address string }

// Mail is the outbox of every site.
type Mail struct {
	Options
	from   Address
	server *Server // nil: none
	now    func() time.Time

	wake chan struct{}
	mu   sync.Mutex
	next map[string]time.Time // by site: when to look
	hot  map[string]time.Time // by site: something was queued, and may not be committed before then
	seen map[string]seen      // by site: what waited when it was last counted
}

type seen struct {
	at     time.Time
	count  int
	oldest time.Time
}

// New returns a Mail.
func New(o Options) (*Mail, error) {
	m := &Mail{Options: o, now: o.Now, wake: make(chan struct{}, 1), next: map[string]time.Time{}, hot: map[string]time.Time{}, seen: map[string]seen{}}
	if m.now == nil {
		m.now = time.Now
	}
	if o.URL == "" && o.Deliver == nil {
		return m, nil
	}
	var err error
	if m.from, err = ParseFrom(o.From); err != nil {
		return nil, err
	}
	if o.Deliver != nil {
		return m, nil
	}
	if m.server, err = ParseServer(o.URL, o.AllowPlain); err != nil {
		return nil, err
	}
	m.server.roots, m.server.hello = o.RootCAs, helloName(o.Sites.PublicURL())
	return m, nil
}

// Configured reports whether mail can be sent at all.
func (m *Mail) Configured() bool { return m.server != nil || m.Deliver != nil }

// errNotConfigured says that there is no mail server to send through.
var errNotConfigured = errors.New("mail is not set up: smtp.url is empty")

func (m *Mail) deliver(ctx context.Context, l Letter) (answer string, err error) {
	switch {
	case m.Deliver != nil:
		return "", m.Deliver(ctx, l)
	case m.server != nil:
		return m.server.Send(ctx, l)
	}
	return "", errNotConfigured
}

func (m *Mail) observe(name, outcome string) {
	if m.Observe != nil {
		m.Observe(name, outcome)
	}
}

func hostOf(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" {
		return "localhost"
	}
	return u.Hostname()
}
