package provider

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// readyFor is how long an answer of /readyz is kept, so that probes cost the
// store one small write a second at most.
const readyFor = time.Second

// readyTimeout is how long the store may take to show that it can be written.
const readyTimeout = 3 * time.Second

// readiness knows whether the store can be written.
type readiness struct {
	store store.Store
	now   func() time.Time

	mu    sync.Mutex
	asked time.Time
	err   error
}

func (r *readiness) check(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now(); now.Sub(r.asked) >= readyFor {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readyTimeout)
		defer cancel()
		r.err = r.store.Update(ctx, store.House, func(tx store.Tx) error {
			return store.Counters.Put(tx, &store.Counter{Name: "readiness", Value: uint64(now.Unix())})
		})
		r.asked = now
	}
	return r.err
}

// healthz answers as long as the process does.
func healthz(w http.ResponseWriter, _ *http.Request) error {
	return web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz answers 200 while the store can be written, 503 while it cannot. Why
// it cannot is for the log.
func (r *readiness) readyz(w http.ResponseWriter, req *http.Request) error {
	if err := r.check(req.Context()); err != nil {
		web.Log(req.Context()).Error().Err(err).Msg("the store is not ready")
		w.Header().Set("Retry-After", "1")
		return web.WriteJSON(w, http.StatusServiceUnavailable, map[string]string{"status": "unavailable"})
	}
	return web.WriteJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}
