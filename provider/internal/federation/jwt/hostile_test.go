package jwt_test

import (
	"bytes"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"math/big"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

// Whoever reads the padding from the left and does not look where it ends takes this
// for a signature: a cube root, made without the private key (Bleichenbacher, 2006).
func TestAForgedPaddingIsNoSignatureByAKeyOfExponentThree(t *testing.T) {
	t.Parallel()
	signed := encode([]byte(`{"alg":"RS256"}`)) + "." + encode(asJSON(t, strict()))
	sum := sha256.Sum256([]byte(signed))
	ofSHA256, err := hex.DecodeString("3031300d060960864801650304020105000420") // RFC 8017, section 9.2, note 1
	if err != nil {
		t.Fatal(err)
	}
	begin := bytes.Join([][]byte{{0, 1}, bytes.Repeat([]byte{0xff}, 8), {0}, ofSHA256, sum[:]}, nil)
	low := new(big.Int).SetBytes(append(bytes.Clone(begin), make([]byte, 256-len(begin))...))
	root := new(big.Int)
	for bit := 700; bit >= 0; bit-- { // the largest number whose cube is not above it
		root.SetBit(root, bit, 1)
		if cube(root).Cmp(low) > 0 {
			root.SetBit(root, bit, 0)
		}
	}
	root.Add(root, big.NewInt(1))
	if block := cube(root).FillBytes(make([]byte, 256)); !bytes.HasPrefix(block, begin) {
		t.Fatalf("the forgery does not begin as it should: %x", block[:len(begin)])
	}
	e := expect()
	e.Keys = []jwt.Key{{Public: &rsa.PublicKey{N: ring().rsa.N, E: 3}}}
	refused(t, "a cube root", signed+"."+encode(root.FillBytes(make([]byte, 256))), e, jwt.CodeInvalid, "signature")
}

func cube(x *big.Int) *big.Int { return new(big.Int).Exp(x, big.NewInt(3), nil) }

// TestAHostileTokenCostsLittle is not parallel: it measures.
func TestAHostileTokenCostsLittle(t *testing.T) {
	long := 1 << 20
	deep := strings.Repeat(`[`, jwt.MaxToken/2)
	tokens := map[string]string{
		"dots":                        strings.Repeat(".", long),
		"a long header":               strings.Repeat("A", long) + "..",
		"a long payload":              encode([]byte(`{"alg":"HS256"}`)) + "." + strings.Repeat("A", long) + ".",
		"a deep header":               encode([]byte(deep)) + "..",
		"a header of deep objects":    encode([]byte(strings.Repeat(`{"a":`, jwt.MaxToken/8))) + "..",
		"a deep payload, well signed": hmacToken(sha256.New, secret, `{"alg":"HS256"}`, deep),
		"a long kid":                  encode([]byte(`{"alg":"HS256","kid":"`+strings.Repeat("k", 11<<10)+`"}`)) + "..",
	}
	for name, raw := range tokens {
		best := time.Hour
		var before, after runtime.MemStats
		for range 3 { // a busy machine stops for longer than this takes
			runtime.ReadMemStats(&before)
			begin := time.Now()
			_, _, err := jwt.Verify(raw, expect())
			kid := jwt.KeyID(raw)
			best = min(best, time.Since(begin))
			runtime.ReadMemStats(&after)
			if err == nil || len(kid) > jwt.MaxToken {
				t.Fatalf("%s: %v, kid of %d bytes", name, err, len(kid))
			}
		}
		if allocated := after.TotalAlloc - before.TotalAlloc; best > 20*time.Millisecond || allocated > 256<<10 {
			t.Errorf("%s: %s and %d bytes", name, best, allocated)
		}
	}
}
