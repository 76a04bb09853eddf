package store

import (
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"strconv"
	"time"
)

// Records are JSON to whoever reads the code, and a third of that in the store:
// pack writes names and common words as one byte and times, identifiers, hashes
// and numbers in binary. unpack gives back exactly the same JSON, so a record's
// fields may come and go as JSON's may. What pack does not understand stays
// JSON; a packed record begins with a byte that JSON cannot.
const (
	tagNull   = iota
	tagObject // first, so that every packed record begins with it
	tagArray
	tagTrue
	tagFalse
	tagInteger
	tagNumber // as text
	tagString // as JSON has it between the quotes
	tagWord   // of the dictionary
	tagHex
	tagBase64    // with padding, as encoding/json writes []byte
	tagBase64URL // without padding, as our identifiers are
	tagUUID
	tagTime // UTC
)

const (
	maxPackDepth = 32
	maxMembers   = 255 // of an object or array
	maxBinary    = 256 // bytes of text that may be kept in binary
)

var errPack = errors.New("not packed")

// pack returns compact JSON, an object, in its packed form, or as it is.
func pack(text []byte) []byte {
	p := packer{in: text, out: make([]byte, 0, len(text)/2)}
	if len(text) == 0 || text[0] != '{' || !p.value(0) || p.at != len(text) {
		return text
	}
	return p.out
}

type packer struct {
	in  []byte
	at  int
	out []byte
}

func (p *packer) next() byte {
	if p.at == len(p.in) {
		return 0
	}
	p.at++
	return p.in[p.at-1]
}

func (p *packer) literal(word string, tag byte) bool {
	end := p.at - 1 + len(word)
	if end > len(p.in) || string(p.in[p.at-1:end]) != word {
		return false
	}
	p.at = end
	p.out = append(p.out, tag)
	return true
}

func (p *packer) value(depth int) bool {
	if depth > maxPackDepth {
		return false
	}
	switch c := p.next(); c {
	case '{':
		return p.list(tagObject, '}', func() bool { return p.name() && p.next() == ':' && p.value(depth+1) })
	case '[':
		return p.list(tagArray, ']', func() bool { return p.value(depth + 1) })
	case '"':
		s, ok := p.text()
		if ok {
			p.out = packString(p.out, s)
		}
		return ok
	case 'n':
		return p.literal("null", tagNull)
	case 't':
		return p.literal("true", tagTrue)
	case 'f':
		return p.literal("false", tagFalse)
	default:
		return p.number()
	}
}

// list packs members up to the end sign; the count comes before them.
func (p *packer) list(tag, end byte, member func() bool) bool {
	p.out = append(p.out, tag, 0)
	count, place := 0, len(p.out)-1
	if p.at < len(p.in) && p.in[p.at] == end {
		p.at++
		return true
	}
	for {
		if count++; count > maxMembers || !member() {
			return false
		}
		p.out[place] = byte(count)
		switch p.next() {
		case ',':
		case end:
			return true
		default:
			return false
		}
	}
}

// name packs a member's name: its number in the dictionary or 0 and itself.
func (p *packer) name() bool {
	if p.next() != '"' {
		return false
	}
	s, ok := p.text()
	p.out = packName(p.out, s)
	return ok
}

func packName(out, name []byte) []byte {
	if n := wordNumber[string(name)]; n != 0 {
		return append(out, n)
	}
	return appendSized(append(out, 0), name)
}

// text returns what stands before the closing quote, escapes as they are.
func (p *packer) text() ([]byte, bool) {
	start := p.at
	for ; p.at < len(p.in); p.at++ {
		switch p.in[p.at] {
		case '\\':
			p.at++
		case '"':
			p.at++
			return p.in[start : p.at-1], true
		}
	}
	return nil, false
}

func (p *packer) number() bool {
	start := p.at - 1
	for p.at < len(p.in) && p.in[p.at] != ',' && p.in[p.at] != '}' && p.in[p.at] != ']' {
		p.at++
	}
	if start < 0 || start == p.at {
		return false
	}
	text := p.in[start:p.at]
	if n, err := strconv.ParseInt(string(text), 10, 64); err == nil && strconv.FormatInt(n, 10) == string(text) {
		p.out = binary.AppendVarint(append(p.out, tagInteger), n)
		return true
	}
	p.out = appendSized(append(p.out, tagNumber), text)
	return json.Valid(text)
}

func appendSized(b, part []byte) []byte {
	return append(binary.AppendUvarint(b, uint64(len(part))), part...)
}

// packString picks the first shorter form that gives the same text back.
func packString(out, s []byte) []byte {
	if n := wordNumber[string(s)]; n != 0 {
		return append(out, tagWord, n)
	}
	if len(s) >= len("2006-01-02T15:04:05Z") && s[4] == '-' && s[len(s)-1] == 'Z' {
		if t, err := time.Parse(time.RFC3339Nano, string(s)); err == nil && t.Format(time.RFC3339Nano) == string(s) {
			return packTime(out, t)
		}
	}
	if len(s) < 8 || len(s) > maxBinary {
		return appendSized(append(out, tagString), s)
	}
	if id, ok := packUUID(s); ok {
		return append(append(out, tagUUID), id[:]...)
	}
	var raw [maxBinary]byte
	in := alphabetsOf(s)
	if in&inHex != 0 && len(s)%2 == 0 {
		n, _ := hex.Decode(raw[:], s)
		return appendSized(append(out, tagHex), raw[:n])
	}
	if in&inBase64URL != 0 {
		if n, err := strictBase64URL.Decode(raw[:], s); err == nil {
			return appendSized(append(out, tagBase64URL), raw[:n])
		}
	}
	if in&inBase64 != 0 {
		if n, err := strictBase64.Decode(raw[:], s); err == nil {
			return appendSized(append(out, tagBase64), raw[:n])
		}
	}
	return appendSized(append(out, tagString), s)
}

// Strict ones refuse what they would not have written themselves.
var (
	strictBase64    = base64.StdEncoding.Strict()
	strictBase64URL = base64.RawURLEncoding.Strict()
)

func packTime(out []byte, t time.Time) []byte {
	return binary.AppendUvarint(binary.AppendVarint(append(out, tagTime), t.Unix()), uint64(t.Nanosecond()))
}

// Alphabets that a text may be in.
const (
	inHex = 1 << iota // small letters
	inBase64URL
	inBase64 // with padding
)

func alphabetsOf(s []byte) byte {
	in := byte(inHex | inBase64URL | inBase64)
	for _, c := range s {
		if in &= alphabets[c]; in == 0 {
			break
		}
	}
	return in
}

var alphabets = func() (table [256]byte) {
	for c := range table {
		switch {
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			table[c] = inHex | inBase64URL | inBase64
		case c >= 'g' && c <= 'z' || c >= 'A' && c <= 'Z':
			table[c] = inBase64URL | inBase64
		case c == '-' || c == '_':
			table[c] = inBase64URL
		case c == '+' || c == '/' || c == '=':
			table[c] = inBase64
		}
	}
	return table
}()

func packUUID(s []byte) (id [16]byte, ok bool) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return id, false
	}
	plain := make([]byte, 0, 32)
	for _, c := range s {
		if c != '-' {
			plain = append(plain, c)
		}
	}
	if len(plain) != 32 {
		return id, false
	}
	_, err := hex.Decode(id[:], plain)
	return id, err == nil && string(appendUUID(nil, id[:])) == string(s)
}

func appendUUID(out, id []byte) []byte {
	for i, b := range id {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			out = append(out, '-')
		}
		out = hex.AppendEncode(out, []byte{b})
	}
	return out
}
