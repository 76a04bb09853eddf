package password

import (
	"context"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// Slot is a place in the queue to hash, and from Turn until Release leave to do
// so, one hash at a time. It is one goroutine's.
type Slot struct {
	h       *Hasher
	running bool
	left    bool
}

// Enter takes a place in the queue, or is ErrBusy if that is full. Enter before
// the store is written to, so that an overload writes nothing.
func (h *Hasher) Enter() (*Slot, error) {
	if h.inside.Add(1) > h.most {
		h.inside.Add(-1)
		return nil, ErrBusy
	}
	return &Slot{h: h}, nil
}

// Turn waits for leave to hash; first come, first served. ErrBusy if that took
// too long, for us or for ctx.
func (s *Slot) Turn(ctx context.Context) error {
	timer := time.NewTimer(s.h.wait)
	defer timer.Stop()
	select {
	case s.h.slots <- struct{}{}:
		s.running = true
		return nil
	case <-timer.C:
		return ErrBusy
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrBusy, ctx.Err())
	}
}

// Release lets the next one in. It may be called again.
func (s *Slot) Release() {
	if s.running {
		<-s.h.slots
	}
	if !s.left {
		s.h.inside.Add(-1)
	}
	s.running, s.left = false, true
}

// Slot enters and waits for its turn.
func (h *Hasher) Slot(ctx context.Context) (*Slot, error) {
	s, err := h.Enter()
	if err != nil {
		return nil, err
	}
	if err := s.Turn(ctx); err != nil {
		s.Release()
		return nil, err
	}
	return s, nil
}

// Hash returns the PHC string of a password that Normalize has passed.
func (s *Slot) Hash(pw string) string {
	a := s.h.own
	a.salt = random(16)
	began := s.h.now()
	a.key = a.derive(pw)
	s.h.took(s.h.kind, began)
	return a.String()
}

// Verify is Hasher.Verify for a password that Normalize has passed. A stored
// hash that cannot be read is ErrHash, and took as long as one that can.
func (s *Slot) Verify(hash, pw string) (ok, rehash bool, err error) {
	v, err := parse(hash)
	nobody := err != nil
	if hash == "" {
		err = nil
	}
	if nobody {
		hash, v = s.h.dummy, s.h.own
	}
	began := s.h.now()
	ok = v.matches(pw)
	s.h.took(store.PasswordKind(hash), began)
	ok = ok && !nobody
	return ok, ok && s.h.NeedsRehash(hash), err
}
