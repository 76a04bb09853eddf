package oauth

import (
	"errors"
	"net/netip"
	"strconv"
	"testing"
	"time"
)

func TestGuessingIsSlowedDownByClientAndNetwork(t *testing.T) {
	t.Parallel()
	var f guesses
	now, here, there := time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("198.51.100.1")
	refused := 0
	for range 10_000 {
		if errors.Is(f.note(now, "evil", here), ErrThrottled) {
			refused++
		}
	}
	if refused < 9_900 {
		t.Errorf("only %d of 10000 guesses at once were refused", refused)
	}
	if err := f.note(now, "conf", there); err != nil {
		t.Errorf("another client elsewhere: %v", err)
	}
	if err := f.note(now.Add(time.Hour), "evil", here); err != nil {
		t.Errorf("an hour later: %v", err)
	}
}

func TestAddressesOfOneNetworkShareABucket(t *testing.T) {
	t.Parallel()
	var f guesses
	now := time.Unix(1e9, 0)
	refused := false
	for i := range 1000 {
		addr := netip.MustParseAddr("2001:db8::" + strconv.FormatInt(int64(i+1), 16))
		refused = f.note(now, "c"+strconv.Itoa(i), addr) != nil
	}
	if !refused {
		t.Error("a thousand addresses of one /64 were never refused")
	}
}

func TestAFloodOfNetworksNeitherGrowsTheTableNorEmptiesABucket(t *testing.T) {
	t.Parallel()
	var f guesses
	now, here := time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7")
	for range 10 * pairBurst {
		_ = f.note(now, "evil", here)
	}
	for i := range 2 * maxBuckets {
		_ = f.note(now, "x", netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(f.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(f.buckets))
	}
	if err := f.note(now, "evil", here); !errors.Is(err, ErrThrottled) {
		t.Errorf("after the flood: %v", err)
	}
}
