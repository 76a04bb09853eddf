package store

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// MasterKeySize is the length of a master key in bytes.
const MasterKeySize = chacha20poly1305.KeySize

// ErrSeal says that a sealed value cannot be opened: another master key sealed
// it, it was moved from its row, or it is damaged.
var ErrSeal = errors.New("store: sealed value cannot be opened")

// Sealer seals secrets with XChaCha20-Poly1305. Each sealed value is bound to
// its row (site, kind and key), and names the master key that sealed it, so that
// master keys can be rotated.
type Sealer struct {
	keys []masterKey // the first one seals; all open
}

type masterKey struct {
	id  [4]byte
	key []byte
}

// NewSealer makes a Sealer of 32-byte master keys, the current one first.
func NewSealer(current []byte, older ...[]byte) (*Sealer, error) {
	s := &Sealer{}
	for _, k := range append([][]byte{current}, older...) {
		if len(k) != MasterKeySize {
			return nil, fmt.Errorf("a master key has %d bytes, not %d", MasterKeySize, len(k))
		}
		sum := sha256.Sum256(append([]byte("chatelaine master key id\x00"), k...))
		s.keys = append(s.keys, masterKey{id: [4]byte(sum[:4]), key: k})
	}
	return s, nil
}

const sealFormat = 1

func sealedRow(site string, kind Kind, key string) []byte {
	return fmt.Appendf(nil, "%d:%s/%d:%s/%d:%s", len(site), site, len(kind), kind, len(key), key)
}

// Seal encrypts plain for the row (site, kind, key).
func (s *Sealer) Seal(site string, kind Kind, key string, plain []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(s.keys[0].key)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, 1+4+chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	out = append(out, sealFormat)
	out = append(out, s.keys[0].id[:]...)
	nonce := make([]byte, chacha20poly1305.NonceSizeX)
	rand.Read(nonce)
	out = append(out, nonce...)
	return aead.Seal(out, nonce, plain, sealedRow(site, kind, key)), nil
}

// Open decrypts what Seal made for the same row, or returns ErrSeal.
func (s *Sealer) Open(site string, kind Kind, key string, sealed []byte) ([]byte, error) {
	const head = 1 + 4 + chacha20poly1305.NonceSizeX
	if len(sealed) < head || sealed[0] != sealFormat {
		return nil, ErrSeal
	}
	for _, k := range s.keys {
		if k.id != [4]byte(sealed[1:5]) {
			continue
		}
		aead, err := chacha20poly1305.NewX(k.key)
		if err != nil {
			return nil, err
		}
		plain, err := aead.Open(nil, sealed[5:head], sealed[head:], sealedRow(site, kind, key))
		if err != nil {
			return nil, ErrSeal
		}
		return plain, nil
	}
	return nil, ErrSeal
}

// Current reports whether the newest master key sealed this value.
func (s *Sealer) Current(sealed []byte) bool {
	return len(sealed) >= 5 && s.keys[0].id == [4]byte(sealed[1:5])
}
