package audit

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// maxCounted bounds how many different things are counted in a minute; what
// comes on top is counted together, without actor and object.
const maxCounted = 4096

// counters are the events of the running minutes that are counted, not recorded
// one by one. A crash loses at most a minute of them.
type counters struct {
	mu     sync.Mutex
	counts map[counted]int
}

type counted struct {
	path                   string
	minute                 int64
	action, result, reason string
	actor, object          Ref
}

// Count adds one to a rollup: machine tokens by client, refusals of subjects that
// are unknown. One record a minute then says how many there were; it has neither
// address nor anything personal.
func (l *Log) Count(path string, e Event) {
	key := counted{path, l.Now().Unix() / 60, e.Action, e.Result, clean(e.Reason, maxName), e.Actor, e.Object}
	c := &l.counters
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.counts[key]; !known && len(c.counts) >= maxCounted {
		key.actor, key.object = Ref{}, Ref{}
	}
	c.counts[key]++
}

// flush records the minutes that are over, or all.
func (l *Log) flush(ctx context.Context, all bool) error {
	now := l.Now().Unix() / 60
	bySite := map[string]map[counted]int{}
	l.counters.mu.Lock()
	for key, n := range l.counters.counts {
		if all || key.minute < now {
			if bySite[key.path] == nil {
				bySite[key.path] = map[counted]int{}
			}
			bySite[key.path][key] = n
			delete(l.counters.counts, key)
		}
	}
	l.counters.mu.Unlock()
	var failed []error
	for path, counts := range bySite {
		if err := l.flushSite(ctx, path, counts); err != nil {
			failed = append(failed, err)
			l.counters.mu.Lock()
			for key, n := range counts {
				l.counters.counts[key] += n
			}
			l.counters.mu.Unlock()
		}
	}
	return errors.Join(failed...)
}

func (l *Log) flushSite(ctx context.Context, path string, counts map[counted]int) error {
	return l.Store.Update(ctx, path, func(tx store.Tx) error {
		for key, n := range counts {
			e := Event{Action: key.action, Result: key.result, Reason: key.reason, Actor: key.actor, Object: key.object}
			if err := l.record(ctx, tx, e, time.Unix(key.minute*60, 0), n); err != nil {
				return err
			}
		}
		return nil
	})
}
