package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
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

func (t Table[T]) lookupKind(name string) Kind { return t.Kind + "/" + Kind(name) }

// lookupKey is value, NUL, primary key; values therefore never hold a NUL.
func lookupKey(value, key string) []byte {
	b := make([]byte, 0, len(value)+1+len(key))
	b = append(b, value...)
	b = append(b, 0)
	return append(b, key...)
}

// Get returns the record with that key, or ErrNotFound.
func (t Table[T]) Get(tx Tx, key string) (T, error) {
	var zero T
	if key == "" {
		return zero, ErrNotFound
	}
	raw, err := tx.Get(t.Kind, []byte(key))
	if err != nil {
		return zero, err
	}
	return t.decode(raw)
}

// Has reports whether a record with that key lives.
func (t Table[T]) Has(tx Tx, key string) (bool, error) {
	_, err := tx.Get(t.Kind, []byte(key))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// Create writes a record that must not exist yet; ErrExists if it does.
func (t Table[T]) Create(tx Tx, rec *T) error {
	key := t.Key(rec)
	if key == "" {
		return fmt.Errorf("%s: %w", t.Kind, ErrNoKey)
	}
	_, err := getExpired(tx, t.Kind, []byte(key))
	if errors.Is(err, ErrNotFound) {
		return t.write(tx, key, rec, nil)
	}
	if err != nil {
		return err
	}
	live, err := t.Has(tx, key)
	if err != nil {
		return err
	}
	if live {
		return fmt.Errorf("%s: %w", t.Kind, ErrExists)
	}
	return t.Put(tx, rec)
}

// Put writes a record, new or changed, and keeps its lookups true.
func (t Table[T]) Put(tx Tx, rec *T) error {
	key := t.Key(rec)
	if key == "" {
		return fmt.Errorf("%s: %w", t.Kind, ErrNoKey)
	}
	old, err := t.old(tx, key)
	if err != nil {
		return err
	}
	return t.write(tx, key, rec, old)
}

// write puts rec where old was, if it was there.
func (t Table[T]) write(tx Tx, key string, rec, old *T) error {
	for _, l := range t.Lookups {
		if err := t.index(tx, l, key, rec, old); err != nil {
			return err
		}
	}
	if err := t.indexExpiry(tx, key, rec, old); err != nil {
		return err
	}
	payload, err := t.encode(rec)
	if err != nil {
		return err
	}
	return tx.Put(t.Kind, []byte(key), payload, t.expiry(rec))
}

func (t Table[T]) expiry(rec *T) (at time.Time) {
	if t.Expires != nil && rec != nil {
		at = t.Expires(rec)
	}
	return at
}

// old returns the record that a Put replaces, if anything depends on it. One
// that has expired and is not swept yet counts: its lookups still stand.
func (t Table[T]) old(tx Tx, key string) (*T, error) {
	if len(t.Lookups) == 0 && t.Expires == nil {
		return nil, nil
	}
	raw, err := getExpired(tx, t.Kind, []byte(key))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rec, err := t.decode(raw)
	return &rec, err
}

// Delete removes the record and its lookups; a missing one is no error.
func (t Table[T]) Delete(tx Tx, key string) error {
	if key == "" {
		return nil
	}
	old, err := t.old(tx, key)
	if err != nil {
		return err
	}
	if old == nil && len(t.Lookups) > 0 {
		return nil
	}
	for _, l := range t.Lookups {
		for _, v := range l.Values(old) {
			if v == "" {
				continue
			}
			if err := tx.Delete(t.lookupKind(l.Name), lookupKey(v, key)); err != nil {
				return err
			}
		}
	}
	return tx.Delete(t.Kind, []byte(key))
}

// Keys yields the primary keys of the live records that have this lookup value.
func (t Table[T]) Keys(tx Tx, lookup, value string) iter.Seq2[string, error] {
	if t.Expires == nil {
		return t.followed(tx, lookup, value)
	}
	return func(yield func(string, error) bool) {
		for key, err := range t.followed(tx, lookup, value) {
			live := false
			if err == nil {
				live, err = t.Has(tx, key)
			}
			if err != nil {
				yield("", err)
				return
			}
			if live && !yield(key, nil) {
				return
			}
		}
	}
}

// followed yields the keys that the lookup names; their records may have expired.
func (t Table[T]) followed(tx Tx, lookup, value string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		from := lookupKey(value, "")
		to := append([]byte(value), 1)
		for item, err := range tx.Scan(t.lookupKind(lookup), from, to) {
			if err != nil {
				yield("", err)
				return
			}
			if !yield(string(item.Key[len(from):]), nil) {
				return
			}
		}
	}
}

// Find returns the first record with this lookup value, or ErrNotFound.
func (t Table[T]) Find(tx Tx, lookup, value string) (T, error) {
	for rec, err := range t.List(tx, lookup, value) {
		return rec, err
	}
	var zero T
	return zero, ErrNotFound
}

// List yields the records with this lookup value, in key order.
func (t Table[T]) List(tx Tx, lookup, value string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for key, err := range t.followed(tx, lookup, value) {
			var rec T
			if err == nil {
				rec, err = t.Get(tx, key)
			}
			if errors.Is(err, ErrNotFound) { // it has expired
				continue
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

// All yields the records whose key is greater than after, in key order.
func (t Table[T]) All(tx Tx, after string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var from []byte
		if after != "" {
			from = append([]byte(after), 0)
		}
		for item, err := range tx.Scan(t.Kind, from, nil) {
			var rec T
			if err == nil {
				rec, err = t.decode(item.Value)
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
	}
}

func (t Table[T]) encode(rec *T) ([]byte, error) {
	if c := codecOf(reflect.TypeFor[T]()); c != nil {
		p := packer{out: append(make([]byte, 0, 512), t.Version)}
		if c.write(&p, reflect.ValueOf(rec).Elem()) {
			return p.out, nil
		}
	}
	payload, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t.Kind, err)
	}
	return append([]byte{t.Version}, pack(payload)...), nil
}

func (t Table[T]) decode(raw []byte) (T, error) {
	var rec T
	if len(raw) == 0 {
		return rec, fmt.Errorf("decode %s: %w", t.Kind, ErrDamaged)
	}
	if len(raw) > 1 && raw[0] == t.Version && raw[1] == tagObject {
		if c := codecOf(reflect.TypeFor[T]()); c != nil {
			u := unpacker{in: raw[1:]}
			if !c.read(&u, reflect.ValueOf(&rec).Elem()) || len(u.in) != 0 {
				return rec, fmt.Errorf("decode %s: %w", t.Kind, ErrDamaged)
			}
			return rec, nil
		}
	}
	return t.decodeJSON(raw)
}

// decodeJSON reads what no codec reads: older versions, and records that were too
// large to pack.
func (t Table[T]) decodeJSON(raw []byte) (T, error) {
	var rec T
	payload, err := unpack(raw[1:])
	if err != nil {
		return rec, fmt.Errorf("decode %s: %w: %w", t.Kind, ErrDamaged, err)
	}
	if raw[0] != t.Version {
		if t.Upgrade == nil || raw[0] > t.Version {
			return rec, fmt.Errorf("decode %s: version %d is not known: %w", t.Kind, raw[0], ErrDamaged)
		}
		return t.Upgrade(raw[0], payload)
	}
	if err := json.Unmarshal(payload, &rec); err != nil {
		return rec, fmt.Errorf("decode %s: %w: %w", t.Kind, ErrDamaged, err)
	}
	return rec, nil
}
