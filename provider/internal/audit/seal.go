package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	sealEvery = 300 * time.Millisecond
	sealAll   = 10 * time.Second // also sites for which this process recorded nothing
	settled   = 5 * time.Second  // after its last Record a site is looked at so long
	pageSize  = 200              // records a commit
)

// Run seals, counts and makes checkpoints until ctx ends, and then once more.
// What fails is tried again.
func (l *Log) Run(ctx context.Context) error {
	tick := time.NewTicker(sealEvery)
	defer tick.Stop()
	var everything time.Time
	for {
		now := l.Now()
		due := now.Sub(everything) >= sealAll || now.Before(everything)
		if due {
			everything = now
		}
		l.tell(ctx, l.step(ctx, due, false))
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			err := l.step(last, true, true)
			l.tell(last, err)
			return err
		case <-tick.C:
		}
	}
}

func (l *Log) tell(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil && l.Failed != nil {
		l.Failed(err)
	}
}

// step does what is due now.
func (l *Log) step(ctx context.Context, everything, last bool) error {
	failed := []error{l.flush(ctx, last)}
	paths, err := l.due(ctx, everything)
	failed = append(failed, err)
	for _, path := range paths {
		failed = append(failed, l.Seal(ctx, path), l.checkpoint(ctx, path, last))
	}
	return errors.Join(failed...)
}

// due lists the sites to look at.
func (l *Log) due(ctx context.Context, everything bool) ([]string, error) {
	var paths []string
	if everything {
		sites, err := l.Sites.All(ctx)
		if err != nil {
			return nil, err
		}
		paths = append(paths, store.House)
		for _, s := range sites {
			paths = append(paths, s.Path)
		}
		return paths, nil
	}
	now := l.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for path, at := range l.dirty {
		paths = append(paths, path)
		if now.Sub(at) > settled {
			delete(l.dirty, path)
		}
	}
	return paths, nil
}

// Seal moves the site's unsealed records into the chain. A record that commits
// late is found by a later call, whatever its id: what is in the unsealed table
// is not in the chain, and nothing else decides.
func (l *Log) Seal(ctx context.Context, path string) error {
	for {
		p, err := l.unsealed(ctx, path)
		if err == nil && len(p.records) > 0 {
			err = l.sealPage(ctx, path, p)
		}
		if err != nil {
			return fmt.Errorf("seal the audit log of %q: %w", path, err)
		}
		if len(p.records) < pageSize {
			return nil
		}
	}
}

// page is some unsealed records and the head of the chain at the same moment.
type page struct {
	head    store.AuditHead
	records []store.UnsealedAudit
}

// unsealed reads a page in a View: a scan in the sealing transaction would conflict
// with everybody who records.
func (l *Log) unsealed(ctx context.Context, path string) (p page, err error) {
	err = l.Store.View(ctx, path, func(tx store.Tx) (err error) {
		p.records = p.records[:0]
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			if err != nil {
				return err
			}
			if p.records = append(p.records, rec); len(p.records) == pageSize {
				break
			}
		}
		if len(p.records) > 0 {
			p.head, err = loadHead(tx)
		}
		return err
	})
	return p, err
}

// sealPage appends the page to the chain, in the order of its ids. The head is all
// that its transaction reads: only sealing removes unsealed records, and always
// moves the head, so while that stands the page is still true.
func (l *Log) sealPage(ctx context.Context, path string, p page) error {
	key, err := l.Keys.Secret(ctx, path, keys.SecretAudit)
	if err != nil {
		return err
	}
	if p.head.Sequence > 0 && !hmac.Equal(p.head.Stamp, headStamp(key, &p.head)) {
		return fmt.Errorf("the head of the chain is not ours: %w", store.ErrDamaged)
	}
	return l.Store.Update(ctx, path, func(tx store.Tx) error {
		head, err := loadHead(tx)
		if err != nil {
			return err
		}
		if head.Sequence != p.head.Sequence || !bytes.Equal(head.Stamp, p.head.Stamp) { // another node was quicker
			return nil
		}
		for i := range p.records {
			if err := extend(tx, key, &head, &p.records[i]); err != nil {
				return err
			}
			if err := store.UnsealedAudits.Delete(tx, p.records[i].ID); err != nil {
				return err
			}
		}
		head.Stamp = headStamp(key, &head)
		return store.AuditHeads.Put(tx, &head)
	})
}

func loadHead(tx store.Tx) (store.AuditHead, error) {
	head, err := store.AuditHeads.Get(tx, store.AuditHeadKey)
	if errors.Is(err, store.ErrNotFound) {
		return store.AuditHead{}, nil
	}
	return head, err
}

// extend puts one record at the end of the chain.
func extend(tx store.Tx, key []byte, head *store.AuditHead, rec *store.UnsealedAudit) error {
	e := store.AuditEntry{
		Sequence: head.Sequence + 1, ID: rec.ID, Body: rec.Body,
		Forged: !hmac.Equal(rec.MAC, recordMAC(key, rec.ID, rec.Body)),
	}
	e.Link = link(tx.Site(), head.Link, &e)
	e.Stamp = stamp(key, e.Sequence, e.Link)
	if err := store.AuditEntries.Put(tx, &e); err != nil {
		return err
	}
	if len(rec.Personal) > 0 {
		if err := store.AuditPersonals.Put(tx, &store.AuditPersonal{Sequence: e.Sequence, Values: rec.Personal}); err != nil {
			return err
		}
	}
	head.Sequence, head.Link = e.Sequence, e.Link
	return nil
}

// link is SHA-256 over the format, the link before (for the first entry the
// site's path), and everything that the entry says.
func link(path string, before []byte, e *store.AuditEntry) []byte {
	h := sha256.New()
	h.Write([]byte("chatelaine audit chain 1\x00"))
	if len(before) == 0 {
		sum := sha256.Sum256([]byte(path))
		before = sum[:]
	}
	h.Write(before)
	var b [10]byte
	binary.BigEndian.PutUint64(b[:], e.Sequence)
	if e.Forged {
		b[8] = 1
	}
	b[9] = byte(len(e.ID))
	h.Write(b[:])
	h.Write([]byte(e.ID))
	h.Write(e.Body)
	return h.Sum(nil)
}

// stamp says that we made the link.
func stamp(key []byte, sequence uint64, link []byte) []byte {
	return mac(key, "entry\x00", number(sequence), string(link))
}

// headStamp says that the chain ended here.
func headStamp(key []byte, h *store.AuditHead) []byte {
	return mac(key, "head\x00", number(h.Sequence), string(h.Link), number(h.Removed), string(h.LinkAfter))
}

func erasedStamp(key []byte, sequence uint64, field string) []byte {
	return mac(key, "erased\x00", number(sequence), field)
}

func number(n uint64) string { return string(binary.BigEndian.AppendUint64(nil, n)) }

// Erase removes personal values of an entry for good: all of them, or those
// fields. The chain stays whole. The caller records who asked for it.
func (l *Log) Erase(tx store.Tx, sequence uint64, fields ...string) error {
	key, err := l.Keys.SecretIn(tx, keys.SecretAudit)
	if err != nil {
		return err
	}
	row, err := store.AuditPersonals.Get(tx, store.AuditKey(sequence))
	if err != nil {
		return fmt.Errorf("erase from the audit log: %w", err)
	}
	for i, v := range row.Values {
		if len(fields) == 0 || slices.Contains(fields, v.Field) {
			row.Values[i] = store.PersonalValue{Field: v.Field, Erased: erasedStamp(key, sequence, v.Field)}
		}
	}
	return store.AuditPersonals.Put(tx, &row)
}
