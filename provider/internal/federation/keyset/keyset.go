// Package keyset has the keys that a connection's tokens are verified with: the
// secrets and public keys that it holds, and those that it publishes at a URL.
//
// What is published is fetched by the house's guarded client, kept in memory for a
// while, and kept longer where it cannot be had again: a customer's short outage
// signs nobody out. It answers no route and writes nothing.
package keyset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	// fresh is how long a published set is taken without asking again, stale how long
	// where it cannot be had.
	fresh = 5 * time.Minute
	stale = 24 * time.Hour
	// again is how soon it is asked again at the earliest, for a key that it lacks or
	// after a fault.
	again = time.Minute
	// maxSets bounds the memory: connections whose sets are kept.
	maxSets = 10_000
)

// ErrKeys says that the keys cannot be had; why is for administrators.
var ErrKeys = errors.New("the connection's keys cannot be had")

// Options is what Sets needs.
type Options struct {
	Client *http.Client // web.NewOutboundClient's
	Sealer *store.Sealer
	Now    func() time.Time
}

// Sets keeps published keys.
type Sets struct {
	Options
	mu   sync.Mutex
	sets map[string]*published // by URL
}

type published struct {
	asking sync.Mutex // held while the URL is asked

	mu    sync.Mutex
	keys  []jwt.Key
	at    time.Time // when they came
	tried time.Time
	fault error
}

// New returns a Sets.
func New(o Options) *Sets {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Sets{Options: o, sets: map[string]*published{}}
}

// Keys returns the keys of a JWT connection of the site with that path. kid is what
// the token names, so that one just published is fetched; empty: none. The error is
// ErrKeys.
func (x *Sets) Keys(ctx context.Context, path string, c *store.Connection, kid string) ([]jwt.Key, error) {
	keys, err := x.own(path, c)
	if err != nil || c.JWT.JWKSURL == "" {
		return keys, err
	}
	if has(keys, kid) {
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

func (x *Sets) set(url string) *published {
	x.mu.Lock()
	defer x.mu.Unlock()
	set := x.sets[url]
	if set == nil {
		if len(x.sets) >= maxSets {
			clear(x.sets)
		}
		set = &published{}
		x.sets[url] = set
	}
	return set
}

// fetched are the keys at a URL. One at a time asks for them, and others wait only
// for what is not here.
func (x *Sets) fetched(ctx context.Context, url, kid string) ([]jwt.Key, error) {
	set := x.set(url)
	if !set.due(x.Now(), kid) {
		return set.good(x.Now())
	}
	if !set.asking.TryLock() {
		if keys, err := set.good(x.Now()); err == nil && (kid == "" || has(keys, kid)) {
			return keys, nil
		}
		set.asking.Lock()
	}
	defer set.asking.Unlock()
	if set.due(x.Now(), kid) {
		// Whoever asks may go away: what comes is for all. The client has a time limit.
		body, err := web.Fetch(context.WithoutCancel(ctx), x.Client, url)
		var keys []jwt.Key
		if err == nil {
			keys, err = parse(body)
		}
		set.came(x.Now(), keys, err)
	}
	return set.good(x.Now())
}

// due reports whether the URL should be asked: the set is old or lacks the kid, and
// it was not asked just now.
func (p *published) due(now time.Time, kid string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := now.Sub(p.at) >= fresh || kid != "" && !has(p.keys, kid)
	return wanted && now.Sub(p.tried) >= again
}

// came notes an answer. A fault leaves the last good set.
func (p *published) came(now time.Time, keys []jwt.Key, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried = now
	if p.fault = err; err == nil {
		p.keys, p.at = keys, now
	}
}

// good is the last good set, while it may still be used.
func (p *published) good(now time.Time) ([]jwt.Key, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.at.IsZero() && now.Sub(p.at) < stale {
		return p.keys, nil
	}
	if p.fault == nil {
		return nil, ErrKeys
	}
	return nil, fmt.Errorf("%w: %w", ErrKeys, p.fault)
}

func has(keys []jwt.Key, kid string) bool {
	for _, k := range keys {
		if k.KID == kid {
			return true
		}
	}
	return false
}

// parse reads a JWK Set (RFC 7517, section 5). Keys of kinds that are not known
// here are left out, as it says; a private key or a kid twice spoils the set.
func parse(body []byte) ([]jwt.Key, error) {
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	if len(list.Keys) > jwt.MaxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", jwt.MaxKeys)
	}
	var keys []jwt.Key
	for _, raw := range list.Keys {
		var members map[string]json.RawMessage
		if err := json.Unmarshal(raw, &members); err != nil {
			return nil, errors.New("the key set holds what is no object")
		}
		if members["d"] != nil || members["k"] != nil { // of any kind, known here or not
			return nil, errors.New("the key set holds a key that is not public")
		}
		var k jose.JSONWebKey
		if err := k.UnmarshalJSON(raw); err != nil {
			continue
		}
		if !k.IsPublic() {
			return nil, errors.New("the key set holds a key that is not public")
		}
		if k.KeyID != "" && has(keys, k.KeyID) {
			return nil, errors.New("the key set has a kid twice")
		}
		key := jwt.Key{KID: k.KeyID, Alg: k.Algorithm, Public: k.Key}
		if k.Use != "enc" && len(key.Algorithms()) > 0 {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key that can be used")
	}
	return keys, nil
}
