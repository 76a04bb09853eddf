package signin

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestOneAccountsTriesTakeTurnsAndOthersDoNotWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all turns
		var inside, most atomic.Int32
		var wg sync.WaitGroup
		begin := time.Now()
		for range 10 {
			for _, account := range []string{"ana", "raj"} {
				wg.Go(func() {
					done, err := all.take(t.Context(), account)
					if err != nil {
						t.Error(err)
						return
					}
					defer done()
					most.Store(max(most.Load(), inside.Add(1)))
					time.Sleep(time.Second)
					inside.Add(-1)
				})
			}
		}
		wg.Wait()
		if took := time.Since(begin); took != 10*time.Second || most.Load() != 2 {
			t.Errorf("ten tries each of two accounts took %v, %d at once", took, most.Load())
		}
		if len(all.key) != 0 {
			t.Errorf("%d accounts are still remembered", len(all.key))
		}
	})
}

func TestWhoHangsUpLeavesTheTurnToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var all turns
		first, err := all.take(t.Context(), "ana")
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := all.take(ctx, "ana"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("took a turn that was not free: %v", err)
		}
		first()
		second, err := all.take(t.Context(), "ana")
		if err != nil {
			t.Fatal(err)
		}
		second()
	})
}
