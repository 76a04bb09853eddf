package bolt

import (
	"bytes"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// recordsBucket holds every record of every site. A record's key there is the
// length and name of its site, the length and name of its kind, and its own
// key, so that a kind's records stand together and in order. The bucket's
// sequence is the sum of all its frames' checksums: a record that got lost or
// came back shows in it.
var recordsBucket = []byte("records")

// tx is one transaction: a snapshot and, in an Update, what was read from it
// and what is to be written over it.
type tx struct {
	s       *Store
	b       *bolt.Tx
	records *bolt.Bucket
	site    string
	now     time.Time
	prefix  []byte // the site's part of every key; buf's beginning
	buf     [64]byte
	reads   readSet
	writes  *overlay.Overlay // nil in a View
	err     error            // the first engine error
}

func (t *tx) end() {
	if t.b != nil {
		if !t.s.broken.Load() {
			_ = t.b.Rollback()
		}
		t.b, t.records = nil, nil
	}
}

// fail remembers the first engine error.
func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// guard turns a panic of the library into ErrDamaged.
func (t *tx) guard(err *error) {
	if r := recover(); r != nil {
		*err = t.fail(t.s.panicked(r))
	}
}

func (t *tx) Site() string { return t.site }

// place returns the record's key in the bucket and the length of what stands
// before its own key. The slice is valid until the next call.
func (t *tx) place(kind store.Kind, key []byte) (full []byte, head int) {
	full = append(append(t.prefix, byte(len(kind))), kind...)
	return append(full, key...), len(full)
}

func (t *tx) usable() error {
	if t.b == nil {
		return store.ErrFinished
	}
	return t.err
}

func (t *tx) Get(kind store.Kind, key []byte) ([]byte, error) {
	value, expires, err := t.get(kind, key)
	if err == nil && t.expired(expires) {
		return nil, store.ErrNotFound
	}
	return value, err
}

// GetExpired is Get that sees expired records too, for the sweep.
func (t *tx) GetExpired(kind store.Kind, key []byte) ([]byte, error) {
	value, _, err := t.get(kind, key)
	return value, err
}

func (t *tx) expired(at time.Time) bool { return !at.IsZero() && !at.After(t.now) }

func (t *tx) get(kind store.Kind, key []byte) (value []byte, expires time.Time, err error) {
	if err := t.usable(); err != nil {
		return nil, expires, err
	}
	if store.CheckPlace(t.site, kind, key) != nil {
		return nil, expires, store.ErrNotFound
	}
	defer t.guard(&err)
	full, _ := t.place(kind, key)
	if t.writes != nil {
		if w, ok := t.writes.Get(full); ok {
			if w.Frame == nil {
				return nil, expires, store.ErrNotFound
			}
			return w.Value, w.Expires, nil
		}
		t.reads.key(full)
	}
	frame := t.records.Get(full)
	if frame == nil {
		return nil, expires, store.ErrNotFound
	}
	value, expires, err = store.OpenFrame(t.site, kind, key, frame)
	if err != nil {
		return nil, expires, t.fail(err)
	}
	return value, expires, nil
}

func (t *tx) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	if err := t.writable(kind, key); err != nil {
		return err
	}
	if len(value) > store.MaxValue {
		return fmt.Errorf("%s: a value of %d bytes: %w", kind, len(value), store.ErrTooLarge)
	}
	frame := store.AppendFrame(make([]byte, 0, len(value)+17), t.site, kind, key, value, expires)
	full, _ := t.place(kind, key)
	t.writes.Put(full, overlay.Write{Frame: frame, Value: frame[len(frame)-len(value):], Expires: expires})
	return nil
}

func (t *tx) Delete(kind store.Kind, key []byte) error {
	if err := t.writable(kind, key); err != nil {
		return err
	}
	full, _ := t.place(kind, key)
	t.writes.Put(full, overlay.Write{})
	return nil
}

func (t *tx) writable(kind store.Kind, key []byte) error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.writes == nil {
		return store.ErrReadOnly
	}
	return store.CheckPlace(t.site, kind, key)
}

func (t *tx) Scan(kind store.Kind, from, to []byte) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := t.usable(); err != nil {
			yield(store.Item{}, err)
			return
		}
		if len(kind) == 0 || len(kind) > store.MaxName {
			return
		}
		if err := t.scan(kind, from, to, yield); err != nil {
			yield(store.Item{}, err)
		}
	}
}

// scan walks the snapshot and the overlay side by side. fn may write while it
// is called, so the overlay's next key is looked up anew each time.
func (t *tx) scan(kind store.Kind, from, to []byte, yield func(store.Item, error) bool) error {
	full, head := t.place(kind, from)
	lo := bytes.Clone(full)
	hi := append(bytes.Clone(lo[:head]), to...)
	if len(to) == 0 {
		hi = successor(lo[:head])
	}
	last := lo // how far the range has been read
	if t.writes != nil {
		defer func() { t.reads.span(lo, last) }()
	}
	cursor := t.records.Cursor()
	at, err := t.step(kind, head, hi, lo, func() ([]byte, []byte) { return cursor.Seek(lo) })
	for next := lo; err == nil; {
		own, w, found := t.writes.Next(next, hi)
		if at.full == nil && !found {
			last = hi
			return nil
		}
		item, live := at.item, true
		var same bool // the snapshot's record is the one dealt with, or replaced
		if found && (at.full == nil || own <= string(at.full)) {
			same = own == string(at.full)
			next = append([]byte(own), 0)
			item, live = store.Item{Key: next[head : len(next)-1], Value: w.Value, Expires: w.Expires}, w.Frame != nil
		} else {
			same = true
			next = append(bytes.Clone(at.full), 0)
		}
		last = next
		if live && !t.expired(item.Expires) && !yield(item, nil) {
			return nil
		}
		if err := t.usable(); err != nil {
			return err
		}
		if same {
			at, err = t.step(kind, head, hi, next, cursor.Next)
		}
	}
	return err
}

// position is a cursor's; at the end it has no key.
type position struct {
	full []byte
	item store.Item
}

// step moves a cursor and verifies what it finds, which is not below least.
func (t *tx) step(kind store.Kind, head int, hi, least []byte, move func() (k, v []byte)) (at position, err error) {
	defer t.guard(&err)
	k, v := move()
	if k == nil || bytes.Compare(k, hi) >= 0 {
		return position{}, nil
	}
	if bytes.Compare(k, least) < 0 {
		return position{}, t.fail(fmt.Errorf("%s: out of order: %w", kind, store.ErrDamaged))
	}
	at = position{full: k, item: store.Item{Key: k[head:]}}
	at.item.Value, at.item.Expires, err = store.OpenFrame(t.site, kind, at.item.Key, v)
	if err != nil {
		return position{}, t.fail(err)
	}
	return at, nil
}

// successor is the least key that is greater than every key with the prefix.
// A prefix begins with a length below 255, so there is one.
func successor(prefix []byte) []byte {
	s := bytes.Clone(prefix)
	for i := len(s) - 1; ; i-- {
		if s[i]++; s[i] != 0 {
			return s[:i+1]
		}
	}
}
