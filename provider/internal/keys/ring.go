package keys

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"slices"
	"sync/atomic"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// ring is the keys of one snapshot of a site, by what they are looked up by.
type ring struct {
	byKID  map[string]*key
	newest []*key // the latest to become active first
	jwks   atomic.Pointer[document]
}

// key is a parsed key and its times.
type key struct {
	*material
	times store.SigningKey
}

// document is a JWKS and until when it is true.
type document struct {
	body  []byte
	until time.Time // zero: until the keys change
}

type ringKey struct{}

// Load reads the snapshot's keys, unless it has them. Call it before a transaction
// in which something is signed: Sign would else open a second one inside it.
func (k *Keys) Load(ctx context.Context, s *site.Site) error {
	_, err := k.ring(ctx, s)
	return err
}

// ring returns the keys of the snapshot. Keys that have been parsed before are
// not parsed again.
func (k *Keys) ring(ctx context.Context, s *site.Site) (*ring, error) {
	r, err := s.Cached(ringKey{}, func() (any, error) { return k.load(ctx, s.Path) })
	if err != nil {
		return nil, err
	}
	return r.(*ring), nil
}

func (k *Keys) load(ctx context.Context, path string) (*ring, error) {
	records, err := k.records(ctx, path)
	if err != nil {
		return nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	r, known, now := &ring{byKID: map[string]*key{}}, map[string]*material{}, k.Now()
	for _, rec := range records {
		if withdrawn(&rec, now) || len(rec.Private) == 0 {
			continue
		}
		m := k.parsed[path][rec.KID]
		if m == nil || m.alg != rec.Alg || m.sealed != sha256.Sum256(rec.Private) {
			if m, err = k.parse(path, &rec); err != nil {
				return nil, err
			}
		}
		rec.Private = nil
		known[rec.KID] = m
		entry := &key{m, rec}
		r.byKID[rec.KID] = entry
		r.newest = append(r.newest, entry)
	}
	arrange.By(r.newest, func(a, b *key) int {
		return cmp.Or(b.times.Activates.Compare(a.times.Activates), cmp.Compare(a.kid, b.kid))
	})
	k.parsed[path] = known
	return r, nil
}

// signer is the key that signs now: the latest to have become active.
func (r *ring) signer(alg string, now time.Time) (*key, error) {
	var pending *key
	for _, k := range r.newest {
		if k.alg != alg {
			continue
		}
		if active(&k.times, now) {
			return k, nil
		}
		if k.times.Activates.After(now) {
			pending = k
		}
	}
	if pending != nil {
		return nil, &NotYetActive{alg, pending.times.Activates}
	}
	return nil, ErrNoKey
}

// published is the key with that kid, if verifiers should accept it.
func (r *ring) published(kid string, now time.Time) (*key, bool) {
	k, ok := r.byKID[kid]
	return k, ok && !withdrawn(&k.times, now)
}

// JWKS is the site's public keys (RFC 7517), to be served with a max-age of
// JWKSMaxAge. The bytes are made beforehand: do not change them.
func (k *Keys) JWKS(ctx context.Context, s *site.Site) ([]byte, error) {
	r, err := k.ring(ctx, s)
	if err != nil {
		return nil, err
	}
	now := k.Now()
	if d := r.jwks.Load(); d != nil && (d.until.IsZero() || now.Before(d.until)) {
		return d.body, nil
	}
	d := r.document(now)
	r.jwks.Store(d)
	return d.body, nil
}

// document lists the keys that sign or have signed, then those that will: some
// verifiers look at the first only.
func (r *ring) document(now time.Time) *document {
	d := &document{}
	var list, later [][]byte
	for _, k := range r.newest {
		switch {
		case withdrawn(&k.times, now):
			continue
		case k.times.Activates.After(now):
			later = append(later, k.jwk)
		default:
			list = append(list, k.jwk)
		}
		for _, at := range []time.Time{k.times.Withdrawn, k.times.Activates} {
			if at.After(now) && (d.until.IsZero() || at.Before(d.until)) {
				d.until = at
			}
		}
	}
	d.body = slices.Concat([]byte(`{"keys":[`), bytes.Join(append(list, later...), []byte(",")), []byte(`]}`))
	return d
}
