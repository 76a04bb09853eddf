// Package bolt is the embedded engine: one file, durable before it answers.
//
// It is the only importer of bbolt.
package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/chatelaine-id/chatelaine/store"
)

// Options says how to open a store.
type Options struct {
	Path string
	Now  func() time.Time
}

// Store is the engine.
type Store struct {
	db  *bolt.DB
	now func() time.Time
}

// Open opens the file, making it if it is not there.
func Open(o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	db, err := bolt.Open(o.Path, 0o600, &bolt.Options{Timeout: time.Second, FreelistType: bolt.FreelistMapType})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", o.Path, err)
	}
	return &Store{db: db, now: o.Now}, nil
}

// Close closes the file.
func (s *Store) Close() error { return s.db.Close() }

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, site string, fn func(store.Tx) error) error {
	return s.db.View(func(b *bolt.Tx) error { return fn(&tx{b, site, s.now()}) })
}

// Update runs fn and commits.
func (s *Store) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	return s.db.Update(func(b *bolt.Tx) error { return fn(&tx{b, site, s.now()}) })
}

type tx struct {
	b    *bolt.Tx
	site string
	now  time.Time
}

func (t *tx) Site() string { return t.site }

func (t *tx) name(kind store.Kind) []byte { return []byte(t.site + "\x00" + string(kind)) }

func (t *tx) decode(v []byte) ([]byte, time.Time, bool) {
	e := int64(binary.BigEndian.Uint64(v))
	var at time.Time
	if e != 0 {
		at = time.UnixMilli(e)
		if !at.After(t.now) {
			return nil, at, false
		}
	}
	return v[8:], at, true
}

func (t *tx) Get(kind store.Kind, key []byte) ([]byte, error) {
	b := t.b.Bucket(t.name(kind))
	if b == nil {
		return nil, store.ErrNotFound
	}
	v := b.Get(key)
	if v == nil {
		return nil, store.ErrNotFound
	}
	p, _, ok := t.decode(v)
	if !ok {
		return nil, store.ErrNotFound
	}
	return p, nil
}

func (t *tx) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	b, err := t.b.CreateBucketIfNotExists(t.name(kind))
	if err != nil {
		return err
	}
	var e int64
	if !expires.IsZero() {
		e = expires.UnixMilli()
	}
	return b.Put(key, append(binary.BigEndian.AppendUint64(nil, uint64(e)), value...))
}

func (t *tx) Delete(kind store.Kind, key []byte) error {
	if b := t.b.Bucket(t.name(kind)); b != nil {
		return b.Delete(key)
	}
	return nil
}

func (t *tx) Scan(kind store.Kind, from, to []byte) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		b := t.b.Bucket(t.name(kind))
		if b == nil {
			return
		}
		c := b.Cursor()
		for k, v := c.Seek(from); k != nil && (len(to) == 0 || bytes.Compare(k, to) < 0); k, v = c.Next() {
			if p, at, ok := t.decode(v); ok && !yield(store.Item{Key: k, Value: p, Expires: at}, nil) {
				return
			}
		}
	}
}

var _ = errors.New
