// Package postgres is the engine for several nodes on one database: one table
// of (site, kind, key, value, expires), transactions at serializable with
// retry.
//
// It is the only importer of pgx. It keeps no state in a session (no named
// statements, no LISTEN, no session locks, settings only with SET LOCAL), so
// that a pooler in transaction mode may stand between. Statements go unnamed
// through the extended protocol: planning them each time
// costs some 50 µs, and a named statement would be looked for on the wrong
// server connection behind an older pooler.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// Options says how to open a store.
type Options struct {
	URL string // postgres://…; pool_max_conns and the usual parameters count
	Now func() time.Time
	// AllowAsync opens a database whose standby may lack what was acknowledged.
	AllowAsync bool
}

// Store is the engine.
type Store struct {
	pool *pool
	now  func() time.Time
	turn chan struct{} // held by one Update that lost too often
	stop context.CancelFunc
	work sync.WaitGroup
}

const (
	connectTimeout = 3 * time.Second
	// callTimeout bounds one exchange with the server, the wait for a free
	// connection included; the server gives up on a statement a little earlier.
	callTimeout      = 10 * time.Second
	statementTimeout = "9s"
	patient          = 3
	maxAttempts      = 64
	maxReconnects    = 3
)

// Open connects, makes or upgrades the schema, and refuses a server that may
// forget what it acknowledged.
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	pool, err := newPool(o.URL)
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	s := &Store{pool: pool, now: o.Now, turn: make(chan struct{}, 1)}
	if err := s.prepare(ctx, o); err != nil {
		pool.Close()
		return nil, fmt.Errorf("database %s: %w", pool.host, err)
	}
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	s.work.Go(func() { s.forgetOutcomes(background) })
	return s, nil
}

func (s *Store) prepare(ctx context.Context, o Options) error {
	if err := s.checkDurability(ctx, o.AllowAsync); err != nil {
		return err
	}
	if err := s.makeSchema(ctx); err != nil {
		return err
	}
	return s.View(ctx, store.House, func(tx store.Tx) error {
		if _, err := tx.Get(store.RestoreKind, []byte(store.RestoreKey)); err == nil {
			return store.ErrHalfRestored
		}
		return nil
	})
}

// Close waits for transactions under way and disconnects.
func (s *Store) Close() error {
	s.stop()
	s.work.Wait()
	s.pool.Close()
	return nil
}

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, site string, fn func(store.Tx) error) error {
	for attempt := 0; ; attempt++ {
		err := s.view(ctx, site, fn)
		if !retry(ctx, err, attempt) {
			return err
		}
	}
}

func (s *Store) view(ctx context.Context, site string, fn func(store.Tx) error) error {
	t, err := s.begin(ctx, site)
	if err != nil {
		return err
	}
	defer t.end()
	err = fn(t)
	if t.err != nil {
		return t.err
	}
	return err
}

// Update runs fn in a serializable transaction; after a conflict it runs again.
func (s *Store) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	for attempt := 0; ; attempt++ {
		if attempt == patient {
			select {
			case s.turn <- struct{}{}:
				defer func() { <-s.turn }()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		err := s.update(ctx, site, fn)
		if !retry(ctx, err, attempt) {
			return err
		}
	}
}

func (s *Store) update(ctx context.Context, site string, fn func(store.Tx) error) error {
	t, err := s.begin(ctx, site)
	if err != nil {
		return err
	}
	defer t.end()
	t.writes = &overlay.Overlay{}
	err = fn(t)
	switch {
	case t.err != nil:
		return t.err
	case err != nil:
		return err
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return t.commit()
}

func (s *Store) begin(ctx context.Context, site string) (*tx, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(site) > store.MaxName {
		return nil, fmt.Errorf("site: %w", store.ErrTooLarge)
	}
	return &tx{s: s, ctx: ctx, site: site, now: s.now()}, nil
}

// errLost is a connection that broke before the commit was sent: nothing can
// have happened, so running again on another connection is safe.
var errLost = fmt.Errorf("%w: the connection to the database was lost", store.ErrUnavailable)

// retry waits a little and reports whether to run again.
func retry(ctx context.Context, err error, attempt int) bool {
	var limit int
	switch {
	case err == nil, ctx.Err() != nil:
		return false
	case errors.Is(err, errAgain):
		limit = maxAttempts
	case errors.Is(err, errLost):
		limit = maxReconnects
	default:
		return false
	}
	if attempt >= limit {
		return false
	}
	longest := min(time.Millisecond<<min(attempt, 6), 40*time.Millisecond)
	if errors.Is(err, errLost) {
		longest = 100 * time.Millisecond << attempt
	}
	select {
	case <-time.After(longest/2 + rand.N(longest/2+1)): //nolint:gosec // jitter
		return true
	case <-ctx.Done():
		return false
	}
}

// errAgain is a conflict of this engine, as against one that fn made up.
var errAgain = fmt.Errorf("serialization: %w", store.ErrConflict)
