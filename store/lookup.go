package store

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"
)

// index keeps one lookup true. Lookups carry no expiry of their own: they go
// with their record, and until then whoever follows one finds no record.
func index(tx Tx, t rows, i int, key string, rec, old any) error {
	name, unique := t.lookup(i)
	kind, values, had := lookupKind(t, name), t.values(i, rec), t.values(i, old)
	for _, v := range had {
		if v != "" && !slices.Contains(values, v) {
			if err := tx.Delete(kind, lookupKey(v, key)); err != nil {
				return err
			}
		}
	}
	for _, v := range values {
		if v == "" {
			continue
		}
		if strings.IndexByte(v, 0) >= 0 {
			return fmt.Errorf("%s: a %s cannot hold a NUL", t.Name(), name)
		}
		if unique {
			if err := unclaimed(tx, t, name, v, key); err != nil {
				return err
			}
		}
		if slices.Contains(had, v) {
			continue
		}
		if err := tx.Put(kind, lookupKey(v, key), nil, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

func unclaimed(tx Tx, t rows, lookup, value, key string) error {
	for other, err := range liveKeys(tx, t, lookup, value) {
		if err != nil {
			return err
		}
		if other != key {
			return fmt.Errorf("%s with that %s: %w", t.Name(), lookup, ErrExists)
		}
	}
	return nil
}

// Under yields the records whose value of that lookup begins with prefix, which is
// ASCII, in the order of the values. It is for lookups that say it.
func Under[T any](tx Tx, t *Table[T], lookup, prefix string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		from := []byte(prefix)
		for item, err := range tx.Scan(lookupKind(t, lookup), from, append([]byte(prefix), 0x80)) {
			var rec T
			if err == nil {
				_, key, _ := bytes.Cut(item.Key, []byte{0})
				rec, err = t.Get(tx, string(key))
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
