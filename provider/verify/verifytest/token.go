package verifytest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Claims are a token's; nil leaves one out.
type Claims map[string]any

type signingKey struct {
	kid, alg string
	private  crypto.Signer
}

// Token issues an access token, signed ES256: of an agent called "ana", in
// session "session-1", for Audience, for five minutes, with the claims given
// here instead of or beside the usual ones.
func (i *Issuer) Token(claims Claims) string { return i.TokenWith("ES256", claims) }

// TokenWith is Token with another algorithm: ES256, RS256 or EdDSA.
func (i *Issuer) TokenWith(alg string, claims Claims) string {
	k := i.key(alg)
	return i.Sign(map[string]any{"alg": alg, "kid": k.kid, "typ": "at+jwt"}, i.claims(claims))
}

// Sign signs any payload under any header, with the key that the header's kid
// names, or else with the ES256 key: for tokens that must be refused.
func (i *Issuer) Sign(header map[string]any, payload any) string {
	kid, _ := header["kid"].(string)
	i.mu.Lock()
	at := slices.IndexFunc(i.keys, func(k *signingKey) bool { return k.kid == kid })
	if at < 0 {
		at = slices.IndexFunc(i.keys, func(k *signingKey) bool { return k.alg == "ES256" })
	}
	k := i.keys[at]
	i.mu.Unlock()
	signed := encode(header) + "." + encode(payload)
	return signed + "." + base64.RawURLEncoding.EncodeToString(k.sign([]byte(signed)))
}

func encode(v any) string {
	text, ok := v.([]byte)
	if !ok {
		text, _ = json.Marshal(v) // claims of a test: what cannot be encoded is empty, and refused
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

func (i *Issuer) claims(given Claims) Claims {
	now := time.Now()
	claims := Claims{
		"iss": i.URL, "sub": "ana", "aud": Audience, "iat": now.Unix(), "iat_ms": now.UnixMilli(), "exp": now.Add(5 * time.Minute).Unix(), "jti": rand.Text(),
		"client_id": "desk", "scope": "chat", "sid": "session-1", "auth_time": now.Unix(), "acr": "aal1", "amr": []string{"pwd"},
		"roles": []string{policy.Agents}, "groups": []string{}, "entitlements": []string{"chat.accept", "chat.join"},
		"site": "", "subject_type": policy.Agent,
	}
	maps.Copy(claims, given)
	if _, told := given["iat_ms"]; !told && given["iat"] != nil {
		delete(claims, "iat_ms") // it would belong to another second
	}
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// Rotate makes a new key for the algorithm, publishes it beside the others, and
// signs with it from now on. It returns the new kid.
func (i *Issuer) Rotate(alg string) (kid string) {
	k := &signingKey{kid: rand.Text(), alg: alg, private: newKey(alg)}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
	return k.kid
}

// Withdraw takes a key out of the key set. It still signs if it is the last of
// its algorithm.
func (i *Issuer) Withdraw(kid string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = slices.DeleteFunc(i.keys, func(k *signingKey) bool { return k.kid == kid })
}

// Kid is the kid that signs now.
func (i *Issuer) Kid(alg string) string { return i.key(alg).kid }

func (i *Issuer) key(alg string) *signingKey {
	i.mu.Lock()
	for _, k := range slices.Backward(i.keys) {
		if k.alg == alg {
			i.mu.Unlock()
			return k
		}
	}
	i.mu.Unlock()
	i.Rotate(alg)
	return i.key(alg)
}

func newKey(alg string) crypto.Signer {
	var key crypto.Signer
	var err error
	switch alg {
	case "ES256":
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "RS256":
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	case "EdDSA":
		_, key, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = fmt.Errorf("verifytest: algorithm %q is none of ES256, RS256, EdDSA", alg)
	}
	if err != nil {
		panic(err)
	}
	return key
}

func (k *signingKey) sign(text []byte) []byte {
	hash := sha256.Sum256(text)
	var signature []byte
	var err error
	switch private := k.private.(type) {
	case *ecdsa.PrivateKey:
		r, s, failed := ecdsa.Sign(rand.Reader, private, hash[:])
		if err = failed; err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(nil, private, crypto.SHA256, hash[:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(private, text)
	}
	if err != nil {
		panic(err)
	}
	return signature
}

func (i *Issuer) jwks() jose.JSONWebKeySet {
	i.mu.Lock()
	defer i.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range i.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.kid, Algorithm: k.alg, Use: "sig"})
	}
	return set
}
