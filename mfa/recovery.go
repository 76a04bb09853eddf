package mfa

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"strings"
)

// RecoveryCodeCount is how many recovery codes an agent has.
const RecoveryCodeCount = 10

// A recovery code is 80 random bits, so that its plain SHA-256 in a stolen store
// is out of reach of guessing without a slow hash, and typing it stays bearable:
// 16 characters, in groups of four, of Crockford's base32, where 0 and O, 1, I
// and L are not told apart.
const recoverySize, recoveryLength = 10, 16

var crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)

// NewRecoveryCodes makes a set of codes, to be shown once, and their hashes, to
// be kept. owner is who they are for: the hash of a code is another for anybody
// else.
func NewRecoveryCodes(owner string) (codes []string, hashes [][]byte) {
	for range RecoveryCodeCount {
		random := make([]byte, recoverySize)
		rand.Read(random)
		text := crockford.EncodeToString(random)
		codes = append(codes, grouped(text, "-"))
		hashes = append(hashes, recoveryHash(owner, text))
	}
	return codes, hashes
}

// RecoveryHash is the hash of a code as somebody typed it, in any case, with or
// without hyphens and spaces; ok is false for what cannot be one.
func RecoveryHash(owner, typed string) (hash []byte, ok bool) {
	if len(typed) > 4*recoveryLength {
		return nil, false
	}
	text := strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-':
			return -1
		case 'o', 'O':
			return '0'
		case 'i', 'I', 'l', 'L':
			return '1'
		}
		if r >= 'a' && r <= 'z' {
			r -= 'a' - 'A'
		}
		return r
	}, typed)
	if len(text) != recoveryLength {
		return nil, false
	}
	raw, err := crockford.DecodeString(text)
	if err != nil || len(raw) != recoverySize {
		return nil, false
	}
	return recoveryHash(owner, text), true
}

func recoveryHash(owner, text string) []byte {
	sum := sha256.Sum256([]byte("recovery code\x00" + owner + "\x00" + text))
	return sum[:]
}

// FindRecoveryCode is the place of hash among hashes, -1 if it is in none. Every
// one is compared.
func FindRecoveryCode(hashes [][]byte, hash []byte) int {
	found := -1
	for i, h := range hashes {
		if subtle.ConstantTimeCompare(h, hash) == 1 {
			found = i
		}
	}
	return found
}
