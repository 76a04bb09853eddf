package oauth

import (
	"net/netip"
	"sync"
	"time"
)

// More failures than this in a minute, from one network for one client, are
// answered with "too many".
const (
	maxFailures     = 30
	maxFailureNames = 1 << 14 // remembered at once; then the oldest minute is forgotten
)

type failure struct {
	path, client string
	network      netip.Prefix
}

// failures counts failed authentications of the running minute, in memory: it is
// there to slow guessing down, and secrets of 256 bits do not need more.
type failures struct {
	mu     sync.Mutex
	minute int64
	counts map[failure]int
}

func newFailures() *failures { return &failures{counts: map[failure]int{}} }

// add counts one and reports whether there are too many.
func (f *failures) add(who failure, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if minute := now.Unix() / 60; minute != f.minute || len(f.counts) >= maxFailureNames {
		f.minute = minute
		clear(f.counts)
	}
	if len(who.client) > 128 {
		who.client = ""
	}
	f.counts[who]++
	return f.counts[who] > maxFailures
}
