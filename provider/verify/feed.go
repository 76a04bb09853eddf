package verify

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	// deafAfter is when a connection that says nothing is given up. The server
	// says something every ten seconds, and there must be time to reconnect
	// before the client is stale.
	deafAfter = 20 * time.Second
	// maxEvent bounds a line and an event's data, in bytes.
	maxEvent = 64 << 10
)

// feed follows the site's revocations for as long as the client lives.
type feed struct {
	client  *Client
	ready   chan struct{} // closed once the list has been read for the first time
	refused chan error    // a refusal that a new try will not change
	once    sync.Once
	lastID  string // the last id that the server set: where to resume

	mu  sync.Mutex
	err error
}

// run reconnects until ctx ends: soon, then more slowly, never all clients at
// the same moment.
func (f *feed) run(ctx context.Context) {
	for failures := 0; ; {
		caughtUp, err := f.follow(ctx)
		if ctx.Err() != nil {
			return
		}
		f.note(err)
		if failures++; caughtUp {
			failures = 1
		}
		if failures == 1 {
			f.client.log.Warn("revocation feed lost", "error", err)
		}
		if sleep(ctx, pause(failures)) != nil {
			return
		}
	}
}

func (f *feed) note(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = err
}

func (f *feed) lastError() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}

// follow reads one connection to its end, and says whether it came as far as
// the present.
func (f *feed) follow(ctx context.Context) (caughtUp bool, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	deaf := time.AfterFunc(deafAfter, cancel)
	defer deaf.Stop()
	resp, err := f.connect(ctx)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(make([]byte, 4<<10), maxEvent)
	var present progress
	var e event
	for lines.Scan() {
		deaf.Reset(deafAfter)
		if e.line(lines.Text()) {
			if err := f.take(e, &present); err != nil {
				return present.reached, err
			}
			e = event{}
		}
		if len(e.data) > maxEvent {
			return present.reached, errors.New("feed: an event is too large")
		}
		if present.reached {
			f.client.heard.touch()
			f.once.Do(func() { close(f.ready) })
		}
	}
	return present.reached, fmt.Errorf("feed: connection ended: %w", errors.Join(lines.Err(), ctx.Err()))
}

func (f *feed) connect(ctx context.Context) (*http.Response, error) {
	where := f.client.endpoints.revocations
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Accept-Encoding", "identity")
	req.Header.Set("Cache-Control", "no-cache")
	if f.lastID != "" {
		req.Header.Set("Last-Event-ID", f.lastID)
	}
	f.client.basic(req)
	resp, err := f.client.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	if err := f.check(resp); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// check tells an answer that is a feed from one that is not, and reports what
// trying again will not mend.
func (f *feed) check(resp *http.Response) error {
	err := statusError(resp, resp.Request.URL)
	if media, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); err == nil && media != "text/event-stream" {
		err = fmt.Errorf("%w: %s is no event stream but %.100q", ErrUnavailable, resp.Request.URL, resp.Header.Get("Content-Type"))
	}
	if err != nil && resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
		select {
		case f.refused <- err:
		default:
		}
	}
	return err
}

// take handles one event. An entry that cannot be read is a reason to stop
// listening, since to skip it could let a revoked token in. "reset" needs no
// handling: what was revoked stays so, and the whole list follows.
func (f *feed) take(e event, present *progress) error {
	switch e.name {
	case "revocation":
		entry, err := parseEntry([]byte(e.data))
		if err != nil {
			return err
		}
		f.client.revoked.add(entry, time.Now())
	case "ready":
		present.ready(e)
	}
	present.pass(e)
	if e.id != "" {
		f.lastID = e.id
	}
	return nil
}

// progress says whether a connection has come to the present: everything that
// was revoked before it opened has been taken in. The server begins with
// "ready", whose data names where the feed stands; if it has an id of its own,
// nothing is missing, else a list follows. The list's end is known by that
// number, or by the first sign of life after it.
type progress struct {
	reached bool
	begun   bool
	upTo    uint64
}

func (p *progress) ready(e event) {
	var data struct {
		ID json.RawMessage `json:"id"`
	}
	_ = json.Unmarshal([]byte(e.data), &data) // without a number the sign of life decides
	p.upTo, _ = strconv.ParseUint(strings.Trim(string(data.ID), `"`), 10, 64)
	p.begun = true
	p.reached = p.reached || e.id != ""
}

func (p *progress) pass(e event) {
	id, err := strconv.ParseUint(e.id, 10, 64)
	switch {
	case !p.begun:
	case e.name == "" && e.comment:
		p.reached = true
	case e.name == "revocation" && err == nil && p.upTo > 0 && id >= p.upTo:
		p.reached = true
	}
}

// event is one server-sent event in the making.
type event struct {
	name, id, data string
	comment        bool // a comment came with it, or instead of it
}

// line takes the next line in and reports whether it completed the event.
func (e *event) line(text string) bool {
	if text == "" {
		return true
	}
	name, value, _ := strings.Cut(text, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "":
		e.comment = true
	case "event":
		e.name = value
	case "id":
		e.id = value
	case "data":
		if e.data != "" {
			e.data += "\n"
		}
		e.data += value
	}
	return false
}
