package store

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// index keeps one lookup true. Lookups carry no expiry of their own: they go
// with their record, and until then whoever follows one finds no record.
func (t Table[T]) index(tx Tx, l Lookup[T], key string, rec, old *T) error {
	kind, values := t.lookupKind(l.Name), l.Values(rec)
	var had []string
	if old != nil {
		had = l.Values(old)
	}
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
			return fmt.Errorf("%s: a %s cannot hold a NUL", t.Kind, l.Name)
		}
		if l.Unique {
			if err := t.unclaimed(tx, l.Name, v, key); err != nil {
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

func (t Table[T]) unclaimed(tx Tx, lookup, value, key string) error {
	for other, err := range t.Keys(tx, lookup, value) {
		if err != nil {
			return err
		}
		if other != key {
			return fmt.Errorf("%s with that %s: %w", t.Kind, lookup, ErrExists)
		}
	}
	return nil
}
