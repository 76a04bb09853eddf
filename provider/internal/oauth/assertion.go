package oauth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

// Limits on a client assertion (RFC 7523).
const (
	maxAssertion     = 8 << 10
	maxAssertionLife = 10 * time.Minute // from now to exp, and from iat to now
	maxAssertionJTI  = 255
	assertionLeeway  = 30 * time.Second
	minRSABits       = 2048
)

// assertionAlgs are those that clients may sign with; each key has one.
var assertionAlgs = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// assertion is a verified client assertion that is still to be spent.
type assertion struct {
	clientID string
	jti      [sha256.Size]byte
	expires  time.Time
}

// spend uses the assertion up: each (client, jti) works once.
func (a *assertion) spend(tx store.Tx) error {
	rec := store.Spent{Key: "assertion:" + a.clientID + ":" + hex.EncodeToString(a.jti[:]), Expires: a.expires.Add(2 * assertionLeeway)}
	err := store.AllSpent.Create(tx, &rec)
	if errors.Is(err, store.ErrExists) {
		return web.Public(ErrInvalidClient, "this client_assertion has been used already")
	}
	return err
}

// checkAssertion verifies a private_key_jwt by the client's registered keys.
// What is wrong is said only to a caller who has the key.
func (o *OAuth) checkAssertion(ctx context.Context, s *site.Site, given credentials) (*store.Client, *assertion, error) {
	if len(given.assertion) > maxAssertion {
		return nil, nil, ErrInvalidClient
	}
	signed, err := jose.ParseSignedCompact(given.assertion, assertionAlgs)
	if err != nil || len(signed.Signatures) != 1 {
		return nil, nil, fmt.Errorf("%w: parse: %w", ErrInvalidClient, err)
	}
	var unverified assertionClaims
	if err := strictjson.Unmarshal(signed.UnsafePayloadWithoutVerification(), &unverified); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalidClient, err)
	}
	id := unverified.Subject
	if given.id != "" && given.id != id {
		return nil, nil, ErrInvalidClient
	}
	c, err := o.client(ctx, s, id)
	if errors.Is(err, ErrUnknownClient) || err == nil && c.TokenEndpointAuthMethod != authKey {
		return nil, nil, ErrInvalidClient
	}
	if err != nil {
		return nil, nil, err
	}
	header := signed.Signatures[0].Protected
	if _, critical := header.ExtraHeaders["crit"]; critical || header.ExtraHeaders["b64"] != nil {
		return nil, nil, ErrInvalidClient
	}
	key, err := o.clientKey(ctx, s, c, header)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalidClient, err)
	}
	if _, err := signed.Verify(key); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrInvalidClient, err)
	}
	if text := unverified.fault(s, o.Now()); text != "" {
		return nil, nil, web.Public(ErrInvalidClient, "client_assertion: "+text)
	}
	return c, &assertion{clientID: c.ID, jti: sha256.Sum256([]byte(unverified.ID)), expires: instant(*unverified.Expires)}, nil
}

type assertionClaims struct {
	Issuer    string   `json:"iss"`
	Subject   string   `json:"sub"`
	Audience  any      `json:"aud"`
	ID        string   `json:"jti"`
	Expires   *float64 `json:"exp"`
	NotBefore *float64 `json:"nbf"`
	IssuedAt  *float64 `json:"iat"`
}

// fault says what is wrong with the claims, "" for nothing. aud is one string:
// our issuer or our token endpoint, so that an assertion for another server is
// never taken here.
func (c *assertionClaims) fault(s *site.Site, now time.Time) string {
	aud, _ := c.Audience.(string)
	switch {
	case c.Issuer == "" || c.Issuer != c.Subject:
		return "iss and sub are not both the client_id"
	case aud != s.Issuer && aud != s.URL("/oauth/token"):
		return "aud is not the issuer or the token endpoint, as one string"
	case c.ID == "" || len(c.ID) > maxAssertionJTI:
		return "jti is missing or too long"
	case c.Expires == nil || !sane(c.Expires):
		return "exp is missing"
	case !now.Before(instant(*c.Expires).Add(assertionLeeway)):
		return "it has expired"
	case instant(*c.Expires).After(now.Add(maxAssertionLife)):
		return "exp is more than 10 minutes ahead"
	case c.NotBefore != nil && (!sane(c.NotBefore) || now.Add(assertionLeeway).Before(instant(*c.NotBefore))):
		return "nbf is in the future"
	case c.IssuedAt != nil && (!sane(c.IssuedAt) || now.Add(assertionLeeway).Before(instant(*c.IssuedAt))):
		return "iat is in the future"
	case c.IssuedAt != nil && now.Sub(instant(*c.IssuedAt)) > maxAssertionLife:
		return "iat is more than 10 minutes ago"
	case mayBeSpent(c.IssuedAt, s.Settings.NotBefore, now):
		return "it may be from before the site was restored: make a new one, with iat"
	}
	return ""
}

// mayBeSpent reports whether an assertion issued then may have been used before
// a restore, which cannot know what was spent after its backup.
func mayBeSpent(issued *float64, restored, now time.Time) bool {
	if restored.IsZero() || now.Sub(restored) > maxAssertionLife+2*assertionLeeway {
		return false
	}
	return issued == nil || instant(*issued).Before(restored.Truncate(time.Second))
}

func sane(t *float64) bool { return *t > 0 && *t < 253402300800 }

func instant(t float64) time.Time {
	whole, part := math.Modf(t)
	return time.Unix(int64(whole), int64(part*1e9))
}

// usable reports whether the key may have signed with alg: of a kind and size
// that we trust, and meant for it.
func usable(k *jose.JSONWebKey, alg string) bool {
	if !k.Valid() || !k.IsPublic() || k.Use != "" && k.Use != "sig" || k.Algorithm != "" && k.Algorithm != alg {
		return false
	}
	switch key := k.Key.(type) {
	case *rsa.PublicKey:
		return slices.Contains([]string{"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}, alg) && key.N.BitLen() >= minRSABits && key.E >= 3 && key.E%2 == 1
	case *ecdsa.PublicKey:
		return map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}[alg] == key.Curve.Params().BitSize
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}
