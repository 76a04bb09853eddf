package keys

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/store"
)

func TestTokensAreReadByAnotherLibrary(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_ = h.Ensure(t.Context(), "", EdDSA)
	h.pass(time.Hour)
	body, err := h.JWKS(t.Context(), load(t, h.Keys, ""))
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	for _, alg := range []string{ES256, RS256, EdDSA} {
		for i := range 40 { // ECDSA halves have leading zeros now and then
			payload := fmt.Sprintf(`{"n":%d}`, i)
			raw := sign(t, h.Keys, "", alg, "at+jwt", payload)
			jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
			if err != nil {
				t.Fatal(err)
			}
			key := set.Key(jws.Signatures[0].Header.KeyID)[0]
			got, err := jws.Verify(key)
			if err != nil || string(got) != payload {
				t.Fatalf("%s: %q, %v", alg, got, err)
			}
			ours, algWas, err := h.Verify(t.Context(), load(t, h.Keys, ""), raw, "at+jwt")
			if err != nil || string(ours) != payload || algWas != alg {
				t.Fatalf("%s: %q, %s, %v", alg, ours, algWas, err)
			}
			sum, err := key.Thumbprint(5) // crypto.SHA256
			if err != nil || base64.RawURLEncoding.EncodeToString(sum) != key.KeyID {
				t.Fatalf("kid %s is not the thumbprint", key.KeyID)
			}
			if i == 10 && alg == RS256 {
				break
			}
		}
	}
}

func TestTheJWKSHoldsPublicMembersOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	_ = h.Ensure(t.Context(), "", EdDSA)
	if err := h.Rotate(t.Context(), "", RS256); err != nil {
		t.Fatal(err)
	}
	body, err := h.JWKS(t.Context(), load(t, h.Keys, ""))
	if err != nil {
		t.Fatal(err)
	}
	var set struct{ Keys []map[string]string }
	if err := json.Unmarshal(body, &set); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"EC": "alg crv kid kty use x y", "RSA": "alg e kid kty n use", "OKP": "alg crv kid kty use x"}
	kids := map[string]bool{}
	for _, k := range set.Keys {
		var members []string
		for _, m := range strings.Fields(want[k["kty"]]) {
			if k[m] != "" {
				members = append(members, m)
			}
		}
		if strings.Join(members, " ") != want[k["kty"]] || len(k) != len(members) || k["use"] != "sig" || kids[k["kid"]] {
			t.Errorf("key %v", k)
		}
		kids[k["kid"]] = true
	}
	if len(set.Keys) != 4 {
		t.Errorf("%d keys", len(set.Keys))
	}
}

// parts takes a token apart and puts it together again with a changed header.
func parts(raw string) (header, payload, signature string) {
	p := strings.Split(raw, ".")
	return p[0], p[1], p[2]
}

