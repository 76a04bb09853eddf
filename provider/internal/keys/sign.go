package keys

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
)

// Sign returns payload as a compact JWS whose header is alg, kid and typ. A key
// that verifiers may not know yet is ErrNotYetActive, none at all ErrNoKey.
func (k *Keys) Sign(ctx context.Context, s *site.Site, alg, typ string, payload []byte) (string, error) {
	r, err := k.ring(ctx, s)
	if err != nil {
		return "", err
	}
	with, err := r.signer(alg, k.Now())
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	return with.sign(typ, payload)
}

func (m *material) sign(typ string, payload []byte) (string, error) {
	head := m.header(typ)
	enc := base64.RawURLEncoding
	raw := make([]byte, 0, len(head)+1+enc.EncodedLen(len(payload))+1+enc.EncodedLen(RSABits/8))
	raw = append(raw, head...)
	raw = append(raw, '.')
	raw = enc.AppendEncode(raw, payload)
	signature, err := m.signature(raw)
	if err != nil {
		return "", fmt.Errorf("sign a token: %w", err)
	}
	raw = append(raw, '.')
	return string(enc.AppendEncode(raw, signature)), nil
}

func (m *material) signature(input []byte) ([]byte, error) {
	if m.alg == EdDSA {
		return m.private.Sign(nil, input, crypto.Hash(0))
	}
	sum := sha256.Sum256(input)
	signature, err := m.private.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil || m.alg == RS256 {
		return signature, err
	}
	return concatenated(signature)
}

// concatenated turns an ASN.1 ECDSA signature into r and s of 32 bytes each
// (RFC 7518, section 3.4).
func concatenated(der []byte) ([]byte, error) {
	var r, s []byte
	input := cryptobyte.String(der)
	if !input.ReadASN1(&input, asn1.SEQUENCE) || !input.ReadASN1Integer(&r) || !input.ReadASN1Integer(&s) || !input.Empty() || len(r) > 32 || len(s) > 32 {
		return nil, fmt.Errorf("an ECDSA signature of %d bytes", len(der))
	}
	out := make([]byte, 64)
	copy(out[32-len(r):32], r)
	copy(out[64-len(s):], s)
	return out, nil
}

// sequence is the ASN.1 form of r and s.
func sequence(raw []byte) ([]byte, error) {
	b := cryptobyte.NewFixedBuilder(make([]byte, 0, 72))
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, half := range [][]byte{raw[:32], raw[32:]} {
			b.AddASN1(asn1.INTEGER, func(b *cryptobyte.Builder) {
				for len(half) > 1 && half[0] == 0 {
					half = half[1:]
				}
				if half[0] >= 0x80 {
					b.AddUint8(0)
				}
				b.AddBytes(half)
			})
		}
	})
	return b.Bytes()
}

// correct reports whether the signature over input is the key's.
func (m *material) correct(input, signature []byte) bool {
	switch public := m.private.Public().(type) {
	case ed25519.PublicKey:
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(public, input, signature)
	case *rsa.PublicKey:
		sum := sha256.Sum256(input)
		return rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil
	case *ecdsa.PublicKey:
		if len(signature) != 64 {
			return false
		}
		der, err := sequence(signature)
		sum := sha256.Sum256(input)
		return err == nil && ecdsa.VerifyASN1(public, sum[:], der)
	}
	return false
}

// AtHash is the at_hash (or c_hash) of a token or code in an ID token signed
// with alg: the left half of its hash (OpenID Connect Core, section 3.1.3.6).
// Ed25519 hashes with SHA-512.
func AtHash(alg, token string) string {
	if alg == EdDSA {
		sum := sha512.Sum512([]byte(token))
		return base64.RawURLEncoding.EncodeToString(sum[:32])
	}
	sum := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}
