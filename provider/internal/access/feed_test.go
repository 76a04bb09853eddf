package access

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func newFeeds(t *testing.T, on storetest.Engine) *Access {
	t.Helper()
	h := &house{t: t}
	engine := h.open(on)
	t.Cleanup(func() { engine.Close() })
	a := New(Options{Store: engine})
	t.Cleanup(a.Close)
	return a
}

// announce writes an entry as every revocation does.
func announce(t *testing.T, s store.Store, r store.Revocation) uint64 {
	t.Helper()
	err := s.Update(t.Context(), "", func(tx store.Tx) error {
		var err error
		if r.Sequence, err = store.Next(tx, store.RevocationSequence); err != nil {
			return err
		}
		return store.Revocations.Put(tx, &r)
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Sequence
}

func soon() time.Time { return time.Now().Add(5 * time.Minute) }

func TestAFollowerHearsOfACommitWithinASecond(t *testing.T) {
	storetest.OnBothEngines(t, testAFollowerHearsOfACommitWithinASecond)
}

func testAFollowerHearsOfACommitWithinASecond(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	announce(t, a.Store, store.Revocation{SID: "earlier", Before: time.Now(), Expires: soon()})
	f, who, from, err := a.follow(t.Context(), "", "desk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.leave(f, who)
	if from != 1 {
		t.Errorf("the feed stands at %d", from)
	}
	announce(t, a.Store, store.Revocation{SID: "later", Before: time.UnixMilli(1700000000123), Expires: time.Unix(1900000000, 0), Reason: "sign_out"})
	select {
	case b := <-who.batches:
		want := "event: revocation\nid: 2\ndata: {\"sid\":\"later\",\"before\":1700000000.123,\"expires\":1900000000,\"reason\":\"sign_out\"}\n\n"
		if string(b) != want {
			t.Errorf("got %q", b)
		}
	case <-time.After(time.Second):
		t.Error("nothing within a second")
	}
}

func TestTheLastFollowerStopsThePolling(t *testing.T) {
	storetest.OnBothEngines(t, testTheLastFollowerStopsThePolling)
}

func testTheLastFollowerStopsThePolling(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	f1, one, _, err := a.follow(t.Context(), "", "desk")
	if err != nil {
		t.Fatal(err)
	}
	f2, two, _, err := a.follow(t.Context(), "", "desk")
	if err != nil || f1 != f2 {
		t.Fatalf("two feeds for one site, %v", err)
	}
	a.leave(f1, one)
	if len(a.feeds) != 1 {
		t.Error("the feed stopped while it had a follower")
	}
	a.leave(f2, two)
	if len(a.feeds)+len(a.using)+len(a.perClient)+a.total != 0 {
		t.Error("something is left")
	}
}

func TestASlowFollowerIsDroppedAndOthersAreNot(t *testing.T) {
	storetest.OnBothEngines(t, testASlowFollowerIsDroppedAndOthersAreNot)
}

func testASlowFollowerIsDroppedAndOthersAreNot(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	f, slow, _, err := a.follow(t.Context(), "", "slow")
	if err != nil {
		t.Fatal(err)
	}
	defer a.leave(f, slow)
	_, quick, _, err := a.follow(t.Context(), "", "quick")
	if err != nil {
		t.Fatal(err)
	}
	defer a.leave(f, quick)
	for range maxBehind + 1 {
		f.mu.Lock()
		f.tell([]byte("x"))
		f.mu.Unlock()
		<-quick.batches
	}
	select {
	case <-slow.dropped:
	default:
		t.Error("the slow one is still there")
	}
	select {
	case <-quick.dropped:
		t.Error("the quick one was dropped")
	default:
	}
}

func TestOneClientCannotTakeAllPlaces(t *testing.T) {
	storetest.OnBothEngines(t, testOneClientCannotTakeAllPlaces)
}

func testOneClientCannotTakeAllPlaces(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	for range maxPerClient {
		if _, _, _, err := a.follow(t.Context(), "", "greedy"); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, _, err := a.follow(t.Context(), "", "greedy"); err == nil {
		t.Error("one more was let in")
	}
	if _, _, _, err := a.follow(t.Context(), "", "other"); err != nil {
		t.Error(err)
	}
}

func TestCloseEndsEveryFollower(t *testing.T) { storetest.OnBothEngines(t, testCloseEndsEveryFollower) }

func testCloseEndsEveryFollower(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	f, who, _, err := a.follow(t.Context(), "", "desk")
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	<-who.dropped
	a.leave(f, who)
	if _, _, _, err := a.follow(t.Context(), "", "desk"); err == nil {
		t.Error("a closed house let a follower in")
	}
}

func TestAFeedThatWentBackDropsItsFollowers(t *testing.T) {
	storetest.OnBothEngines(t, testAFeedThatWentBackDropsItsFollowers)
}

func testAFeedThatWentBackDropsItsFollowers(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	announce(t, a.Store, store.Revocation{SID: "s", Before: time.Now(), Expires: soon()})
	f, who, _, err := a.follow(t.Context(), "", "desk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.leave(f, who)
	err = a.Store.Update(t.Context(), "", func(tx store.Tx) error {
		return store.Counters.Delete(tx, store.RevocationSequence)
	})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-who.dropped:
	case <-time.After(2 * time.Second):
		t.Error("still following")
	}
}

// silentStore fails on demand.
type silentStore struct {
	store.Store
	fail chan struct{}
}

func (s silentStore) View(ctx context.Context, path string, fn func(store.Tx) error) error {
	select {
	case <-s.fail:
		return store.ErrUnavailable
	default:
		return s.Store.View(ctx, path, fn)
	}
}

func TestAStoreThatFailsIsHeardAsSilence(t *testing.T) {
	storetest.OnBothEngines(t, testAStoreThatFailsIsHeardAsSilence)
}

func testAStoreThatFailsIsHeardAsSilence(t *testing.T, on storetest.Engine) {
	a := newFeeds(t, on)
	now := time.Now()
	s := silentStore{a.Store, make(chan struct{})}
	a.Store, a.Now = s, func() time.Time { return now }
	f, who, _, err := a.follow(t.Context(), "", "desk")
	if err != nil {
		t.Fatal(err)
	}
	defer a.leave(f, who)
	if !f.well() {
		t.Error("a feed that works is not well")
	}
	close(s.fail)
	f.mu.Lock()
	now = now.Add(silentAfter)
	f.mu.Unlock()
	if f.well() {
		t.Error("a feed whose store fails pretends to be well")
	}
	if _, _, _, err := a.follow(t.Context(), "", "desk"); err == nil {
		t.Error("a follower was let in without a store")
	}
}

func TestABatchIsOneEventPerEntry(t *testing.T) {
	t.Parallel()
	b := string(batch([]store.Revocation{{Sequence: 1, JTI: "a\nb"}, {Sequence: 2, All: true}, {Sequence: 3, ClientID: "c"}}))
	if got := strings.Count(b, "\n\n"); got != 3 {
		t.Errorf("%d events in %q", got, b)
	}
}
