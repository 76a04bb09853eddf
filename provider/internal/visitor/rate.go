package visitor

import (
	"net/netip"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// rate is how many starts there may be at once, and how often one more is allowed.
type rate struct {
	burst int
	every time.Duration
}

// perNetwork leaves room for an office behind one address, whose widgets all
// renew every few minutes.
var perNetwork = rate{600, 50 * time.Millisecond}

// perVisitor is how often one visitor begins a session: each is written down for good.
var perVisitor = rate{maxSessions, 6 * time.Second}

// maxPlaces is how many networks are counted apart, and reservedPlaces how many of
// each site's are, even where others have filled the table.
const maxPlaces, reservedPlaces = 1 << 16, 1 << 10

type place struct {
	path    string
	network netip.Prefix
}

// rates is the generic cell rate algorithm for each network of each site, in memory
// that grows with the sites alone.
type rates struct {
	off    bool
	mu     sync.Mutex
	places map[place]time.Time // when each is whole again
	of     map[string]int      // how many places each site has
	// overflow is shared by all that come to a site while the table is full, so that
	// pushing one's own place out wins nothing.
	overflow map[string]time.Time
	swept    time.Time
}

// take counts a start; wait is how long it comes too early.
func (x *rates) take(path string, addr netip.Addr, now time.Time) (wait time.Duration) {
	if x.off {
		return 0
	}
	at := place{path, web.Network(addr)}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.places == nil {
		x.places, x.of, x.overflow = map[place]time.Time{}, map[string]int{}, map[string]time.Time{}
	}
	whole, there := x.places[at]
	if !there && x.full(path) {
		if x.sweep(now); x.full(path) {
			shared := x.overflow[path]
			wait = perNetwork.spend(&shared, now)
			x.overflow[path] = shared
			return wait
		}
	}
	wait = perNetwork.spend(&whole, now)
	x.places[at] = whole
	if !there {
		x.of[path]++
	}
	return wait
}

// full: there is no place any more for another network of the site's.
func (x *rates) full(path string) bool {
	return len(x.places) >= maxPlaces && x.of[path] >= reservedPlaces
}

// spend counts one; wait is how long it comes too early.
func (r rate) spend(whole *time.Time, now time.Time) (wait time.Duration) {
	if whole.Before(now) {
		*whole = now
	}
	next := whole.Add(r.every)
	if early := next.Sub(now) - time.Duration(r.burst)*r.every; early > 0 {
		return early
	}
	*whole = next
	return 0
}

// sweep drops what is whole again, at most once a second.
func (x *rates) sweep(now time.Time) {
	if now.Sub(x.swept) < time.Second {
		return
	}
	x.swept = now
	for at, whole := range x.places {
		if !whole.After(now) {
			delete(x.places, at)
			x.of[at.path]--
		}
	}
}
