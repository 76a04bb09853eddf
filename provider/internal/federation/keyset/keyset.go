// Package keyset has the keys that others' tokens are verified with: the secrets
// and public keys that a connection holds, and those that are published at a URL.
//
// What is published is fetched by the house's guarded client, kept in memory for a
// while, and kept longer where it cannot be had again: a customer's short outage
// signs nobody out. It answers no route and writes nothing.
package keyset

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrKeys says that the keys cannot be had; why is for administrators.
var ErrKeys = errors.New("the connection's keys cannot be had")

// Options is what Sets needs.
type Options struct {
	Client *http.Client // web.NewOutboundClient's
	Sealer *store.Sealer
	Now    func() time.Time
}

// Sets knows the keys of JWT connections.
type Sets struct {
	Options
	published *Published
}

// New returns a Sets.
func New(o Options) *Sets {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sets{Options: o, published: NewPublished(o.Client, o.Now)}
}

// Keys returns the keys of a JWT connection of the site with that path. kid is what
// the token names, so that one just published is fetched; empty: none. The error is
// ErrKeys.
func (x *Sets) Keys(ctx context.Context, path string, c *store.Connection, kid string) ([]jwt.Key, error) {
	keys, err := x.own(path, c)
	if err != nil || c.JWT.JWKSURL == "" {
		return keys, err
	}
	if slices.ContainsFunc(keys, func(k jwt.Key) bool { return k.KID == kid }) {
		kid = "" // that key is here: nothing published is missed
	}
	fetched, err := x.fetched(ctx, c.JWT.JWKSURL, kid)
	if err != nil && len(keys) == 0 {
		return nil, err
	}
	keys = append(keys, fetched...)
	return keys[:min(len(keys), jwt.MaxKeys)], nil
}

// own are the keys that the site file names.
func (x *Sets) own(path string, c *store.Connection) (keys []jwt.Key, err error) {
	for i, k := range c.JWT.Keys {
		if k.Use == store.UseUserHash {
			continue
		}
		key := jwt.Key{KID: k.KID, Alg: k.Alg}
		if len(k.Secret) > 0 {
			key.Secret, err = x.Sealer.Open(path, store.Connections.Kind, c.ID, k.Secret)
		} else {
			key.Public, err = jwt.ParsePublicKey(k.PublicKey)
		}
		if err != nil {
			return nil, fmt.Errorf("%w: key %d: %w", ErrKeys, i+1, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// HashSecrets are the secrets that make a connection's user_hashes. The error is
// ErrKeys.
func (x *Sets) HashSecrets(path string, c *store.Connection) (secrets [][]byte, err error) {
	for i, k := range c.JWT.Keys {
		if k.Use != store.UseUserHash {
			continue
		}
		secret, err := x.Sealer.Open(path, store.Connections.Kind, c.ID, k.Secret)
		if err != nil {
			return nil, fmt.Errorf("%w: key %d: %w", ErrKeys, i+1, err)
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

// fetched are the keys at a URL that jwt can use: a set may have others too.
func (x *Sets) fetched(ctx context.Context, url, kid string) (keys []jwt.Key, err error) {
	set, err := x.published.Keys(ctx, url, kid)
	if err != nil {
		return nil, err
	}
	for _, k := range set {
		if key := (jwt.Key{KID: k.KeyID, Alg: k.Algorithm, Public: k.Key}); len(key.Algorithms()) > 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%w: the key set has no key that can be used", ErrKeys)
	}
	return keys, nil
}
