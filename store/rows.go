package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"time"
)

// rows is what the work on records asks of a Table without knowing their type. A
// record is a *T in an any; nil is none. The work is written once for all tables:
// as methods of Table[T] the compiler makes it anew for each kind of record,
// which took a ninth of the whole program. What few tables need is a function for
// the same reason: methods are made for all.
type rows interface {
	AnyTable
	key(rec any) string
	expiry(rec any) time.Time // zero: never, or no record
	lookups() int
	lookup(i int) (name string, unique bool)
	values(i int, rec any) []string // of the i-th lookup; none of no record
	fresh() any                     // an empty record
	version() byte
	upgrade(version byte, payload []byte, into any) (known bool, err error)
	sealed(rec any) []*[]byte
	seals() bool
}

// Name is the table's kind.
func (t *Table[T]) Name() Kind { return t.Kind }

// Expiring reports whether its records expire.
func (t *Table[T]) Expiring() bool { return t.Expires != nil }

func (t *Table[T]) key(rec any) string { return t.Key(rec.(*T)) }

func (t *Table[T]) expiry(rec any) (at time.Time) {
	if t.Expires != nil && rec != nil {
		at = t.Expires(rec.(*T))
	}
	return at
}

func (t *Table[T]) lookups() int { return len(t.Lookups) }

func (t *Table[T]) lookup(i int) (name string, unique bool) {
	return t.Lookups[i].Name, t.Lookups[i].Unique
}

func (t *Table[T]) values(i int, rec any) []string {
	if rec == nil {
		return nil
	}
	return t.Lookups[i].Values(rec.(*T))
}

func (t *Table[T]) fresh() any    { return new(T) }
func (t *Table[T]) version() byte { return t.Version }

func (t *Table[T]) upgrade(version byte, payload []byte, into any) (known bool, err error) {
	if t.Upgrade == nil {
		return false, nil
	}
	*into.(*T), err = t.Upgrade(version, payload)
	return true, err
}

func (t *Table[T]) sealed(rec any) []*[]byte { return t.Sealed(rec.(*T)) }
func (t *Table[T]) seals() bool              { return t.Sealed != nil }

func lookupKind(t rows, name string) Kind { return t.Name() + "/" + Kind(name) }

// lookupKey is value, NUL, primary key; values therefore never hold a NUL.
func lookupKey(value, key string) []byte {
	b := make([]byte, 0, len(value)+1+len(key))
	b = append(b, value...)
	b = append(b, 0)
	return append(b, key...)
}

func get(tx Tx, t rows, key string, into any) error {
	if key == "" {
		return ErrNotFound
	}
	raw, err := tx.Get(t.Name(), []byte(key))
	if err != nil {
		return err
	}
	return decode(t, raw, into)
}

// walk gives the records whose key is greater than after, in key order, until each
// has had enough.
func walk(tx Tx, t rows, after string, each func(rec any, err error) bool) {
	var from []byte
	if after != "" {
		from = append([]byte(after), 0)
	}
	for item, err := range tx.Scan(t.Name(), from, nil) {
		rec := t.fresh()
		if err == nil {
			err = decode(t, item.Value, rec)
		}
		if !each(rec, err) {
			return
		}
	}
}

// walkLookup gives the records with that lookup value, in key order, until each has
// had enough or one cannot be read.
func walkLookup(tx Tx, t rows, lookup, value string, each func(rec any, err error) bool) {
	for key, err := range followed(tx, t, lookup, value) {
		rec := t.fresh()
		if err == nil {
			err = get(tx, t, key, rec)
		}
		if errors.Is(err, ErrNotFound) { // it has expired
			continue
		}
		if !each(rec, err) || err != nil {
			return
		}
	}
}