func b64(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

func TestTamperedTokensAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t, "acme")
	s := load(t, h.Keys, "")
	raw := sign(t, h.Keys, "", ES256, "at+jwt", `{"exp":4000000000}`)
	rs := sign(t, h.Keys, "", RS256, "JWT", `{"exp":4000000000}`)
	head, payload, sig := parts(raw)
	_, _, rsSig := parts(rs)
	plain, _ := base64.RawURLEncoding.DecodeString(head)
	kid := strings.Split(string(plain), `"`)[7]
	with := func(h string) string { return b64(h) + "." + payload + "." + sig }
	member := func(m string) string { return with(strings.TrimSuffix(string(plain), "}") + "," + m + "}") }
	zeros := base64.RawURLEncoding.EncodeToString(make([]byte, 64))
	order, _ := new(big.Int).SetString("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551", 16)
	huge := base64.RawURLEncoding.EncodeToString(append(order.FillBytes(make([]byte, 32)), bytes.Repeat([]byte{0xff}, 32)...))
	last := sig[len(sig)-1]
	loose := sig[:len(sig)-1] + string("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[strings.IndexByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", last)|1])

	for name, c := range map[string]struct {
		raw  string
		want error
	}{
		"alg none":               {b64(`{"alg":"none","kid":"`+kid+`","typ":"at+jwt"}`) + "." + payload + ".", ErrMalformed},
		"alg nOnE with bytes":    {with(`{"alg":"nOnE","kid":"` + kid + `","typ":"at+jwt"}`), ErrUnknownKey},
		"alg HS256":              {with(`{"alg":"HS256","kid":"` + kid + `","typ":"at+jwt"}`), ErrUnknownKey},
		"another key's alg":      {with(`{"alg":"RS256","kid":"` + kid + `","typ":"at+jwt"}`), ErrUnknownKey},
		"no kid":                 {with(`{"alg":"ES256","typ":"at+jwt"}`), ErrUnknownKey},
		"kid traversal":          {with(`{"alg":"ES256","kid":"../../etc/passwd","typ":"at+jwt"}`), ErrUnknownKey},
		"kid number":             {with(`{"alg":"ES256","kid":1,"typ":"at+jwt"}`), ErrMalformed},
		"jwk":                    {member(`"jwk":{"kty":"EC"}`), ErrMalformed},
		"jku":                    {member(`"jku":"https://evil.example"`), ErrMalformed},
		"x5u":                    {member(`"x5u":"https://evil.example"`), ErrMalformed},
		"x5c":                    {member(`"x5c":[]`), ErrMalformed},
		"crit":                   {member(`"crit":["b64"],"b64":false`), ErrMalformed},
		"zip":                    {member(`"zip":"DEF"`), ErrMalformed},
		"header in other order":  {with(`{"kid":"` + kid + `","alg":"ES256","typ":"at+jwt"}`), ErrMalformed},
		"header with a space":    {with(`{"alg": "ES256","kid":"` + kid + `","typ":"at+jwt"}`), ErrMalformed},
		"kid twice":              {with(`{"alg":"ES256","kid":"x","kid":"` + kid + `","typ":"at+jwt"}`), ErrMalformed},
		"KID in capitals":        {with(`{"ALG":"ES256","KID":"` + kid + `","TYP":"at+jwt"}`), ErrMalformed},
		"typ in capitals":        {with(`{"alg":"ES256","kid":"` + kid + `","typ":"AT+JWT"}`), ErrType},
		"an ID token":            {rs, ErrType},
		"payload changed":        {head + "." + b64(`{"exp":4000000001}`) + "." + sig, ErrSignature},
		"signature empty":        {head + "." + payload + ".", ErrMalformed},
		"r and s zero":           {head + "." + payload + "." + zeros, ErrSignature},
		"r the order":            {head + "." + payload + "." + huge, ErrSignature},
		"signature of another":   {head + "." + payload + "." + rsSig, ErrSignature},
		"signature cut":          {head + "." + payload + "." + sig[:len(sig)-2], ErrSignature},
		"trailing bits":          {head + "." + payload + "." + loose, ErrMalformed},
		"padding":                {raw + "==", ErrMalformed},
		"line break in payload":  {head + "." + payload[:4] + "\n" + payload[4:] + "." + sig, ErrMalformed},
		"line break at the end":  {raw + "\n", ErrMalformed},
		"standard alphabet":      {head + "." + payload + "." + strings.Repeat("+/", 43), ErrMalformed},
		"four parts":             {raw + ".e30", ErrMalformed},
		"five parts, a JWE":      {head + "..." + payload + ".x", ErrMalformed},
		"nothing":                {"", ErrMalformed},
		"dots":                   {strings.Repeat(".", 1<<20), ErrMalformed},
		"header is 12 KiB":       {with(`{"alg":"ES256","kid":"` + strings.Repeat("k", 9000) + `","typ":"at+jwt"}`), ErrMalformed},
		"header is an array":     {with(`["ES256"]`), ErrMalformed},
		"header with more after": {with(string(plain) + "{}"), ErrMalformed},
	} {
		if _, _, err := h.Verify(t.Context(), s, c.raw, "at+jwt"); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, not %v", name, err, c.want)
		}
	}
	if _, _, err := h.Verify(t.Context(), load(t, h.Keys, "acme"), raw, "at+jwt"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("another site's: %v", err)
	}
	for range 2 {
		if _, _, err := h.Verify(t.Context(), s, raw, "at+jwt"); err != nil {
			t.Errorf("the token itself: %v", err)
		}
	}
	if _, _, err := h.Verify(t.Context(), s, raw, "JWT"); !errors.Is(err, ErrType) {
		t.Errorf("seen, asked for as another type: %v", err)
	}
	if _, _, err := h.Verify(t.Context(), s, raw); !errors.Is(err, ErrType) {
		t.Errorf("asked for as no type: %v", err)
	}
}

