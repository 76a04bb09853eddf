package oidc_test

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
)

// judge ends a flow with an ID token that is made of good claims.
func (h *hostile) judge(make func(claims object) string) (oidc.Identity, []oidc.Check, error) {
	h.t.Helper()
	s, _ := h.begin(h.config())
	h.idToken = make(h.claims(s))
	return h.Finish(h.t.Context(), h.config(), s, code())
}

func TestATokenIsSignedByAKeyThatTheProviderPublishes(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for name, header := range map[string]object{
		"RSA": {"alg": "RS256", "kid": "r"}, "EC": {"alg": "ES256", "kid": "e"}, "Ed25519": {"alg": "EdDSA", "kid": "d"}, "no kid": {"alg": "RS256"}, "no kid, EC": {"alg": "ES256"},
		"typ": {"alg": "RS256", "typ": "JWT"}, "typ in full": {"alg": "RS256", "typ": "application/jwt"},
		"a key of its own, which is not looked at": {"alg": "RS256", "kid": "r", "jku": "https://evil.example/keys", "x5u": "https://evil.example/x"},
	} {
		if id, checks, err := h.judge(func(c object) string { return h.signed(header, c) }); err != nil || id.Subject != "raj" {
			t.Errorf("%s: %v %+v", name, err, checks)
		}
	}
}

