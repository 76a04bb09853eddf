package access

import (
	"bufio"
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// listener is a follower over real HTTP.
type listener struct {
	status int
	events chan string // "name id"
	stop   context.CancelFunc
}

func (h *house) listen(client, lastID string) *listener {
	h.t.Helper()
	ctx, stop := context.WithCancel(h.t.Context())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, h.server()+"/access/v1/revocations", nil)
	h.ok(err)
	r.Host = "id.example"
	r.SetBasicAuth(client, secretOf(client))
	if lastID != "" {
		r.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := http.DefaultClient.Do(r)
	h.ok(err)
	l := &listener{status: resp.StatusCode, events: make(chan string, 100), stop: stop}
	h.t.Cleanup(stop)
	go func() {
		defer close(l.events)
		defer resp.Body.Close()
		lines := bufio.NewScanner(resp.Body)
		var name, id string
		for lines.Scan() {
			switch key, value, _ := strings.Cut(lines.Text(), ": "); key {
			case "event":
				name = value
			case "id":
				id = value
			case "data":
				l.events <- name + " " + id
			case "":
				if value != "" {
					l.events <- value
				}
			}
		}
	}()
	return l
}

func (l *listener) next(t *testing.T) string {
	t.Helper()
	select {
	case e := <-l.events:
		return e
	case <-time.After(3 * time.Second):
		t.Fatal("nothing came")
		return ""
	}
}

func (l *listener) upToReady(t *testing.T) []string {
	t.Helper()
	var all []string
	for {
		e := l.next(t)
		all = append(all, e)
		if e == "" || strings.HasPrefix(e, "ready") {
			return all
		}
	}
}

func TestAFollowerGetsTheListThenReadyThenTheNews(t *testing.T) {
	storetest.OnBothEngines(t, testAFollowerGetsTheListThenReadyThenTheNews)
}

func testAFollowerGetsTheListThenReadyThenTheNews(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	now := time.Now()
	announce(t, h.store, store.Revocation{SID: "a", Before: now, Expires: soon()})
	announce(t, h.store, store.Revocation{SID: "expired", Before: now, Expires: now.Add(-time.Minute)})
	announce(t, h.store, store.Revocation{SID: "b", Before: now, Expires: soon()})
	for last, want := range map[string][]string{
		"":  {"revocation 1", "revocation 3", "ready 3"},
		"0": {"revocation 1", "revocation 3", "ready 3"},
		"1": {"revocation 3", "ready 3"},
		"2": {"revocation 3", "ready 3"},
		"3": {"ready 3"},
		"9": {"reset 0", "revocation 1", "revocation 3", "ready 3"},
	} {
		if diff := cmp.Diff(want, h.listen("CHAT", last).upToReady(t)); diff != "" {
			t.Errorf("after %q: %s", last, diff)
		}
	}
	l := h.listen("CHAT", "3")
	l.upToReady(t)
	start := time.Now()
	announce(t, h.store, store.Revocation{Subject: "alice", Before: now, Expires: soon()})
	if got := l.next(t); got != "revocation 4" || time.Since(start) > time.Second {
		t.Errorf("got %s after %v", got, time.Since(start))
	}
}

func TestTheFeedIsForTheSitesOwnBackends(t *testing.T) {
	storetest.OnBothEngines(t, testTheFeedIsForTheSitesOwnBackends)
}

func testTheFeedIsForTheSitesOwnBackends(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	for client, want := range map[string]int{"CHAT": 200, "CONF": 200, "EVIL": 403, "PUB": 401, "NOBODY": 401} {
		if got := h.listen(client, "").status; got != want {
			t.Errorf("%s: %d", client, got)
		}
	}
	if got := h.listen("CHAT", "junk").status; got != http.StatusBadRequest {
		t.Errorf("junk id: %d", got)
	}
}

func TestAQuietFeedSaysThatItLives(t *testing.T) {
	storetest.OnBothEngines(t, testAQuietFeedSaysThatItLives)
}

func testAQuietFeedSaysThatItLives(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.access.keepAlive = 50 * time.Millisecond
	l := h.listen("CHAT", "")
	l.upToReady(t)
	if got := l.next(t); got != "keep-alive" {
		t.Errorf("got %q", got)
	}
}

func TestAClientThatIsDisabledLosesItsFeed(t *testing.T) {
	storetest.OnBothEngines(t, testAClientThatIsDisabledLosesItsFeed)
}

func testAClientThatIsDisabledLosesItsFeed(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.access.keepAlive = 50 * time.Millisecond
	l := h.listen("CHAT", "")
	l.upToReady(t)
	h.changeClient("CHAT", func(c *store.Client) { c.Disabled = true })
	for e := l.next(t); e != ""; e = l.next(t) {
		if e != "keep-alive" {
			t.Errorf("got %q", e)
		}
	}
}

func TestShutdownEndsTheFeeds(t *testing.T) { storetest.OnBothEngines(t, testShutdownEndsTheFeeds) }

func testShutdownEndsTheFeeds(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	l := h.listen("CHAT", "")
	l.upToReady(t)
	h.access.Close()
	if e := l.next(t); e != "" {
		t.Errorf("got %q", e)
	}
}

func TestTheServersOwnDeadlinesDoNotEndAFeed(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	server := httptest.NewUnstartedServer(h.handler)
	server.Config.ReadTimeout, server.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(h.access.Close)
	h.url = server.URL
	l := h.listen("CHAT", "")
	l.upToReady(t)
	time.Sleep(600 * time.Millisecond)
	announce(t, h.store, store.Revocation{SID: "late", Before: time.Now(), Expires: soon()})
	if got := l.next(t); got != "revocation 1" {
		t.Errorf("got %q", got)
	}
}
