package keyset

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/kept"
	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

const (
	// fresh is how long a published set is taken without asking again, stale how long
	// where it cannot be had.
	fresh = 5 * time.Minute
	stale = 24 * time.Hour
	// again is how soon it is asked again at the earliest, for a key that it lacks or
	// after a fault.
	again = time.Minute
)

// Published keeps the key sets that others publish.
type Published struct {
	docs *kept.Documents[[]jose.JSONWebKey]
}

// NewPublished returns a Published. The client is web.NewOutboundClient's.
func NewPublished(client *http.Client, now func() time.Time) *Published {
	get := func(ctx context.Context, url string) ([]jose.JSONWebKey, error) {
		body, err := web.Fetch(ctx, client, url)
		if err != nil {
			return nil, err
		}
		return parse(body)
	}
	return &Published{kept.New(kept.Options[[]jose.JSONWebKey]{Get: get, Now: now, Fresh: fresh, Stale: stale, Again: again})}
}

// Keys are the public keys at a URL that may verify signatures. kid is what a token
// names, so that a key just published is fetched; empty: none. The error is ErrKeys.
func (p *Published) Keys(ctx context.Context, url, kid string) ([]jose.JSONWebKey, error) {
	lacks := func(keys []jose.JSONWebKey) bool { return kid != "" && !named(keys, kid) }
	keys, err := p.docs.At(ctx, url, lacks)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrKeys, err)
	}
	return keys, nil
}

func named(keys []jose.JSONWebKey, kid string) bool {
	return slices.ContainsFunc(keys, func(k jose.JSONWebKey) bool { return k.KeyID == kid })
}

// parse reads a JWK Set (RFC 7517, section 5). Keys of kinds that are not known
// here are left out, as it says; a private key or a kid twice spoils the set.
func parse(body []byte) ([]jose.JSONWebKey, error) {
	var list struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := strictjson.Unmarshal(body, &list); err != nil {
		return nil, fmt.Errorf("the key set: %w", err)
	}
	if len(list.Keys) > jwt.MaxKeys {
		return nil, fmt.Errorf("the key set has more than %d keys", jwt.MaxKeys)
	}
	var keys []jose.JSONWebKey
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
		if k.KeyID != "" && named(keys, k.KeyID) {
			return nil, errors.New("the key set has a kid twice")
		}
		if k.Use != "enc" && len((jwt.Key{Public: k.Key}).Algorithms()) > 0 {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set has no key that can be used")
	}
	return keys, nil
}
