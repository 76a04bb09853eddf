package jwt

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"testing"
)

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors are Project Wycheproof's (ecdsa_secp256r1_sha256_p1363, ed25519), by their
// numbers there, but for the two without one. Arithmetic that leaves a range out finds
// that those out of range hold.
func TestASignatureOutsideItsRangeIsNone(t *testing.T) {
	t.Parallel()
	const (
		zeros = "0000000000000000000000000000000000000000000000000000000000000000"
		s253  = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc63254e"
		r1    = "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18"
		s1    = "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76"
		order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551"
	)
	p256 := func(x, y string) Key {
		public, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), unhex(t, "04"+x+y))
		if err != nil {
			t.Fatal(err)
		}
		return Key{Public: public}
	}
	usual := p256("2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838", "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e")
	small := p256("264d796a0dab9b376d34eea6fe297dde1c7b73e53944bc96c8f1e8a6850bb6c9", "cf5308020eed460c649ddae61d4ef8bb79958113f106befaf4f18876d12a5e64")
	large := p256("0ad99500288d466940031d72a9f5445a4d43784640855bf0a69874d2de5fe103", "c5011e6ef2c42dcd50d5d3d29f99ae6eba2c80c9244f4c5422f0979ff0c3ba5e")
	edwards := Key{Public: ed25519.PublicKey(unhex(t, "7d4d0e7f6153a69b6242b522abbee685fda4420f8834b108c3bdae369ef549fa"))}
	const r3 = "7c38e026f29e14aabd059a0f2db8b0cd783040609a8be684db12f82a27774ab0"
	for _, c := range []struct {
		name      string
		key       Key
		alg       string
		message   string
		signature string
		holds     bool
	}{
		{"P-256 1: the usual", usual, "ES256", "123400", r1 + s1, true},
		{"P-256 11: r and s are zero", usual, "ES256", "123400", zeros + zeros, false},
		{"P-256 25: r is the order, s zero", usual, "ES256", "123400", order + zeros, false},
		{"P-256 27: r and s are the order", usual, "ES256", "123400", order + order, false},
		{"P-256 115: r of an x beyond the order", large, "ES256", "123400", "000000000000000000000000000000004319055358e8617b0c46353d039cdaab" + s253, true},
		{"P-256 116: that x as r", large, "ES256", "123400", "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc" + s253, false},
		{"P-256 253: r is five", small, "ES256", "hello, world", zeros[:63] + "5" + s253, true},
		{"P-256 255: r is five and the order", small, "ES256", "hello, world", "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632556" + s253, false},
		{"P-256, s with a zero before it", usual, "ES256", "123400", r1 + "00" + s1, false},
		{"P-256, half of it", usual, "ES256", "123400", r1[:40], false},
		{"Ed25519 3: the usual", edwards, "EdDSA", "Test", r3 + "7a9155711ecfaf7f99f277bad0c6ae7e39d4eef676573336a5c51eb6f946b30d", true},
		{"Ed25519 63: s and the order", edwards, "EdDSA", "Test", r3 + "67654bce3832c2d76f8f6f5dafc08d9339d4eef676573336a5c51eb6f946b31d", false},
		{"Ed25519 64: s and twice the order", edwards, "EdDSA", "Test", r3 + "5439412b5395d42f462c67008eba6ca839d4eef676573336a5c51eb6f946b32d", false},
		{"Ed25519 37: a byte more", edwards, "EdDSA", "Test", r3 + "7a9155711ecfaf7f99f277bad0c6ae7e39d4eef676573336a5c51eb6f946b30d00", false},
		{"Ed25519 10: all zero", edwards, "EdDSA", "?", zeros + zeros, false},
	} {
		if got := c.key.verify(c.alg, []byte(c.message), unhex(t, c.signature)); got != c.holds {
			t.Errorf("%s: holds %v", c.name, got)
		}
	}
}
