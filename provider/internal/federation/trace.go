package federation

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	traceLife = 10 * time.Minute
	// maxTraces is how many a connection keeps; the oldest gives way.
	maxTraces = 20
	// tracesAMinute is how many a connection writes: what strangers bring about must
	// not cost a commit each.
	tracesAMinute = 60
	maxSaid       = 100 // attributes
	maxSaidValues = 20  // of one
)

// trace keeps what was looked at, for administrators. It never fails a request.
func (x *Federation) trace(r *http.Request, at *attempt, f *fault) {
	if !x.traces.take(at.site.Path+" "+at.conn.ID, x.Now()) {
		return
	}
	rec := store.TraceRecord{
		Time: x.Now().UTC(), RequestID: web.RequestID(r.Context()), Step: at.step, Result: "success",
		Subject: cutTo(at.subject, maxShown), Checks: at.checks, Claims: shown(at.said),
	}
	if ip := web.ClientIP(r.Context()); ip.IsValid() {
		rec.IP = ip.String()
	}
	if f != nil {
		rec.Result, rec.Reason = f.code, cutTo(f.reason, 2*maxShown)
	}
	if err := x.putTrace(r, at, rec); err != nil {
		web.Log(r.Context()).Error().Err(err).Msg("keep the trace of a sign-in")
	}
}

func (x *Federation) putTrace(r *http.Request, at *attempt, rec store.TraceRecord) error {
	plain, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	random := make([]byte, 6)
	rand.Read(random)
	t := store.Trace{ID: fmt.Sprintf("%013x-%s", rec.Time.UnixMilli(), base64.RawURLEncoding.EncodeToString(random)), Connection: at.conn.ID, Expires: rec.Time.Add(traceLife)}
	if t.Sealed, err = x.Sealer.Seal(at.site.Path, store.Traces.Kind, t.ID, plain); err != nil {
		return err
	}
	return x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		var old []string
		for key, err := range store.Traces.Keys(tx, "connection", at.conn.ID) {
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

// readTrace reads what was kept of that request; rec stays if there is no such.
func (x *Federation) readTrace(tx store.Tx, at *attempt, requestID string, rec *store.TraceRecord) error {
	for t, err := range store.Traces.List(tx, "connection", at.conn.ID) {
		if err != nil {
			return fmt.Errorf("list traces: %w", err)
		}
		plain, err := x.Sealer.Open(at.site.Path, store.Traces.Kind, t.ID, t.Sealed)
		if err != nil {
			return fmt.Errorf("open a trace: %w", err)
		}
		var one store.TraceRecord
		if err := json.Unmarshal(plain, &one); err != nil {
			return fmt.Errorf("decode a trace: %w", err)
		}
		if one.RequestID == requestID {
			*rec = one
		}
	}
	return nil
}

// shown is what the provider said, within limits.
func shown(said map[string][]string) map[string][]string {
	out := map[string][]string{}
	for name, values := range said {
		if len(out) == maxSaid {
			break
		}
		for _, v := range values[:min(len(values), maxSaidValues)] {
			out[cutTo(name, maxShown)] = append(out[cutTo(name, maxShown)], cutTo(v, maxShown))
		}
	}
	return out
}

// allowance counts by key and minute, in bounded memory.
type allowance struct {
	mu     sync.Mutex
	minute time.Time
	counts map[string]int
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
