package store

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"reflect"
	"strconv"
	"time"
)

func (c *codec) write(p *packer, v reflect.Value) bool {
	p.out = append(p.out, tagObject, 0)
	count, place := 0, len(p.out)-1
	for i := range c.fields {
		f := &c.fields[i]
		value := v.FieldByIndex(f.at)
		if f.absent != nil && f.absent(value) {
			continue
		}
		count++
		p.out = append(p.out, f.packed...)
		if !f.write(p, value) {
			return false
		}
	}
	p.out[place] = byte(count)
	return true
}

// anyField writes what JSON makes of the value.
func (p *packer) anyField(v reflect.Value) bool {
	text, err := json.Marshal(v.Addr().Interface())
	if err != nil {
		return false
	}
	return p.nested(text)
}

// rawField writes JSON that is as json.Marshal would leave it without a copy.
func (p *packer) rawField(v reflect.Value) bool {
	text := v.Bytes()
	for _, c := range text {
		if c <= ' ' || c > '~' || c == '<' || c == '>' || c == '&' {
			return p.anyField(v)
		}
	}
	if !json.Valid(text) {
		return p.anyField(v)
	}
	return p.nested(text)
}

func (p *packer) nested(text []byte) bool {
	inner := packer{in: text, out: p.out}
	ok := inner.value(1) && inner.at == len(text)
	p.out = inner.out
	return ok
}

func (p *packer) stringField(v reflect.Value) bool {
	s := v.String()
	if !plainText(s) {
		return p.anyField(v)
	}
	p.out = packString(p.out, []byte(s))
	return true
}

// plainText reports whether JSON has s as it is.
func plainText[T string | []byte](s T) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			return false
		}
	}
	return true
}

func (p *packer) boolField(v reflect.Value) bool {
	tag := byte(tagFalse)
	if v.Bool() {
		tag = tagTrue
	}
	p.out = append(p.out, tag)
	return true
}

func (p *packer) intField(v reflect.Value) bool {
	p.out = binary.AppendVarint(append(p.out, tagInteger), v.Int())
	return true
}

func (p *packer) uintField(v reflect.Value) bool {
	if n := v.Uint(); n <= math.MaxInt64 {
		p.out = binary.AppendVarint(append(p.out, tagInteger), int64(n))
	} else {
		p.out = appendSized(append(p.out, tagNumber), strconv.AppendUint(nil, n, 10))
	}
	return true
}

// bytesField writes bytes, which JSON has in base64. Where that text has no
// padding, is very short or very long, it is for packString to say what it is.
func (p *packer) bytesField(v reflect.Value) bool {
	b := v.Bytes()
	if len(b)%3 == 0 || len(b) < 4 || base64.StdEncoding.EncodedLen(len(b)) > maxBinary {
		return p.anyField(v)
	}
	p.out = appendSized(append(p.out, tagBase64), b)
	return true
}

func (p *packer) timeField(v reflect.Value) bool {
	t := *v.Addr().Interface().(*time.Time)
	if _, offset := t.Zone(); offset != 0 || !inJSON(t) {
		return p.anyField(v)
	}
	p.out = packTime(p.out, t)
	return true
}

// inJSON reports whether JSON has a text for t (RFC 3339).
func inJSON(t time.Time) bool { return t.Year() >= 0 && t.Year() <= 9999 }
