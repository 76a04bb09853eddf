package kept_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/kept"
)

var errDown = errors.New("down")

// source answers what stands in it.
type source struct {
	asked atomic.Int32
	mu    sync.Mutex
	words []string
	err   error
	takes time.Duration
}

func (s *source) get(ctx context.Context, _ string) ([]string, error) {
	s.asked.Add(1)
	time.Sleep(s.takes)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return s.words, s.err
}

func (s *source) says(err error, words ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words, s.err = words, err
}

func (s *source) kept() *kept.Documents[[]string] {
	return kept.New(kept.Options[[]string]{Get: s.get, Now: time.Now, Fresh: 5 * time.Minute, Stale: time.Hour, Again: time.Minute})
}

func lacks(word string) func([]string) bool {
	return func(words []string) bool { return !slices.Contains(words, word) }
}

func expect(t *testing.T, s *source, asked int32, got []string, err error, want ...string) {
	t.Helper()
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	if n := s.asked.Load(); n != asked {
		t.Errorf("asked %d times, want %d", n, asked)
	}
}

func TestADocumentIsTakenUntilItIsOldOrLacksSomething(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{words: []string{"a"}}
		x := s.kept()
		got, err := x.At(t.Context(), "one", nil)
		expect(t, s, 1, got, err, "a")
		s.says(nil, "a", "b")
		got, err = x.At(t.Context(), "one", lacks("b"))
		expect(t, s, 1, got, err, "a") // asked just now
		time.Sleep(time.Minute)
		got, err = x.At(t.Context(), "one", nil)
		expect(t, s, 1, got, err, "a")
		got, err = x.At(t.Context(), "one", lacks("b"))
		expect(t, s, 2, got, err, "a", "b")
		got, err = x.At(t.Context(), "two", nil)
		expect(t, s, 3, got, err, "a", "b")
	})
}

func TestAFaultLeavesTheLastGoodOneUntilItIsStale(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{err: errDown}
		x := s.kept()
		for range 20 {
			if _, err := x.At(t.Context(), "one", nil); !errors.Is(err, errDown) {
				t.Error(err)
			}
		}
		expect(t, s, 1, nil, nil)
		s.says(nil, "a")
		time.Sleep(time.Minute)
		got, err := x.At(t.Context(), "one", nil)
		expect(t, s, 2, got, err, "a")
		s.says(errDown)
		time.Sleep(time.Hour - time.Second)
		got, err = x.At(t.Context(), "one", nil)
		expect(t, s, 3, got, err, "a")
		time.Sleep(time.Second)
		if _, err := x.At(t.Context(), "one", nil); !errors.Is(err, errDown) {
			t.Error(err)
		}
	})
}

func TestAFetchIsEverybodys(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{words: []string{"a"}, takes: time.Second}
		x := s.kept()
		going, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() {
			if got, err := x.At(going, "one", nil); err != nil || len(got) != 1 {
				t.Errorf("who asked, and went away: %q, %v", got, err)
			}
		})
		synctest.Wait()
		for range 50 {
			all.Go(func() {
				if got, err := x.At(t.Context(), "one", nil); err != nil || len(got) != 1 {
					t.Errorf("%q, %v", got, err)
				}
			})
		}
		all.Go(func() {
			start := time.Now()
			if _, err := x.At(going, "one", nil); !errors.Is(err, context.Canceled) || time.Since(start) != 0 {
				t.Errorf("who waited, and went away: %v after %s", err, time.Since(start))
			}
		})
		synctest.Wait()
		cancel()
		all.Wait()
		expect(t, s, 1, nil, nil)
	})
}

func TestNobodyWaitsForAFetchWhoHasWhatTheyNeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &source{words: []string{"a"}}
		x := s.kept()
		got, err := x.At(t.Context(), "one", nil)
		expect(t, s, 1, got, err, "a")
		time.Sleep(5 * time.Minute)
		s.takes = time.Second
		s.says(nil, "b")
		go func() {
			if got, err := x.At(t.Context(), "one", nil); err != nil || got[0] != "b" {
				t.Errorf("who asks: %q, %v", got, err)
			}
		}()
		synctest.Wait()
		start := time.Now()
		got, err = x.At(t.Context(), "one", lacks("a"))
		expect(t, s, 2, got, err, "a")
		if waited := time.Since(start); waited != 0 {
			t.Errorf("waited %s for what was there", waited)
		}
		got, err = x.At(t.Context(), "one", lacks("b"))
		expect(t, s, 2, got, err, "b")
	})
}

func TestTheMemoryIsBounded(t *testing.T) {
	t.Parallel()
	s := &source{words: []string{"a"}}
	x := s.kept()
	for i := range 10_001 {
		if _, err := x.At(t.Context(), fmt.Sprint(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := x.At(t.Context(), "10000", nil); err != nil || s.asked.Load() != 10_001 {
		t.Errorf("the newest was forgotten: %v", err)
	}
	if _, err := x.At(t.Context(), "0", nil); err != nil || s.asked.Load() != 10_002 {
		t.Errorf("the oldest is still there: %v", err)
	}
}
