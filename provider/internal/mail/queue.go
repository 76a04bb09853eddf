package mail

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Message is a mail to be queued.
type Message struct {
	To      string // canonical
	Name    string // the reader's, as they or others typed it
	Locale  string // the reader's; empty: the site's readers get English
	AgentID string // whom it is about, for the audit log; empty: nobody known
	Page    templates.MailPage
	Expires time.Time // it is of no use from then on; zero: a day is tried
}

// body is what is sealed.
type body struct {
	To    string              `json:"to"`
	Name  string              `json:"name,omitempty"`
	Frame templates.MailFrame `json:"frame"`
	Mail  templates.Mail      `json:"mail"`
}

// errElsewhere is a fault in our own code: a link that was not made of site.URL.
var errElsewhere = errors.New("a mail leads to another host than the site's")

// Queue writes a mail into the outbox, in the caller's transaction. Time, network
// and request id of the act come from ctx. Where no mail is set up it does
// nothing. A mail over those that may wait for one address is dropped, with a
// record of it.
func (m *Mail) Queue(ctx context.Context, tx store.Tx, s *site.Site, msg Message) error {
	if !m.Configured() {
		return nil
	}
	now := m.now().UTC()
	b := body{To: msg.To, Name: plainName(msg.Name), Mail: msg.Page.Mail(), Frame: templates.MailFrame{
		SiteName: plainName(s.Settings.Name), Color: s.Settings.Color, Locale: templates.Match("", msg.Locale), Name: plainName(msg.Name),
		SiteURL: s.Issuer, Time: now, Network: network(ctx), RequestID: web.RequestID(ctx),
	}}
	b.Mail.Detail = plainName(b.Mail.Detail)
	if b.Mail.URL != "" && b.Mail.URL != s.Issuer && !strings.HasPrefix(b.Mail.URL, s.Issuer+"/") {
		return errElsewhere
	}
	rec := store.OutboxMail{
		ID: store.NewMailID(now), Name: b.Mail.Name, AgentID: msg.AgentID, Address: store.MailAddress(msg.To), Created: now, Due: now, GiveUp: now.Add(keepTrying),
	}
	if !msg.Expires.IsZero() && msg.Expires.Before(rec.GiveUp) {
		rec.GiveUp = msg.Expires
	}
	rec.Expires = rec.GiveUp.Add(2 * keepTrying) // Run gives it up long before, and says so
	full, err := waits(tx, rec.Address, rec.Name)
	if err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	if full {
		m.observe(rec.Name, Failed)
		return m.recordFailure(ctx, tx, &rec, msg.To, "too_many_waiting")
	}
	plain, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	if rec.Body, err = m.Sealer.Seal(tx.Site(), store.Outbox.Kind, rec.ID, plain); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	if err := store.Outbox.Put(tx, &rec); err != nil {
		return fmt.Errorf("queue a mail: %w", err)
	}
	m.expect(tx.Site())
	return nil
}

// waits reports whether as many mails wait for the address as may. One of each
// sort may on top: whoever makes many of a harmless sort does not thereby silence
// what the owner has to hear of.
func waits(tx store.Tx, address, name string) (full bool, err error) {
	n, same := 0, false
	for rec, err := range store.Outbox.List(tx, "address", address) {
		if err != nil {
			return true, err
		}
		n++
		same = same || rec.Name == name
	}
	return n >= maxWaiting && same, nil
}

// recordFailure says in the audit log that a mail will not arrive, and why. The
// address stands beside the record.
func (m *Mail) recordFailure(ctx context.Context, tx store.Tx, rec *store.OutboxMail, to, reason string) error {
	e := audit.Event{
		Action: audit.MailFail, Object: audit.Ref{Type: "mail", ID: rec.ID}, Result: audit.Failed, Reason: reason,
		Changes: []audit.Change{{Field: "mail", New: rec.Name}},
	}
	if rec.AgentID != "" {
		e.Object = audit.Ref{Type: policy.Agent, ID: rec.AgentID}
	}
	if to != "" {
		e.Personal = map[string]string{"email": to}
	}
	return m.Audit.Record(ctx, tx, e)
}

// network is where the act came from, as its reader may know it: the address, or
// the /64 of an IPv6 one.
func network(ctx context.Context) string {
	p := web.Network(web.ClientIP(ctx))
	switch {
	case !p.IsValid():
		return ""
	case p.IsSingleIP():
		return p.Addr().String()
	}
	return p.String()
}

// perHour is how many mails of one sort an address gets in any hour.
const perHour = 3

// Allow counts a mail of that sort to the address, and says whether there may be
// one more in this hour. It counts addresses that nobody has, too.
func (m *Mail) Allow(tx store.Tx, sort, address string, now time.Time) (bool, error) {
	for i := range perHour {
		key := store.MailAttempts(sort, address, i)
		a, err := store.AllAttempts.Get(tx, key)
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return false, fmt.Errorf("count a mail: %w", err)
		}
		if err == nil && now.Before(a.Expires) {
			continue
		}
		a = store.Attempts{Key: key, Count: 1, First: now, Last: now, Expires: now.Add(time.Hour)}
		return true, store.AllAttempts.Put(tx, &a)
	}
	return false, nil
}
