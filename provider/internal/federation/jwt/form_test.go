package jwt_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
)

func signedAs(t *testing.T, header string) string {
	t.Helper()
	return hmacToken(sha256.New, secret, header, string(asJSON(t, strict())))
}

func TestAHeaderThatReadsInTwoWaysOrWantsMoreIsRefused(t *testing.T) {
	t.Parallel()
	for _, header := range []string{
		`{"alg":"HS256","crit":["exp"]}`, `{"alg":"HS256","crit":[]}`, `{"alg":"HS256","crit":null}`, `{"alg":"HS256","crit":["b64"],"b64":false}`,
		`{"alg":"HS256","b64":false}`, `{"alg":"HS256","b64":true}`, `{"alg":"HS256","alg":"none"}`, `{"alg":"none","\u0061lg":"HS256"}`,
		`{"alg":"HS256","kid":"1","kid":"2"}`, `{"alg":"HS256"}{}`, `{"alg":"HS256"} x`, `["HS256"]`, `"HS256"`, ``, `{`,
		`{"alg":["HS256"]}`, `{"alg":null}`, `{"alg":{"toString":"HS256"}}`, `{"alg":"HS256","kid":7}`, `{"alg":"HS256","kid":null}`,
		`{"alg":"HS256","typ":"at+jwt"}`, `{"alg":"HS256","typ":"logout+jwt"}`, `{"alg":"HS256","typ":"JWE"}`, `{"alg":"HS256","typ":1}`,
		`{"alg":"HS256","deep":` + strings.Repeat("[", 17) + strings.Repeat("]", 17) + `}`,
	} {
		refused(t, header, signedAs(t, header), expect(), jwt.CodeInvalid, "form")
	}
	refused(t, "null", signedAs(t, `null`), expect(), jwt.CodeInvalid, "algorithm")
	refused(t, "ALG", signedAs(t, `{"ALG":"HS256"}`), expect(), jwt.CodeInvalid, "algorithm")
	for _, header := range []string{
		`{"alg":"HS256","ALG":"none"}`, `{"alg":"HS256","Crit":["x"]}`, `{"alg":"HS256","typ":"jwt"}`, `{"alg":"HS256","typ":"application/JWT"}`, `{"alg":"HS256","kid":""}`,
		`{"alg":"HS256","jku":"https://evil.example/keys","x5u":"http://169.254.169.254/","jwk":{"kty":"oct","k":"AA"},"x5c":["AA"],"cty":"JWT","zip":"DEF"}`,
	} {
		accepted(t, header, signedAs(t, header), expect())
	}
}

func TestAKeyInTheHeaderIsNotUsed(t *testing.T) {
	t.Parallel()
	own := strings.Repeat("e", 32)
	raw := hmacToken(sha256.New, []byte(own), `{"alg":"HS256","jwk":{"kty":"oct","k":"`+encode([]byte(own))+`"}}`, string(asJSON(t, strict())))
	refused(t, "jwk", raw, expect(), jwt.CodeInvalid, "signature")
}

func TestAPayloadMustReadInOneWay(t *testing.T) {
	t.Parallel()
	whole := string(asJSON(t, strict()))
	more := func(members string) string { return strings.TrimSuffix(whole, "}") + "," + members + "}" }
	for _, payload := range []string{
		more(`"sub":"1"`), more(`"\u0073ub":"1"`), more(`"a":{"b":1,"b":2}`), whole + whole, whole + "\n]", "[" + whole + "]", "null", "", "1", `"x"`,
		more(`"a":` + strings.Repeat("[", 16) + strings.Repeat("]", 16)), more(`"a":` + strings.Repeat(`{"a":`, 2000) + "1" + strings.Repeat("}", 2000)),
		more("\"a\":\"\xff\""), more(`"a":NaN`), more(`"a":01`), more(`'a':1`), "\ufeff" + whole,
	} {
		refused(t, payload[:min(len(payload), 40)], hmacToken(sha256.New, secret, `{"alg":"HS256"}`, payload), expect(), jwt.CodeInvalid, "form")
	}
	// Another case is another name: the subject stays.
	raw := hmacToken(sha256.New, secret, `{"alg":"HS256"}`, more(`"Sub":"1","SUB":"2","AUD":"x","Iat":1`))
	if got := accepted(t, "other case", raw, expect()); got.Subject != "42" {
		t.Errorf("subject %q", got.Subject)
	}
}

func TestATokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	whole := hs256(t, strict())
	parts := strings.Split(whole, ".")
	join := func(p ...string) string { return strings.Join(p, ".") }
	last := strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", parts[2][len(parts[2])-1])
	if last%4 != 0 { // 32 bytes leave two bits over
		t.Fatalf("the signature ends in %d", last)
	}
	bits := parts[2][:len(parts[2])-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last+1])
	for name, raw := range map[string]string{
		"nothing": "", "dots": "..", "two parts": join(parts[0], parts[1]), "four parts": whole + ".", "five parts": whole + ".a.b", "many dots": strings.Repeat(".", 10000),
		"padding": whole + "=", "space before": " " + whole, "space after": whole + " ", "newline": whole + "\n", "newline inside": join(parts[0]+"\r\n", parts[1], parts[2]),
		"NUL": whole + "\x00", "bits over": join(parts[0], parts[1], bits), "standard base64": join(parts[0], parts[1], strings.Repeat("+", 43)),
		"JSON form": `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`, "Bearer": "Bearer " + whole,
	} {
		refused(t, name, raw, expect(), jwt.CodeInvalid, "form")
	}
}

func TestATokenIsAtMostSixteenKibibytes(t *testing.T) {
	t.Parallel()
	sized := func(size int) string {
		n := size * 3 / 4
		for {
			raw := hs256(t, strict().with(claims{"pad": strings.Repeat("p", n)}))
			if len(raw) <= size {
				return raw
			}
			n--
		}
	}
	largest := sized(jwt.MaxToken)
	if len(largest) < jwt.MaxToken-2 {
		t.Fatalf("%d bytes", len(largest))
	}
	accepted(t, "largest", largest, expect())
	refused(t, "larger", sized(jwt.MaxToken+4), expect(), jwt.CodeInvalid, "form")
	refused(t, "jti of 40 KiB", hs256(t, strict().with(claims{"jti": strings.Repeat("j", 40<<10)})), expect(), jwt.CodeInvalid, "form")
}

func TestWhatIsNotedOfATokenIsShort(t *testing.T) {
	t.Parallel()
	_, checks, err := jwt.Verify(hs256(t, strict().with(claims{"aud": strings.Repeat("é", 3000)})), expect())
	if err == nil {
		t.Fatal("accepted")
	}
	for _, c := range checks {
		if len(c.Got) > 210 || len(c.Expected) > 210 || !strings.HasSuffix(checks[len(checks)-1].Got, "…") {
			t.Errorf("%s: %d bytes", c.Name, len(c.Got))
		}
	}
}

func TestTheKidIsReadFromNoOtherThanAToken(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		sign(t, "HS256", "k1", strict()): "k1", hs256(t, strict()): "", "": "", "a.b.c": "", encode([]byte(`{"KID":"x"}`)) + "..": "",
		encode([]byte(`{"kid":"a","kid":"b"}`)) + "..": "", encode([]byte(`{"kid":"`+strings.Repeat("k", jwt.MaxToken)+`"}`)) + "..": "",
	} {
		if got := jwt.KeyID(raw); got != want {
			t.Errorf("KeyID(%.30s) = %.30q, want %q", raw, got, want)
		}
	}
}
