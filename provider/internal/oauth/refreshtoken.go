package oauth

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// A refresh token says which family and generation it is, and proves by a tag
// that we made it, so that a reuse of any older one is told from a forgery:
//
//	16 bytes  the grant's ID
//	 4 bytes  generation, big-endian
//	32 bytes  secret: random in the first; then HMAC(key, family ‖ generation ‖ the token before)
//	16 bytes  tag: HMAC(key, all of the above)
//
// The successor is a function of the token before it, so that a repeated request
// gets the same one although only hashes are stored.
const (
	familySize = 16
	secretSize = 32
	tagSize    = 16
	headSize   = familySize + 4
)

// refreshToken is an authentic one.
type refreshToken struct {
	family     string
	generation uint32
}

var strictBase64 = base64.RawURLEncoding.Strict()

// parseRefreshToken returns ok only for a token that this key made.
func parseRefreshToken(key []byte, token string) (t refreshToken, ok bool) {
	text, ok := strings.CutPrefix(token, refreshPrefix)
	if !ok || len(text) != strictBase64.EncodedLen(headSize+secretSize+tagSize) || strings.ContainsAny(text, "\r\n") {
		return t, false
	}
	raw, err := strictBase64.DecodeString(text)
	if err != nil {
		return t, false
	}
	body, tag := raw[:headSize+secretSize], raw[headSize+secretSize:]
	if subtle.ConstantTimeCompare(tag, refreshTag(key, body)) != 1 {
		return t, false
	}
	return refreshToken{strictBase64.EncodeToString(body[:familySize]), binary.BigEndian.Uint32(body[familySize:headSize])}, true
}

func firstRefreshToken(key []byte, grantID string) string {
	var secret [secretSize]byte
	rand.Read(secret[:])
	return makeRefreshToken(key, grantID, 0, secret[:])
}

// successor is the one token that follows token.
func successor(key []byte, grantID string, generation uint32, token string) string {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("successor\x00"))
	h.Write(head(grantID, generation))
	h.Write([]byte(token))
	return makeRefreshToken(key, grantID, generation, h.Sum(nil))
}

func makeRefreshToken(key []byte, grantID string, generation uint32, secret []byte) string {
	body := append(head(grantID, generation), secret...)
	return refreshPrefix + strictBase64.EncodeToString(append(body, refreshTag(key, body)...))
}

func head(grantID string, generation uint32) []byte {
	family, _ := strictBase64.DecodeString(grantID) // we made it
	b := make([]byte, 0, headSize+secretSize+tagSize)
	b = append(b, family...)
	return binary.BigEndian.AppendUint32(b, generation)
}

func refreshTag(key, body []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("tag\x00"))
	h.Write(body)
	return h.Sum(nil)[:tagSize]
}

// sumSize is how much of a refresh token's SHA-256 is stored: nobody finds another
// token with the same 128 bits, nor could give it our tag.
const sumSize = 16

// tokenSum is what is stored of a refresh token.
func tokenSum(token string) []byte {
	sum := sha256.Sum256([]byte(token))
	return sum[:sumSize]
}

// isSumOf reports whether that is what is stored of the token: half of its hash, or,
// in older records, all of it.
func isSumOf(stored []byte, token string) bool {
	sum := sha256.Sum256([]byte(token))
	return len(stored) >= sumSize && subtle.ConstantTimeCompare(stored, sum[:min(len(stored), len(sum))]) == 1
}
