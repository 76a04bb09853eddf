package keys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"sync"

	"github.com/chatelaine-id/chatelaine/store"
)

// RSABits is the size of RS256 keys.
const RSABits = 2048

// material is one key, parsed, with what can be made of it beforehand.
type material struct {
	kid, alg string
	sealed   [32]byte // SHA-256 of the stored private key
	private  crypto.Signer
	jwk      []byte
	headers  sync.Map // typ → the encoded header
}

// generate makes a private key.
func generate(alg string) (crypto.Signer, error) {
	switch alg {
	case ES256:
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case RS256:
		return rsa.GenerateKey(rand.Reader, RSABits)
	case EdDSA:
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	}
	return nil, fmt.Errorf("%w: %q", ErrNoKey, alg)
}

// jwk is a public key (RFC 7517); members stand in the order of their names, as
// the thumbprint wants them.
type jwk struct {
	Alg string `json:"alg,omitempty"`
	Crv string `json:"crv,omitempty"`
	E   string `json:"e,omitempty"`
	KID string `json:"kid,omitempty"`
	Kty string `json:"kty"`
	N   string `json:"n,omitempty"`
	Use string `json:"use,omitempty"`
	X   string `json:"x,omitempty"`
	Y   string `json:"y,omitempty"`
}

// publicJWK returns the required members of the key's JWK.
func publicJWK(public crypto.PublicKey) (jwk, error) {
	b64 := base64.RawURLEncoding.EncodeToString
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		point, err := p.Bytes() // 4, X and Y
		if err != nil || len(point) != 65 {
			return jwk{}, fmt.Errorf("not a P-256 key: %w", err)
		}
		return jwk{Kty: "EC", Crv: "P-256", X: b64(point[1:33]), Y: b64(point[33:])}, nil
	case *rsa.PublicKey:
		return jwk{Kty: "RSA", N: b64(p.N.Bytes()), E: b64(big.NewInt(int64(p.E)).Bytes())}, nil
	case ed25519.PublicKey:
		return jwk{Kty: "OKP", Crv: "Ed25519", X: b64(p)}, nil
	}
	return jwk{}, fmt.Errorf("a key of type %T", public)
}

// Thumbprint is the key's RFC 7638 thumbprint, which is its kid.
func Thumbprint(public crypto.PublicKey) (string, error) {
	j, err := publicJWK(public)
	if err != nil {
		return "", err
	}
	b, err := json.Marshal(j)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

// seal returns the record of a new key, without its times.
func (k *Keys) seal(path, alg string, private crypto.Signer) (store.SigningKey, error) {
	kid, err := Thumbprint(private.Public())
	if err != nil {
		return store.SigningKey{}, err
	}
	plain, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return store.SigningKey{}, fmt.Errorf("encode signing key: %w", err)
	}
	defer clear(plain)
	sealed, err := k.Sealer.Seal(path, store.SigningKeys.Kind, kid, plain)
	return store.SigningKey{KID: kid, Alg: alg, Private: sealed}, err
}

// parse opens a stored key. One whose kid or algorithm does not fit is refused.
func (k *Keys) parse(path string, r *store.SigningKey) (*material, error) {
	plain, err := k.Sealer.Open(path, store.SigningKeys.Kind, r.KID, r.Private)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.KID, err)
	}
	defer clear(plain)
	parsed, err := x509.ParsePKCS8PrivateKey(plain)
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", r.KID, err)
	}
	m := &material{kid: r.KID, alg: r.Alg, sealed: sha256.Sum256(r.Private)}
	var alg string
	switch p := parsed.(type) {
	case *ecdsa.PrivateKey:
		m.private, alg = p, ES256
	case *rsa.PrivateKey:
		m.private, alg = p, RS256
	case ed25519.PrivateKey:
		m.private, alg = p, EdDSA
	}
	if alg != r.Alg {
		return nil, fmt.Errorf("signing key %s is not for %s: %w", r.KID, r.Alg, store.ErrDamaged)
	}
	j, err := publicJWK(m.private.Public())
	if err != nil {
		return nil, err
	}
	j.Alg, j.KID, j.Use = r.Alg, r.KID, "sig"
	m.jwk, err = json.Marshal(j)
	return m, err
}

// header returns the encoded protected header of the key's tokens of a type.
func (m *material) header(typ string) string {
	if h, ok := m.headers.Load(typ); ok {
		return h.(string)
	}
	plain, _ := json.Marshal(header{m.alg, m.kid, typ}) // strings only: cannot fail
	h := base64.RawURLEncoding.EncodeToString(plain)
	m.headers.Store(typ, h)
	return h
}

type header struct {
	Alg string `json:"alg"`
	KID string `json:"kid"`
	Typ string `json:"typ"`
}
