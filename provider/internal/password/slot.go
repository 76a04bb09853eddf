package password

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// Slot is leave to hash, one at a time, until Release. Take it before the store
// is written to, so that an overload writes nothing.
type Slot struct {
	h       *Hasher
	began   time.Time
	release sync.Once
}

// Slot waits for its turn; first come, first served. ErrBusy if too many wait
// already or the wait was too long.
func (h *Hasher) Slot(ctx context.Context) (*Slot, error) {
	select {
	case h.slots <- struct{}{}:
		return &Slot{h: h, began: h.now()}, nil
	default:
	}
	if h.waiting.Add(1) > h.queue {
		h.waiting.Add(-1)
		return nil, ErrBusy
	}
	defer h.waiting.Add(-1)
	timer := time.NewTimer(h.wait)
	defer timer.Stop()
	select {
	case h.slots <- struct{}{}:
		return &Slot{h: h, began: h.now()}, nil
	case <-timer.C:
		return nil, ErrBusy
	case <-ctx.Done():
		return nil, fmt.Errorf("wait to hash: %w", ctx.Err())
	}
}

// Release lets the next one in. It may be called again.
func (s *Slot) Release() { s.release.Do(func() { <-s.h.slots }) }

// Hash returns the PHC string of a password that Normalize has passed.
func (s *Slot) Hash(pw string) string {
	a := s.h.own
	a.salt = random(16)
	a.key = a.derive(pw)
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
	s.h.measured(store.PasswordKind(hash), s.h.now().Sub(began))
	ok = ok && !nobody
	return ok, ok && s.h.NeedsRehash(hash), err
}
