package oauth

import (
	"net/http"
	"sync"
	"testing"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func race(n int, try func() answer) []answer {
	answers := make([]answer, n)
	var ready, done sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		ready.Add(1)
		done.Go(func() {
			ready.Done()
			<-start
			answers[i] = try()
		})
	}
	ready.Wait()
	close(start)
	done.Wait()
	return answers
}

func TestAHundredRacersRedeemOneCodeOnce(t *testing.T) {
	storetest.OnBothEngines(t, testAHundredRacersRedeemOneCodeOnce)
}

func testAHundredRacersRedeemOneCodeOnce(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for _, racers := range []int{8, 100} {
		code := h.code(ask("RP", callback))
		var tokens []answer
		for _, a := range race(racers, func() answer { return h.redeem("RP", callback, code) }) {
			if a.Code == http.StatusOK {
				tokens = append(tokens, a)
			} else {
				a.wantError(t, http.StatusBadRequest, "invalid_grant")
			}
		}
		if len(tokens) != 1 {
			t.Fatalf("%d of %d racers have tokens", len(tokens), racers)
		}
		h.wantActive("RP", tokens[0].text("access_token"), false) // the others were replays
		if n := h.grantsAlive(); n != 0 {
			t.Errorf("%d families live", n)
		}
	}
}

func TestAHundredRacersRefreshToOneDescendant(t *testing.T) {
	storetest.OnBothEngines(t, testAHundredRacersRefreshToOneDescendant)
}

func testAHundredRacersRefreshToOneDescendant(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	token := h.tokens("RP", callback).text("refresh_token")
	for _, racers := range []int{8, 100, 50, 50, 50} {
		next := map[string]int{}
		for _, a := range race(racers, func() answer { return h.refresh("RP", token) }) {
			if a.Code != http.StatusOK {
				t.Fatalf("got %d %s", a.Code, a.Body)
			}
			next[a.text("refresh_token")]++
		}
		if len(next) != 1 {
			t.Fatalf("%d different successors", len(next))
		}
		for token = range next {
		}
	}
	if n := h.grantsAlive(); n != 1 {
		t.Errorf("%d families live", n)
	}
}

func TestRacersWithTwoGenerationsLeaveAtMostOneDescendant(t *testing.T) {
	storetest.OnBothEngines(t, testRacersWithTwoGenerationsLeaveAtMostOneDescendant)
}

func testRacersWithTwoGenerationsLeaveAtMostOneDescendant(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback).text("refresh_token")
	second := h.refresh("RP", first).text("refresh_token")
	i := make(chan string, 60)
	for n := range 60 {
		if n%2 == 0 {
			i <- first
		} else {
			i <- second
		}
	}
	for _, a := range race(60, func() answer { return h.refresh("RP", <-i) }) {
		if a.Code != http.StatusOK {
			a.wantError(t, http.StatusBadRequest, "invalid_grant")
		}
	}
	if n := h.grantsAlive(); n > 1 {
		t.Errorf("%d families live", n)
	}
}
