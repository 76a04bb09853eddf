package keys

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
)

// MaxToken is the length in bytes of the longest token that is looked at.
const MaxToken = 16 << 10

var strict = base64.RawURLEncoding.Strict()

// Verify returns the payload of a token that the site signed and the algorithm
// it did so with. The token's typ must be one of typs. Whether the claims are in
// force (exp, aud, revocation) is the caller's to judge. The payload is shared:
// do not change it. Errors are ErrMalformed, ErrUnknownKey, ErrType and
// ErrSignature.
func (k *Keys) Verify(ctx context.Context, s *site.Site, raw string, typs ...string) (payload []byte, alg string, err error) {
	if len(raw) > MaxToken {
		return nil, "", fmt.Errorf("%w: %d bytes", ErrMalformed, len(raw))
	}
	r, err := k.ring(ctx, s)
	if err != nil {
		return nil, "", err
	}
	now := k.Now()
	id := nameToken(s.Path, raw)
	t, ok := k.seen.get(id, now)
	if ok {
		if _, ok = r.published(t.kid, now); ok {
			return t.payload, t.alg, checkType(t.typ, typs)
		}
	}
	t, err = r.verify(raw, typs, now)
	if err != nil {
		return nil, "", err
	}
	if t.until = expiry(t.payload); t.until.After(now) {
		k.seen.put(id, t)
	}
	return t.payload, t.alg, nil
}

// nameToken hashes a token of usual length without a copy on the heap.
func nameToken(path, raw string) tokenID {
	var buf [1536]byte
	if len(raw) > len(buf) {
		return tokenID{path, sha256.Sum256([]byte(raw))}
	}
	return tokenID{path, sha256.Sum256(buf[:copy(buf[:], raw)])}
}

func checkType(typ string, typs []string) error {
	if !slices.Contains(typs, typ) {
		return fmt.Errorf("%w: %q", ErrType, typ)
	}
	return nil
}

// verify checks everything that can be checked without the claims. The header
// must be, to the byte, the one that Sign writes, so that no member, order,
// repetition or encoding of an attacker's is ever interpreted.
func (r *ring) verify(raw string, typs []string, now time.Time) (token, error) {
	head, rest, _ := strings.Cut(raw, ".")
	body, sig, ok := strings.Cut(rest, ".")
	if !ok || strings.Contains(sig, ".") || head == "" || body == "" || sig == "" {
		return token{}, fmt.Errorf("%w: not three parts", ErrMalformed)
	}
	plain, err := strict.DecodeString(head)
	if err != nil || len(plain) > 1024 {
		return token{}, fmt.Errorf("%w: header", ErrMalformed)
	}
	var h header
	if err := json.Unmarshal(plain, &h); err != nil {
		return token{}, fmt.Errorf("%w: header", ErrMalformed)
	}
	key, ok := r.published(h.KID, now)
	if !ok || key.alg != h.Alg {
		return token{}, ErrUnknownKey
	}
	if err := checkType(h.Typ, typs); err != nil {
		return token{}, err
	}
	if key.header(h.Typ) != head {
		return token{}, fmt.Errorf("%w: header", ErrMalformed)
	}
	payload, err := strict.DecodeString(body)
	if err != nil {
		return token{}, fmt.Errorf("%w: payload", ErrMalformed)
	}
	signature, err := strict.DecodeString(sig)
	if err != nil || strings.ContainsAny(raw, "\r\n") { // which the decoder skips
		return token{}, fmt.Errorf("%w: signature", ErrMalformed)
	}
	if !key.correct([]byte(raw[:len(head)+1+len(body)]), signature) {
		return token{}, ErrSignature
	}
	return token{kid: key.kid, alg: key.alg, typ: h.Typ, payload: payload}, nil
}

// expiry is the payload's exp; zero if it has none that makes sense.
func expiry(payload []byte) time.Time {
	var claims struct {
		Exp float64 `json:"exp"`
	}
	if json.Unmarshal(payload, &claims) != nil || !(claims.Exp > 0 && claims.Exp < math.MaxInt32*2) {
		return time.Time{}
	}
	return time.Unix(int64(claims.Exp), 0)
}