func lives(tx Tx, t rows, key string) (bool, error) {
	_, err := tx.Get(t.Name(), []byte(key))
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func create(tx Tx, t rows, rec any) error {
	key := t.key(rec)
	if key == "" {
		return fmt.Errorf("%s: %w", t.Name(), ErrNoKey)
	}
	_, err := getExpired(tx, t.Name(), []byte(key))
	if errors.Is(err, ErrNotFound) {
		return write(tx, t, key, rec, nil)
	}
	if err != nil {
		return err
	}
	live, err := lives(tx, t, key)
	if err != nil {
		return err
	}
	if live {
		return fmt.Errorf("%s: %w", t.Name(), ErrExists)
	}
	return put(tx, t, rec)
}

func put(tx Tx, t rows, rec any) error {
	key := t.key(rec)
	if key == "" {
		return fmt.Errorf("%s: %w", t.Name(), ErrNoKey)
	}
	old, err := replaced(tx, t, key)
	if err != nil {
		return err
	}
	return write(tx, t, key, rec, old)
}

// write puts rec where old was, if it was there.
func write(tx Tx, t rows, key string, rec, old any) error {
	for i := range t.lookups() {
		if err := index(tx, t, i, key, rec, old); err != nil {
			return err
		}
	}
	if err := indexExpiry(tx, t, key, rec, old); err != nil {
		return err
	}
	payload, err := encode(t, rec)
	if err != nil {
		return err
	}
	return tx.Put(t.Name(), []byte(key), payload, t.expiry(rec))
}

// replaced returns the record that a Put replaces, if anything depends on it. One
// that has expired and is not swept yet counts: its lookups still stand.
func replaced(tx Tx, t rows, key string) (any, error) {
	if t.lookups() == 0 && !t.Expiring() {
		return nil, nil
	}
	raw, err := getExpired(tx, t.Name(), []byte(key))
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	old := t.fresh()
	if err := decode(t, raw, old); err != nil {
		return nil, err
	}
	return old, nil
}

func remove(tx Tx, t rows, key string) error {
	if key == "" {
		return nil
	}
	old, err := replaced(tx, t, key)
	if err != nil {
		return err
	}
	if old == nil && t.lookups() > 0 {
		return nil
	}
	for i := range t.lookups() {
		name, _ := t.lookup(i)
		for _, v := range t.values(i, old) {
			if v == "" {
				continue
			}
			if err := tx.Delete(lookupKind(t, name), lookupKey(v, key)); err != nil {
				return err
			}
		}
	}
	return tx.Delete(t.Name(), []byte(key))
}

func liveKeys(tx Tx, t rows, lookup, value string) iter.Seq2[string, error] {
	if !t.Expiring() {
		return followed(tx, t, lookup, value)
	}
	return func(yield func(string, error) bool) {
		for key, err := range followed(tx, t, lookup, value) {
			live := false
			if err == nil {
				live, err = lives(tx, t, key)
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
func followed(tx Tx, t rows, lookup, value string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		from := lookupKey(value, "")
		to := append([]byte(value), 1)
		for item, err := range tx.Scan(lookupKind(t, lookup), from, to) {
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

func find(tx Tx, t rows, lookup, value string, into any) error {
	for key, err := range followed(tx, t, lookup, value) {
		if err == nil {
			err = get(tx, t, key, into)
		}
		if !errors.Is(err, ErrNotFound) { // or it has expired
			return err
		}
	}
	return ErrNotFound
}

func encode(t rows, rec any) ([]byte, error) {
	v := reflect.ValueOf(rec).Elem()
	if c := codecOf(v.Type()); c != nil {
		p := packer{out: append(make([]byte, 0, 512), t.version())}
		if c.write(&p, v) {
			return p.out, nil
		}
	}
	payload, err := json.Marshal(rec)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", t.Name(), err)
	}
	return append([]byte{t.version()}, pack(payload)...), nil
}

// decode reads a record into an empty one.
func decode(t rows, raw []byte, into any) error {
	if len(raw) == 0 {
		return fmt.Errorf("decode %s: %w", t.Name(), ErrDamaged)
	}
	if len(raw) > 1 && raw[0] == t.version() && raw[1] == tagObject {
		v := reflect.ValueOf(into).Elem()
		if c := codecOf(v.Type()); c != nil {
			u := unpacker{in: raw[1:]}
			if !c.read(&u, v) || len(u.in) != 0 {
				return fmt.Errorf("decode %s: %w", t.Name(), ErrDamaged)
			}
			return nil
		}
	}
	return decodeJSON(t, raw, into)
}

// decodeJSON reads what no codec reads: older versions, and records that were too
// large to pack.
func decodeJSON(t rows, raw []byte, into any) error {
	payload, err := unpack(raw[1:])
	if err != nil {
		return fmt.Errorf("decode %s: %w: %w", t.Name(), ErrDamaged, err)
	}
	if raw[0] == t.version() {
		if err := json.Unmarshal(payload, into); err != nil {
			return fmt.Errorf("decode %s: %w: %w", t.Name(), ErrDamaged, err)
		}
		return nil
	}
	known := false
	if raw[0] < t.version() {
		known, err = t.upgrade(raw[0], payload, into)
	}
	if !known {
		return fmt.Errorf("decode %s: version %d is not known: %w", t.Name(), raw[0], ErrDamaged)
	}
	return err
}
