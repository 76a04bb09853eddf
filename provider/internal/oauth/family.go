package oauth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/crypto/chacha20poly1305"

	"github.com/chatelaine-id/chatelaine/store"
)

// authCode is what an authorization code says: it is the code, sealed. Nothing is
// stored until it is redeemed or burnt, and then under the ID of the family that
// it buys.
type authCode struct {
	store.Authorization
	RedirectURI string    `json:"redirect_uri,omitempty"` // as in the request; empty if it was left out
	Challenge   string    `json:"challenge,omitempty"`    // PKCE S256
	Issued      time.Time `json:"issued"`
	ValidUntil  time.Time `json:"valid_until"`
}

// A code begins with the time in units of 16 ms, and so does the ID of the family
// that it buys: families that begin together stand together in the store, and a
// commit of many touches few pages. A nonce of 192 random bits follows, and what
// the code says, sealed with a key that is the site's own.
const (
	codeTime = 5 // bytes, big-endian
	codeHead = codeTime + chacha20poly1305.NonceSizeX
	maxCode  = 8 << 10 // characters
)

// errNoCode is a code that is none of ours.
var errNoCode = errors.New("it is no code of this site")

// seal makes the code.
func (c *authCode) seal(key []byte, path string) (string, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return "", err
	}
	plain, err := json.Marshal(c)
	if err != nil {
		return "", fmt.Errorf("encode a code: %w", err)
	}
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(c.Issued.UnixMilli()>>4))
	raw := make([]byte, codeHead, codeHead+len(plain)+aead.Overhead())
	copy(raw, at[8-codeTime:])
	rand.Read(raw[codeTime:])
	raw = aead.Seal(raw, raw[codeTime:codeHead], plain, codeData(raw[:codeTime], path))
	return codePrefix + base64.RawURLEncoding.EncodeToString(raw), nil
}

// openCode reads a code; errNoCode if this site has not made it, to the byte.
func openCode(key []byte, path, text string) (*authCode, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, err
	}
	raw, ok := rawCode(text)
	if !ok {
		return nil, errNoCode
	}
	plain, err := aead.Open(nil, raw[codeTime:codeHead], raw[codeHead:], codeData(raw[:codeTime], path))
	if err != nil {
		return nil, errNoCode
	}
	var c authCode
	if err := json.Unmarshal(plain, &c); err != nil {
		return nil, fmt.Errorf("decode a code: %w", err)
	}
	return &c, nil
}

// rawCode is the code's bytes, if it has the form of one.
func rawCode(text string) ([]byte, bool) {
	text, ok := strings.CutPrefix(text, codePrefix)
	if !ok || len(text) > maxCode || strings.ContainsAny(text, "\r\n") {
		return nil, false
	}
	raw, err := strictBase64.DecodeString(text)
	return raw, err == nil && len(raw) >= codeHead
}

// codeData binds a code to its time, its site and its purpose.
func codeData(at []byte, path string) []byte {
	return fmt.Appendf(nil, "authorization code %x %d:%s", at, len(path), path)
}

// grantID makes the family's ID of the code that it was bought with: its time, and
// 88 bits of a hash. Nobody but the code's holder can make another code for it.
func grantID(code string) string {
	sum := sha256.Sum256([]byte("grant\x00" + code))
	id := sum[:familySize]
	if raw, ok := rawCode(code); ok {
		copy(id[codeTime:], sum[:])
		copy(id, raw[:codeTime])
	}
	return base64.RawURLEncoding.EncodeToString(id)
}
