package mail

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// expect has the site looked at soon: the transaction that queues a mail may
// take a while to commit.
func (m *Mail) expect(path string) {
	now := m.now()
	m.mu.Lock()
	m.next[path], m.hot[path] = now, now.Add(lookEvery)
	m.mu.Unlock()
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// Run sends what waits until ctx ends, and then lets what is under way end.
func (m *Mail) Run(ctx context.Context) error {
	if !m.Configured() {
		<-ctx.Done()
		return nil
	}
	var under sync.WaitGroup
	sending, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	free := make(chan struct{}, parallel)
	for range parallel {
		free <- struct{}{}
	}
	tick := time.NewTicker(tickTime)
	defer tick.Stop()
	var all time.Time
	for ctx.Err() == nil {
		if now := m.now(); now.Sub(all) >= lookEvery {
			m.lookEverywhere(ctx)
			all = now
		}
		m.sendDue(ctx, sending, &under, free)
		select {
		case <-ctx.Done():
		case <-m.wake:
		case <-tick.C:
		}
	}
	timer := time.AfterFunc(endTime, cut)
	defer timer.Stop()
	under.Wait()
	return nil
}

// tickTime is how often Run looks whether the time of a mail has come.
const tickTime = 500 * time.Millisecond

// lookEverywhere has every site looked at.
func (m *Mail) lookEverywhere(ctx context.Context) {
	sites, err := m.Sites.All(ctx)
	if err != nil {
		m.failed(ctx, err)
		return
	}
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range sites {
		m.next[s.Path] = now
	}
}

func (m *Mail) failed(ctx context.Context, err error) {
	if ctx.Err() == nil {
		m.Log.Error().Err(err).Msg("mails were not sent; it is tried again")
	}
}

// sendDue sends what is due, one mail a site in turn, so that a site with many
// does not keep the others' waiting.
func (m *Mail) sendDue(ctx, sending context.Context, under *sync.WaitGroup, free chan struct{}) {
	for more := true; more && ctx.Err() == nil; {
		more = false
		for _, path := range m.toLookAt() {
			select {
			case <-free:
			case <-ctx.Done():
				return
			}
			claimed, err := m.claim(ctx, path)
			if err != nil {
				m.failed(ctx, fmt.Errorf("site %q: %w", path, err))
			}
			if claimed == nil {
				free <- struct{}{}
				continue
			}
			more = true
			under.Go(func() {
				defer func() { free <- struct{}{} }()
				m.send(sending, path, claimed)
			})
		}
	}
}

// toLookAt are the sites whose time has come.
func (m *Mail) toLookAt() (paths []string) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for path, at := range m.next {
		if !at.After(now) {
			paths = append(paths, path)
		}
	}
	return paths
}

// claim takes the mail of the site that has been due the longest, and gives up
// those whose time is over. It notes when to look at the site again.
func (m *Mail) claim(ctx context.Context, path string) (*store.OutboxMail, error) {
	now := m.now().UTC()
	var w store.Waiting
	err := m.Store.View(ctx, path, func(tx store.Tx) (err error) {
		w, err = store.DueMails(tx, now, parallel, true)
		return err
	})
	if err == nil && len(w.Due) == 0 {
		m.noted(path, now, w)
		return nil, nil
	}
	var claimed *store.OutboxMail
	for _, id := range w.Due {
		if claimed != nil || err != nil {
			break
		}
		claimed, err = m.claimOne(ctx, path, id, now)
	}
	if err != nil || claimed == nil {
		m.mu.Lock()
		m.next[path] = now.Add(tickTime)
		m.mu.Unlock()
	}
	return claimed, err
}

func (m *Mail) noted(path string, now time.Time, w store.Waiting) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[path] = seen{w.Count, w.Oldest}
	next := now.Add(lookEvery)
	if !w.Next.IsZero() && w.Next.Before(next) {
		next = w.Next
	}
	if m.hot[path].After(now) {
		next = now
	} else {
		delete(m.hot, path)
	}
	m.next[path] = next
}

func (m *Mail) claimOne(ctx context.Context, path, id string, now time.Time) (claimed *store.OutboxMail, err error) {
	var outcome, name string
	err = m.Store.Update(ctx, path, func(tx store.Tx) error {
		outcome = ""
		rec, err := store.ClaimMail(tx, id, newLease(), now, now.Add(leaseTime))
		claimed = rec
		if err != nil || rec == nil || now.Before(rec.GiveUp) {
			return err
		}
		claimed, name = nil, rec.Name
		if outcome = Failed; rec.GiveUp.Before(rec.Created.Add(keepTrying)) {
			outcome = Expired
		}
		return m.giveUp(ctx, tx, rec, outcome)
	})
	if err != nil {
		return nil, fmt.Errorf("claim a mail: %w", err)
	}
	if outcome != "" {
		m.observe(name, outcome)
		m.Log.Warn().Str("mail", id).Str("name", name).Msg("a mail was dropped: its time was over before it could be sent")
	}
	return claimed, nil
}

// giveUp removes a mail and says why in the audit log.
func (m *Mail) giveUp(ctx context.Context, tx store.Tx, rec *store.OutboxMail, outcome string) error {
	reason := outcome
	if rec.Fault != "" {
		reason += ": " + rec.Fault
	}
	to := ""
	if b, err := m.open(tx.Site(), rec); err == nil {
		to = b.To
	}
	if err := store.Outbox.Delete(tx, rec.ID); err != nil {
		return err
	}
	return m.recordFailure(ctx, tx, rec, to, reason)
}

func (m *Mail) open(path string, rec *store.OutboxMail) (b body, err error) {
	plain, err := m.Sealer.Open(path, store.Outbox.Kind, rec.ID, rec.Body)
	if err != nil {
		return b, err
	}
	return b, json.Unmarshal(plain, &b)
}

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
	l, err := m.letter(s, rec.ID, rec.Created, b)
	if err != nil {
		return &brokenError{"the mail cannot be put into words"}
	}
	_, err = m.deliver(ctx, l)
	return err
}

// letter puts a mail into words.
func (m *Mail) letter(s *site.Site, id string, at time.Time, b body) (Letter, error) {
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
		Locale: b.Frame.Locale, Host: hostOf(s.Issuer), Date: at,
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

// Waiting is how many mails wait in all sites, and when the oldest was queued, as
// of the last look.
func (m *Mail) Waiting() (count int, oldest time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.seen {
		count += s.count
		if s.count > 0 && (oldest.IsZero() || s.oldest.Before(oldest)) {
			oldest = s.oldest
		}
	}
	return count, oldest
}
