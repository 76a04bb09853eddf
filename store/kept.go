package store

import "bytes"

// Kept is a record and the bytes that it was decoded from, for readers that come
// again and again for the same one. It is shared: do not change it.
type Kept[T any] struct {
	Record T
	raw    []byte
}

// Reread is Get for somebody who has read the record before: it is read again,
// and decoded again only if its bytes are not what they were. kept may be nil.
func Reread[T any](tx Tx, t *Table[T], key string, kept *Kept[T]) (*Kept[T], error) {
	if key == "" {
		return nil, ErrNotFound
	}
	raw, err := tx.Get(t.Kind, []byte(key))
	if err != nil {
		return nil, err
	}
	if kept != nil && bytes.Equal(raw, kept.raw) {
		return kept, nil
	}
	rec, err := t.decode(raw)
	if err != nil {
		return nil, err
	}
	return &Kept[T]{rec, bytes.Clone(raw)}, nil
}
