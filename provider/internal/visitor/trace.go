package visitor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	traceLife = 10 * time.Minute
	// maxTraces is how many a connection keeps; the oldest gives way.
	maxTraces = 20
	// tracesAMinute is how many a connection writes: what strangers bring about must not
	// cost a commit each.
	tracesAMinute = 20
)

// trace keeps why a visitor JWT was refused, for the connection's administrators. It
// never fails a request.
func (x *Visitors) trace(ctx context.Context, s *site.Site, conn *store.Connection, checks []jwt.Check, no *Refusal) {
	if !x.traces.take(s.Path+" "+conn.ID, x.now()) {
		return
	}
	rec := store.TraceRecord{Time: x.now(), RequestID: web.RequestID(ctx), Step: "visitor", Result: no.Reason, Reason: no.Text}
	if ip := web.ClientIP(ctx); ip.IsValid() {
		rec.IP = ip.String()
	}
	for _, c := range checks {
		rec.Checks = append(rec.Checks, store.Check{Name: c.Name, OK: c.OK, Expected: c.Expected, Got: c.Got})
	}
	if err := x.putTrace(ctx, s, conn.ID, &rec); err != nil {
		web.Log(ctx).Error().Err(err).Msg("keep the trace of a visitor's token")
	}
}

func (x *Visitors) putTrace(ctx context.Context, s *site.Site, connection string, rec *store.TraceRecord) error {
	plain, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	t := store.Trace{ID: fmt.Sprintf("%013x-%s", rec.Time.UnixMilli(), random(6)), Connection: connection, Expires: rec.Time.Add(traceLife)}
	if t.Sealed, err = x.Sealer.Seal(s.Path, store.Traces.Kind, t.ID, plain); err != nil {
		return err
	}
	return x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		var old []string
		for key, err := range store.Traces.Keys(tx, "connection", connection) {
			if err != nil {
				return err
			}
			old = append(old, key)
		}
		slices.Sort(old)
		for _, key := range old[:max(0, len(old)-maxTraces+1)] {
			if err := store.Traces.Delete(tx, key); err != nil {
				return err
			}
		}
		return store.Traces.Put(tx, &t)
	})
}

// allowance counts by key and minute.
type allowance struct {
	mu     sync.Mutex
	minute time.Time
	counts map[string]int // by connection, of which there are so many
}

func (a *allowance) take(key string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if minute := now.Truncate(time.Minute); !minute.Equal(a.minute) || a.counts == nil {
		a.minute, a.counts = minute, map[string]int{}
	}
	a.counts[key]++
	return a.counts[key] <= tracesAMinute
}
