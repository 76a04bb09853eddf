package verify

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// maxKid is longer than any kid that a set of ours has.
const maxKid = 256

// forbidden are header members that would let a token choose its own key, name
// a place to fetch one, or change what is signed. No access token has them.
var forbidden = [...]string{"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "p2c", "p2s", "epk"}

// header is what a token says of its signature.
type header struct{ alg, kid, typ string }

// payload returns the token's claims after its signature has been verified by
// the key and the one algorithm that the site's key set gives for its kid.
func (c *Client) payload(ctx context.Context, raw string) ([]byte, error) {
	h, err := parseHeader(raw)
	if err != nil {
		return nil, err
	}
	k, err := c.keys.find(ctx, h.kid)
	if err != nil {
		return nil, fmt.Errorf("%w (kid %q)", err, h.kid)
	}
	if h.alg != string(k.alg) {
		return nil, fmt.Errorf("%w: the key %q is for %s, the token says %s", ErrAlgorithm, h.kid, k.alg, h.alg)
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{k.alg})
	if err != nil {
		return nil, ErrMalformed
	}
	claims, err := jws.Verify(k.public)
	if err != nil {
		return nil, ErrSignature
	}
	return claims, nil
}

// parseHeader checks the compact form strictly and reads the header.
func parseHeader(raw string) (header, error) {
	if len(raw) > maxTokenBytes {
		return header{}, fmt.Errorf("%w: longer than %d bytes", ErrMalformed, maxTokenBytes)
	}
	if strings.Count(raw, ".") != 2 {
		return header{}, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	var first []byte
	for i, part := range strings.Split(raw, ".") {
		decoded, err := strictBase64(part)
		if err != nil || len(decoded) == 0 {
			return header{}, fmt.Errorf("%w: part %d is empty or not base64url", ErrMalformed, i+1)
		}
		if i == 0 {
			first = decoded
		}
	}
	return readHeader(first)
}

// strictBase64 accepts one spelling of each value: no padding, no line breaks
// (which encoding/base64 skips), no stray bits at the end.
func strictBase64(part string) ([]byte, error) {
	if strings.ContainsAny(part, "\r\n") {
		return nil, ErrMalformed
	}
	return base64.RawURLEncoding.Strict().DecodeString(part)
}

func readHeader(data []byte) (header, error) {
	fields, err := members(data)
	if err != nil {
		return header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
	}
	for _, name := range forbidden {
		if _, ok := fields[name]; ok {
			return header{}, fmt.Errorf("%w: header member %q", ErrMalformed, name)
		}
	}
	var h header
	for name, into := range map[string]*string{"alg": &h.alg, "kid": &h.kid, "typ": &h.typ} {
		if err := field(fields, name, into); err != nil {
			return header{}, fmt.Errorf("%w: header: %w", ErrMalformed, err)
		}
	}
	switch jose.SignatureAlgorithm(h.alg) {
	case jose.ES256, jose.RS256, jose.EdDSA:
	default:
		return header{}, fmt.Errorf("%w: %.20q", ErrAlgorithm, h.alg)
	}
	if typ := strings.TrimPrefix(strings.ToLower(h.typ), "application/"); typ != "at+jwt" {
		return header{}, fmt.Errorf("%w: typ is %.40q", ErrType, h.typ)
	}
	if h.kid == "" || len(h.kid) > maxKid {
		return header{}, fmt.Errorf("%w: the header has no kid", ErrUnknownKey)
	}
	return h, nil
}
