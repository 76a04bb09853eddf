// Package store keeps what the house must remember: typed tables with declared
// lookups over two small verbs-only engines (bolt and postgres, in folders of
// their own).
//
// It owns the shape of every record, the frame that each stored value carries
// (version, checksum bound to its place) and the sealing of secrets. It must
// not know HTTP, OAuth or any rule; who opens a transaction is the caller's
// business, and only handlers do.
package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// House is the reserved name under which house-wide records live: the list of
// sites, the schema and the check of the master key. No site path can be it.
const House = "\x00house"

// Limits on what one record may be.
const (
	MaxName  = 200     // bytes of a site's path and of a kind's name
	MaxKey   = 1 << 10 // bytes of a record's key
	MaxValue = 4 << 20 // bytes of a record's value, before the frame
)

var (
	// ErrNotFound says that no such record lives (an expired one does not).
	ErrNotFound = errors.New("store: not found")
	// ErrExists says that a record with this key, or another with this unique
	// lookup value, is there already.
	ErrExists = errors.New("store: already exists")
	// ErrConflict says that another transaction changed what this one read;
	// Update retries it by itself, so callers see it only when retries ran out.
	ErrConflict = errors.New("store: conflict")
	// ErrUnavailable says that the store cannot be reached or written now.
	ErrUnavailable = errors.New("store: unavailable")
	// ErrDamaged says that stored bytes are not what was written.
	ErrDamaged = errors.New("store: damaged record")
	// ErrTooLarge says that a key or value is over its limit.
	ErrTooLarge = errors.New("store: record too large")
	// ErrNoKey says that a record was to be written without a kind or key.
	ErrNoKey = errors.New("store: a record needs a key")
	// ErrReadOnly says that a View was asked to write.
	ErrReadOnly = errors.New("store: write in a View")
	// ErrFinished says that a Tx was used after its function returned.
	ErrFinished = errors.New("store: transaction is finished")
)

// Kind names a kind of record; it is part of every key.
type Kind string

// Store runs transactions. Update runs fn on the caller's goroutine over a
// snapshot and may run it again after a conflict, so fn has no effect outside
// tx. It returns after the commit is durable. Concurrent Updates share one
// durable commit.
type Store interface {
	View(ctx context.Context, site string, fn func(Tx) error) error
	Update(ctx context.Context, site string, fn func(Tx) error) error
	Close() error
}

// Tx is one transaction of one site; it cannot reach another site's records.
// It remembers its first engine error, so that an Update whose fn swallowed
// one is retried or fails all the same. Slices handed in or out belong to the
// transaction: do not change them, and copy what outlives it.
type Tx interface {
	// Site is the site that this transaction belongs to.
	Site() string
	// Get returns the value, or ErrNotFound.
	Get(kind Kind, key []byte) ([]byte, error)
	// Put writes the value; a zero expires means never.
	Put(kind Kind, key, value []byte, expires time.Time) error
	// Delete removes the record; a missing one is no error.
	Delete(kind Kind, key []byte) error
	// Scan yields the records with from <= key < to in key order; an empty to
	// means to the kind's end. Expired records are left out.
	Scan(kind Kind, from, to []byte) iter.Seq2[Item, error]
}

// Item is one record as Scan yields it.
type Item struct {
	Key, Value []byte
	Expires    time.Time // zero: never
}