func FuzzVerifyNeverPanics(f *testing.F) {
	h := newHouse(f)
	s := load(f, h.Keys, "")
	good := sign(f, h.Keys, "", ES256, "at+jwt", `{"exp":4000000000}`)
	f.Add(good)
	f.Add(sign(f, h.Keys, "", RS256, "at+jwt", `{}`))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, raw string) {
		_, _, err := h.Verify(t.Context(), s, raw, "at+jwt")
		if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrUnknownKey) && !errors.Is(err, ErrSignature) && !errors.Is(err, ErrType) {
			t.Error(err)
		}
	})
}

func TestPrivateKeysAreSealedToTheirRow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	records, err := h.records(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	s := load(t, h.Keys, "")
	r, err := h.ring(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		var secret []byte
		switch p := r.byKID[rec.KID].private.(type) {
		case *ecdsa.PrivateKey:
			secret, _ = p.Bytes()
		case *rsa.PrivateKey:
			secret = p.D.Bytes()
		}
		if len(secret) == 0 || bytes.Contains(rec.Private, secret[:16]) {
			t.Errorf("%s lies open", rec.Alg)
		}
		moved := rec
		moved.KID = "moved"
		if _, err := h.parse("", &moved); !errors.Is(err, store.ErrSeal) {
			t.Errorf("moved to another row: %v", err)
		}
		if _, err := h.parse("acme", &rec); !errors.Is(err, store.ErrSeal) {
			t.Errorf("moved to another site: %v", err)
		}
	}
}

func TestAnotherProcessVerifiesWhatThisOneSigned(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := sign(t, h.Keys, "", ES256, "at+jwt", `{}`)
	other := open(t, h.Store, h.clock)
	if _, _, err := other.Verify(t.Context(), load(t, other, ""), raw, "at+jwt"); err != nil {
		t.Error(err)
	}
	a, err := h.Secret(t.Context(), "", SecretFlow)
	if err != nil {
		t.Fatal(err)
	}
	b, err := other.Secret(t.Context(), "", SecretFlow)
	if err != nil || !bytes.Equal(a, b) || len(a) != 32 {
		t.Errorf("the secret differs: %v", err)
	}
	if c, _ := h.Secret(t.Context(), store.House, SecretFlow); bytes.Equal(a, c) {
		t.Error("two sites have one secret")
	}
}

func TestSeenTokensAreBoundedAndForgotten(t *testing.T) {
	t.Parallel()
	s := newSeen(10_000)
	now := time.Unix(1000, 0)
	for i := range 1000 {
		s.put(tokenID{sum: sha256.Sum256(fmt.Append(nil, i))}, token{payload: make([]byte, 100), until: now.Add(time.Minute)})
		if _, ok := s.get(tokenID{sum: sha256.Sum256(fmt.Append(nil, 0))}, now); !ok {
			t.Fatal("one that is always used was forgotten")
		}
	}
	if n := len(s.younger) + len(s.elder); n > 10_000/356+2 {
		t.Errorf("%d tokens are kept", n)
	}
	if _, ok := s.get(tokenID{sum: sha256.Sum256(fmt.Append(nil, 999))}, now.Add(time.Minute)); ok {
		t.Error("an expired one is kept")
	}
}

// The example of OpenID Connect Core, appendix A.
func TestAtHash(t *testing.T) {
	t.Parallel()
	if got := AtHash(RS256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"); got != "77QmUPtjPfzWtF2AnpK9RQ" {
		t.Error(got)
	}
	if got := AtHash(ES256, "Qcb0Orv1zh30vL1MPRsbm-diHiMwcLyZvn1arpZv-Jxf_11jnpEX3Tgfvk"); got != "LDktKdoQak3Pk0cnXxCltA" {
		t.Error(got)
	}
	if got := AtHash(EdDSA, "x"); len(got) != 43 {
		t.Error(got)
	}
}
