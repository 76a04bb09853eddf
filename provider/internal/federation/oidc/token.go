package oidc

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
)

// Limits of what a provider signs.
const (
	maxIDToken     = 64 << 10 // bytes
	maxLogoutToken = 16 << 10
	maxName        = 255 // bytes of a sub (OpenID Connect Core, section 2) or a jti
	maxSID         = 512
	// maxAge is how old an ID token's iat may be, and a logout token's: it was just
	// made for us.
	maxAge       = 10 * time.Minute
	maxLogoutAge = 5 * time.Minute
	// maxLife is how far ahead an exp may be: what is farther was meant as milliseconds,
	// or for ever.
	maxLife = 366 * 24 * time.Hour
)

// token is a text that a key of the provider's has signed.
type token struct {
	raw     string
	payload []byte
	claims  map[string]any
}

// VerifySignature is go-oidc's KeySet of the one token whose signature is verified.
func (t token) VerifySignature(_ context.Context, raw string) ([]byte, error) {
	if raw != t.raw {
		return nil, errors.New("another token")
	}
	return t.payload, nil
}

// open verifies the signature of a token in compact form, whose typ is one of kinds
// or missing, and reads its claims. name is the check of its form.
func (j *judgement) open(ctx context.Context, doc document, name, raw string, most int, kinds ...string) (t token, err error) {
	if err := j.check(CodeInvalid, name, raw != "" && len(raw) <= most, fmt.Sprintf("at most %d bytes", most), fmt.Sprint(len(raw), " bytes")); err != nil {
		return token{}, err
	}
	signed, err := j.parse(doc, name, raw)
	if err != nil {
		return token{}, err
	}
	h := signed.Signatures[0].Protected
	_, critical := h.ExtraHeaders["crit"]
	_, plain := h.ExtraHeaders["b64"]
	if err := j.must(!critical && !plain, name, "neither crit nor b64", "one of them"); err != nil {
		return token{}, err
	}
	typ, _ := h.ExtraHeaders[jose.HeaderType].(string)
	kind := strings.TrimPrefix(strings.ToLower(typ), "application/")
	if err := j.must(kind == "" || slices.Contains(kinds, kind), "typ", strings.Join(kinds, " or "), typ); err != nil {
		return token{}, err
	}
	t.raw = raw
	if t.payload, err = j.signature(ctx, doc, signed, h); err != nil {
		return token{}, err
	}
	t.claims, err = read(t.payload)
	return t, j.must(err == nil, name, "claims that read in one way", fmt.Sprint(err))
}

// parse takes a token apart, if its alg is one that may be.
func (j *judgement) parse(doc document, name, raw string) (*jose.JSONWebSignature, error) {
	var allowed []jose.SignatureAlgorithm
	for _, a := range doc.algorithms() {
		allowed = append(allowed, jose.SignatureAlgorithm(a))
	}
	list := strings.Join(doc.algorithms(), ", ")
	if err := j.must(len(allowed) > 0, "algorithm", "one of "+strings.Join(algorithms, ", "), "only "+strings.Join(doc.Algorithms, ", ")); err != nil {
		return nil, err
	}
	signed, err := jose.ParseSignedCompact(raw, allowed)
	var other *jose.ErrUnexpectedSignatureAlgorithm
	if errors.As(err, &other) {
		return nil, j.check(CodeInvalid, "algorithm", false, list, string(other.Got))
	}
	if err := j.must(err == nil && len(signed.Signatures) == 1, name, "a signed JWT", fmt.Sprint(err)); err != nil {
		return nil, err
	}
	return signed, j.check(CodeInvalid, "algorithm", true, list, signed.Signatures[0].Protected.Algorithm)
}

// signature verifies by the provider's published keys: the one that kid names, or
// without kid any of that algorithm. What the header holds of keys is not looked at.
func (j *judgement) signature(ctx context.Context, doc document, signed *jose.JSONWebSignature, h jose.Header) ([]byte, error) {
	keys, err := j.keys.Keys(ctx, doc.JWKS, h.KeyID)
	if err != nil {
		return nil, unavailable("its keys", err)
	}
	var kids []string
	var fit []jose.JSONWebKey
	for _, k := range keys {
		kids = append(kids, k.KeyID)
		if (h.KeyID == "" || k.KeyID == h.KeyID) && (k.Algorithm == "" || k.Algorithm == h.Algorithm) {
			fit = append(fit, k)
		}
	}
	if err := j.check(CodeInvalid, "key", len(fit) > 0, "kid "+strings.Join(kids, ", "), "kid "+h.KeyID+", "+h.Algorithm); err != nil {
		return nil, err
	}
	for _, k := range fit {
		if payload, err := signed.Verify(k.Key); err == nil {
			return payload, j.check(CodeInvalid, "signature", true, "by the provider's key", "kid "+k.KeyID)
		}
	}
	return nil, j.check(CodeInvalid, "signature", false, "by the provider's key", "by another, or changed")
}

