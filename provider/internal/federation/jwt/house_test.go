package jwt_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/json"
	"errors"
	"hash"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

const (
	audience = "https://id.shop.example/federation/staff"
	issuer   = "https://login.shop.example"
)

var (
	now    = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	secret = []byte("0123456789abcdef0123456789abcdef")
)

type claims map[string]any

// with returns other claims in place of these; nil takes one away.
func (c claims) with(other claims) claims {
	c = maps.Clone(c)
	for name, v := range other {
		if c[name] = v; v == nil {
			delete(c, name)
		}
	}
	return c
}

// strict is what a token must say in no dialect.
func strict() claims {
	return claims{"aud": audience, "iss": issuer, "iat": now.Unix(), "jti": "one", "sub": "42", "email": "a@shop.example"}
}

func expect() jwt.Expect {
	return jwt.Expect{Use: jwt.Agent, Audience: audience, Issuer: issuer, Keys: []jwt.Key{{Secret: secret}}, Now: now}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func asJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// hmacToken signs parts as they stand.
func hmacToken(newHash func() hash.Hash, key []byte, header, payload string) string {
	signed := encode([]byte(header)) + "." + encode([]byte(payload))
	mac := hmac.New(newHash, key)
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}

func hs256(t testing.TB, c claims) string {
	t.Helper()
	return hmacToken(sha256.New, secret, `{"alg":"HS256","typ":"JWT"}`, string(asJSON(t, c)))
}

type keyring struct {
	rsa     *rsa.PrivateKey
	p256    *ecdsa.PrivateKey
	p384    *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

var ring = sync.OnceValue(func() (k keyring) {
	var errs [4]error
	k.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.p256, errs[1] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	k.p384, errs[2] = ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, k.ed25519, errs[3] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return k
})

// sign makes a token by any of the algorithms.
func sign(t testing.TB, alg, kid string, c claims) string {
	t.Helper()
	header := map[string]string{"alg": alg}
	if kid != "" {
		header["kid"] = kid
	}
	signed := encode(asJSON(t, header)) + "." + encode(asJSON(t, c))
	return signed + "." + encode(signature(t, alg, []byte(signed)))
}

func signature(t testing.TB, alg string, signed []byte) []byte {
	t.Helper()
	number := map[string]crypto.Hash{"256": crypto.SHA256, "384": crypto.SHA384, "512": crypto.SHA512}[alg[max(0, len(alg)-3):]]
	var sig []byte
	var err error
	switch alg {
	case "HS256", "HS384", "HS512":
		newHash := map[string]func() hash.Hash{"HS256": sha256.New, "HS384": sha512.New384, "HS512": sha512.New}[alg]
		mac := hmac.New(newHash, secret)
		mac.Write(signed)
		return mac.Sum(nil)
	case "RS256", "RS384", "RS512":
		sig, err = rsa.SignPKCS1v15(rand.Reader, ring().rsa, number, digest(number, signed))
	case "PS256":
		sig, err = rsa.SignPSS(rand.Reader, ring().rsa, number, digest(number, signed), nil)
	case "ES256", "ES384":
		key, size := ring().p256, 32
		if alg == "ES384" {
			key, size = ring().p384, 48
		}
		r, s, signErr := ecdsa.Sign(rand.Reader, key, digest(number, signed))
		if err = signErr; err == nil {
			sig = append(r.FillBytes(make([]byte, size)), s.FillBytes(make([]byte, size))...)
		}
	case "EdDSA":
		return ed25519.Sign(ring().ed25519, signed)
	default:
		t.Fatalf("no such algorithm: %s", alg)
	}
	if err != nil {
		t.Fatal(err)
	}
	return sig
}

func digest(h crypto.Hash, b []byte) []byte {
	d := h.New()
	d.Write(b)
	return d.Sum(nil)
}

// refused checks the code and the check that a token is refused for.
func refused(t *testing.T, name, raw string, e jwt.Expect, code, check string) {
	t.Helper()
	got, checks, err := jwt.Verify(raw, e)
	var no *jwt.Refused
	switch {
	case !errors.As(err, &no):
		t.Errorf("%s: accepted: %v", name, err)
	case no.Code != code || no.Name != check:
		t.Errorf("%s: %s for %s (expected %q, got %q), want %s for %s", name, no.Code, no.Name, no.Expected, no.Got, code, check)
	case got.Values != nil || got.ID != "" || got.HasSubject:
		t.Errorf("%s: claims of a refused token: %+v", name, got)
	case len(checks) == 0 || checks[len(checks)-1] != no.Check:
		t.Errorf("%s: the last check is not the refusal: %+v", name, checks)
	case len(raw) > 20 && strings.Contains(no.Error(), raw[:20]):
		t.Errorf("%s: the error repeats the token", name)
	}
}

func accepted(t *testing.T, name, raw string, e jwt.Expect) jwt.Claims {
	t.Helper()
	c, checks, err := jwt.Verify(raw, e)
	if err != nil {
		t.Errorf("%s: %v %+v", name, err, checks)
	}
	for _, one := range checks { // what holds is not told in the words of what does not
		if one.OK && strings.Contains(one.Got, "another") {
			t.Errorf("%s: %+v", name, one)
		}
	}
	return c
}
