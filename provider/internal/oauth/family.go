package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"
)

// A code begins with the time in units of 16 ms, and so does the ID of the family
// that it buys: families that begin together stand together in the store, and a
// commit of many touches few pages.
const (
	codeTime   = 5 // bytes, big-endian
	codeRandom = 32
)

func makeCode(now time.Time) string {
	var b [8 + codeRandom]byte
	binary.BigEndian.PutUint64(b[:8], uint64(now.UnixMilli()>>4))
	rand.Read(b[8:])
	return codePrefix + base64.RawURLEncoding.EncodeToString(b[8-codeTime:])
}

// grantID makes the family's ID of the code that it was bought with: its time, and
// 88 bits of a hash. Nobody but the code's holder can make another code for it.
func grantID(code string) string {
	sum := sha256.Sum256([]byte("grant\x00" + code))
	id := sum[:familySize]
	if raw, err := strictBase64.DecodeString(strings.TrimPrefix(code, codePrefix)); err == nil && len(raw) == codeTime+codeRandom {
		copy(id[codeTime:], sum[:])
		copy(id, raw[:codeTime])
	}
	return base64.RawURLEncoding.EncodeToString(id)
}
