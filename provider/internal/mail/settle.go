package mail

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"runtime/debug"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// send delivers a claimed mail and notes what came of it.
func (m *Mail) send(ctx context.Context, path string, rec *store.OutboxMail) {
	err := m.try(ctx, path, rec)
	noting := context.WithoutCancel(ctx)
	if settling := m.settle(noting, path, rec, err); settling != nil {
		m.Log.Error().Err(settling).Str("mail", rec.ID).Str("name", rec.Name).Bool("sent", err == nil).Msg("what became of a mail was not noted: it is sent again")
	}
	m.mu.Lock()
	m.next[path] = m.now()
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

func (m *Mail) try(ctx context.Context, path string, rec *store.OutboxMail) (err error) {
	defer func() {
		if p := recover(); p != nil {
			m.Log.Error().Bytes("stack", debug.Stack()).Str("mail", rec.ID).Msg("sending a mail panicked")
			err = &brokenError{"a fault in the house"}
		}
	}()
	b, err := m.open(path, rec)
	if err != nil {
		return &brokenError{"the mail cannot be read: is the master key another?"}
	}
	s, err := m.Sites.Load(ctx, path)
	if err != nil {
		return &brokenError{"the site cannot be loaded"}
	}
	l, err := m.letter(s.Issuer, rec.ID, rec.Created, b)
	if err != nil {
		return &brokenError{"the mail cannot be put into words"}
	}
	_, err = m.deliver(ctx, l)
	return err
}

// letter puts a mail into words.
func (m *Mail) letter(issuer, id string, at time.Time, b body) (Letter, error) {
	words, err := m.Pages.Mail(b.Frame, b.Mail)
	if err != nil {
		return Letter{}, err
	}
	from := m.from
	if from.Name == "" {
		from.Name = b.Frame.SiteName
	}
	return Letter{
		ID: id, From: from, To: Address{b.Name, b.To}, Subject: words.Subject, Text: words.Text, HTML: words.HTML,
		Locale: b.Frame.Locale, Host: hostOf(issuer), Date: at,
	}, nil
}

// settle notes what came of a try, unless the lease has run out meanwhile and
// somebody else has the mail.
func (m *Mail) settle(ctx context.Context, path string, rec *store.OutboxMail, fault error) error {
	outcome := Sent
	err := m.Store.Update(ctx, path, func(tx store.Tx) error {
		outcome = Sent
		now, err := store.Outbox.Get(tx, rec.ID)
		if errors.Is(err, store.ErrNotFound) || err == nil && now.Lease != rec.Lease {
			return nil
		}
		if err != nil {
			return err
		}
		if fault == nil {
			return store.Outbox.Delete(tx, rec.ID)
		}
		var r *Refusal
		now.Fault, now.Lease = classOf(fault), ""
		if errors.As(fault, &r) && r.Final {
			outcome = Failed
			return m.giveUp(ctx, tx, &now, "given_up")
		}
		outcome = Retried
		now.Due = m.now().UTC().Add(backoff(now.Tries))
		if now.Due.After(now.GiveUp) { // say so then, not at the next try after it
			now.Due = now.GiveUp
		}
		return store.Outbox.Put(tx, &now)
	})
	if err != nil {
		return err
	}
	m.observe(rec.Name, outcome)
	if fault != nil {
		m.Log.Warn().Str("mail", rec.ID).Str("name", rec.Name).Int("tries", rec.Tries).Str("fault", classOf(fault)).Bool("again", outcome == Retried).Msg("a mail was not sent")
	}
	return nil
}

// classOf says what went wrong without an address and without the server's words.
func classOf(fault error) string {
	var r *Refusal
	var b *brokenError
	switch {
	case errors.As(fault, &r):
		return r.class()
	case errors.As(fault, &b):
		return b.text
	}
	return "not delivered"
}

const (
	firstPause   = 15 * time.Second
	longestPause = 10 * time.Minute
)

// backoff is how long to wait after the n-th try: twice as long each time, give
// or take a quarter.
func backoff(n int) time.Duration {
	pause := min(firstPause<<min(max(n-1, 0), 10), longestPause)
	var b [4]byte
	rand.Read(b[:])
	return pause*3/4 + pause/2*time.Duration(binary.BigEndian.Uint16(b[:]))/(1<<16)
}

func newLease() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}
