package access

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// revocations is GET /access/v1/revocations: what has been revoked and still
// matters, then ready, then what is revoked from now on.
//
// A follower that names the last id it has seen gets what came after. An id
// that this feed has not reached yet is another feed's: reset, and everything.
// Entries that have expired are left out everywhere, since no token that they
// name can be alive.
func (a *Access) revocations(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	client, err := a.caller(w, r, s)
	if err != nil {
		return err
	}
	last, resume, err := lastEventID(r)
	if err != nil {
		return err
	}
	f, who, from, err := a.follow(r.Context(), s.Path, client.ID)
	if err != nil {
		return err
	}
	defer a.leave(f, who)
	reset := resume && last > from
	if reset {
		last = 0
	}
	opening, err := a.opening(r.Context(), s, last, from, reset)
	if err != nil {
		return err
	}
	out := &stream{w: w, c: http.NewResponseController(w)}
	out.begin()
	if out.write(opening) == nil {
		a.stream(r.Context(), out, f, who, s.Path)
	}
	return nil
}

func lastEventID(r *http.Request) (last uint64, given bool, err error) {
	query, err := web.ReadQuery(r)
	if err != nil {
		return 0, false, err
	}
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = query.Get("last_event_id")
	}
	if text == "" {
		return 0, false, nil
	}
	if last, err = strconv.ParseUint(text, 10, 64); err != nil {
		return 0, false, web.Public(fmt.Errorf("%w: %w", web.ErrBadRequest, err), "the last event id is a number that this feed has sent")
	}
	return last, true, nil
}

// opening is what a follower is told first: reset if what it knew is void, what
// still matters, and then ready, which says that it has heard everything up to
// the present. A connection that breaks in mid-list is resumed where it broke.
func (a *Access) opening(ctx context.Context, s *site.Site, after, upTo uint64, reset bool) ([]byte, error) {
	var entries []store.Revocation
	err := a.Store.View(ctx, s.Path, func(tx store.Tx) error {
		var err error
		entries, err = list(tx, after, upTo)
		return err
	})
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if reset {
		event(&b, "reset", "0", []byte("{}"))
	}
	b.Write(batch(entries))
	id := strconv.FormatUint(upTo, 10)
	event(&b, "ready", id, []byte(`{"id":"`+id+`"}`))
	return b.Bytes(), nil
}

// stream passes on what the feed tells until the follower goes, falls behind,
// is no longer a client, or the house shuts down.
func (a *Access) stream(ctx context.Context, out *stream, f *feed, who *follower, path string) {
	tick := time.NewTicker(a.keepAlive)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-who.dropped:
			return
		case b := <-who.batches:
			if out.write(b) != nil {
				return
			}
		case <-tick.C:
			if !f.well() {
				continue
			}
			if !a.stillWelcome(ctx, path, who.client) || out.write([]byte(": keep-alive\n\n")) != nil {
				return
			}
		}
	}
}

// stillWelcome looks the client up again. A store that fails now is no verdict.
func (a *Access) stillWelcome(ctx context.Context, path, id string) bool {
	s, err := a.Sites.Load(ctx, path)
	if err != nil {
		return true
	}
	c, err := a.Sites.Client(ctx, s, id)
	if err != nil {
		return !isNoClient(err)
	}
	return !c.Disabled && mayAsk(c)
}

// stream writes with a deadline of its own for each write: the server's is for
// answers that end.
type stream struct {
	w http.ResponseWriter
	c *http.ResponseController
}

func (s *stream) begin() {
	h := s.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no")
	web.NoStore(s.w)
	_ = s.c.SetReadDeadline(time.Time{}) // a server without deadlines is fine
	s.w.WriteHeader(http.StatusOK)
}

func (s *stream) write(b []byte) error {
	_ = s.c.SetWriteDeadline(time.Now().Add(writeDeadline))
	if _, err := s.w.Write(b); err != nil {
		return err
	}
	return s.c.Flush()
}
