package jwt

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"slices"
	"strings"
)

// MinSecret is the shortest shared secret, in bytes.
const MinSecret = 32

// Moduli of RSA keys, in bits: a longer one costs more than a sign-in should.
const (
	minRSABits = 2048
	maxRSABits = 8192
)

// Key verifies tokens: a shared secret or a public key.
type Key struct {
	KID string
	// Alg is the one algorithm of the key; empty: those of its kind.
	Alg    string
	Secret []byte
	Public crypto.PublicKey
}

// Algorithms are what the key may verify; none for a key that is too weak.
func (k Key) Algorithms() []string {
	var of []string
	switch public := k.Public.(type) {
	case nil:
		if len(k.Secret) >= MinSecret {
			of = []string{"HS256", "HS384", "HS512"}
		}
	case *rsa.PublicKey:
		if public.N.BitLen() >= minRSABits && public.N.BitLen() <= maxRSABits && public.E >= 3 && public.E%2 == 1 {
			of = []string{"RS256", "RS384", "RS512"}
		}
	case *ecdsa.PublicKey:
		switch public.Curve.Params().BitSize {
		case 256:
			of = []string{"ES256"}
		case 384:
			of = []string{"ES384"}
		}
	case ed25519.PublicKey:
		if len(public) == ed25519.PublicKeySize {
			of = []string{"EdDSA"}
		}
	}
	if k.Alg != "" {
		return slices.DeleteFunc(of, func(a string) bool { return a != k.Alg })
	}
	return of
}

// ParsePublicKey reads a public key, or a certificate's, as people paste it.
func ParsePublicKey(text string) (crypto.PublicKey, error) {
	block, rest := pem.Decode([]byte(strings.TrimSpace(text)))
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		return nil, errors.New("it is not one PEM block")
	}
	var key crypto.PublicKey
	var err error
	switch block.Type {
	case "PUBLIC KEY":
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	case "RSA PUBLIC KEY":
		key, err = x509.ParsePKCS1PublicKey(block.Bytes)
	case "CERTIFICATE":
		var c *x509.Certificate
		if c, err = x509.ParseCertificate(block.Bytes); err == nil {
			key = c.PublicKey
		}
	default:
		return nil, fmt.Errorf("it is a %s and not a PUBLIC KEY", strings.ToLower(block.Type))
	}
	if err != nil {
		return nil, fmt.Errorf("the key cannot be read: %w", err)
	}
	if len((Key{Public: key}).Algorithms()) == 0 {
		return nil, errors.New("the key must be RSA of 2,048 to 8,192 bits, EC P-256 or P-384, or Ed25519")
	}
	return key, nil
}

// IsSigningInput reports whether the text reads like what the signature of a JWT is
// over (RFC 7515, section 5.1): a hash of it might be one.
func IsSigningInput(text string) bool {
	header, _, found := strings.Cut(text, ".")
	raw, err := base64.RawURLEncoding.DecodeString(header)
	return found && err == nil && json.Valid(raw)
}

// UserHash is the hex HMAC-SHA256 by which some sites vouch for a visitor's id.
func UserHash(secret []byte, id string) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id))
	return hex.EncodeToString(mac.Sum(nil))
}

// CheckUserHash compares in constant time.
func CheckUserHash(secret []byte, id, given string) bool {
	return len(secret) >= MinSecret && hmac.Equal([]byte(UserHash(secret, id)), []byte(strings.ToLower(given)))
}

// signature finds the key and verifies by it, before anything of the payload is
// read.
func (v *verification) signature() error {
	rawHeader, payload, signature, err := v.split()
	if err != nil {
		return err
	}
	h, err := readHeader(rawHeader)
	if err := v.must(err == nil, CheckForm, "a header that reads in one way", fmt.Sprint(err)); err != nil {
		return err
	}
	if err := v.must(!h.extended, CheckForm, "neither crit nor b64", "one of them"); err != nil {
		return err
	}
	if err := v.must(h.typed(), CheckForm, "typ JWT", h.typ); err != nil {
		return err
	}
	candidates, err := v.candidates(h)
	if err != nil {
		return err
	}
	signed := v.raw[:strings.LastIndexByte(v.raw, '.')]
	valid := slices.ContainsFunc(candidates, func(k Key) bool { return k.verify(h.alg, []byte(signed), signature) })
	by := "by another"
	if valid {
		by = "by one of them"
	}
	if err := v.check(CodeInvalid, CheckSignature, valid, "by one of the connection's keys", by); err != nil {
		return err
	}
	return v.read(payload)
}

// candidates are the keys that may have signed: those that kid names and no other,
// or without kid all of the algorithm.
func (v *verification) candidates(h header) ([]Key, error) {
	var named, fit []Key
	var algorithms, kids []string
	for _, k := range v.Keys {
		kids = append(kids, k.KID)
		if h.kid != "" && k.KID != h.kid {
			continue
		}
		named = append(named, k)
		algorithms = append(algorithms, k.Algorithms()...)
		if slices.Contains(k.Algorithms(), h.alg) {
			fit = append(fit, k)
		}
	}
	if err := v.check(CodeInvalid, CheckKey, len(named) > 0, "kid "+strings.Join(kids, ", "), "kid "+h.kid); err != nil {
		return nil, err
	}
	slices.Sort(algorithms)
	if err := v.check(CodeInvalid, CheckAlgorithm, len(fit) > 0, strings.Join(slices.Compact(algorithms), ", "), h.alg); err != nil {
		return nil, err
	}
	return fit[:min(len(fit), maxTried)], nil
}

// digest is the hash of an algorithm, by the number that its name ends in.
func digest(alg string) (crypto.Hash, func() hash.Hash) {
	switch {
	case strings.HasSuffix(alg, "384"):
		return crypto.SHA384, sha512.New384
	case strings.HasSuffix(alg, "512"):
		return crypto.SHA512, sha512.New
	}
	return crypto.SHA256, sha256.New
}

// verify verifies by an algorithm that is one of the key's (RFC 7518, section 3,
// and RFC 8037).
func (k Key) verify(alg string, signed, signature []byte) bool {
	if alg == "EdDSA" {
		key, ok := k.Public.(ed25519.PublicKey)
		return ok && ed25519.Verify(key, signed, signature)
	}
	number, fresh := digest(alg)
	if strings.HasPrefix(alg, "HS") {
		mac := hmac.New(fresh, k.Secret)
		mac.Write(signed)
		return k.Public == nil && hmac.Equal(mac.Sum(nil), signature)
	}
	h := fresh()
	h.Write(signed)
	switch key := k.Public.(type) {
	case *rsa.PublicKey:
		return rsa.VerifyPKCS1v15(key, number, h.Sum(nil), signature) == nil
	case *ecdsa.PublicKey:
		size := (key.Curve.Params().BitSize + 7) / 8
		return len(signature) == 2*size &&
			ecdsa.Verify(key, h.Sum(nil), new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
	}
	return false
}
