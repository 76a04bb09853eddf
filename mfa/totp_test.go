package mfa

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image/png"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pquerna/otp"
)

// rfcSeed and rfcCodes are of RFC 6238, appendix B (SHA-1); ours are their last
// six digits.
var rfcSeed = []byte("12345678901234567890")

var rfcCodes = map[int64]string{
	59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
}

func TestCodesAreThoseOfTheRFC(t *testing.T) {
	t.Parallel()
	for at, code := range rfcCodes {
		now := time.Unix(at, 0)
		if step, ok := Match(rfcSeed, code[2:], now, 0); !ok || step != at/30 {
			t.Errorf("at %d: step %d, %v", at, step, ok)
		}
		if got, err := Code(rfcSeed, now); err != nil || got != code[2:] {
			t.Errorf("at %d: %s, %v", at, got, err)
		}
	}
}

func TestCodesAreThoseOfOathtool(t *testing.T) {
	t.Parallel()
	tool, err := exec.LookPath("oathtool")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this machine lacks oathtool")
		}
		t.Skip("this machine lacks oathtool")
	}
	for i := range 5 {
		seed := NewSeed()
		at := time.Unix(1_700_000_000+int64(i)*7777, 0).UTC()
		out, err := exec.Command(tool, "--totp", "--base32", "--now", at.Format("2006-01-02 15:04:05 UTC"), SeedText(seed)).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if _, ok := Match(seed, strings.TrimSpace(string(out)), at, 0); !ok {
			t.Errorf("%s is not the code of %s at %s", out, SeedText(seed), at)
		}
	}
}

func mustCode(t testing.TB, seed []byte, at time.Time) string {
	t.Helper()
	code, err := Code(seed, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestACodeCountsInItsStepAndTheNeighboursOnly(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_010, 0)
	for off := int64(-3); off <= 3; off++ {
		code := mustCode(t, rfcSeed, now.Add(time.Duration(off)*Step))
		step, ok := Match(rfcSeed, code, now, 0)
		if want := off >= -1 && off <= 1; ok != want || ok && step != StepAt(now)+off {
			t.Errorf("%d steps off: %v, step %d", off, ok, step-StepAt(now))
		}
	}
}

func TestACodeCountsOnce(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_010, 0)
	step, ok := Match(rfcSeed, mustCode(t, rfcSeed, now), now, 0)
	if !ok {
		t.Fatal("a right code is refused")
	}
	for off := int64(-1); off <= 0; off++ {
		at := now.Add(time.Duration(off) * Step)
		if _, ok := Match(rfcSeed, mustCode(t, rfcSeed, at), now, step); ok {
			t.Errorf("the code %d steps off counts after a later one", off)
		}
	}
	if next, ok := Match(rfcSeed, mustCode(t, rfcSeed, now.Add(Step)), now, step); !ok || next != step+1 {
		t.Error("the next code does not count")
	}
}

func TestACodeIsSixDigitsAndNothingElse(t *testing.T) {
	t.Parallel()
	now := time.Unix(59, 0)
	for _, code := range []string{
		"", " 287082", "287082 ", "287082\n", "\t287082", "94287082", "28708", "2870822", "28 7082", "287082\x00", "+87082", "-87082", "28708a",
		"２８７０８２", "٢٨٧٠٨٢", strings.Repeat("2", 1<<20),
	} {
		if _, ok := Match(rfcSeed, code, now, 0); ok {
			t.Errorf("%.20q counts", code)
		}
	}
	if _, ok := Match(rfcSeed, "755224", time.Unix(-1, 0), -5); ok { // the code of step 0
		t.Error("a time before the first step counts")
	}
}

func TestASeedIsReadAsItIsTyped(t *testing.T) {
	t.Parallel()
	const text = "GEZD GNBV GY3T QOJQ GEZD GNBV GY3T QOJQ"
	if got := SeedText(rfcSeed); got != text {
		t.Errorf("%q", got)
	}
	for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, " ", ""), strings.ReplaceAll(text, " ", "-")} {
		if got, err := ParseSeed(typed); err != nil || !bytes.Equal(got, rfcSeed) {
			t.Errorf("%q: %v", typed, err)
		}
	}
	if got, err := ParseSeed("JBSWY3DPEHPK3PXP===="); err != nil || len(got) != 10 {
		t.Errorf("with padding: %v", err)
	}
	for _, bad := range []string{"", "A", "GEZDGNBV", "GEZDGNBVGY3TQOJ1", "GEZDGNBVGY3TQOJQ0", "GEZDGNBV\nGY3TQOJQ", strings.Repeat("A", 200), "JBSWY3DPEHPK3PXQ9", "GEZDGNBVGY3TQOJQGF"} {
		if seed, err := ParseSeed(bad); err == nil {
			t.Errorf("%q is read as %d bytes", bad, len(seed))
		}
	}
}

func TestTheURISaysWhoseCodeItIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ issuer, account, wantIssuer, wantAccount string }{
		{"Acme", "ana@acme.example", "Acme", "ana@acme.example"},
		{"Acme & Söhne: Support?", "o'hara+x@acme.example", "Acme & Söhne Support?", "o'hara+x@acme.example"},
		{"A/B#C%20", "a:b@c", "A/B#C%20", "a b@c"},
		{"Acme&secret=AAAA\r\n", "ana\x00", "Acme&secret=AAAA", "ana"},
	} {
		uri := URI(c.issuer, c.account, rfcSeed)
		key, err := otp.NewKeyFromURL(uri)
		if err != nil {
			t.Fatal(err)
		}
		got := []string{key.Type(), key.Issuer(), key.AccountName(), key.Secret(), fmt.Sprint(key.Period(), key.Digits(), key.Algorithm())}
		want := []string{"totp", c.wantIssuer, c.wantAccount, "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "30 6 SHA1"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s\n%s", uri, diff)
		}
		if u, _ := url.Parse(uri); strings.Contains(uri, "+") || u.Path != "/"+c.wantIssuer+":"+c.wantAccount {
			t.Errorf("the label of %s", uri)
		}
	}
}

func TestTheQRCodeIsAPictureWithABorder(t *testing.T) {
	t.Parallel()
	src, err := QR(URI(strings.Repeat("ü", 100), strings.Repeat("a", 100)+"@acme.example", NewSeed()))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(src, "data:image/png;base64,"))
	if err != nil {
		t.Fatal(err)
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	size := picture.Bounds().Dx()
	for i := range size {
		if r, _, _, _ := picture.At(i, qrBorder/2).RGBA(); r != 0xffff {
			t.Fatalf("the border is not white at %d", i)
		}
	}
	if size != qrSize+2*qrBorder || len(raw) > 8<<10 {
		t.Errorf("%d pixels, %d bytes", size, len(raw))
	}
}

func BenchmarkMatch(b *testing.B) {
	now := time.Unix(1_700_000_010, 0)
	code := mustCode(b, rfcSeed, now)
	for b.Loop() {
		if _, ok := Match(rfcSeed, code, now, 0); !ok {
			b.Fatal("refused")
		}
	}
}
