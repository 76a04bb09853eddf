package verify_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func sprintf(format string, v any) string { return fmt.Sprintf(format, v) }

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// parts takes a good token apart, for tests that put it together wrongly.
func parts(raw string) (header, payload, signature string) {
	p := strings.Split(raw, ".")
	return p[0], p[1], p[2]
}

func TestForgedAndMalformedTokensAreRefusedEachForItsReason(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	rsaKid := issuer.Rotate("RS256")
	c := issuer.Client(t)
	good := issuer.Token(nil)
	head, body, sig := parts(good)
	kid := issuer.Kid("ES256")
	header := func(text string) string { return b64(text) + "." + body + "." + sig }
	es := func(more string) string {
		return header(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt"` + more + `}`)
	}
	rawSig := func(s []byte) string { return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(s) }
	for name, attack := range map[string]struct {
		raw  string
		want error
	}{
		"empty":                         {"", verify.ErrMalformed},
		"two parts":                     {head + "." + body, verify.ErrMalformed},
		"four parts":                    {good + ".x", verify.ErrMalformed},
		"five parts, a JWE":             {b64(`{"alg":"RSA1_5","enc":"A128CBC-HS256"}`) + ".a.b.c.d", verify.ErrMalformed},
		"a megabyte of dots":            {strings.Repeat(".", 1<<20), verify.ErrMalformed},
		"16 KiB and one":                {strings.Repeat("a", 16<<10+1), verify.ErrMalformed},
		"JSON serialisation":            {`{"payload":"` + body + `"}`, verify.ErrMalformed},
		"no signature":                  {head + "." + body + ".", verify.ErrMalformed},
		"padding":                       {good + "==", verify.ErrMalformed},
		"standard alphabet":             {head + "." + body + "." + "+/" + sig[2:], verify.ErrMalformed},
		"line break in the signature":   {head + "." + body + "." + sig[:4] + "\n" + sig[4:], verify.ErrMalformed},
		"space around":                  {" " + good, verify.ErrMalformed},
		"stray bits at the end":         {head + "." + body + "." + strayBits(sig), verify.ErrMalformed},
		"alg none":                      {header(`{"alg":"none","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"alg NoNe":                      {header(`{"alg":"NoNe","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"alg none, unsigned":            {b64(`{"alg":"none","typ":"at+jwt"}`) + "." + body + ".", verify.ErrMalformed},
		"alg es256":                     {header(`{"alg":"es256","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"alg missing":                   {header(`{"kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"alg a number":                  {header(`{"alg":256,"kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrMalformed},
		"alg twice":                     {header(`{"alg":"none","alg":"ES256","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrMalformed},
		"ALG beside alg":                {header(`{"ALG":"ES256","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"HS256 with the public key":     {hs256(t, issuer, kid, body), verify.ErrAlgorithm},
		"ES384":                         {header(`{"alg":"ES384","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"PS256":                         {header(`{"alg":"PS256","kid":"` + rsaKid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"RS256 with the EC key's kid":   {header(`{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"ES256 with the RSA key's kid":  {header(`{"alg":"ES256","kid":"` + rsaKid + `","typ":"at+jwt"}`), verify.ErrAlgorithm},
		"own key in jwk":                {es(`,"jwk":{"kty":"EC"}`), verify.ErrMalformed},
		"jku":                           {es(`,"jku":"https://evil.example/keys"`), verify.ErrMalformed},
		"x5u":                           {es(`,"x5u":"https://evil.example/cert"`), verify.ErrMalformed},
		"x5c":                           {es(`,"x5c":["AA"]`), verify.ErrMalformed},
		"crit":                          {es(`,"crit":["exp"],"exp":1`), verify.ErrMalformed},
		"b64 false":                     {es(`,"b64":false,"crit":["b64"]`), verify.ErrMalformed},
		"zip":                           {es(`,"zip":"DEF"`), verify.ErrMalformed},
		"PBES2 count":                   {es(`,"p2c":1000000000`), verify.ErrMalformed},
		"no kid":                        {header(`{"alg":"ES256","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"kid null":                      {header(`{"alg":"ES256","kid":null,"typ":"at+jwt"}`), verify.ErrMalformed},
		"kid traversal":                 {header(`{"alg":"ES256","kid":"../../dev/null","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"kid SQL":                       {header(`{"alg":"ES256","kid":"' OR 1=1 --","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"kid NUL":                       {header(`{"alg":"ES256","kid":"` + kid + `\u0000","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"kid in another case":           {header(`{"alg":"ES256","kid":"` + strings.ToLower(kid) + `","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"kid of 8 KiB":                  {header(`{"alg":"ES256","kid":"` + strings.Repeat("k", 8<<10) + `","typ":"at+jwt"}`), verify.ErrUnknownKey},
		"no typ":                        {header(`{"alg":"ES256","kid":"` + kid + `"}`), verify.ErrType},
		"an ID token":                   {header(`{"alg":"ES256","kid":"` + kid + `","typ":"JWT"}`), verify.ErrType},
		"a logout token":                {header(`{"alg":"ES256","kid":"` + kid + `","typ":"logout+jwt"}`), verify.ErrType},
		"header no object":              {header(`["ES256"]`), verify.ErrMalformed},
		"header trailing data":          {header(`{"alg":"ES256","kid":"` + kid + `","typ":"at+jwt"}{}`), verify.ErrMalformed},
		"header not UTF-8":              {header("{\"alg\":\"ES256\",\"kid\":\"\xff\",\"typ\":\"at+jwt\"}"), verify.ErrMalformed},
		"header deep":                   {header(strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000)), verify.ErrAlgorithm},
		"header in another order":       {es(`,"x":1`), verify.ErrSignature},
		"payload changed":               {head + "." + b64(`{"sub":"root"}`) + "." + sig, verify.ErrSignature},
		"signature of another token":    {swapSignature(good, issuer.Token(nil)), verify.ErrSignature},
		"signature one byte":            {rawSig([]byte{1}), verify.ErrSignature},
		"r = s = 0":                     {rawSig(make([]byte, 64)), verify.ErrSignature},
		"r and s over n":                {rawSig([]byte(strings.Repeat("\xff", 64))), verify.ErrSignature},
		"signature with bytes in front": {rawSig(append([]byte{0}, decode(sig)...)), verify.ErrSignature},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if token, err := c.Token(t.Context(), attack.raw); !errors.Is(err, attack.want) || token != nil {
				t.Errorf("%v, want %v", err, attack.want)
			}
		})
	}
}

// hs256 signs with the public key's bytes as the secret: the confusion of
// algorithms that a key bound to one of them makes harmless.
func hs256(t *testing.T, issuer *verifytest.Issuer, kid, body string) string {
	t.Helper()
	signed := b64(`{"alg":"HS256","kid":"`+kid+`","typ":"at+jwt"}`) + "." + body
	mac := hmac.New(sha256.New, []byte(kid))
	mac.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func decode(part string) []byte {
	raw, err := base64.RawURLEncoding.DecodeString(part)
	if err != nil {
		panic(err)
	}
	return raw
}

// strayBits sets a bit that 64 bytes do not use: another spelling of the same
// signature.
func strayBits(sig string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, sig[len(sig)-1])
	return sig[:len(sig)-1] + string(alphabet[last|1])
}

func swapSignature(a, b string) string {
	head, body, _ := parts(a)
	_, _, sig := parts(b)
	return head + "." + body + "." + sig
}

func TestMalleatedSignatureIsTheSameTokenToARevocation(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	raw := issuer.Token(verifytest.Claims{"jti": "one"})
	verified(t, c, raw)
	ended := c.Watch(t.Context(), verified(t, c, raw))
	issuer.Revoke(verifytest.Revocation{JTI: "one", Reason: "revoked"})
	<-ended
	if _, err := c.Token(t.Context(), malleate(raw)); !errors.Is(err, verify.ErrRevoked) {
		t.Errorf("n-s: %v", err)
	}
}

// malleate replaces s by n-s, which is a good ECDSA signature too.
func malleate(raw string) string {
	head, body, sig := parts(raw)
	bytes := decode(sig)
	n, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	s := new(big.Int).Sub(n, new(big.Int).SetBytes(bytes[32:]))
	s.FillBytes(bytes[32:])
	return head + "." + body + "." + base64.RawURLEncoding.EncodeToString(bytes)
}

func TestClaimsThatAreMissingWrongOrUntimelyAreRefused(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	now := time.Now().Unix()
	type claims = verifytest.Claims
	for name, attack := range map[string]struct {
		claims claims
		want   error
	}{
		"no iss":                      {claims{"iss": nil}, verify.ErrClaims},
		"other issuer":                {claims{"iss": "https://evil.example"}, verify.ErrIssuer},
		"issuer with a slash":         {claims{"iss": issuer.URL + "/"}, verify.ErrIssuer},
		"issuer of another site":      {claims{"iss": issuer.URL + "/acme"}, verify.ErrIssuer},
		"no aud":                      {claims{"aud": nil}, verify.ErrClaims},
		"empty aud":                   {claims{"aud": []string{}}, verify.ErrClaims},
		"aud a number":                {claims{"aud": 5}, verify.ErrClaims},
		"other aud":                   {claims{"aud": "https://mail.example"}, verify.ErrAudience},
		"aud longer":                  {claims{"aud": verifytest.Audience + "/admin"}, verify.ErrAudience},
		"aud of others":               {claims{"aud": []string{"a", "b"}}, verify.ErrAudience},
		"no sub":                      {claims{"sub": nil}, verify.ErrClaims},
		"no jti":                      {claims{"jti": nil}, verify.ErrClaims},
		"no client_id":                {claims{"client_id": nil}, verify.ErrClaims},
		"no exp":                      {claims{"exp": nil}, verify.ErrClaims},
		"exp null":                    {claims{"exp": json.RawMessage("null")}, verify.ErrClaims},
		"exp a string":                {claims{"exp": fmt.Sprint(now + 60)}, verify.ErrClaims},
		"exp negative":                {claims{"exp": -1}, verify.ErrClaims},
		"exp in milliseconds":         {claims{"exp": (now + 60) * 1000}, verify.ErrClaims},
		"exp in the year 9999":        {claims{"exp": 253402300799}, verify.ErrClaims},
		"exp beyond all":              {claims{"exp": json.RawMessage("1e400")}, verify.ErrClaims},
		"exp past the leeway":         {claims{"iat": now - 300, "exp": now - int64(verify.DefaultLeeway.Seconds()) - 1}, verify.ErrExpired},
		"exp before iat":              {claims{"exp": now - 5}, verify.ErrClaims},
		"lives over a day":            {claims{"exp": now + 90_000}, verify.ErrClaims},
		"no iat":                      {claims{"iat": nil}, verify.ErrClaims},
		"iat in the future":           {claims{"iat": now + 61}, verify.ErrNotYetValid},
		"iat_ms of another second":    {claims{"iat_ms": (now - 1) * 1000}, verify.ErrClaims},
		"iat_ms in words":             {claims{"iat_ms": "soon"}, verify.ErrClaims},
		"iat in milliseconds":         {claims{"iat": now * 1000}, verify.ErrClaims},
		"nbf in the future":           {claims{"nbf": now + 61}, verify.ErrNotYetValid},
		"roles a string":              {claims{"roles": "administrators"}, verify.ErrClaims},
		"entitlements of objects":     {claims{"entitlements": []any{map[string]any{"value": "x"}}}, verify.ErrClaims},
		"allowed_networks null":       {claims{"allowed_networks": json.RawMessage("null")}, verify.ErrClaims},
		"allowed_networks no CIDR":    {claims{"allowed_networks": []string{"203.0.113.5"}}, verify.ErrClaims},
		"allowed_networks a string":   {claims{"allowed_networks": "0.0.0.0/0"}, verify.ErrClaims},
		"allowed_networks_check true": {claims{"allowed_networks_check": true}, verify.ErrClaims},
		"ISS beside iss":              {claims{"iss": nil, "ISS": issuer.URL}, verify.ErrClaims},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := c.Token(t.Context(), issuer.Token(attack.claims)); !errors.Is(err, attack.want) {
				t.Errorf("%v, want %v", err, attack.want)
			}
		})
	}
}

func TestClaimGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	_, body, _ := parts(issuer.Token(nil))
	twice := strings.Replace(string(decode(body)), `"sub":"ana"`, `"sub":"ana","sub":"root"`, 1)
	header := map[string]any{"alg": "ES256", "kid": issuer.Kid("ES256"), "typ": "at+jwt"}
	for name, payload := range map[string]string{"twice": twice, "array": "[]", "trailing": `{} {}`, "empty": " ", "not JSON": "hello"} {
		if _, err := c.Token(t.Context(), issuer.Sign(header, []byte(payload))); !errors.Is(err, verify.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzToken holds that no text makes verification panic, and that what was not
// issued is not verified.
func FuzzToken(f *testing.F) {
	issuer := verifytest.New(f)
	c := issuer.Client(f)
	good := issuer.Token(nil)
	f.Add(good)
	f.Add(strings.Replace(good, ".", "..", 1))
	f.Add(b64(`{"alg":"none"}`) + "." + b64(`{}`) + ".")
	f.Add(b64(`{"alg":"ES256","kid":"`+issuer.Kid("ES256")+`","typ":"at+jwt","crit":[]}`) + ".AA.AA")
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := c.Token(t.Context(), raw)
		if err == nil && raw != good && raw != malleate(good) {
			t.Fatalf("a token that was not issued is verified: %+v", token)
		}
	})
}

// FuzzClaims holds that no claims of a signed token make reading them panic.
func FuzzClaims(f *testing.F) {
	issuer := verifytest.New(f)
	c := issuer.Client(f)
	_, body, _ := parts(issuer.Token(verifytest.Claims{"allowed_networks": []string{"203.0.113.0/24"}}))
	f.Add(decode(body))
	f.Add([]byte(`{"exp":1e309,"aud":[null]}`))
	header := map[string]any{"alg": "ES256", "kid": issuer.Kid("ES256"), "typ": "at+jwt"}
	f.Fuzz(func(t *testing.T, payload []byte) {
		token, err := c.Token(t.Context(), issuer.Sign(header, payload))
		if (token == nil) == (err == nil) {
			t.Fatalf("token %v, error %v", token, err)
		}
		token.May("chat.accept", office)
	})
}
