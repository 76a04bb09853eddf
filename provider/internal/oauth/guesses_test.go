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
		if errors.Is(f.token(now, "", "evil", here), ErrThrottled) {
			refused++
		}
	}
	if refused < 9_900 {
		t.Errorf("only %d of 10000 guesses at once were refused", refused)
	}
	if err := f.token(now, "", "conf", there); err != nil {
		t.Errorf("another client elsewhere: %v", err)
	}
	if err := f.token(now.Add(time.Hour), "", "evil", here); err != nil {
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
		refused = f.token(now, "", "c"+strconv.Itoa(i), addr) != nil
	}
	if !refused {
		t.Error("a thousand addresses of one /64 were never refused")
	}
}

func TestAFloodOfNetworksNeitherGrowsTheTableNorEmptiesABucket(t *testing.T) {
	t.Parallel()
	var f guesses
	now, here := time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7")
	for range 10 * tokensOfPair.burst {
		_ = f.token(now, "", "evil", here)
	}
	for i := range 2 * maxBuckets {
		_ = f.token(now, "", "x", netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	if len(f.buckets) > maxBuckets {
		t.Errorf("%d buckets", len(f.buckets))
	}
	if err := f.token(now, "", "evil", here); !errors.Is(err, ErrThrottled) {
		t.Errorf("after the flood: %v", err)
	}
}

func TestAFloodOfClientsNeitherGrowsTheTableNorEmptiesABucket(t *testing.T) {
	t.Parallel()
	var f guesses
	now, here := time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7")
	for range 2 * secretsOfPair.burst {
		f.secret(now, "", "desk", here)
	}
	answered := 0
	for i := range 2 * maxBuckets {
		if !f.secret(now, "", "c"+strconv.Itoa(i), netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})) {
			answered++
		}
	}
	if len(f.buckets) > maxBuckets || answered > maxBuckets+secretsOfPair.burst {
		t.Errorf("%d buckets, %d answered", len(f.buckets), answered)
	}
	if !f.secret(now, "", "desk", here) {
		t.Error("a flood of other names gave the guesser new tries")
	}
	if f.secret(now.Add(2*time.Minute), "", "desk", here) {
		t.Error("two minutes later it is still refused")
	}
}

func TestTheSameNameAtTwoSitesHasTwoBuckets(t *testing.T) {
	t.Parallel()
	var f guesses
	now, here := time.Unix(1e9, 0), netip.MustParseAddr("203.0.113.7")
	for range 2 * secretsOfPair.burst {
		f.secret(now, "acme", "desk", here)
	}
	if f.secret(now, "globex", "desk", here) {
		t.Error("one site's guesses are counted at another")
	}
}
