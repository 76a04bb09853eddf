package store

import (
	"testing"
	"time"
)

func TestTokensOfLongerLifetimesAreReckonedWithUntilTheyHaveEnded(t *testing.T) {
	t.Parallel()
	begin := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	at := func(minutes int) time.Time { return begin.Add(time.Duration(minutes) * time.Minute) }
	now := &Settings{Visitors: VisitorRules{TokenMinutes: 60}}
	change := func(minutes, life int) {
		after := *now
		after.Visitors.TokenMinutes = life
		after.Outlive(now, at(minutes))
		now = &after
	}
	want := func(minutes, life int) {
		t.Helper()
		if got := now.LongestLife(at(minutes)); got != life*60 {
			t.Errorf("after %d minutes tokens of %d may live, want %d", minutes, got/60, life)
		}
	}
	want(0, 60)
	change(0, 30)
	want(59, 60)
	want(61, 30)
	change(50, 5) // tokens of 60 minutes end at 60, those of 30 at 80
	want(55, 60)
	want(79, 60) // more than need be, and never less
	want(81, 10) // an ID token's
	change(90, 20)
	want(91, 20)
	change(100, 20)
	want(101, 20)
	change(110, 1)
	want(129, 20)
	want(131, 10)
}
