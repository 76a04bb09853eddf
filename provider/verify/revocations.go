package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

// forgetAfter is how long an entry outlives its own end, because tokens are
// accepted a leeway longer than they say.
const forgetAfter = 2 * MaxLeeway

// verdict is what an entry of the feed says of the tokens it names.
type verdict struct {
	before  int64 // unix milliseconds: tokens issued then or earlier
	expires int64 // unix seconds
	reason  string
}

// revocations is what the feed has said and is still of use.
type revocations struct {
	generation atomic.Uint64 // moves on with every entry
	changed    chan struct{}

	mu                          sync.RWMutex
	byID, bySID, bySub, byOwner map[string]verdict
	all                         verdict
}

func newRevocations() *revocations {
	r := &revocations{
		changed: make(chan struct{}, 1),
		byID:    map[string]verdict{}, bySID: map[string]verdict{}, bySub: map[string]verdict{}, byOwner: map[string]verdict{},
	}
	r.generation.Store(1)
	return r
}

// entry is the data of one event of the feed.
type entry struct {
	JTI      string  `json:"jti"`
	SID      string  `json:"sid"`
	Subject  string  `json:"sub"`
	ClientID string  `json:"client_id"`
	All      bool    `json:"all"`
	Before   float64 `json:"before"`
	Expires  float64 `json:"expires"`
	Reason   string  `json:"reason"`
}

func parseEntry(data []byte) (entry, error) {
	var e entry
	if err := json.Unmarshal(data, &e); err != nil {
		return e, fmt.Errorf("revocation: %w", err)
	}
	wide := e.SID != "" || e.Subject != "" || e.ClientID != "" || e.All
	switch {
	case e.JTI == "" && !wide:
		return e, errors.New("revocation: it names nothing that is known here")
	case wide && !(e.Before > 0 && e.Before < yearTenThousand):
		return e, errors.New("revocation: before is no time in seconds")
	case e.Expires < 0 || e.Expires >= yearTenThousand:
		return e, errors.New("revocation: expires is no time in seconds")
	}
	return e, nil
}

// add takes an entry in. A jti and a sid are refused whenever they were issued:
// neither comes back. Everything else is refused if issued in the millisecond of
// the event or earlier; a token that tells only the second (iat without iat_ms)
// counts as issued at its beginning, since it may be older than the event.
func (r *revocations) add(e entry, now time.Time) {
	v := verdict{before: int64(math.Round(e.Before * 1000)), expires: int64(math.Ceil(e.Expires)), reason: e.Reason}
	if e.Expires == 0 {
		v.expires = now.Add(MaxLifetime).Unix()
	}
	r.mu.Lock()
	for _, named := range []struct {
		list map[string]verdict
		name string
	}{{r.byID, e.JTI}, {r.bySID, e.SID}, {r.bySub, e.Subject}, {r.byOwner, e.ClientID}} {
		if named.name != "" {
			named.list[named.name] = named.list[named.name].widened(v)
		}
	}
	if e.All {
		r.all = r.all.widened(v)
	}
	r.mu.Unlock()
	r.generation.Add(1)
	select {
	case r.changed <- struct{}{}:
	default: // a sweep is due already
	}
}

// widened is what both say together: an entry never gives back what an earlier
// one took.
func (v verdict) widened(by verdict) verdict {
	if by.before < v.before {
		by.before, by.reason = v.before, v.reason
	}
	by.expires = max(by.expires, v.expires)
	return by
}

// name looks for the token and says why it was revoked.
func (r *revocations) name(t *Token) (why string, named bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if v, ok := r.byID[t.ID]; ok {
		return v.reason, true
	}
	if family, _, ok := strings.Cut(t.ID, "."); ok { // an entry without a dot names a whole family
		if v, ok := r.byID[family]; ok {
			return v.reason, true
		}
	}
	if v, ok := r.bySID[t.SID]; ok {
		return v.reason, true
	}
	if t.issuedMS <= r.all.before {
		return r.all.reason, true
	}
	for _, list := range []struct {
		of   map[string]verdict
		name string
	}{{r.bySub, t.Subject}, {r.byOwner, t.ClientID}} {
		if v, ok := list.of[list.name]; ok && t.issuedMS <= v.before {
			return v.reason, true
		}
	}
	return "", false
}

// forget drops the entries that no living token can meet.
func (r *revocations) forget(now time.Time) {
	limit := now.Add(-forgetAfter).Unix()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, list := range []map[string]verdict{r.byID, r.bySID, r.bySub, r.byOwner} {
		for name, v := range list {
			if v.expires < limit {
				delete(list, name)
			}
		}
	}
	if r.all.expires < limit {
		r.all = verdict{}
	}
}

// heard is when the feed was last heard, on the monotonic clock.
type heard struct {
	base time.Time
	last atomic.Int64 // nanoseconds after base; 0: never
}

func (h *heard) touch() { h.last.Store(int64(time.Since(h.base)) + 1) }

func (h *heard) forget() { h.last.Store(0) }

func (h *heard) stale(now time.Time) bool {
	last := h.last.Load()
	return last == 0 || now.Sub(h.base)-time.Duration(last) >= StaleAfter
}

// Stale reports whether the revocation feed has been silent for 30 seconds, so
// that it is not known which tokens have been revoked. It is never stale
// without a feed.
func (c *Client) Stale() bool {
	return !c.options.WithoutRevocations && c.heard.stale(time.Now())
}

// denies reports whether being stale refuses tokens now.
func (c *Client) denies(now time.Time) bool {
	return c.options.WhenStale == Deny && !c.options.WithoutRevocations && c.heard.stale(now)
}

// sweep ends the watches whose tokens have been revoked, at most every 50 ms
// however many entries come, and looks after what time brings.
func (c *Client) sweep(ctx context.Context) {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for n := 0; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.revoked.changed:
			c.watches.endRevoked()
			if sleep(ctx, 50*time.Millisecond) != nil {
				return
			}
		case now := <-second.C:
			if c.denies(now) {
				c.watches.endAll(policy.ReasonStale)
			}
			if n++; n%60 == 0 {
				c.revoked.forget(now)
			}
		}
	}
}
