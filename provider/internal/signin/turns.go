package signin

import (
	"context"
	"sync"
)

// turns lets the tries of one account through one after the other. A try is
// counted before it is judged, so without it a handful of right passwords at
// once, from several windows or machines, would look like guesses and lock the
// account. On another node they still might: there the counter alone decides.
type turns struct {
	mu  sync.Mutex
	key map[string]*turn
}

type turn struct {
	free    chan struct{} // holds one token while nobody has the turn
	wanting int
}

// take waits for the key's turn, or for ctx to end. The caller gives it back
// with done.
func (t *turns) take(ctx context.Context, key string) (done func(), err error) {
	t.mu.Lock()
	if t.key == nil {
		t.key = map[string]*turn{}
	}
	mine, ok := t.key[key]
	if !ok {
		mine = &turn{free: make(chan struct{}, 1)}
		mine.free <- struct{}{}
		t.key[key] = mine
	}
	mine.wanting++
	t.mu.Unlock()
	leave := func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if mine.wanting--; mine.wanting == 0 {
			delete(t.key, key)
		}
	}
	select {
	case <-mine.free:
		return func() { mine.free <- struct{}{}; leave() }, nil
	case <-ctx.Done():
		leave()
		return nil, ctx.Err()
	}
}
