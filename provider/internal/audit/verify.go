package audit

import (
	"bytes"
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
)

// verifyPage is how many entries one read transaction covers.
const verifyPage = 500

// Report is what Verify found.
type Report struct {
	Site           string    `json:"site"`
	Entries        uint64    `json:"entries"` // the chain's length
	Erased         int       `json:"erased"`  // personal values that have been erased
	Unsealed       int       `json:"unsealed"`
	FirstUnsealed  string    `json:"first_unsealed,omitempty"` // id; the tail that no chain proves yet
	Checkpoints    int       `json:"checkpoints"`
	LastCheckpoint uint64    `json:"last_checkpoint"` // up to here a cut would show from outside
	CheckpointTime time.Time `json:"checkpoint_time,omitzero"`
	Problem        *Problem  `json:"problem,omitempty"` // the first one; nil: all is whole
}

// Problem is the first bad position. Sequence is an entry's; 0 if Where says it.
type Problem struct {
	Sequence uint64 `json:"seq,omitempty"`
	Where    string `json:"where"`
	What     string `json:"what"`
}

func (p *Problem) String() string { return p.Where + ": " + p.What }

// Whole reports whether nothing bad was found.
func (r Report) Whole() bool { return r.Problem == nil }

// String is the report in a sentence or two.
func (r Report) String() string {
	var b strings.Builder
	if r.Whole() {
		fmt.Fprintf(&b, "%d entries are whole", r.Entries)
	} else {
		fmt.Fprintf(&b, "BAD: %s", r.Problem)
	}
	if r.Checkpoints > 0 {
		fmt.Fprintf(&b, "; the last of %d checkpoints is at entry %d, %s", r.Checkpoints, r.LastCheckpoint, r.CheckpointTime.Format(time.RFC3339))
	} else {
		b.WriteString("; no checkpoint outside the store")
	}
	if r.Unsealed > 0 {
		fmt.Fprintf(&b, "; %d records from %s on are not sealed yet", r.Unsealed, r.FirstUnsealed)
	}
	if r.Erased > 0 {
		fmt.Fprintf(&b, "; %d personal values have been erased", r.Erased)
	}
	return b.String()
}

// verifier goes along a site's chain.
type verifier struct {
	path   string
	key    []byte
	report Report
	last   uint64
	link   []byte
	at     map[uint64][]byte // the links at the checkpoints' places
}

// Verify recomputes the site's whole chain, compares it with the checkpoints
// outside, and names the first bad position and the unsealed tail. An error says
// that it could not be done, not that something is wrong. progress, which may be
// nil, is told how many entries have been seen.
func (l *Log) Verify(ctx context.Context, path string, progress func(done uint64)) (Report, error) {
	points, problem, err := l.checkpoints(ctx, path)
	if err != nil {
		return Report{}, err
	}
	return l.verify(ctx, path, points, problem, progress)
}

// MaxCheckpoints is the most that VerifyAgainst reads, in bytes.
const MaxCheckpoints = 256 << 20

// VerifyAgainst is Verify with a checkpoint file that was kept elsewhere in place
// of our own. One without a checkpoint of the site proves nothing and is
// ErrNoCheckpoint.
func (l *Log) VerifyAgainst(ctx context.Context, path string, kept io.Reader, progress func(done uint64)) (Report, error) {
	limited := &io.LimitedReader{R: kept, N: MaxCheckpoints + 1}
	points, problem, err := l.readCheckpoints(ctx, path, limited)
	switch {
	case err != nil:
		return Report{}, err
	case limited.N <= 0:
		return Report{}, fmt.Errorf("%w: it has more than %d MiB", ErrNoCheckpoint, MaxCheckpoints>>20)
	case len(points) == 0 && problem == nil:
		return Report{}, fmt.Errorf("%w of the site /%s", ErrNoCheckpoint, path)
	}
	return l.verify(ctx, path, points, problem, progress)
}

