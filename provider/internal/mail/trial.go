package mail

import (
	"context"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Trial sends a test mail to the address at once, past the outbox, and returns
// what the server said to it. Of the options it needs Pages and those about the
// server; publicURL is the house's own.
func Trial(ctx context.Context, o Options, publicURL, to string) (answer string, err error) {
	if o.URL == "" {
		return "", errNotConfigured
	}
	if to, err = web.CanonicalEmail(to); err != nil {
		return "", err
	}
	m := &Mail{Options: o}
	if m.from, err = ParseFrom(o.From); err != nil {
		return "", err
	}
	if m.server, err = ParseServer(o.URL, o.AllowPlain); err != nil {
		return "", err
	}
	m.server.roots, m.server.hello = o.RootCAs, helloName(publicURL)
	now := time.Now().UTC()
	frame := templates.MailFrame{SiteName: hostOf(publicURL), Locale: "en", SiteURL: publicURL, Time: now}
	l, err := m.letter(publicURL, newLease(), now, body{To: to, Frame: frame, Mail: templates.TestMail{}.Mail()})
	if err != nil {
		return "", err
	}
	return m.server.Send(ctx, l)
}
