// Package keys owns a site's signing keys and its other secrets: it makes,
// rotates, withdraws and publishes them, signs with them and verifies what they
// signed.
//
// A new key is published a cache age before its first use, and stays published
// after its last until no token it signed can be alive, so that a verifier that
// keeps the JWKS for ten minutes never fails. Private keys are sealed, bound to
// their row, and parsed once. A token's header never chooses anything: the kid
// is looked up exactly, and the key knows its one algorithm.
//
// It answers no route itself; oauth serves the JWKS.
package keys

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// The algorithms of RFC 7518 and RFC 8037 that a site's keys can have.
const (
	ES256 = "ES256"
	RS256 = "RS256"
	EdDSA = "EdDSA"
)

const (
	// JWKSMaxAge is how long verifiers may keep a JWKS: the max-age it is served with.
	JWKSMaxAge = 10 * time.Minute
	// PublishAhead is how long a key is published before it signs: JWKSMaxAge and
	// a minute for clocks that differ.
	PublishAhead = JWKSMaxAge + time.Minute
	// MaxAge is how long a key signs before RotateDue replaces it.
	MaxAge = 90 * 24 * time.Hour
)

var (
	// ErrMalformed is a token that is not exactly what Sign could have made.
	ErrMalformed = errors.New("malformed token")
	// ErrUnknownKey is a token whose kid and alg are no published key's.
	ErrUnknownKey = errors.New("unknown signing key")
	// ErrSignature is a token whose signature is wrong.
	ErrSignature = errors.New("wrong signature")
	// ErrType is a token of another type than was asked for.
	ErrType = errors.New("wrong token type")
	// ErrNoKey is an algorithm for which the site has no key.
	ErrNoKey = errors.New("no key for this algorithm")
	// ErrNotYetActive is a key that verifiers may not know yet; the error is a
	// *NotYetActive that says from when on it signs.
	ErrNotYetActive = errors.New("signing key is not active yet")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrMalformed, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrUnknownKey, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrSignature, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrType, Status: http.StatusUnauthorized, OAuth: "invalid_token", Key: "bad_request"},
	{Err: ErrNoKey, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrNotYetActive, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "unavailable"},
}

// NotYetActive is an ErrNotYetActive: the key is made and published, and signs
// from At on.
type NotYetActive struct {
	Alg string
	At  time.Time
}

func (e *NotYetActive) Error() string {
	return fmt.Sprintf("the %s key is published and signs from %s on", e.Alg, e.At.UTC().Format(time.RFC3339))
}

// Is makes it an ErrNotYetActive.
func (e *NotYetActive) Is(target error) bool { return target == ErrNotYetActive }

// Options is what Keys needs, set once. Store is Sites.Store(), so that a change
// of keys is seen at once.
type Options struct {
	Store  store.Store
	Sealer *store.Sealer
	Sites  *site.Sites
	Now    func() time.Time
	Failed func(error) // is told what Run could not do; may be nil
}

// Keys signs and verifies for every site.
type Keys struct {
	Options
	observers []func(context.Context, store.Tx, Change) error
	seen      *seen
	secrets   sync.Map // secretName → []byte

	mu     sync.Mutex
	parsed map[string]map[string]*material // by site path and kid
}

// New returns the Keys of a store.
func New(o Options) *Keys {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Store == nil {
		o.Store = o.Sites.Store()
	}
	return &Keys{Options: o, seen: newSeen(seenBytes), parsed: map[string]map[string]*material{}}
}

// Change is what happened to a key.
type Change struct {
	Action    string // create, rotate or withdraw
	Alg, KID  string
	Activates time.Time
}

// Observe has f called in every transaction that changes a key, for the audit
// log. Call it before Keys is used.
func (k *Keys) Observe(f func(context.Context, store.Tx, Change) error) {
	k.observers = append(k.observers, f)
}

func (k *Keys) changed(ctx context.Context, tx store.Tx, c Change) error {
	for _, f := range k.observers {
		if err := f(ctx, tx, c); err != nil {
			return err
		}
	}
	return site.Changed(tx)
}

// Algs lists the algorithms that the site can sign with now.
func (k *Keys) Algs(ctx context.Context, s *site.Site) ([]string, error) {
	r, err := k.ring(ctx, s)
	if err != nil {
		return nil, err
	}
	var algs []string
	for _, alg := range []string{RS256, ES256, EdDSA} {
		if _, err := r.signer(alg, k.Now()); err == nil {
			algs = append(algs, alg)
		}
	}
	return algs, nil
}

// Info is a key as operators see it.
type Info struct {
	KID       string    `json:"kid"`
	Alg       string    `json:"alg"`
	State     string    `json:"state"` // published, active, retired or withdrawn
	Created   time.Time `json:"created"`
	Activates time.Time `json:"activates"`
	Retires   time.Time `json:"retires,omitzero"`
	Withdrawn time.Time `json:"withdrawn,omitzero"`
}

// List tells of a site's keys, the newest first.
func (k *Keys) List(ctx context.Context, path string) ([]Info, error) {
	records, err := k.records(ctx, path)
	if err != nil {
		return nil, err
	}
	arrange.By(records, func(a, b store.SigningKey) int { return b.Created.Compare(a.Created) })
	list := make([]Info, len(records))
	for i, r := range records {
		list[i] = Info{r.KID, r.Alg, state(&r, k.Now()), r.Created, r.Activates, r.Retires, r.Withdrawn}
	}
	return list, nil
}

func (k *Keys) records(ctx context.Context, path string) ([]store.SigningKey, error) {
	var records []store.SigningKey
	err := k.Store.View(ctx, path, func(tx store.Tx) (err error) {
		records, err = all(tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("load signing keys: %w", err)
	}
	return records, nil
}

func all(tx store.Tx) ([]store.SigningKey, error) {
	var records []store.SigningKey
	for rec, err := range store.SigningKeys.All(tx, "") {
		if err != nil {
			return nil, err
		}
		records = append(records, rec)
	}
	return records, nil
}

func state(r *store.SigningKey, now time.Time) string {
	switch {
	case withdrawn(r, now):
		return "withdrawn"
	case r.Activates.After(now):
		return "published"
	case active(r, now):
		return "active"
	}
	return "retired"
}

func withdrawn(r *store.SigningKey, now time.Time) bool {
	return !r.Withdrawn.IsZero() && !now.Before(r.Withdrawn)
}

// active reports whether the key signs now.
func active(r *store.SigningKey, now time.Time) bool {
	return !now.Before(r.Activates) && (r.Retires.IsZero() || now.Before(r.Retires)) && !withdrawn(r, now)
}
