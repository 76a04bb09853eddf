package access

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Limits on the feed.
const (
	pollEvery     = 200 * time.Millisecond // how soon a commit is seen
	maxFollowers  = 4096                   // of the house
	maxPerClient  = 64                     // of one client
	maxBehind     = 64                     // batches that a follower may leave unread before it is dropped
	silentAfter   = 5 * time.Second        // without a good poll, no keep-alive pretends that all is well
	pollTimeout   = 2 * time.Second
	keepAlive     = 10 * time.Second
	writeDeadline = 10 * time.Second
)

// feed tells one site's followers of its revocations. It polls once for all of
// them, and only while there are some.
type feed struct {
	store store.Store
	path  string
	now   func() time.Time
	stop  context.CancelFunc

	mu        sync.Mutex
	seen      uint64    // the last sequence that followers were told of
	polled    time.Time // the last good poll
	followers map[*follower]struct{}
}

// follower is one open connection.
type follower struct {
	client  string
	batches chan []byte
	dropped chan struct{} // closed when it fell behind or the house shuts down
}

func (f *follower) drop() { close(f.dropped) }

// follow adds a follower and returns the sequence from which it is told. The
// feed is brought up to date first, so that what the caller lists up to that
// sequence and what the follower is told leave no gap.
func (a *Access) follow(ctx context.Context, path, client string) (*feed, *follower, uint64, error) {
	a.mu.Lock()
	f, err := a.feedFor(path, client)
	a.mu.Unlock()
	if err != nil {
		return nil, nil, 0, err
	}
	who := &follower{client: client, batches: make(chan []byte, maxBehind), dropped: make(chan struct{})}
	f.mu.Lock()
	err = f.poll(ctx)
	from := f.seen
	if err == nil {
		f.followers[who] = struct{}{}
	}
	f.mu.Unlock()
	if err != nil {
		a.leave(f, who)
		return nil, nil, 0, err
	}
	return f, who, from, nil
}

// feedFor counts the follower in and starts the site's feed if it is the first.
func (a *Access) feedFor(path, client string) (*feed, error) {
	if a.closed {
		return nil, web.ErrBusy
	}
	if a.total >= maxFollowers || a.perClient[path+"\x00"+client] >= maxPerClient {
		return nil, ErrTooManyFollowers
	}
	a.total++
	a.perClient[path+"\x00"+client]++
	f := a.feeds[path]
	if f == nil {
		ctx, stop := context.WithCancel(context.Background())
		f = &feed{store: a.Store, path: path, now: a.Now, stop: stop, followers: map[*follower]struct{}{}}
		a.feeds[path] = f
		go f.run(ctx)
	}
	a.using[f]++
	return f, nil
}

// leave counts a follower out and stops the feed with the last.
func (a *Access) leave(f *feed, who *follower) {
	f.mu.Lock()
	delete(f.followers, who)
	f.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	a.total--
	key := f.path + "\x00" + who.client
	if a.perClient[key]--; a.perClient[key] == 0 {
		delete(a.perClient, key)
	}
	if a.using[f]--; a.using[f] == 0 {
		delete(a.using, f)
		delete(a.feeds, f.path)
		f.stop()
	}
}

// Close ends every open feed, so that a server that shuts down need not wait
// for them.
func (a *Access) Close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, f := range a.feeds {
		f.mu.Lock()
		f.dropAll()
		f.mu.Unlock()
	}
}

func (f *feed) run(ctx context.Context) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.mu.Lock()
			_ = f.poll(ctx) // a follower hears of a failure by silence
			f.mu.Unlock()
		}
	}
}

// poll tells the followers what is new. The caller holds mu. The first one only
// notes where the feed stands.
func (f *feed) poll(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pollTimeout)
	defer cancel()
	first := f.polled.IsZero()
	var news []store.Revocation
	var current uint64
	err := f.store.View(ctx, f.path, func(tx store.Tx) error {
		var err error
		news = news[:0]
		if current, err = sequence(tx); err != nil || first || current <= f.seen {
			return err
		}
		news, err = list(tx, f.seen, current)
		return err
	})
	if err != nil {
		return err
	}
	if current < f.seen { // an older copy was restored: what followers know is another feed's
		f.dropAll()
	}
	f.seen, f.polled = current, f.now()
	if len(news) > 0 {
		f.tell(batch(news))
	}
	return nil
}

func (f *feed) dropAll() {
	for who := range f.followers {
		delete(f.followers, who)
		who.drop()
	}
}

func (f *feed) tell(b []byte) {
	for who := range f.followers {
		select {
		case who.batches <- b:
		default:
			delete(f.followers, who)
			who.drop()
		}
	}
}

// well reports whether the store has answered lately.
func (f *feed) well() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now().Sub(f.polled) < silentAfter
}

// sequence is where the feed stands.
func sequence(tx store.Tx) (uint64, error) {
	c, err := store.Counters.Get(tx, store.RevocationSequence)
	if errors.Is(err, store.ErrNotFound) {
		return 0, nil
	}
	return c.Value, err
}

// list returns the live entries after one sequence and up to another.
func list(tx store.Tx, after, upTo uint64) ([]store.Revocation, error) {
	var entries []store.Revocation
	for r, err := range store.Revocations.All(tx, store.RevocationKey(after)) {
		if err != nil {
			return nil, err
		}
		if r.Sequence > upTo {
			break
		}
		entries = append(entries, r)
	}
	return entries, nil
}

// entry is a revocation as followers read it; times are Unix seconds.
type entry struct {
	JTI      string      `json:"jti,omitempty"`
	SID      string      `json:"sid,omitempty"`
	Subject  string      `json:"sub,omitempty"`
	ClientID string      `json:"client_id,omitempty"`
	All      bool        `json:"all,omitempty"`
	Before   json.Number `json:"before"`
	Expires  int64       `json:"expires"`
	Reason   string      `json:"reason"`
}

// batch writes the entries as server-sent events.
func batch(entries []store.Revocation) []byte {
	var b bytes.Buffer
	for _, r := range entries {
		data, _ := json.Marshal(entry{ // strings and numbers only: cannot fail
			JTI: r.JTI, SID: r.SID, Subject: r.Subject, ClientID: r.ClientID, All: r.All,
			Before: seconds(r.Before), Expires: r.Expires.Add(time.Second - 1).Unix(), Reason: r.Reason,
		})
		event(&b, "revocation", strconv.FormatUint(r.Sequence, 10), data)
	}
	return b.Bytes()
}

// seconds keeps milliseconds, rounded up: what was issued in the same
// millisecond is refused too.
func seconds(t time.Time) json.Number {
	ms := t.Add(time.Millisecond - 1).UnixMilli()
	return json.Number(strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64))
}

func event(b *bytes.Buffer, name, id string, data []byte) {
	b.WriteString("event: " + name + "\nid: " + id + "\ndata: ")
	b.Write(data)
	b.WriteString("\n\n")
}
