package verify

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// maxKeys is more than any rotation leaves in a set.
const maxKeys = 64

// key is one public key and the one algorithm it may be used with.
type key struct {
	alg    jose.SignatureAlgorithm
	public any
}

// keySet is a checked JWKS by kid.
type keySet map[string]key

// fetchKeys reads and checks the site's JWKS.
func (c *Client) fetchKeys(ctx context.Context) (keySet, error) {
	body, err := c.get(ctx, c.endpoints.keys)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	set, err := parseKeys(body)
	if err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrKeys, c.endpoints.keys, err)
	}
	return set, nil
}

// parseKeys refuses the whole set for a fault that no honest issuer makes: a
// private or symmetric key, two keys of one kid, a degenerate one. Keys for
// other uses and algorithms are passed over (RFC 7517, section 5).
func parseKeys(data []byte) (keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, errors.New("not a JSON key set")
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys", len(document.Keys))
	}
	set := keySet{}
	seen := map[string]bool{}
	for _, raw := range document.Keys {
		kid, k, err := parseKey(raw)
		switch {
		case err != nil:
			return nil, err
		case kid != "" && seen[kid]:
			return nil, fmt.Errorf("two keys have the kid %q", kid)
		case k.public != nil && kid != "":
			set[kid] = k
		}
		seen[kid] = true
	}
	if len(set) == 0 {
		return nil, errors.New("no key that verifies ES256, RS256 or EdDSA")
	}
	return set, nil
}

func parseKey(raw json.RawMessage) (kid string, k key, err error) {
	fields, err := members(raw)
	if err != nil {
		return "", key{}, err
	}
	for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"} {
		if _, ok := fields[private]; ok {
			return "", key{}, errors.New("a key holds private or symmetric members")
		}
	}
	var kty, alg, use string
	for name, into := range map[string]*string{"kid": &kid, "kty": &kty, "alg": &alg, "use": &use} {
		if err := field(fields, name, into); err != nil {
			return "", key{}, err
		}
	}
	if kty == "oct" {
		return "", key{}, errors.New("a key is symmetric")
	}
	if use != "" && use != "sig" {
		return kid, key{}, nil
	}
	switch alg {
	case "ES256", "RS256", "EdDSA":
		k, err = publicKey(raw, jose.SignatureAlgorithm(alg))
	}
	return kid, k, err
}

func publicKey(raw []byte, alg jose.SignatureAlgorithm) (key, error) {
	var jwk jose.JSONWebKey
	if err := jwk.UnmarshalJSON(raw); err != nil || !jwk.IsPublic() {
		return key{}, fmt.Errorf("a key for %s is not a public key", alg)
	}
	good := false
	switch public := jwk.Key.(type) {
	case *ecdsa.PublicKey:
		good = alg == jose.ES256 && public.Curve == elliptic.P256()
	case *rsa.PublicKey:
		bits := public.N.BitLen()
		good = alg == jose.RS256 && bits >= 2048 && bits <= 8192 && public.E >= 3 && public.E%2 == 1
	case ed25519.PublicKey:
		good = alg == jose.EdDSA && len(public) == ed25519.PublicKeySize
	}
	if !good {
		return key{}, fmt.Errorf("a key does not fit its algorithm %s", alg)
	}
	return key{alg, jwk.Key}, nil
}

// keyCache keeps the last good set. It is read again every few minutes, so that
// a rotation, which publishes a key well before it signs, is never noticed; and
// for an unknown kid at most once a minute, a failed try after a second.
type keyCache struct {
	fetch   func(context.Context) (keySet, error)
	removed func() // called when a key is gone, so that what it signed is judged anew
	log     *slog.Logger

	current atomic.Pointer[keySet]
	mu      sync.Mutex // held while fetching: others wait for the same answer
	probed  time.Time  // last success of a search for an unknown kid
	failed  time.Time  // end of the last failure
}

// find returns the key of this kid, looking for it again if it is unknown.
func (k *keyCache) find(ctx context.Context, kid string) (key, error) {
	if found, ok := (*k.current.Load())[kid]; ok {
		return found, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if found, ok := (*k.current.Load())[kid]; ok {
		return found, nil
	}
	if now := time.Now(); now.Sub(k.probed) >= unknownKidPause && now.Sub(k.failed) >= time.Second {
		// The answer is everybody's: one caller's cancellation must not spoil it.
		if err := k.load(context.WithoutCancel(ctx)); err != nil {
			return key{}, err
		}
		k.probed = time.Now()
	}
	if found, ok := (*k.current.Load())[kid]; ok {
		return found, nil
	}
	return key{}, ErrUnknownKey
}

func (k *keyCache) refresh(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.load(ctx)
}

// load expects the lock.
func (k *keyCache) load(ctx context.Context) error {
	set, err := k.fetch(ctx)
	if err != nil {
		k.failed = time.Now()
		return err
	}
	before := k.current.Swap(&set)
	if before != nil && lost(*before, set) {
		k.removed()
	}
	return nil
}

func lost(before, now keySet) bool {
	for kid := range before {
		if _, ok := now[kid]; !ok {
			return true
		}
	}
	return false
}

// run refreshes the set until ctx ends, sooner again after a failure.
func (k *keyCache) run(ctx context.Context) {
	failures := 0
	for {
		wait := keysMaxAge - jitter(keysMaxAge/10)
		if failures > 0 {
			wait = pause(failures)
		}
		if sleep(ctx, wait) != nil {
			return
		}
		if err := k.refresh(ctx); err != nil {
			failures++
			k.log.Warn("keys not refreshed; the last good set is kept", "error", err)
			continue
		}
		failures = 0
	}
}
