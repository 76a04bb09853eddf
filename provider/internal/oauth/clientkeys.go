package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// How long a set from a jwks_uri is kept, and how soon it is read again for a
// kid that it has not.
const (
	keysMaxAge  = 10 * time.Minute
	keysRefetch = time.Minute
	maxKeys     = 50
)

var errNoClientKey = errors.New("the client has no such key")

// clientKeys keeps what clients' jwks_uris last said.
type clientKeys struct {
	mu   sync.Mutex
	sets map[string]*fetchedKeys // by URI
}

type fetchedKeys struct {
	mu    sync.Mutex // one fetch at a time
	set   *jose.JSONWebKeySet
	tried time.Time
	got   time.Time
}

func newClientKeys() *clientKeys { return &clientKeys{sets: map[string]*fetchedKeys{}} }

// clientKey finds the key that the header names, by exact kid; a header without
// one will do where the client has one key for that alg. Keys in the header
// itself are never looked at.
func (o *OAuth) clientKey(ctx context.Context, s *site.Site, c *store.Client, h jose.Header) (*jose.JSONWebKey, error) {
	if len(c.JWKS) > 0 {
		type cached struct{ client string }
		v, err := s.Cached(cached{c.ID}, func() (any, error) { return parseKeys(c.JWKS) })
		if err != nil {
			return nil, err
		}
		return pickKey(v.(*jose.JSONWebKeySet), h)
	}
	if c.JWKSURI == "" || o.Outbound == nil {
		return nil, errNoClientKey
	}
	return o.jwks.pick(ctx, o, c.JWKSURI, h)
}

func (k *clientKeys) pick(ctx context.Context, o *OAuth, uri string, h jose.Header) (*jose.JSONWebKey, error) {
	k.mu.Lock()
	f := k.sets[uri]
	if f == nil {
		f = &fetchedKeys{}
		k.sets[uri] = f
	}
	k.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.set != nil && o.Now().Sub(f.got) < keysMaxAge {
		if key, err := pickKey(f.set, h); err == nil {
			return key, nil
		}
	}
	if o.Now().Sub(f.tried) >= keysRefetch {
		f.tried = o.Now()
		raw, err := web.Fetch(ctx, o.Outbound, uri)
		if err == nil {
			var set *jose.JSONWebKeySet
			if set, err = parseKeys(raw); err == nil {
				f.set, f.got = set, o.Now()
			}
		}
		if err != nil {
			web.Log(ctx).Warn().Err(err).Str("jwks_uri", uri).Msg("a client's keys could not be read; the last good ones stay")
		}
	}
	if f.set == nil {
		return nil, errNoClientKey
	}
	return pickKey(f.set, h)
}

func parseKeys(raw []byte) (*jose.JSONWebKeySet, error) {
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("jwks: %w", err)
	}
	if len(list.Keys) > maxKeys {
		return nil, errors.New("jwks: too many keys")
	}
	set, kids := &jose.JSONWebKeySet{}, map[string]bool{}
	for _, raw := range list.Keys {
		var key jose.JSONWebKey
		if err := key.UnmarshalJSON(raw); err != nil {
			continue // of a kind that is not known here, which RFC 7517 has us ignore
		}
		if !key.IsPublic() {
			return nil, errors.New("jwks: it holds a key that is not public")
		}
		if key.KeyID != "" && kids[key.KeyID] {
			return nil, errors.New("jwks: a kid stands twice")
		}
		kids[key.KeyID] = true
		set.Keys = append(set.Keys, key)
	}
	return set, nil
}

func pickKey(set *jose.JSONWebKeySet, h jose.Header) (*jose.JSONWebKey, error) {
	var found *jose.JSONWebKey
	for i := range set.Keys {
		key := &set.Keys[i]
		if h.KeyID != "" && key.KeyID != h.KeyID || !usable(key, h.Algorithm) {
			continue
		}
		if found != nil {
			return nil, errNoClientKey
		}
		found = key
	}
	if found == nil {
		return nil, errNoClientKey
	}
	return found, nil
}
