// Package audit keeps a site's audit log: what was done, by whom, from where and
// with what result, in the same transaction as the doing.
//
// Record writes one new row with a MAC and meets no other writer. One sealer a
// site moves such rows into a chain of hashes within a second and signs
// checkpoints into a file outside the store. Personal values stand beside the
// records, which hold salted commitments to them, so that a person can be erased
// and the chain stays whole. Verify recomputes everything and names the first bad
// position. Nothing here changes or removes a record. It answers no route, and
// secrets must never be handed to it.
package audit

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrFilter is a filter for Export or Search that makes no sense.
var ErrFilter = errors.New("bad filter of the audit log")

// ErrNoCheckpoint is a checkpoint file that proves nothing.
var ErrNoCheckpoint = errors.New("the file holds no checkpoint")

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrFilter, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrNoCheckpoint, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
}

// Event is something that happened.
type Event struct {
	Action  string // area.verb, see actions.go
	Actor   Ref    // who did it; the zero Ref is somebody unknown
	Object  Ref    // to what or whom
	Result  string // Success if left empty
	Reason  string
	Changes []Change
	// Personal holds values about a person by field, such as "email". The client's
	// address and user agent are added by Record.
	Personal map[string]string
}

// Ref names somebody or something. Type is a lower-case word: agent, client,
// session, operator, role…
type Ref struct{ Type, ID string }

// Change says what became of a field. Personal keeps the values out of the
// record. Secrets are changes without values.
type Change struct {
	Field    string `json:"field"`
	Old      string `json:"old,omitempty"`
	New      string `json:"new,omitempty"`
	Personal bool   `json:"-"`
}

// Options is what a Log needs, set once. Store is Sites.Store().
type Options struct {
	Store store.Store
	Sites *site.Sites
	Keys  *keys.Keys
	Now   func() time.Time
	// Checkpoints is the file that signed checkpoints are appended to; empty: none
	// are made. Keep copies of it elsewhere.
	Checkpoints string
	// Every so many records, and Interval after the first that none covers, a
	// checkpoint is due; 1000 and 5 minutes if zero.
	Every    uint64
	Interval time.Duration
	Failed   func(error) // is told what Run could not do; may be nil
}

// Log is the audit log of every site.
type Log struct {
	Options
	counters counters
	outside  outside

	mu    sync.Mutex
	dirty map[string]time.Time // when Record was last called for a site
}

// New returns the Log, and has it told of every change of a key.
func New(o Options) *Log {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Every == 0 {
		o.Every = 1000
	}
	if o.Interval == 0 {
		o.Interval = 5 * time.Minute
	}
	l := &Log{Options: o, dirty: map[string]time.Time{}}
	l.counters.counts = map[counted]int{}
	l.outside.last = map[string]checkpoint{}
	o.Keys.Observe(l.keyChanged)
	return l
}

func (l *Log) keyChanged(ctx context.Context, tx store.Tx, c keys.Change) error {
	return l.Record(ctx, tx, Event{
		Action: "key." + c.Action, Object: Ref{"key", c.KID},
		Changes: []Change{{Field: "alg", New: c.Alg}, {Field: "activates", New: c.Activates.UTC().Format(time.RFC3339)}},
	})
}