// known are the claims that are read by name. encoding/json, which go-oidc reads
// with, would take SUB for sub.
var known = []string{
	"iss", "sub", "aud", "exp", "iat", "nbf", "nonce", "at_hash", "azp", "sid", "acr", "amr", "auth_time", "jti", "events", "email", "email_verified", "_claim_names", "_claim_sources",
}

// read is an object in which every reader finds the same.
func read(payload []byte) (claims map[string]any, err error) {
	if !utf8.Valid(payload) {
		return nil, errors.New("it is not UTF-8")
	}
	if err := strictjson.Check(payload); err != nil {
		return nil, err
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := d.Decode(&claims); err != nil {
		return nil, err
	}
	if claims == nil {
		return nil, errors.New("null")
	}
	for name := range claims {
		for _, exact := range known {
			if name != exact && strings.EqualFold(name, exact) {
				return nil, fmt.Errorf("%q is nearly %s", name, exact)
			}
		}
	}
	return claims, nil
}

// text is a claim that is a string of at most so many bytes; ok also if it is not
// there.
func (t token) text(name string, most int) (value string, ok bool) {
	raw, there := t.claims[name]
	value, ok = raw.(string)
	return value, !there || ok && len(value) <= most && !strings.ContainsRune(value, utf8.RuneError)
}

// said is a claim as an administrator reads it.
func (t token) said(name string) string {
	v, there := t.claims[name]
	if !there {
		return "not there"
	}
	return fmt.Sprint(v)
}

// instant is a NumericDate (RFC 7519, section 2); false if it is there and is none.
func (t token) instant(name string) (at time.Time, ok bool) {
	raw, there := t.claims[name]
	if !there {
		return time.Time{}, true
	}
	number, ok := raw.(json.Number)
	seconds, err := number.Float64()
	if !ok || err != nil || seconds <= 0 || seconds >= 253402300800 {
		return time.Time{}, false
	}
	whole, part := math.Modf(seconds)
	return time.Unix(int64(whole), int64(part*1e9)), true
}

// texts is a list of strings, or one.
func (t token) texts(name string) (list []string, ok bool) {
	switch v := t.claims[name].(type) {
	case nil:
		_, there := t.claims[name]
		return nil, !there
	case string:
		return []string{v}, true
	case []any:
		for _, one := range v {
			text, isText := one.(string)
			if !isText {
				return nil, false
			}
			list = append(list, text)
		}
		return list, true
	}
	return nil, false
}

// times are the rules of when that all tokens share.
func (j *judgement) times(t token, most time.Duration) []rule {
	now := j.Now()
	expires, expiresOK := t.instant("exp")
	issued, issuedOK := t.instant("iat")
	begins, beginsOK := t.instant("nbf")
	rules := []rule{
		{CodeInvalid, "exp", expiresOK && !expires.IsZero() && expires.Before(now.Add(maxLife)), "seconds since 1970, within a year", t.said("exp")},
		{CodeExpired, "exp", now.Before(expires.Add(j.skew())), "later than " + clock(now), clock(expires)},
		{CodeInvalid, "iat", issuedOK && !issued.IsZero(), "seconds since 1970", t.said("iat")},
		{CodeInvalid, "iat", !issued.After(now.Add(j.skew())), "not after " + clock(now.Add(j.skew())), clock(issued)},
		{CodeExpired, "iat", issued.After(now.Add(-most)), "after " + clock(now.Add(-most)), clock(issued)},
	}
	if _, there := t.claims["nbf"]; there {
		rules = append(rules, rule{CodeInvalid, "nbf", beginsOK && !begins.After(now.Add(j.skew())), "not after " + clock(now.Add(j.skew())), t.said("nbf")})
	}
	return rules
}

// theirs reports whether the token names the provider. Google leaves out https://.
func (j *judgement) theirs(t token) bool {
	const google = "https://accounts.google.com"
	iss, ok := t.text("iss", 1024)
	return ok && (iss == j.Issuer || j.Issuer == google && iss == strings.TrimPrefix(google, "https://"))
}

// library is go-oidc's verifier for that token. By its clock nothing that is judged
// here by a finer measure has ended.
func (j *judgement) library(t token, doc document) *oidc.IDTokenVerifier {
	return oidc.NewVerifier(j.Issuer, t, &oidc.Config{
		ClientID: j.ClientID, SupportedSigningAlgs: doc.algorithms(), Now: func() time.Time { return j.Now().Add(-j.skew()) },
	})
}