func (l *Log) verify(ctx context.Context, path string, points []checkpoint, problem *Problem, progress func(uint64)) (Report, error) {
	key, err := l.Keys.Secret(ctx, path, keys.SecretAudit)
	if err != nil {
		return Report{}, err
	}
	v := &verifier{path: path, key: key, report: Report{Site: path, Checkpoints: len(points)}, at: map[uint64][]byte{}}
	for _, c := range points {
		v.at[c.Sequence] = nil
		v.report.LastCheckpoint, v.report.CheckpointTime = c.Sequence, c.Time
	}
	if err := v.chain(ctx, l.Store, progress); err != nil {
		return Report{}, err
	}
	if v.report.Problem == nil {
		v.report.Problem = problem
	}
	v.compare(points)
	if err := v.tail(ctx, l.Store); err != nil {
		return Report{}, err
	}
	v.report.Entries = v.last
	return v.report, nil
}

// bad notes the first problem.
func (v *verifier) bad(sequence uint64, where, format string, args ...any) {
	if v.report.Problem == nil {
		v.report.Problem = &Problem{sequence, where, fmt.Sprintf(format, args...)}
	}
}

func (v *verifier) badEntry(sequence uint64, format string, args ...any) {
	v.bad(sequence, fmt.Sprintf("entry %d", sequence), format, args...)
}

// chain walks entries page by page, so that no read transaction is long.
func (v *verifier) chain(ctx context.Context, s store.Store, progress func(uint64)) error {
	for first := true; ; first = false {
		more, err := v.page(ctx, s, first)
		if errors.Is(err, store.ErrDamaged) {
			err = v.damaged(ctx, s)
		}
		if err != nil {
			return fmt.Errorf("verify the audit log: %w", err)
		}
		if progress != nil {
			progress(v.last)
		}
		if !more || v.report.Problem != nil {
			return nil
		}
	}
}

func (v *verifier) page(ctx context.Context, s store.Store, first bool) (more bool, err error) {
	start, link := v.last, v.link
	err = s.View(ctx, v.path, func(tx store.Tx) error {
		v.last, v.link, more = start, link, false
		head, ok := v.head(tx)
		if !ok {
			return nil
		}
		if first {
			v.last, v.link = head.Removed, head.LinkAfter
		}
		until := v.last + verifyPage
		rows, err := besides(tx, v.last, store.AuditKey(until)+"\x00")
		if err != nil {
			return err
		}
		for item, err := range tx.Scan(store.AuditEntries.Kind, []byte(store.AuditKey(v.last)+"\x00"), nil) {
			if err != nil {
				v.badEntry(v.last+1, "%v", err)
				return nil
			}
			if more = v.last == until; more {
				break
			}
			if !v.entry(item, rows) {
				return nil
			}
		}
		if !more {
			v.end(tx, &head)
		}
		v.orphans(rows)
		return nil
	})
	return more, err
}

// damaged names the page's damaged record, if the page has not: one of the
// personal values, which are read together.
func (v *verifier) damaged(ctx context.Context, s store.Store) error {
	for n := v.last + 1; n <= v.last+verifyPage && v.report.Problem == nil; n++ {
		err := s.View(ctx, v.path, func(tx store.Tx) error {
			_, err := tx.Get(store.AuditPersonals.Kind, []byte(store.AuditKey(n)))
			return err
		})
		if errors.Is(err, store.ErrDamaged) {
			v.badEntry(n, "personal values: %v", err)
		} else if err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
	}
	v.bad(0, fmt.Sprintf("after entry %d", v.last), "%v", store.ErrDamaged)
	return nil
}

// head reads the chain's head; a missing one belongs to an empty chain.
func (v *verifier) head(tx store.Tx) (head store.AuditHead, ok bool) {
	raw, err := tx.Get(store.AuditHeads.Kind, []byte(store.AuditHeadKey))
	if errors.Is(err, store.ErrNotFound) {
		return head, true
	}
	if err == nil {
		head, err = store.Canonical(&store.AuditHeads, raw)
	}
	if err != nil {
		v.bad(0, "head", "%v", err)
		return head, false
	}
	if !hmac.Equal(head.Stamp, headStamp(v.key, &head)) {
		v.bad(0, "head", "it is not the one that we wrote")
		return head, false
	}
	return head, true
}

