package jwt_test

import (
	"crypto/sha256"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func FuzzVerifyNeverPanicsAndTakesNothingUnsigned(f *testing.F) {
	whole := hs256(f, strict())
	f.Add(whole)
	f.Add("eyJhbGciOiJub25lIn0.e30.")
	f.Add("..")
	e := expect()
	e.Keys = append(e.Keys, jwt.Key{Public: &ring().rsa.PublicKey}, jwt.Key{Public: &ring().p256.PublicKey}, jwt.Key{Public: ring().ed25519.Public()})
	f.Fuzz(func(t *testing.T, raw string) {
		jwt.KeyID(raw)
		if _, _, err := jwt.Verify(raw, e); err == nil && raw != whole {
			t.Errorf("accepted %q", raw)
		}
	})
}

func FuzzSignedPartsNeverPanic(f *testing.F) {
	f.Add(`{"alg":"HS256"}`, string(asJSON(f, strict())), "")
	f.Add(`{"alg":"HS512","kid":"1"}`, `{"iat":1e3,"exp":-0,"sub":-0}`, jwt.Zendesk)
	f.Add(`{"alg":"ES"}`, `{"nbf":1772625600,"exp":1772625700,"jti":""}`, jwt.Comm100)
	f.Fuzz(func(t *testing.T, header, payload, dialect string) {
		e := expect()
		e.Dialect, e.Audience = dialect, audience
		for _, e.Use = range []string{jwt.Agent, jwt.Visitor} {
			claims, checks, err := jwt.Verify(hmacToken(sha256.New, secret, header, payload), e)
			switch {
			case err != nil:
			case claims.ID == "" || !claims.Until.After(now) || claims.Values == nil || len(checks) == 0:
				t.Errorf("accepted as %+v", claims)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	e := expect()
	e.Keys = append(e.Keys, jwt.Key{Public: &ring().rsa.PublicKey}, jwt.Key{Public: &ring().p256.PublicKey}, jwt.Key{Public: &ring().p384.PublicKey}, jwt.Key{Public: ring().ed25519.Public()})
	for _, alg := range []string{"HS256", "HS512", "RS256", "ES256", "ES384", "EdDSA"} {
		raw := sign(b, alg, "", strict())
		b.Run(alg, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := jwt.Verify(raw, e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
