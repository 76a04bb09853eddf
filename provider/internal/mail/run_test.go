package mail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

func TestAServerThatIsDownForHoursLosesNothing(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{fault: errDown}
		m := h.through(arrived.take)
		h.tell(m)
		var pauses []time.Duration
		for began := h.clock(); h.clock().Sub(began) < 6*time.Hour; {
			if h.round(m) != 1 {
				t.Fatal("it was not tried")
			}
			pause := h.waiting()[0].Due.Sub(h.clock())
			if h.pass(pause - time.Millisecond); h.round(m) != 0 {
				t.Fatal("it was tried too early")
			}
			h.pass(time.Millisecond)
			pauses = append(pauses, pause)
		}
		if pauses[0] > 20*time.Second || pauses[1] < pauses[0] || pauses[len(pauses)-1] < longestPause*3/4 || slices.Max(pauses) > longestPause*5/4 || len(pauses) > 60 {
			t.Errorf("pauses: %v", pauses)
		}
		if h.round(m); len(arrived.come()) != 0 {
			t.Error("it arrived while the server was down")
		}
		arrived.fault = nil
		h.pass(longestPause * 2)
		if h.round(m) != 1 || len(arrived.come()) != 1 || len(h.waiting()) != 0 || len(h.audited()) != 0 {
			t.Errorf("%d arrived, %d wait, %v", len(arrived.come()), len(h.waiting()), h.audited())
		}
		if got := h.observed(); got["locked sent"] != 1 || got["locked retried"] != len(pauses)+1 {
			t.Errorf("%v after %d tries", got, len(pauses)+1)
		}
	})
}

func TestAMailIsGivenUpAfterADayAndTheAuditLogSaysSo(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		m := h.through(func(context.Context, Letter) error {
			return &Refusal{Code: 451, Enhanced: "4.7.1", Text: "greylisted, ana@acme.example"}
		})
		h.tell(m)
		began, tries := h.clock(), 0
		for len(h.waiting()) > 0 && h.clock().Sub(began) < 48*time.Hour {
			tries += h.round(m)
			if left := h.waiting(); len(left) > 0 {
				h.pass(left[0].Due.Sub(h.clock()))
			}
		}
		if took := h.clock().Sub(began); took != keepTrying || tries < 100 {
			t.Errorf("it was given up after %s and %d tries", took, tries)
		}
		if diff := cmp.Diff([]string{"mail.fail failed: refused 451 4.7.1|ana@acme.example"}, h.audited()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if h.observed()["locked failed"] != 1 {
			t.Errorf("%v", h.observed())
		}
		if strings.Contains(h.logged(), "ana@") || strings.Contains(h.logged(), "greylisted") {
			t.Errorf("the log tells the address:\n%s", h.logged())
		}
	})
}

func TestAFinalNoIsTakenForOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.through(func(context.Context, Letter) error {
		return &Refusal{Code: 550, Enhanced: "5.1.1", Text: "no mailbox ana@acme.example", Final: true}
	})
	h.queue(m)
	if h.round(m) != 1 || len(h.waiting()) != 0 {
		t.Fatalf("it waits still: %+v", h.waiting())
	}
	if diff := cmp.Diff([]string{"mail.fail given_up: refused 550 5.1.1|ana@acme.example"}, h.audited()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if got := h.observed(); got["reset failed"] != 1 || len(got) != 1 {
		t.Errorf("%v", got)
	}
}

func TestALinkThatIsOverIsNotSent(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{fault: errDown}
		m := h.through(arrived.take)
		h.queue(m)
		h.round(m)
		arrived.fault = nil
		h.pass(30 * time.Minute) // and so is the link's life
		h.round(m)
		if len(arrived.come()) != 0 || len(h.waiting()) != 0 {
			t.Errorf("%d arrived, %d wait", len(arrived.come()), len(h.waiting()))
		}
		if diff := cmp.Diff([]string{"mail.fail expired: not delivered|ana@acme.example"}, h.audited()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		if h.observed()["reset expired"] != 1 {
			t.Errorf("%v", h.observed())
		}
	})
}

func TestOfAHundredWhoReachForAMailOneGetsIt(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		m := h.through((&letters{}).take)
		h.tell(m)
		id := h.waiting()[0].ID
		won := h.race(func(int) bool {
			for {
				claimed, err := m.claimOne(t.Context(), "", id, h.clock())
				if errors.Is(err, store.ErrConflict) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return claimed != nil
			}
		})
		if won != 1 {
			t.Errorf("%d got it", won)
		}
	})
}

func TestTwoNodesOnOneDatabaseSendEachMailOnce(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{}
		const mails = 60
		ctx, stop := context.WithCancel(t.Context())
		var nodes sync.WaitGroup
		m := [2]*Mail{h.through(arrived.take), h.through(arrived.take)}
		for _, node := range m {
			nodes.Go(func() {
				if err := node.Run(ctx); err != nil {
					t.Error(err)
				}
			})
		}
		for i := range mails {
			path := []string{"", "acme"}[i%2]
			h.ok(h.update(path, func(ctx context.Context, tx store.Tx, s *site.Site) error {
				return m[i%3%2].Notice(ctx, tx, s, store.Agent{ID: "a", Email: fmt.Sprintf("agent%d@acme.example", i)}, templates.NoticeLocked)
			}))
		}
		for end := time.Now().Add(20 * time.Second); len(arrived.come()) < mails && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
			h.pass(10 * time.Millisecond)
		}
		stop()
		nodes.Wait()
		seen := map[string]int{}
		for _, l := range arrived.come() {
			seen[l.To.Address]++
		}
		for address, n := range seen {
			if n != 1 {
				t.Errorf("%s got it %d times", address, n)
			}
		}
		if len(seen) != mails || len(h.waiting()) != 0 {
			t.Errorf("%d of %d arrived, %d wait", len(seen), mails, len(h.waiting()))
		}
	})
}