// end compares the end of the chain with its head.
func (v *verifier) end(tx store.Tx, head *store.AuditHead) {
	switch {
	case head.Sequence > v.last:
		v.badEntry(v.last+1, "missing: the chain goes on to entry %d", head.Sequence)
	case head.Sequence < v.last:
		v.badEntry(head.Sequence+1, "it is after the end of the chain")
	case !bytes.Equal(head.Link, v.link):
		v.bad(0, "head", "it does not belong to entry %d", v.last)
	}
	rows, err := besides(tx, v.last, "")
	if err != nil {
		v.badEntry(v.last+1, "personal values: %v", err)
	}
	v.orphans(rows)
}

// orphans names the first row of personal values that no entry commits to.
func (v *verifier) orphans(rows beside) {
	for _, key := range slices.Sorted(maps.Keys(rows)) {
		sequence, err := strconv.ParseUint(key, 16, 64)
		if err != nil || store.AuditKey(sequence) != key {
			v.bad(0, fmt.Sprintf("personal values under the key %q", key), "no entry can have them")
			return
		}
		v.badEntry(sequence, "there are personal values, and no entry that commits to them")
	}
}

// entry checks one entry: that it is whole, in its place, linked and stamped.
func (v *verifier) entry(item store.Item, rows beside) bool {
	n := v.last + 1
	if want := store.AuditKey(n); string(item.Key) > want {
		v.badEntry(n, "missing")
		return false
	} else if string(item.Key) != want {
		v.badEntry(n, "something else stands before it, under the key %q", item.Key)
		return false
	}
	e, err := store.Canonical(&store.AuditEntries, item.Value)
	if err != nil {
		v.badEntry(n, "%v", err)
		return false
	}
	switch next := link(v.path, v.link, &e); {
	case e.Sequence != n:
		v.badEntry(n, "it says that it is entry %d", e.Sequence)
	case !bytes.Equal(e.Link, next):
		v.badEntry(n, "its hash is wrong: it or its place was changed")
	case !hmac.Equal(e.Stamp, stamp(v.key, n, next)):
		v.badEntry(n, "its stamp is not ours")
	case e.Forged:
		v.badEntry(n, "its MAC was wrong when it was sealed")
	default:
		v.last, v.link = n, next
		if _, wanted := v.at[n]; wanted {
			v.at[n] = next
		}
		v.commitments(&e, rows)
	}
	return v.report.Problem == nil
}

// commitments checks what stands beside the entry against what it commits to.
func (v *verifier) commitments(e *store.AuditEntry, rows beside) {
	var b body
	if err := json.Unmarshal(e.Body, &b); err != nil {
		v.badEntry(e.Sequence, "%v", err)
		return
	}
	row, err := rows.take(e.Sequence)
	if err != nil {
		v.badEntry(e.Sequence, "personal values: %v", err)
		return
	}
	if row.Sequence == 0 && len(b.Personal) == 0 {
		return
	}
	if row.Sequence != e.Sequence || len(row.Values) != len(b.Personal) {
		v.badEntry(e.Sequence, "personal values: %d, and the entry commits to %d", len(row.Values), len(b.Personal))
		return
	}
	for i, value := range row.Values {
		field, sum := splitCommitment(b.Personal[i])
		switch {
		case value.Field != field:
			v.badEntry(e.Sequence, "personal values: %q in place of %q", value.Field, field)
		case value.Erased == nil && commitmentSum(value.Salt, value.Field, value.Value) != sum:
			v.badEntry(e.Sequence, "personal values: %q is not what the entry commits to", field)
		case value.Erased != nil && (value.Value != "" || value.Salt != nil || !hmac.Equal(value.Erased, erasedStamp(v.key, e.Sequence, value.Field))):
			v.badEntry(e.Sequence, "personal values: %q was not erased by us", field)
		case value.Erased != nil:
			v.report.Erased++
		}
	}
}
