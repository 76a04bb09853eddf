package verify

import (
	"context"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

// Ended says why a watched token is no longer good.
type Ended struct {
	// Reason is policy.ReasonRevoked, policy.ReasonTokenExpired, or
	// policy.ReasonStale where the client denies when stale.
	Reason string
	// Detail is the server's word for a revocation, such as "sign_out".
	Detail string
}

// Watch returns a channel that gets one Ended within a second of the token's
// sign-out, revocation, deactivation or role loss, and when it expires, and is
// then closed: a backend closes the socket. It is closed without a value when
// ctx ends or the client is closed. A connection that outlives its token (they
// live five minutes) brings a new one and is watched anew.
func (c *Client) Watch(ctx context.Context, t *Token) <-chan Ended {
	w := &watch{token: t, ended: make(chan Ended, 1)}
	if t == nil || t.client != c {
		w.ended <- Ended{Reason: policy.ReasonTokenUnverified}
		close(w.ended)
		return w.ended
	}
	if !c.watches.add(ctx, w) {
		close(w.ended)
		return w.ended
	}
	c.watches.judge(w) // for what came between verifying and watching
	if c.denies(time.Now()) {
		c.watches.end(w, Ended{Reason: policy.ReasonStale})
	}
	return w.ended
}

// watch is one token that somebody waits for.
type watch struct {
	token  *Token
	ended  chan Ended
	mu     sync.Mutex // held until expiry and unhook are set
	expiry *time.Timer
	unhook func() bool
}

// watches are all of a client's. Whoever takes one out of the set is the only
// one to close its channel.
type watches struct {
	mu     sync.Mutex
	set    map[*watch]struct{}
	closed bool
}

func newWatches() *watches { return &watches{set: map[*watch]struct{}{}} }

func (ws *watches) add(ctx context.Context, w *watch) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if ws.closed {
		return false
	}
	ws.set[w] = struct{}{}
	w.expiry = time.AfterFunc(time.Until(w.token.Expires), func() { ws.end(w, Ended{Reason: policy.ReasonTokenExpired}) })
	w.unhook = context.AfterFunc(ctx, func() { ws.drop(w) })
	return true
}

func (ws *watches) take(w *watch) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	_, there := ws.set[w]
	delete(ws.set, w)
	return there
}

func (ws *watches) end(w *watch, verdict Ended) {
	if ws.take(w) {
		w.ended <- verdict
		w.release()
	}
}

func (ws *watches) drop(w *watch) {
	if ws.take(w) {
		w.release()
	}
}

func (w *watch) release() {
	close(w.ended)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expiry.Stop()
	w.unhook()
}

func (ws *watches) judge(w *watch) {
	if why := w.token.revocation(); why != nil {
		ws.end(w, Ended{Reason: policy.ReasonRevoked, Detail: *why})
	}
}

func (ws *watches) all() []*watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	all := make([]*watch, 0, len(ws.set))
	for w := range ws.set {
		all = append(all, w)
	}
	return all
}

func (ws *watches) endRevoked() {
	for _, w := range ws.all() {
		ws.judge(w)
	}
}

func (ws *watches) endAll(reason string) {
	for _, w := range ws.all() {
		ws.end(w, Ended{Reason: reason})
	}
}

func (ws *watches) closeAll() {
	ws.mu.Lock()
	ws.closed = true
	ws.mu.Unlock()
	for _, w := range ws.all() {
		ws.drop(w)
	}
}
