package verifytest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Revocation is one entry of the feed. Set one of JTI, SID, Subject, ClientID
// and All.
type Revocation struct {
	JTI      string `json:"jti,omitempty"`
	SID      string `json:"sid,omitempty"`
	Subject  string `json:"sub,omitempty"`
	ClientID string `json:"client_id,omitempty"`
	All      bool   `json:"all,omitempty"`
	Reason   string `json:"reason"` // such as "sign_out"
	// Before: tokens issued by then are meant; zero means now.
	Before time.Time `json:"-"`
	// Expires is when no such token can live; zero means five minutes from now.
	Expires time.Time `json:"-"`
}

// feed is guarded by the issuer's mu. changed is closed, and made anew, at
// every change.
type feed struct {
	last    uint64
	entries []numbered
	silent  bool
	epoch   int // moves on to cut the open connections
	changed chan struct{}
}

type numbered struct {
	id   uint64
	data []byte
}

func (i *Issuer) change(do func(*feed)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	do(&i.feed)
	close(i.feed.changed)
	i.feed.changed = make(chan struct{})
}

// Revoke puts an entry on the feed.
func (i *Issuer) Revoke(r Revocation) {
	if r.Before.IsZero() {
		r.Before = time.Now()
	}
	if r.Expires.IsZero() {
		r.Expires = time.Now().Add(5 * time.Minute)
	}
	data, _ := json.Marshal(struct { // strings and numbers: cannot fail
		Revocation
		Before  float64 `json:"before"`
		Expires int64   `json:"expires"`
	}{r, float64(r.Before.UnixMilli()) / 1000, r.Expires.Unix()})
	i.RevokeRaw(string(data))
}

// RevokeRaw puts an entry of any text on the feed.
func (i *Issuer) RevokeRaw(data string) {
	i.change(func(f *feed) {
		f.last++
		f.entries = append(f.entries, numbered{f.last, []byte(data)})
	})
}

// Silence keeps feeds open and says nothing on them, as a server that hangs.
func (i *Issuer) Silence() { i.change(func(f *feed) { f.silent = true }) }

// Speak ends Silence.
func (i *Issuer) Speak() { i.change(func(f *feed) { f.silent = false }) }

// Cut closes the open feeds; clients come back.
func (i *Issuer) Cut() { i.change(func(f *feed) { f.epoch++ }) }

// Renumber begins the feed anew with an empty list, as a server does that was
// restored from an older copy, and closes the open feeds.
func (i *Issuer) Renumber() {
	i.change(func(f *feed) { f.epoch, f.last, f.entries = f.epoch+1, 0, nil })
}

// since returns what a connection has not been told.
func (i *Issuer) since(after uint64) (news []numbered, state feed) {
	i.mu.Lock()
	defer i.mu.Unlock()
	at := slices.IndexFunc(i.feed.entries, func(n numbered) bool { return n.id > after })
	if at >= 0 {
		news = slices.Clone(i.feed.entries[at:])
	}
	return news, i.feed
}

// follow is one connection of the feed: ready, the list, then what comes.
func (i *Issuer) follow(w http.ResponseWriter, r *http.Request) {
	after, _ := strconv.ParseUint(r.Header.Get("Last-Event-ID"), 10, 64) // none is 0: everything
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	out := http.NewResponseController(w)
	_ = out.Flush() // a lost connection shows at the next write
	tick := time.NewTicker(10 * time.Second)
	defer tick.Stop()
	_, begin := i.since(0)
	for opened, keepAlive := false, false; ; {
		news, state := i.since(after)
		if state.epoch != begin.epoch {
			return
		}
		var b bytes.Buffer
		if !state.silent {
			if !opened {
				after, news = i.open(&b, after)
				opened = true
			}
			for _, n := range news {
				fmt.Fprintf(&b, "event: revocation\nid: %d\ndata: %s\n\n", n.id, n.data)
				after = n.id
			}
			if keepAlive {
				b.WriteString(": keep-alive\n\n")
			}
		}
		if _, err := w.Write(b.Bytes()); err != nil || out.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-state.changed:
			keepAlive = false
		case <-tick.C:
			keepAlive = true
		}
	}
}

// open writes what a connection hears first and returns where it stands.
func (i *Issuer) open(b *bytes.Buffer, after uint64) (uint64, []numbered) {
	_, state := i.since(after)
	reset := after > state.last
	if reset {
		after = 0
	}
	news, state := i.since(after)
	b.WriteString("event: ready\n")
	if len(news) == 0 {
		fmt.Fprintf(b, "id: %d\n", state.last)
	}
	fmt.Fprintf(b, "data: {\"id\":\"%d\"}\n\n", state.last)
	if reset {
		b.WriteString("event: reset\ndata: {}\n\n")
	}
	return after, news
}
