package mail

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

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
	count := m.toCount(path, now)
	var w store.Waiting
	err := m.Store.View(ctx, path, func(tx store.Tx) (err error) {
		w, err = store.DueMails(tx, now, parallel, count)
		return err
	})
	if err == nil && count {
		m.counted(path, seen{now, w.Count, w.Oldest})
	}
	if err == nil && len(w.Due) == 0 {
		m.noted(path, now, w.Next)
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

// toCount reports whether it is time to count all that wait: that reads them all.
func (m *Mail) toCount(path string, now time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return now.Sub(m.seen[path].at) >= lookEvery
}

func (m *Mail) counted(path string, s seen) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen[path] = s
}

// noted notes when to look again, where nothing is due.
func (m *Mail) noted(path string, now, due time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := now.Add(lookEvery)
	if !due.IsZero() && due.Before(next) {
		next = due
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

// Waiting is how many mails wait in all sites, and when the oldest was queued, as
// of the last count.
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