// What a node had claimed when it died goes out when the lease is over, under
// the same Message-ID: who has it already sees that it is the same.
func TestWhatADeadNodeHadIsSentByAnother(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{}
		dead, alive := h.through(arrived.take), h.through(arrived.take)
		h.tell(dead)
		claimed, err := dead.claim(t.Context(), "")
		h.ok(err)
		if err := dead.try(t.Context(), "", claimed); err != nil { // sent, and then dead before it is noted
			t.Fatal(err)
		}
		h.pass(leaseTime - time.Second)
		if h.round(alive) != 0 {
			t.Error("it was taken while the lease held")
		}
		h.pass(time.Second)
		again, err := alive.claim(t.Context(), "")
		h.ok(err)
		if again == nil {
			t.Fatal("nobody sends it")
		}
		// The dead one was only slow: it has no say any more.
		h.ok(dead.settle(t.Context(), "", claimed, errDown))
		if left := h.waiting(); len(left) != 1 || left[0].Lease != again.Lease || left[0].Fault != "" {
			t.Errorf("%+v", left)
		}
		alive.send(t.Context(), "", again)
		all := arrived.come()
		if len(all) != 2 || all[0].ID != all[1].ID || !all[0].Date.Equal(all[1].Date) || len(h.waiting()) != 0 {
			t.Errorf("%+v, %d wait", all, len(h.waiting()))
		}
	})
}

func TestASiteWithManyMailsDoesNotKeepTheOthersWaiting(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var order []string
	var mu sync.Mutex
	m := h.through(func(_ context.Context, l Letter) error {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, l.To.Address)
		return nil
	})
	h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		for i := range 50 {
			if err := m.Notice(ctx, tx, s, store.Agent{ID: "a", Email: fmt.Sprintf("agent%d@acme.example", i)}, templates.NoticeLocked); err != nil {
				return err
			}
		}
		return nil
	}))
	h.ok(h.update("acme", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.Notice(ctx, tx, s, ana, templates.NoticeLocked)
	}))
	var under sync.WaitGroup
	free := make(chan struct{}, 1)
	free <- struct{}{}
	m.sendDue(t.Context(), t.Context(), &under, free)
	under.Wait()
	if i := slices.Index(order, ana.Email); len(order) != 51 || i < 0 || i > 3 {
		t.Errorf("the other site's mail came %d. of %d", i, len(order))
	}
}

func TestStoppingLetsWhatIsUnderWayEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	begun, may := make(chan struct{}), make(chan struct{})
	m := h.through(func(ctx context.Context, _ Letter) error {
		close(begun)
		select {
		case <-may:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	h.tell(m)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	<-begun
	stop()
	select {
	case <-ended:
		t.Fatal("it did not wait")
	case <-time.After(50 * time.Millisecond):
	}
	close(may)
	if err := <-ended; err != nil || len(h.waiting()) != 0 {
		t.Errorf("%v; %d wait", err, len(h.waiting()))
	}
}

func TestAPanicInSendingIsAMailThatWaits(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.through(func(context.Context, Letter) error { panic("a fault of " + ana.Email) })
	h.tell(m)
	if h.round(m) != 1 || len(h.waiting()) != 1 || h.waiting()[0].Fault != "a fault in the house" {
		t.Errorf("%+v", h.waiting())
	}
}

func TestWhatWaitsIsCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.through((&letters{fault: errDown}).take)
	first := h.clock()
	for range 3 {
		h.tell(m)
		h.pass(time.Second)
	}
	h.round(m)
	h.pass(lookEvery)
	h.round(m)
	if n, oldest := m.Waiting(); n != 3 || !oldest.Equal(first) {
		t.Errorf("%d wait since %s", n, oldest)
	}
	h.pass(keepTrying)
	h.round(m)
	h.pass(lookEvery)
	h.round(m)
	if n, oldest := m.Waiting(); n != 0 || !oldest.IsZero() {
		t.Errorf("%d wait since %s", n, oldest)
	}
}

func TestPausesGrowAndDiffer(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]time.Duration{0: firstPause, 1: firstPause, 2: 2 * firstPause, 4: 8 * firstPause, 7: longestPause, 1 << 40: longestPause} {
		seen := map[time.Duration]bool{}
		for range 50 {
			got := backoff(n)
			if seen[got] = true; got < want*3/4 || got > want*5/4 {
				t.Errorf("after try %d: %s, want about %s", n, got, want)
			}
		}
		if len(seen) < 10 {
			t.Errorf("after try %d everybody comes back at once", n)
		}
	}
}

// However the store fails, a mail is sent and noted, or waits.
func TestWhicheverCallOfTheStoreFailsNoMailIsLost(t *testing.T) {
	t.Parallel()
	for nth := 1; ; nth++ {
		h, arrived := newHouse(t), &letters{}
		failing := storetest.NewFailing(h.store, errors.New("disk full"))
		h.tell(h.through(arrived.take))
		m := h.mail(func(o *Options) { o.Store, o.Deliver = failing, arrived.take })
		failing.FailAt(nth)
		claimed, err := m.claim(t.Context(), "")
		if err == nil && claimed != nil {
			m.send(t.Context(), "", claimed)
		}
		calls := failing.Calls()
		failing.FailAt(0)
		for range 5 {
			h.pass(leaseTime)
			h.round(m)
		}
		if n := len(arrived.come()); n == 0 || n > 2 || len(h.waiting()) != 0 {
			t.Fatalf("call %d fails: %d arrived, %d wait", nth, n, len(h.waiting()))
		}
		if calls < nth {
			return
		}
	}
}
