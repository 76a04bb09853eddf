package provider

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	vm "github.com/VictoriaMetrics/metrics"

	"github.com/chatelaine-id/chatelaine/provider/internal/mail"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Mail says how mail is sent; without a URL and Deliver none is.
type Mail struct {
	URL        string         // smtp://USER:PASSWORD@HOST:587 or smtps://USER:PASSWORD@HOST:465
	From       string         // the sender's address, with or without a name
	AllowPlain bool           // to servers off loopback without TLS; never with a password
	RootCAs    *x509.CertPool // nil: the system's
	// Deliver takes the mails in place of a server.
	Deliver func(context.Context, Letter) error
	// QueueOnly leaves sending to another process on the same store.
	QueueOnly bool
}

// Letter is a mail, ready to be sent.
type Letter = mail.Letter

// Check says what is wrong with URL and From; it asks no server. An error never
// holds the URL.
func (m Mail) Check() error {
	if m.URL != "" {
		if _, err := mail.ParseServer(m.URL, m.AllowPlain); err != nil {
			return err
		}
	}
	if m.From != "" || m.URL != "" {
		if _, err := mail.ParseFrom(m.From); err != nil {
			return err
		}
	}
	return nil
}

// Try sends a test mail to the address at once and returns what the mail server
// said to it. publicURL is the house's.
func (m Mail) Try(ctx context.Context, publicURL, to string) (answer string, err error) {
	return mail.Trial(ctx, mail.Options{Pages: templates.New(), URL: m.URL, From: m.From, AllowPlain: m.AllowPlain, RootCAs: m.RootCAs}, publicURL, to)
}

// setUpMail makes the outbox and tells the metrics of it.
func (s *Server) setUpMail(o Options, sites *site.Sites, pages *templates.Renderer) (err error) {
	options := mail.Options{
		Store: s.store, Sites: sites, Sealer: o.Sealer, Audit: s.audit, Pages: pages, URL: o.Mail.URL, From: o.Mail.From,
		AllowPlain: o.Mail.AllowPlain, RootCAs: o.Mail.RootCAs, Deliver: o.Mail.Deliver, Now: o.Now, Log: o.Log,
	}
	if o.Metrics != nil {
		options.Observe = mails(o.Metrics)
	}
	s.queueOnly = o.Mail.QueueOnly
	if s.mail, err = mail.New(options); err != nil {
		return fmt.Errorf("set up mail: %w", err)
	}
	if o.Metrics != nil {
		waitingMails(o.Metrics, s.mail, s.now)
	}
	return nil
}

// mails counts what becomes of mails: sent, retried, failed, expired.
func mails(set *vm.Set) func(name, outcome string) {
	return func(name, outcome string) {
		set.GetOrCreateCounter("chatelaine_mails_total" + labels("mail", name, "outcome", outcome)).Inc()
	}
}

// waitingMails tells of the outbox, as of some seconds ago: how many mails wait to
// be sent, and how long the oldest of them has waited.
func waitingMails(set *vm.Set, outbox *mail.Mail, now func() time.Time) {
	set.NewGauge("chatelaine_mails_waiting", func() float64 {
		n, _ := outbox.Waiting()
		return float64(n)
	})
	set.NewGauge("chatelaine_mails_oldest_seconds", func() float64 {
		n, oldest := outbox.Waiting()
		if n == 0 {
			return 0
		}
		return now().Sub(oldest).Seconds()
	})
}
