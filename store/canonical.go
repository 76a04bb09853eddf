package store

import (
	"bytes"
	"fmt"
)

// Canonical decodes a stored value and makes sure that it is, to the byte, what
// Put would write: an encoding can say one thing in several ways. Anything else is
// ErrDamaged.
func Canonical[T any](t *Table[T], raw []byte) (T, error) {
	rec, err := t.decode(raw)
	if err != nil {
		return rec, err
	}
	again, err := encode(t, &rec)
	if err != nil || !bytes.Equal(again, raw) {
		return rec, fmt.Errorf("%s: not as it was written: %w", t.Kind, ErrDamaged)
	}
	return rec, nil
}
