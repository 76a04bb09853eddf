package jwt_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func TestEachAlgorithmVerifiesByItsKindOfKeyOnly(t *testing.T) {
	t.Parallel()
	keys := map[string]jwt.Key{
		"HS": {Secret: secret}, "RS": {Public: &ring().rsa.PublicKey}, "ES256": {Public: &ring().p256.PublicKey},
		"ES384": {Public: &ring().p384.PublicKey}, "Ed": {Public: ring().ed25519.Public()},
	}
	for _, alg := range []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA", "PS256"} {
		raw := sign(t, alg, "", strict())
		for kind, key := range keys {
			e := expect()
			if e.Keys = []jwt.Key{key}; strings.HasPrefix(alg, kind) {
				accepted(t, alg, raw, e)
				continue
			}
			refused(t, alg+" by "+kind, raw, e, jwt.CodeInvalid, "algorithm")
		}
	}
}

func TestNobodySignsWithoutTheKey(t *testing.T) {
	t.Parallel()
	payload := string(asJSON(t, strict()))
	for _, alg := range []string{"none", "None", "nOnE", "NONE", "", "HS1", "hs256", "HS256 ", "RS256", "ES256K", "dir", "x"} {
		header := fmt.Sprintf(`{"alg":%q}`, alg)
		refused(t, "alg "+alg, encode([]byte(header))+"."+encode([]byte(payload))+".", expect(), jwt.CodeInvalid, "algorithm")
		refused(t, "alg "+alg+", signed", hmacToken(sha256.New, secret, header, payload), expect(), jwt.CodeInvalid, "algorithm")
	}
	header := `{"alg":"HS256"}`
	for name, key := range map[string]string{"wrong": strings.Repeat("x", 32), "empty": "", "a byte less": string(secret[:31])} {
		refused(t, name+" secret", hmacToken(sha256.New, []byte(key), header, payload), expect(), jwt.CodeInvalid, "signature")
	}
	whole := hs256(t, strict())
	refused(t, "no signature", whole[:strings.LastIndexByte(whole, '.')+1], expect(), jwt.CodeInvalid, "signature")
	refused(t, "half a signature", whole[:len(whole)-19], expect(), jwt.CodeInvalid, "signature")
}

func TestAPublicKeyIsNoSecret(t *testing.T) {
	t.Parallel()
	der, err := x509.MarshalPKIXPublicKey(&ring().rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	public, err := jwt.ParsePublicKey(string(text))
	if err != nil {
		t.Fatal(err)
	}
	jwk, err := jose.JSONWebKey{Key: public, KeyID: "1", Algorithm: "RS256", Use: "sig"}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	bare, err := jose.JSONWebKey{Key: public}.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	e := expect()
	e.Keys = []jwt.Key{{KID: "1", Public: public}, {KID: "2", Secret: secret}}
	for name, key := range map[string][]byte{
		"PEM": text, "trimmed": []byte(strings.TrimSpace(string(text))), "DER": der, "modulus": ring().rsa.N.Bytes(), "nothing": nil,
		"JWK": jwk, "JWK of the key alone": bare, "JWK Set": []byte(`{"keys":[` + string(jwk) + `]}`), "n": []byte(encode(ring().rsa.N.Bytes())),
	} {
		raw := hmacToken(sha256.New, key, `{"alg":"HS256","kid":"1"}`, string(asJSON(t, strict())))
		refused(t, name, raw, e, jwt.CodeInvalid, "algorithm")
	}
}

func TestAKeyThatIsTooWeakVerifiesNothing(t *testing.T) {
	t.Parallel()
	edPublic := ring().ed25519.Public().(ed25519.PublicKey)
	for name, key := range map[string]jwt.Key{
		"empty": {}, "31 bytes": {Secret: secret[:31]}, "other algorithm": {Secret: secret, Alg: "HS512"}, "alg of another kind": {Secret: secret, Alg: "RS256"},
		"RSA of 1,024 bits": {Public: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 1023), E: 65537}},
		"RSA beyond bounds": {Public: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8192), E: 65537}},
		"exponent of one":   {Public: &rsa.PublicKey{N: ring().rsa.N, E: 1}},
		"half an Ed25519":   {Public: edPublic[:16]}, "a private key": {Public: ring().rsa},
	} {
		if of := key.Algorithms(); len(of) > 0 && name != "other algorithm" {
			t.Errorf("%s: %v", name, of)
		}
		e := expect()
		e.Keys = []jwt.Key{key}
		raw := hmacToken(sha256.New, key.Secret, `{"alg":"HS256"}`, string(asJSON(t, strict())))
		refused(t, name, raw, e, jwt.CodeInvalid, "algorithm")
	}
	e := expect()
	e.Keys = nil
	refused(t, "no key", hs256(t, strict()), e, jwt.CodeInvalid, "key")
}

func TestAKidNamesOneKeyAndNothingElse(t *testing.T) {
	t.Parallel()
	other := make([]byte, 32)
	if _, err := rand.Read(other); err != nil {
		t.Fatal(err)
	}
	e := expect()
	e.Keys = []jwt.Key{{KID: "old", Secret: other}, {KID: "new", Secret: secret}}
	accepted(t, "the key", sign(t, "HS256", "new", strict()), e)
	accepted(t, "no kid", hs256(t, strict()), e)
	refused(t, "another's kid", sign(t, "HS256", "old", strict()), e, jwt.CodeInvalid, "signature")
	for _, kid := range []string{"foreign", "NEW", "new ", "../../../dev/null", "/proc/self/environ", "' or 1=1 --", "new\x00", "|id", strings.Repeat("k", 9000)} {
		refused(t, "kid "+kid[:min(len(kid), 20)], sign(t, "HS256", kid, strict()), e, jwt.CodeInvalid, "key")
	}
	e.Keys = []jwt.Key{{Secret: secret}}
	refused(t, "a kid where no key has one", sign(t, "HS256", "../x", strict()), e, jwt.CodeInvalid, "key")
}

func TestWithoutAKidAtMostEightKeysAreTried(t *testing.T) {
	t.Parallel()
	e := expect()
	e.Keys = nil
	for i := range 8 {
		e.Keys = append(e.Keys, jwt.Key{KID: fmt.Sprint(i), Secret: []byte(strings.Repeat(fmt.Sprint(i), 32))})
	}
	e.Keys = append(e.Keys, jwt.Key{KID: "8", Public: &ring().rsa.PublicKey})
	accepted(t, "the ninth, of another kind", sign(t, "RS256", "", strict()), e)
	e.Keys = append(e.Keys, jwt.Key{KID: "9", Secret: secret})
	refused(t, "the ninth of its kind", hs256(t, strict()), e, jwt.CodeInvalid, "signature")
	accepted(t, "by its kid", sign(t, "HS256", "9", strict()), e)
}