func TestNobodySignsInTheProvidersPlace(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	h.handle("/elsewhere", nil)
	der, err := x509.MarshalPKIXPublicKey(&ring().rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	own := object{"alg": "RS256", "jwk": jose.JSONWebKey{Key: &ring().other.PublicKey}, "jku": h.issuer + "/elsewhere", "x5u": h.issuer + "/elsewhere"}
	for _, r := range []struct {
		name, check string
		make        func(claims object) string
	}{
		{"alg none", "algorithm", func(c object) string { return h.signed(object{"alg": "none"}, c) }},
		{"alg None", "algorithm", func(c object) string { return h.signed(object{"alg": "None"}, c) }},
		{"no alg", "algorithm", func(c object) string { return h.signed(object{"kid": "r"}, c) }},
		{"alg none, signed", "algorithm", func(c object) string { return h.sign(`{"alg":"none","kid":"r"}`, string(asJSON(c)), "RS256") }},
		{"our secret", "algorithm", func(c object) string { return h.signed(object{"alg": "HS256"}, c) }},
		{"the public key as a secret", "algorithm", func(c object) string { return hmacToken(public, object{"alg": "HS256", "kid": "r"}, c) }},
		{"RSA under another name", "signature", func(c object) string { return h.sign(`{"alg":"RS384","kid":""}`, string(asJSON(c)), "RS256") }},
		{"a key for another algorithm", "key", func(c object) string { return h.signed(object{"alg": "PS256", "kid": "r"}, c) }},
		{"EC under an RSA kid", "key", func(c object) string { return h.signed(object{"alg": "ES256", "kid": "r"}, c) }},
		{"another's key", "signature", func(c object) string { return otherToken(t, object{"alg": "RS256", "kid": "r"}, c) }},
		{"a key in the header", "signature", func(c object) string { return otherToken(t, own, c) }},
		{"a foreign kid", "key", func(c object) string { return h.signed(object{"alg": "RS256", "kid": "../../r"}, c) }},
		{"a kid in another case", "key", func(c object) string { return h.signed(object{"alg": "RS256", "kid": "R"}, c) }},
		{"typ of an access token", "typ", func(c object) string { return h.signed(object{"alg": "RS256", "typ": "at+jwt"}, c) }},
		{"typ of a logout token", "typ", func(c object) string { return h.signed(object{"alg": "RS256", "typ": "logout+jwt"}, c) }},
		{"crit", "id_token", func(c object) string { return h.signed(object{"alg": "RS256", "crit": []string{"exp"}, "exp": 1}, c) }},
		{"b64", "id_token", func(c object) string { return h.signed(object{"alg": "RS256", "b64": true}, c) }},
		{"no signature", "signature", func(c object) string { return cutSignature(h.signed(object{"alg": "RS256", "kid": "r"}, c), 0) }},
		{"half a signature", "signature", func(c object) string { return cutSignature(h.signed(object{"alg": "RS256", "kid": "r"}, c), 100) }},
		{"r and s of zero", "signature", func(c object) string {
			return cutSignature(h.signed(object{"alg": "ES256", "kid": "e"}, c), 0) + encode(make([]byte, 64))
		}},
		{"two parts", "id_token", func(c object) string {
			return strings.TrimSuffix(cutSignature(h.signed(object{"alg": "RS256"}, c), 0), ".")
		}},
		{"five parts", "id_token", func(object) string { return "a.b.c.d.e" }},
		{"dots", "id_token", func(object) string { return strings.Repeat(".", 60<<10) }},
		{"a JWS as JSON", "id_token", func(c object) string {
			p := strings.Split(h.signed(object{"alg": "RS256", "kid": "r"}, c), ".")
			return fmt.Sprintf(`{"protected":%q,"payload":%q,"signature":%q}`, p[0], p[1], p[2])
		}},
		{"alg twice", "id_token", func(c object) string { return h.sign(`{"alg":"RS256","alg":"RS256"}`, string(asJSON(c)), "RS256") }},
		{"a header that is none", "id_token", func(c object) string { return h.sign(`[]`, string(asJSON(c)), "RS256") }},
	} {
		id, checks, err := h.judge(r.make)
		refused(t, r.name, id, checks, err, oidc.CodeInvalid, r.check)
	}
	if n := h.requests("/elsewhere"); n != 0 {
		t.Errorf("a key of the attacker's was fetched %d times", n)
	}
	if n := h.requests("/keys"); n > 1 {
		t.Errorf("tokens that fail had the keys fetched %d times", n)
	}
}

func TestThePayloadReadsInOneWay(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for name, change := range map[string]func(string) string{
		"sub twice":          func(s string) string { return `{"sub":"ana",` + s[1:] },
		"sub escaped":        func(s string) string { return `{"s\u0075b":"ana",` + s[1:] },
		"SUB beside sub":     func(s string) string { return `{"SUB":"ana",` + s[1:] },
		"Email beside email": func(s string) string { return s[:len(s)-1] + `,"Email":"ana@acme.example"}` },
		"a long s":           func(s string) string { return s[:len(s)-1] + `,"ſub":"ana"}` },
		"nested too deeply": func(s string) string {
			return s[:len(s)-1] + `,"x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`
		},
		"something behind": func(s string) string { return s + "{}" },
		"no UTF-8":         func(s string) string { return strings.Replace(s, "Raj", "R\xffj", 1) },
		"a list":           func(s string) string { return "[" + s + "]" },
		"null":             func(string) string { return "null" },
		"nothing":          func(string) string { return "" },
		"text":             func(string) string { return `"x"` },
	} {
		id, checks, err := h.judge(func(c object) string { return h.signed(object{"alg": "RS256", "kid": "r"}, change(string(asJSON(c)))) })
		refused(t, name, id, checks, err, oidc.CodeInvalid, "id_token")
	}
	id, checks, err := h.judge(func(c object) string {
		return h.signed(object{"alg": "RS256"}, strings.Replace(string(asJSON(c)), `"raj"`, `"ra\ud800j"`, 1))
	})
	refused(t, "half a character", id, checks, err, oidc.CodeInvalid, "sub")
}

func TestOnlyAlgorithmsThatTheProviderNamesCount(t *testing.T) {
	t.Parallel()
	for name, r := range map[string]struct {
		says []string
		alg  string
		ok   bool
	}{
		"it says nothing": {nil, "ES256", true}, "it names this one": {[]string{"HS256", "RS256"}, "RS256", true}, "it names another": {[]string{"RS256"}, "ES256", false},
		"it names none": {[]string{"none", "HS256"}, "RS256", false}, "it names none, and means it": {[]string{"none"}, "none", false}, "it names a secret's": {[]string{"HS256"}, "HS256", false},
	} {
		h := newHostile(t)
		h.document["id_token_signing_alg_values_supported"] = r.says
		id, checks, err := h.judge(func(c object) string { return h.signed(object{"alg": r.alg}, c) })
		if r.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		refused(t, name, id, checks, err, oidc.CodeInvalid, "algorithm")
	}
}

func TestAPSSKeyCountsWhereThePublishedKeyAllowsIt(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	h.keys = jwks(jose.JSONWebKey{Key: &ring().rsa.PublicKey, KeyID: "p"})
	for _, alg := range []string{"PS256", "RS256"} {
		if _, checks, err := h.judge(func(c object) string { return h.signed(object{"alg": alg, "kid": "p"}, c) }); err != nil {
			t.Errorf("%s: %v %+v", alg, err, checks)
		}
	}
}
