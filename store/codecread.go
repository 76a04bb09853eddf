package store

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"reflect"
	"time"
)

func (c *codec) read(u *unpacker, v reflect.Value) bool {
	if !u.begins(tagObject) {
		return u.anyField(v)
	}
	count, ok := u.byte()
	next := 0 // fields come in order, some left out
	for i := 0; ok && i < int(count); i++ {
		var at int
		switch at, ok = c.find(u, next); {
		case ok && at >= 0:
			ok = c.fields[at].read(u, v.FieldByIndex(c.fields[at].at))
			next = at + 1
		case ok:
			ok = u.skip()
		}
	}
	return ok
}

// find takes a name and returns its field's index, below 0 for a name that is not
// known. One that became a word later stands in older records as text.
func (c *codec) find(u *unpacker, from int) (int, bool) {
	for i := from; i < len(c.fields); i++ {
		if bytes.HasPrefix(u.in, c.fields[i].packed) {
			u.in = u.in[len(c.fields[i].packed):]
			return i, true
		}
	}
	name, ok := u.nameText()
	return c.index(name), ok && plainText(name)
}

// skip takes a value that nobody knows, and leaves its JSON in u.out.
func (u *unpacker) skip() bool {
	u.out = u.out[:0]
	return u.value(1) && json.Valid(u.out)
}

// begins takes the tag if it comes next.
func (u *unpacker) begins(tag byte) bool {
	if len(u.in) == 0 || u.in[0] != tag {
		return false
	}
	u.in = u.in[1:]
	return true
}

// anyField reads what JSON reads from the value's text.
func (u *unpacker) anyField(v reflect.Value) bool {
	u.out = u.out[:0]
	return u.value(1) && json.Unmarshal(u.out, v.Addr().Interface()) == nil
}

func (u *unpacker) rawField(v reflect.Value) bool {
	if !u.skip() {
		return false
	}
	v.SetBytes(bytes.Clone(u.out))
	return true
}

func (u *unpacker) stringField(v reflect.Value) bool {
	if len(u.in) == 0 || u.in[0] < tagString {
		return u.anyField(v)
	}
	if u.begins(tagWord) {
		word, ok := u.word()
		v.SetString(word)
		return ok
	}
	text := *u
	tag, _ := text.byte()
	text.out = text.out[:0]
	if !text.string(tag) {
		return false
	}
	if tag == tagString && !plainText(text.out) {
		return u.anyField(v)
	}
	*u = text
	v.SetString(string(u.out))
	return true
}

func (u *unpacker) boolField(v reflect.Value) bool {
	switch {
	case u.begins(tagTrue):
		v.SetBool(true)
	case !u.begins(tagFalse):
		return u.anyField(v)
	}
	return true
}

func (u *unpacker) intField(v reflect.Value) bool {
	n, used := u.integer()
	if used == 0 || v.OverflowInt(n) {
		return u.anyField(v)
	}
	u.in = u.in[used:]
	v.SetInt(n)
	return true
}

func (u *unpacker) uintField(v reflect.Value) bool {
	n, used := u.integer()
	if used == 0 || n < 0 || v.OverflowUint(uint64(n)) {
		return u.anyField(v)
	}
	u.in = u.in[used:]
	v.SetUint(uint64(n))
	return true
}

// integer looks at the next value; no bytes of it are used if it is no integer.
func (u *unpacker) integer() (n int64, used int) {
	if len(u.in) == 0 || u.in[0] != tagInteger {
		return 0, 0
	}
	if n, used = binary.Varint(u.in[1:]); used <= 0 {
		return 0, 0
	}
	return n, used + 1
}

func (u *unpacker) bytesField(v reflect.Value) bool {
	if !u.begins(tagBase64) {
		return u.anyField(v)
	}
	raw, ok := u.sized()
	v.SetBytes(append([]byte{}, raw...))
	return ok
}

func (u *unpacker) timeField(v reflect.Value) bool {
	if !u.begins(tagTime) {
		return u.anyField(v)
	}
	t, ok := u.instant()
	*v.Addr().Interface().(*time.Time) = t
	return ok && inJSON(t)
}
