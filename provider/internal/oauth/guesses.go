package oauth

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// ErrThrottled is one guess too many from one place in a short time.
var ErrThrottled = errors.New("too many guesses from here")

// Guesses that a place may make at once, and how often one more is forgiven.
const (
	pairBurst    = 40 // of one client from one network
	pairEvery    = time.Second
	networkBurst = 400 // of one network, whichever client it names
	networkEvery = 100 * time.Millisecond
	maxBuckets   = 1 << 15
)

// guesses throttles guessing at tokens. Only what is no token of ours is counted
// and refused, so that whoever has a live one is never trapped by someone else's
// guesses.
type guesses struct {
	mu      sync.Mutex
	buckets map[[16]byte]time.Time // when each is whole again
	// overflow is shared by all places that come while the table is full, so
	// that pushing one's own bucket out wins nothing.
	overflow time.Time
	swept    time.Time
}

// note counts a guess and returns ErrThrottled if it is one too many.
func (f *guesses) note(now time.Time, client string, addr netip.Addr) error {
	network := web.Network(addr).String()
	f.mu.Lock()
	defer f.mu.Unlock()
	pair := f.take(bucketKey(network, client), now, pairBurst, pairEvery)
	place := f.take(bucketKey(network, ""), now, networkBurst, networkEvery)
	if pair && place {
		return nil
	}
	return ErrThrottled
}

func bucketKey(network, client string) [16]byte {
	sum := sha256.Sum256([]byte(network + "\x00" + client))
	return [16]byte(sum[:16])
}

// take is the generic cell rate algorithm.
func (f *guesses) take(key [16]byte, now time.Time, burst int, every time.Duration) bool {
	whole, known := f.buckets[key]
	if !known && len(f.buckets) >= maxBuckets {
		f.sweep(now)
		if len(f.buckets) >= maxBuckets {
			return spend(&f.overflow, now, burst, every)
		}
	}
	ok := spend(&whole, now, burst, every)
	if f.buckets == nil {
		f.buckets = map[[16]byte]time.Time{}
	}
	f.buckets[key] = whole
	return ok
}

func spend(whole *time.Time, now time.Time, burst int, every time.Duration) bool {
	if whole.Before(now) {
		*whole = now
	}
	next := whole.Add(every)
	if next.Sub(now) > time.Duration(burst)*every {
		return false
	}
	*whole = next
	return true
}

// sweep drops the buckets that are whole again, at most once a second.
func (f *guesses) sweep(now time.Time) {
	if now.Sub(f.swept) < time.Second {
		return
	}
	f.swept = now
	for key, whole := range f.buckets {
		if !whole.After(now) {
			delete(f.buckets, key)
		}
	}
}
