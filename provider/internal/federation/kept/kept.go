// Package kept keeps what others publish at an address: key sets, discovery
// documents. A good one is taken for a while without asking again, and for longer
// where it cannot be had again: somebody else's short outage signs nobody out.
//
// It knows neither what is fetched nor how. It keeps everything in memory and has
// no routes.
package kept

import (
	"context"
	"errors"
	"sync"
	"time"
)

// maxAddresses bounds the memory.
const maxAddresses = 10_000

// Options say what is kept, and for how long.
type Options[T any] struct {
	// Get fetches and judges what is at an address. Its context never ends, since what
	// comes is for all who ask: it must have a time limit of its own.
	Get func(ctx context.Context, address string) (T, error)
	Now func() time.Time
	// Fresh is how long something is taken without asking again, Stale how long where
	// it cannot be had.
	Fresh, Stale time.Duration
	// Again is how soon it is asked again at the earliest, for what it lacks or after a
	// fault.
	Again time.Duration
}

// Documents keeps the last good one of each address.
type Documents[T any] struct {
	Options[T]
	mu  sync.Mutex
	all map[string]*document[T]
}

type document[T any] struct {
	asking chan struct{} // full while the address is asked

	mu    sync.Mutex
	good  T
	at    time.Time // when it came
	tried time.Time
	fault error
}

// New returns a Documents.
func New[T any](o Options[T]) *Documents[T] {
	return &Documents[T]{Options: o, all: map[string]*document[T]{}}
}

// At returns what is at the address. lacks reports that something is not in it,
// which may just have been published; nil: nothing is missed. The error is Get's,
// of the last try.
func (x *Documents[T]) At(ctx context.Context, address string, lacks func(T) bool) (T, error) {
	d := x.of(address)
	if !d.due(x.Now(), x.Options, lacks) {
		return d.last(x.Now(), x.Stale)
	}
	// One at a time asks, and others wait only for what is not here.
	select {
	case d.asking <- struct{}{}:
	default:
		good, err := d.last(x.Now(), x.Stale)
		if err == nil && (lacks == nil || !lacks(good)) {
			return good, nil
		}
		select {
		case d.asking <- struct{}{}:
		case <-ctx.Done():
			return good, ctx.Err()
		}
	}
	defer func() { <-d.asking }()
	if d.due(x.Now(), x.Options, lacks) {
		good, err := x.Get(context.WithoutCancel(ctx), address)
		d.came(x.Now(), good, err)
	}
	return d.last(x.Now(), x.Stale)
}

func (x *Documents[T]) of(address string) *document[T] {
	x.mu.Lock()
	defer x.mu.Unlock()
	d := x.all[address]
	if d == nil {
		if len(x.all) >= maxAddresses {
			clear(x.all)
		}
		d = &document[T]{asking: make(chan struct{}, 1)}
		x.all[address] = d
	}
	return d
}

// due reports whether the address should be asked: what is here is old or lacks
// something, and it was not asked just now.
func (d *document[T]) due(now time.Time, o Options[T], lacks func(T) bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	wanted := now.Sub(d.at) >= o.Fresh || lacks != nil && lacks(d.good)
	return wanted && now.Sub(d.tried) >= o.Again
}

// came notes an answer. A fault leaves the last good one.
func (d *document[T]) came(now time.Time, good T, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.tried = now
	if d.fault = err; err == nil {
		d.good, d.at = good, now
	}
}

// last is the last good one, while it may still be used.
func (d *document[T]) last(now time.Time, stale time.Duration) (none T, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case !d.at.IsZero() && now.Sub(d.at) < stale:
		return d.good, nil
	case d.fault != nil:
		return none, d.fault
	}
	return none, errors.New("nothing has come yet")
}
