// Package overlay is what one Update has written and not committed yet, in key
// order. Both engines read through it, so that an Update sees its own writes.
package overlay

import (
	"slices"
	"time"
)

// Write is one change: a frame to store, or a deletion if there is none. Value
// is the frame's value.
type Write struct {
	Frame, Value []byte
	Expires      time.Time
}

// Overlay holds the writes; the zero value is empty.
type Overlay struct {
	Keys   []string // sorted
	Writes []Write  // of the key at the same index
	Size   int      // bytes, about
}

func (o *Overlay) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(o.Keys, key, func(have string, want []byte) int { return compare(have, want) })
}

// Get returns the change of that key.
func (o *Overlay) Get(key []byte) (Write, bool) {
	i, ok := o.find(key)
	if !ok {
		return Write{}, false
	}
	return o.Writes[i], true
}

// Put remembers a change; a later one of the same key replaces it.
func (o *Overlay) Put(key []byte, w Write) {
	i, ok := o.find(key)
	o.Size += len(key) + len(w.Frame)
	if ok {
		o.Writes[i] = w
		return
	}
	o.Keys = slices.Insert(o.Keys, i, string(key))
	o.Writes = slices.Insert(o.Writes, i, w)
}

// Next returns the first change with from <= key < to; a nil overlay has none.
func (o *Overlay) Next(from, to []byte) (string, Write, bool) {
	if o == nil {
		return "", Write{}, false
	}
	i, _ := o.find(from)
	if i == len(o.Keys) || compare(o.Keys[i], to) >= 0 {
		return "", Write{}, false
	}
	return o.Keys[i], o.Writes[i], true
}

func compare(have string, want []byte) int {
	switch w := string(want); { // the conversion does not allocate
	case have < w:
		return -1
	case have > w:
		return 1
	}
	return 0
}
