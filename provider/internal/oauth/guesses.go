package oauth

import (
	"crypto/sha256"
	"errors"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// ErrThrottled is one guess too many from one place in a short time.
var ErrThrottled = errors.New("too many guesses from here")

// limit is how many guesses may be made at once, and how often one more is
// forgiven.
type limit struct {
	burst int
	every time.Duration
}

var (
	tokensOfPair    = limit{40, time.Second}             // at tokens, of one client from one network
	tokensOfNetwork = limit{400, 100 * time.Millisecond} // and of one network, whichever client it names
	secretsOfPair   = limit{30, 2 * time.Second}         // at a client's secret, from one network
)

const maxBuckets = 1 << 15

// guesses throttles guessing, in memory: it is there to slow guessing down, and
// secrets of 256 bits do not need more. Only what is wrong is counted and refused,
// so that whoever has the right thing is never trapped by someone else's guesses.
type guesses struct {
	mu      sync.Mutex
	buckets map[[16]byte]time.Time // when each is whole again
	// overflow is shared by all places that come while the table is full, so
	// that pushing one's own bucket out wins nothing.
	overflow time.Time
	swept    time.Time
}

// token counts a guess at a token and returns ErrThrottled if it is one too many.
func (g *guesses) token(now time.Time, path, client string, addr netip.Addr) error {
	network := web.Network(addr).String()
	g.mu.Lock()
	defer g.mu.Unlock()
	pair := g.take(bucketKey("token", path, network, client), now, tokensOfPair)
	place := g.take(bucketKey("token", path, network), now, tokensOfNetwork)
	if pair && place {
		return nil
	}
	return ErrThrottled
}

// secret counts a guess at a client's secret and reports whether it is one too
// many.
func (g *guesses) secret(now time.Time, path, client string, addr netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return !g.take(bucketKey("secret", path, web.Network(addr).String(), client), now, secretsOfPair)
}

// bucketKey names a bucket, in the same room however long the client's name is.
func bucketKey(parts ...string) [16]byte {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return [16]byte(sum[:16])
}

// take is the generic cell rate algorithm.
func (g *guesses) take(key [16]byte, now time.Time, l limit) bool {
	whole, known := g.buckets[key]
	if !known && len(g.buckets) >= maxBuckets {
		g.sweep(now)
		if len(g.buckets) >= maxBuckets {
			return spend(&g.overflow, now, l)
		}
	}
	ok := spend(&whole, now, l)
	if g.buckets == nil {
		g.buckets = map[[16]byte]time.Time{}
	}
	g.buckets[key] = whole
	return ok
}

func spend(whole *time.Time, now time.Time, l limit) bool {
	if whole.Before(now) {
		*whole = now
	}
	next := whole.Add(l.every)
	if next.Sub(now) > time.Duration(l.burst)*l.every {
		return false
	}
	*whole = next
	return true
}

// sweep drops the buckets that are whole again, at most once a second.
func (g *guesses) sweep(now time.Time) {
	if now.Sub(g.swept) < time.Second {
		return
	}
	g.swept = now
	for key, whole := range g.buckets {
		if !whole.After(now) {
			delete(g.buckets, key)
		}
	}
}
