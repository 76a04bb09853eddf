package store

import (
	"iter"
	"time"
)

// Table is one kind of record: how it is keyed, found and encoded. Tables are
// declared once, beside their record, and hold no state.
type Table[T any] struct {
	Kind Kind
	// Key returns the record's primary key, unique in its site.
	Key func(*T) string
	// Expires returns when the record is gone; nil or a zero time: never.
	Expires func(*T) time.Time
	// Lookups are further ways to find records, kept true by Put and Delete.
	Lookups []Lookup[T]
	// Version is written before each value; Upgrade reads older ones.
	Version byte
	Upgrade func(version byte, payload []byte) (T, error)
	// Sealed returns the fields that a Sealer sealed for the record's row
	// (site path, Kind, Key), so that a new master key can take them over.
	Sealed func(*T) []*[]byte
}

// Lookup finds records by something other than their key.
type Lookup[T any] struct {
	Name   string
	Values func(*T) []string // empty strings are left out
	Unique bool              // at most one record per value
}

// Get returns the record with that key, or ErrNotFound.
func (t *Table[T]) Get(tx Tx, key string) (T, error) {
	var rec T
	return whole(&rec, get(tx, t, key, &rec))
}

// whole is the record, unless it could not be read.
func whole[T any](rec *T, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, err
	}
	return *rec, nil
}

// Has reports whether a record with that key lives.
func (t *Table[T]) Has(tx Tx, key string) (bool, error) { return lives(tx, t, key) }

// Create writes a record that must not exist yet; ErrExists if it does.
func (t *Table[T]) Create(tx Tx, rec *T) error { return create(tx, t, rec) }

// Put writes a record, new or changed, and keeps its lookups true.
func (t *Table[T]) Put(tx Tx, rec *T) error { return put(tx, t, rec) }

// Delete removes the record and its lookups; a missing one is no error.
func (t *Table[T]) Delete(tx Tx, key string) error { return remove(tx, t, key) }

// Keys yields the primary keys of the live records that have this lookup value.
func (t *Table[T]) Keys(tx Tx, lookup, value string) iter.Seq2[string, error] {
	return liveKeys(tx, t, lookup, value)
}

// Find returns the first record with this lookup value, or ErrNotFound.
func (t *Table[T]) Find(tx Tx, lookup, value string) (T, error) {
	var rec T
	return whole(&rec, find(tx, t, lookup, value, &rec))
}

// List yields the records with this lookup value, in key order.
func (t *Table[T]) List(tx Tx, lookup, value string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		walkLookup(tx, t, lookup, value, func(rec any, err error) bool { return yield(wholeOf[T](rec, err)) })
	}
}

// All yields the records whose key is greater than after, in key order.
func (t *Table[T]) All(tx Tx, after string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		walk(tx, t, after, func(rec any, err error) bool { return yield(wholeOf[T](rec, err)) })
	}
}

// wholeOf is the record that a walk came by.
func wholeOf[T any](rec any, err error) (T, error) { return whole(rec.(*T), err) }

func (t *Table[T]) decode(raw []byte) (T, error) {
	var rec T
	return whole(&rec, decode(t, raw, &rec))
}
