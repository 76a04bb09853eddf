package verify

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	firstPause   = 100 * time.Millisecond
	longestPause = 5 * time.Second
)

// pause grows with the failures in a row, and is different for each client, so
// that a restarted server is not met by all of them at once.
func pause(failures int) time.Duration {
	longest := min(firstPause<<min(failures-1, 10), longestPause)
	return longest/2 + jitter(longest/2)
}

// jitter is some of d, so that clients do not move in step.
func jitter(d time.Duration) time.Duration {
	return rand.N(d) //nolint:gosec // guessing it gains nobody anything
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
