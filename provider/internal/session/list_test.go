package session

import (
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func (h *house) atMost(n int) {
	h.update("", func(tx store.Tx) error {
		settings, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		settings.Sessions.MaxAtOnce = n
		if err := store.AllSettings.Put(tx, &settings); err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

func (h *house) list(agent string) (sids []string) {
	h.t.Helper()
	h.update("", func(tx store.Tx) error {
		all, err := h.List(tx, h.site(""), agent)
		sids = nil
		for _, rec := range all {
			sids = append(sids, rec.SID)
		}
		return err
	})
	return sids
}

// signInEndingOver is signIn where the agent has agreed to what has to end.
func (b *browser) signInEndingOver(agent string) store.Session {
	b.h.t.Helper()
	var rec store.Session
	r := b.request()
	b.h.update(b.path, func(tx store.Tx) (err error) {
		rec, _, err = b.h.Start(r.Context(), tx, b.h.site(b.path), Start{AgentID: agent, Replaces: Presented(r), EndOver: true})
		return err
	})
	return rec
}

func TestAListHasTheSessionsInForceTheLastUsedFirst(t *testing.T) {
	storetest.OnBothEngines(t, testAListHasTheSessionsInForceTheLastUsedFirst)
}

func testAListHasTheSessionsInForceTheLastUsedFirst(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	first := h.browser("").signIn("ana")
	h.browser("").signIn("ben")
	h.pass(time.Minute)
	second := h.browser("").signIn("ana")
	if got := h.list("ana"); len(got) != 2 || got[0] != second.SID || got[1] != first.SID {
		t.Errorf("got %v", got)
	}
	h.pass(8*time.Hour - 30*time.Second)
	if got := h.list("ana"); len(got) != 1 || got[0] != second.SID {
		t.Errorf("with one idle for too long: %v", got)
	}
	h.update("", func(tx store.Tx) error {
		_, err := h.EndAll(t.Context(), tx, h.site(""), "ana", "password_changed")
		return err
	})
	if got := h.list("ana"); len(got) != 0 {
		t.Errorf("after all ended: %v", got)
	}
	if got := h.list("nobody"); len(got) != 0 {
		t.Errorf("of nobody: %v", got)
	}
}

func TestOneSessionTooManyEndsTheOneUnusedForLongest(t *testing.T) {
	storetest.OnBothEngines(t, testOneSessionTooManyEndsTheOneUnusedForLongest)
}

func testOneSessionTooManyEndsTheOneUnusedForLongest(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.atMost(2)
	var sessions []store.Session
	for range 2 {
		sessions = append(sessions, h.browser("").signIn("ana"))
		h.pass(time.Minute)
	}
	h.grant("old", sessions[0], "desk")
	over := func(replaces string) (sids []string) {
		h.update("", func(tx store.Tx) error {
			all, err := h.Over(tx, h.site(""), "ana", replaces)
			sids = nil
			for _, rec := range all {
				sids = append(sids, rec.SID)
			}
			return err
		})
		return sids
	}
	if got := over(""); len(got) != 1 || got[0] != sessions[0].SID {
		t.Errorf("a third would end %v", got)
	}
	if got := over(sessions[1].Hash); len(got) != 0 {
		t.Errorf("one that takes the second's place would end %v", got)
	}
	third := h.browser("").signInEndingOver("ana")
	if got := h.list("ana"); len(got) != 2 || got[0] != third.SID || got[1] != sessions[1].SID {
		t.Errorf("left are %v", got)
	}
	if !h.revoked("old") {
		t.Error("what was granted in the session that ended goes on")
	}
	h.atMost(1)
	last := h.browser("").signInEndingOver("ana")
	if got := h.list("ana"); len(got) != 1 || got[0] != last.SID {
		t.Errorf("with one at once there are %v", got)
	}
	h.atMost(0)
	if got := over(""); len(got) != 0 {
		t.Errorf("without a limit %v would end", got)
	}
}

func TestTheOtherSessionsEndAndThisOneStays(t *testing.T) {
	storetest.OnBothEngines(t, testTheOtherSessionsEndAndThisOneStays)
}

func testTheOtherSessionsEndAndThisOneStays(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	here, there := h.browser(""), h.browser("")
	this := here.signIn("ana")
	there.signIn("ana")
	h.browser("").signIn("ana")
	ben := h.browser("")
	ben.signIn("ben")
	n := 0
	h.update("", func(tx store.Tx) (err error) {
		n, err = h.EndOthers(t.Context(), tx, h.site(""), "ana", this.Hash, "ended_by_agent")
		return err
	})
	if n != 2 {
		t.Errorf("%d ended", n)
	}
	here.wantSignedIn("this one")
	there.wantSignedOut("another one")
	ben.wantSignedIn("somebody else")
}
