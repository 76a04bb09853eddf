package store

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"time"
)

// unpack returns the JSON that pack was given.
func unpack(packed []byte) ([]byte, error) {
	if len(packed) == 0 || packed[0] != tagObject {
		return packed, nil
	}
	u := unpacker{in: packed, out: make([]byte, 0, 3*len(packed))}
	if !u.value(0) || len(u.in) != 0 {
		return nil, errPack
	}
	return u.out, nil
}

type unpacker struct{ in, out []byte }

func (u *unpacker) byte() (byte, bool) {
	if len(u.in) == 0 {
		return 0, false
	}
	b := u.in[0]
	u.in = u.in[1:]
	return b, true
}

func (u *unpacker) take(n uint64) ([]byte, bool) {
	if n > uint64(len(u.in)) {
		return nil, false
	}
	part := u.in[:n]
	u.in = u.in[n:]
	return part, true
}

func (u *unpacker) sized() ([]byte, bool) {
	n, used := binary.Uvarint(u.in)
	if used <= 0 {
		return nil, false
	}
	u.in = u.in[used:]
	return u.take(n)
}

func (u *unpacker) value(depth int) bool {
	tag, ok := u.byte()
	if !ok || depth > maxPackDepth {
		return false
	}
	switch tag {
	case tagNull:
		u.out = append(u.out, "null"...)
	case tagTrue:
		u.out = append(u.out, "true"...)
	case tagFalse:
		u.out = append(u.out, "false"...)
	case tagObject:
		return u.list('{', '}', func() bool { return u.name() && u.value(depth+1) })
	case tagArray:
		return u.list('[', ']', func() bool { return u.value(depth + 1) })
	case tagInteger:
		n, used := binary.Varint(u.in)
		if used <= 0 {
			return false
		}
		u.in = u.in[used:]
		u.out = strconv.AppendInt(u.out, n, 10)
	case tagNumber:
		text, ok := u.sized()
		u.out = append(u.out, text...)
		return ok
	default:
		u.out = append(u.out, '"')
		ok = u.string(tag)
		u.out = append(u.out, '"')
		return ok
	}
	return true
}

func (u *unpacker) string(tag byte) bool {
	switch tag {
	case tagWord:
		word, ok := u.word()
		u.out = append(u.out, word...)
		return ok
	case tagUUID:
		id, ok := u.take(16)
		u.out = appendUUID(u.out, id)
		return ok
	case tagTime:
		t, ok := u.instant()
		u.out = t.AppendFormat(u.out, time.RFC3339Nano)
		return ok
	}
	raw, ok := u.sized()
	switch tag {
	case tagString:
		u.out = append(u.out, raw...)
	case tagHex:
		u.out = hex.AppendEncode(u.out, raw)
	case tagBase64:
		u.out = base64.StdEncoding.AppendEncode(u.out, raw)
	case tagBase64URL:
		u.out = base64.RawURLEncoding.AppendEncode(u.out, raw)
	default:
		return false
	}
	return ok
}

func (u *unpacker) word() (string, bool) {
	n, ok := u.byte()
	if !ok || n == 0 || int(n) > len(words) {
		return "", false
	}
	return words[n-1], true
}

func (u *unpacker) instant() (t time.Time, ok bool) {
	seconds, used := binary.Varint(u.in)
	if used <= 0 {
		return t, false
	}
	nanos, more := binary.Uvarint(u.in[used:])
	if more <= 0 || nanos >= uint64(time.Second) {
		return t, false
	}
	u.in = u.in[used+more:]
	return time.Unix(seconds, int64(nanos)).UTC(), true
}

func (u *unpacker) list(open, end byte, member func() bool) bool {
	count, ok := u.byte()
	u.out = append(u.out, open)
	for i := range int(count) {
		if i > 0 {
			u.out = append(u.out, ',')
		}
		if !member() {
			return false
		}
	}
	u.out = append(u.out, end)
	return ok
}

func (u *unpacker) name() bool {
	text, ok := u.nameText()
	u.out = append(append(append(u.out, '"'), text...), '"', ':')
	return ok
}

func (u *unpacker) nameText() (string, bool) {
	n, ok := u.byte()
	switch {
	case !ok || int(n) > len(words):
		return "", false
	case n > 0:
		return words[n-1], true
	}
	text, ok := u.sized()
	return string(text), ok
}
