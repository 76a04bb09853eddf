package jwt_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"math/big"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The published examples say nothing of us: their signatures hold, and what they say
// does not.
func TestSignaturesOfThePublishedExamplesHold(t *testing.T) {
	t.Parallel()
	number := func(text string) *big.Int { return new(big.Int).SetBytes(decode(t, text)) }
	const joe = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
	const modulus = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
	point := append([]byte{4}, decode(t, "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU")...)
	p256, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), append(point, decode(t, "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0")...))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, raw string
		key       jwt.Key
		check     string // that refuses
	}{
		{
			"RFC 7515 A.1 and RFC 7519 3.1", "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." + joe + ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
			jwt.Key{Secret: decode(t, "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")}, "aud",
		},
		{
			"RFC 7515 A.2", "eyJhbGciOiJSUzI1NiJ9." + joe + ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
			jwt.Key{Public: &rsa.PublicKey{N: number(modulus), E: 65537}}, "aud",
		},
		{
			"RFC 7515 A.3", "eyJhbGciOiJFUzI1NiJ9." + joe + ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
			jwt.Key{Public: p256}, "aud",
		},
		{
			"RFC 8037 A.4", "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
			jwt.Key{Public: ed25519.PublicKey(decode(t, "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"))}, "form", // its payload is no JSON
		},
	} {
		e := expect()
		e.Keys = []jwt.Key{c.key}
		code := jwt.CodeMissing
		if c.check == "form" {
			code = jwt.CodeInvalid
		}
		refused(t, c.name, c.raw, e, code, c.check)
		_, checks, _ := jwt.Verify(c.raw, e)
		verified := false
		for _, check := range checks {
			verified = verified || check.Name == jwt.CheckSignature && check.OK
		}
		if !verified {
			t.Errorf("%s: the signature does not hold: %+v", c.name, checks)
		}
	}
}

func TestAPublicKeyIsReadAsPeoplePasteIt(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing": "", "text": "key", "empty block": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
		"private": "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----",
		"two":     ed25519PEM + ed25519PEM, "text behind": ed25519PEM + "x",
	} {
		if key, err := jwt.ParsePublicKey(text); err == nil {
			t.Errorf("%s: %v", name, key)
		}
	}
	for _, text := range []string{ed25519PEM, "\n  " + ed25519PEM + "\n\n"} {
		if _, err := jwt.ParsePublicKey(text); err != nil {
			t.Error(err)
		}
	}
}

// RFC 8410, section 10.1.
const ed25519PEM = `-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
`

func TestAUserHashIsComparedWhole(t *testing.T) {
	t.Parallel()
	hash := jwt.UserHash(secret, "42")
	if len(hash) != 64 || !jwt.CheckUserHash(secret, "42", hash) {
		t.Errorf("hash %q", hash)
	}
	for name, ok := range map[string]bool{
		"empty": jwt.CheckUserHash(secret, "42", ""), "half": jwt.CheckUserHash(secret, "42", hash[:32]), "another's": jwt.CheckUserHash(secret, "43", hash),
		"short secret": jwt.CheckUserHash(secret[:31], "42", jwt.UserHash(secret[:31], "42")), "no secret": jwt.CheckUserHash(nil, "42", jwt.UserHash(nil, "42")),
	} {
		if ok {
			t.Errorf("%s: accepted", name)
		}
	}
}
