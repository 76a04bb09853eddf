package store

import "fmt"

// Replace is Put for a caller that has read old in this transaction, so that it
// is not read and decoded again. Both have the same key.
func Replace[T any](tx Tx, t *Table[T], old, rec *T) error {
	key := t.Key(rec)
	if key == "" || key != t.Key(old) {
		return fmt.Errorf("%s: %w", t.Kind, ErrNoKey)
	}
	return write(tx, t, key, rec, old)
}
