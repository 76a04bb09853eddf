// Package bolt is the embedded engine: one file, durable before it answers.
//
// It owns group commit (concurrent Updates share one durable commit), the
// layout of the file and the checks that keep a damaged one from being
// believed. It is the only importer of bbolt. Read transactions must stay
// short: a held one makes the file grow.
package bolt

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	bolt "go.etcd.io/bbolt"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// Options says how to open a store.
type Options struct {
	Path string
	Now  func() time.Time
	// OnFatal is told once, on a goroutine of its own, when the store can serve
	// no longer: the file turned out to be damaged, or the disk failed to keep
	// what it was given (fsync). The process should say so and exit.
	OnFatal func(error)
}

// Store is the engine.
type Store struct {
	db            *bolt.DB
	path          string
	now           func() time.Time
	onFatal       func(error)
	checkedAtOpen int64

	queue   chan *request
	turn    chan struct{} // held by one Update that lost too often
	quit    chan struct{} // tells the writer to stop
	stopped chan struct{} // tells the others that it has
	closing sync.Once
	checks  sync.WaitGroup     // the check after an unclean stop
	stop    context.CancelFunc // ends it
	clean   bool               // the file holds the clean-stop mark; the writer's only
	checked bool               // opening it has checked it whole

	fatal atomic.Pointer[error]
	// broken is set when the library panicked: it may hold any of its locks.
	broken atomic.Bool
	file   *os.File // the library's; to let go of it all the same
}

const (
	queueLength = 1024
	// After patient conflicts an Update waits for its turn, so that those who
	// fight over one record stop wasting each other's work.
	patient     = 3
	maxAttempts = 64
)

// View runs fn over a snapshot.
func (s *Store) View(ctx context.Context, site string, fn func(store.Tx) error) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
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

// Update runs fn over a snapshot and commits what it wrote, together with what
// others wrote meanwhile; after a conflict it runs fn again.
func (s *Store) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	for attempt := range maxAttempts {
		if attempt == patient {
			select {
			case s.turn <- struct{}{}:
				defer func() { <-s.turn }()
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		req, err := s.attempt(ctx, site, fn)
		if err != nil || req == nil {
			return err
		}
		if err := s.submit(ctx, req); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("after %d attempts: %w", maxAttempts, store.ErrConflict)
}

// attempt runs fn once. No request means that there is nothing to commit: what
// fn saw was one snapshot, so its answer stands.
func (s *Store) attempt(ctx context.Context, site string, fn func(store.Tx) error) (*request, error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	t, err := s.begin(ctx, site)
	if err != nil {
		return nil, err
	}
	defer t.end()
	t.writes = &overlay.Overlay{}
	err = fn(t)
	switch {
	case t.err != nil:
		return nil, t.err
	case err != nil:
		return nil, err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case len(t.writes.Keys) == 0:
		return nil, nil
	}
	return &request{snapshot: uint64(t.b.ID()), reads: t.reads, writes: t.writes, done: make(chan error, 1)}, nil
}

// begin starts a transaction. Its caller has debug.SetPanicOnFault set, here and
// until the end, so that reading a damaged file can be recovered from.
func (s *Store) begin(ctx context.Context, site string) (t *tx, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(site) > store.MaxName {
		return nil, fmt.Errorf("site: %w", store.ErrTooLarge)
	}
	if err := s.fatal.Load(); err != nil {
		return nil, *err
	}
	t = &tx{s: s, site: site, now: s.now()}
	defer func() {
		if err != nil {
			t.end()
		}
	}()
	defer t.guard(&err)
	if t.b, err = s.db.Begin(false); err != nil {
		return t, fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	t.prefix = append(append(t.buf[:0], byte(len(site))), site...)
	if t.records = t.b.Bucket(recordsBucket); t.records == nil {
		return t, s.die(fmt.Errorf("%s: no records: %w", s.path, store.ErrDamaged))
	}
	return t, nil
}

// panicked makes a panic of the library, which is how it meets a damaged file,
// the end of this store.
func (s *Store) panicked(r any) error {
	s.broken.Store(true)
	return s.die(fmt.Errorf("%s: %v: %w", s.path, r, store.ErrDamaged))
}

// die makes every later transaction answer err and returns the first such error.
func (s *Store) die(err error) error {
	if s.fatal.CompareAndSwap(nil, &err) && s.onFatal != nil {
		go s.onFatal(err)
	}
	return *s.fatal.Load()
}

// Close waits for transactions under way, marks the file as cleanly stopped
// and closes it.
func (s *Store) Close() error {
	var err error
	s.closing.Do(func() {
		close(s.quit)
		s.stop()
		<-s.stopped
		s.checks.Wait()
		if s.fatal.Load() == nil {
			err = s.markClean()
		}
		err = errors.Join(err, s.letGo())
	})
	return err
}

// letGo closes the file, past the library if that may be waiting for itself.
func (s *Store) letGo() error {
	if s.broken.Load() {
		return s.file.Close()
	}
	return s.db.Close()
}
