package bolt

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	bolt "go.etcd.io/bbolt"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// request is one Update that waits for its commit.
type request struct {
	snapshot uint64
	reads    readSet
	writes   *overlay.Overlay
	state    atomic.Int32
	done     chan error
}

// States of a request: the first to move it on from waiting decides.
const (
	waiting = iota
	taken
	abandoned
)

const (
	maxGroup      = 512
	maxGroupBytes = 16 << 20
	maxYields     = 2
)

// submit hands the request to the writer and waits for the durable answer. A
// caller may give up only until the writer has taken the request.
func (s *Store) submit(ctx context.Context, req *request) error {
	select {
	case s.queue <- req:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return errClosed
	}
	err := errClosed
	select {
	case err := <-req.done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.stopped:
	}
	if req.state.CompareAndSwap(waiting, abandoned) {
		return err
	}
	return <-req.done
}

var errClosed = fmt.Errorf("%w: the store is closed", store.ErrUnavailable)

// write is the one writer: it takes whatever is queued, commits it together
// and answers all. No timer: a single caller waits for nobody.
func (s *Store) write(h *history) {
	defer close(s.stopped)
	group := make([]*request, 0, maxGroup)
	for {
		select {
		case req := <-s.queue:
			group = s.gather(append(group[:0], req))
			s.commit(h, group)
			clear(group)
		case <-s.quit:
			return
		}
	}
}

// gather takes what is queued, lets whoever is ready to run do so, and takes
// what that brought. A busy house so flushes once for many; where nobody else
// runs it costs nothing.
func (s *Store) gather(group []*request) []*request {
	yielded := 0
	for size := group[0].writes.Size; len(group) < maxGroup && size < maxGroupBytes; {
		select {
		case req := <-s.queue:
			size += req.writes.Size
			group = append(group, req)
		default:
			if yielded == maxYields {
				return group
			}
			yielded++
			runtime.Gosched()
		}
	}
	return group
}

// commit validates and applies a group and answers each request in it.
func (s *Store) commit(h *history, group []*request) {
	var written []string
	var conflicts, accepted []*request
	for _, req := range group {
		switch {
		case !req.state.CompareAndSwap(waiting, taken):
		case !h.holds(req.snapshot, &req.reads) || req.reads.changed(written):
			conflicts = append(conflicts, req)
		default:
			accepted = append(accepted, req)
			if written == nil {
				written = req.writes.Keys // the usual single request costs no copy
			} else {
				written = insert(append(make([]string, 0, len(written)+len(req.writes.Keys)), written...), req.writes.Keys)
			}
		}
	}
	err := s.apply(accepted)
	if err == nil && len(accepted) > 0 {
		h.add(written)
	}
	for _, req := range accepted {
		req.done <- err
	}
	for _, req := range conflicts { // now, so that they run again on what beat them
		req.done <- store.ErrConflict
	}
}

// apply writes the requests in one durable commit.
func (s *Store) apply(group []*request) (err error) {
	if len(group) == 0 {
		return nil
	}
	if fatal := s.fatal.Load(); fatal != nil {
		return *fatal
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil { // the library holds its lock now: nothing can be written again
			err = s.panicked(r)
		}
	}()
	b, err := s.db.Begin(true)
	if err != nil {
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	if err := s.fill(b, group); err != nil {
		_ = b.Rollback()
		return err
	}
	if err := b.Commit(); err != nil {
		return s.commitFailed(err)
	}
	s.clean = false
	return nil
}

func (s *Store) fill(b *bolt.Tx, group []*request) error {
	records := b.Bucket(recordsBucket)
	sum := records.Sequence()
	for _, req := range group {
		for i, k := range req.writes.Keys {
			if err := put(records, &sum, []byte(k), req.writes.Writes[i].Frame); err != nil {
				return err
			}
		}
	}
	if s.clean {
		if err := put(records, &sum, cleanKey, nil); err != nil {
			return err
		}
	}
	return records.SetSequence(sum)
}

// put stores the frame, or deletes if there is none, and keeps the sum true.
func put(records *bolt.Bucket, sum *uint64, key, frame []byte) error {
	if old := records.Get(key); old != nil {
		was, ok := store.FrameSum(old)
		if !ok {
			return store.ErrDamaged
		}
		*sum -= was
		if frame == nil {
			return records.Delete(key)
		}
	}
	if frame == nil {
		return nil
	}
	is, _ := store.FrameSum(frame)
	*sum += is
	return records.Put(key, frame)
}

// commitFailed tells the errors after which nothing was written and the store
// goes on when there is space again from a failed fsync: after that one the
// kernel may have dropped what it could not write, so no later success can be
// believed. The library returns fsync's error bare and wraps all others.
func (s *Store) commitFailed(err error) error {
	var bare syscall.Errno
	if e, ok := err.(syscall.Errno); ok { //nolint:errorlint // bare is the point: a wrapped one is no fsync
		bare = e
	}
	if bare != 0 && !errors.Is(bare, syscall.EINTR) {
		return s.die(fmt.Errorf("%w: the disk did not keep what was written, restart after seeing to it: %w", store.ErrUnavailable, err))
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
