package session

import (
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func (h *house) half(id, agent string) {
	h.t.Helper()
	h.update("", func(tx store.Tx) error {
		return store.SignIns.Put(tx, &store.SignIn{ID: id, AgentID: agent, AMR: []string{"pwd", "otp", "mfa"}, AuthTime: h.now, Expires: h.now.Add(FlowLifetime)})
	})
}

func (h *house) halfDone(id string) (there bool) {
	h.t.Helper()
	err := h.Store.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		there, err = store.SignIns.Has(tx, id)
		return err
	})
	h.ok(err)
	return there
}

func (h *house) ended(grant string) (revoked bool) {
	h.t.Helper()
	h.ok(h.Store.View(h.t.Context(), "", func(tx store.Tx) error {
		g, err := store.Grants.Get(tx, grant)
		revoked = g.Revoked
		return err
	}))
	return revoked
}

func TestEndingTheOthersLeavesAThiefNothing(t *testing.T) {
	storetest.OnBothEngines(t, testEndingTheOthersLeavesAThiefNothing)
}

// A refresh token lives longer than the session that it came from, and a sign-in
// may wait at its last step: both are "elsewhere" as much as a session is.
func testEndingTheOthersLeavesAThiefNothing(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	here := h.browser("")
	old := h.browser("").signIn("ana")
	h.grant("of a session long over", old, "desk")
	h.pass(9 * time.Hour) // idle for too long
	h.update("", func(tx store.Tx) error { return store.Sessions.Delete(tx, old.Hash) })
	this := here.signIn("ana")
	h.grant("of this session", this, "desk")
	ben := h.browser("").signIn("ben")
	h.grant("of somebody else", ben, "desk")
	h.half("ana's", "ana")
	h.half("ben's", "ben")
	h.update("", func(tx store.Tx) error {
		_, err := h.EndOthers(t.Context(), tx, h.site(""), "ana", this.Hash, "factors_changed")
		return err
	})
	if !h.ended("of a session long over") {
		t.Error("a refresh token whose session is over goes on")
	}
	if h.ended("of this session") || h.ended("of somebody else") {
		t.Error("too much ended")
	}
	if h.halfDone("ana's") || !h.halfDone("ben's") {
		t.Errorf("half-done sign-ins: ana's %v, ben's %v", h.halfDone("ana's"), h.halfDone("ben's"))
	}
	here.wantSignedIn("this one")
	h.half("ana's", "ana")
	h.update("", func(tx store.Tx) error {
		_, err := h.EndAll(t.Context(), tx, h.site(""), "ana", "password_changed")
		return err
	})
	if h.halfDone("ana's") {
		t.Error("a half-done sign-in outlives the end of everything")
	}
}

func TestSignInsAtOneSiteEndNoneAtAnotherOfTheSameHost(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("acme")
	var ids []string
	for range maxFlows {
		ids = append(ids, b.begin("a=1"))
	}
	b.path = ""
	for range 2 * maxFlows {
		b.begin("a=2")
	}
	b.path = "acme"
	for _, id := range ids {
		if _, err := b.flow(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}
