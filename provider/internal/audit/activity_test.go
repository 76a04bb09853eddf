package audit

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/chatelaine-id/chatelaine/store"
)

func (h *house) activities(agentID, after string, most int) (list []store.Activity) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		list, err = store.ListActivities(tx, agentID, after, most)
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return list
}

func TestAnAgentHasCopiesOfWhatIsAboutThem(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		ana, ben, op := Ref{"agent", "ana"}, Ref{"agent", "ben"}, Ref{"operator", "root"}
		for _, e := range []Event{
			{Action: SignInFailure, Object: ana, Result: Refused, Reason: "wrong_password"},
			{Action: SignInSuccess, Actor: ana, Object: ana},
			{Action: SignInSuccess, Actor: Ref{"agent", "anabel"}, Object: Ref{"agent", "anabel"}},
			{Action: ConsentGive, Actor: ana, Object: Ref{"client", "desk"}},
			{Action: TokenIssue, Actor: ana, Object: Ref{"client", "desk"}},
			{Action: CodeIssue, Actor: ana, Object: Ref{"client", "desk"}},
			{Action: PasswordRehash, Object: ana},
			{Action: SettingsUpdate, Actor: ana, Object: Ref{"site", ""}},
			{Action: FactorAdd, Actor: ana, Object: Ref{"authenticator", "x"}, Changes: []Change{{Field: "agent", New: "ana"}, {Field: "name", New: "Phone", Personal: true}}},
			{Action: SessionEnd, Actor: op, Object: Ref{"session", "s"}, Changes: []Change{{Field: "agent", New: "ana"}}},
			{Action: FactorReset, Actor: ben, Object: ana},
		} {
			h.record(e)
			time.Sleep(time.Second)
		}
		want := []store.Activity{
			{Action: FactorReset, By: "agent"},
			{Action: SessionEnd, By: "operator"},
			{Action: FactorAdd, What: "Phone"},
			{Action: ConsentGive, What: "desk"},
			{Action: SignInSuccess},
			{Action: SignInFailure, Result: Refused, Reason: "wrong_password"},
		}
		got := h.activities("ana", "", 100)
		if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Activity{}, "Key", "Time", "IP", "UserAgent", "Expires")); diff != "" {
			t.Fatal(diff)
		}
		if got[0].IP != "203.0.113.77" || got[0].UserAgent == "" || !got[0].Expires.Equal(got[0].Time.Add(activityLife)) {
			t.Errorf("%+v", got[0])
		}
		first := h.activities("ana", "", 4)
		rest := h.activities("ana", first[3].Key, 4)
		if diff := cmp.Diff(got, append(first, rest...)); diff != "" {
			t.Error("pages do not join:", diff)
		}
		if another := h.activities("ana", h.activities("anabel", "", 1)[0].Key, 1); len(another) != 1 || another[0].Key != got[0].Key {
			t.Error("a place in another agent's list leads somewhere")
		}
		if list := h.activities("ben", "", 9); len(list) != 0 {
			t.Errorf("ben has %+v", list)
		}
	})
}

func TestActivitiesGoWithTheirAgentAndByTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t)
		for range 3 {
			h.record(Event{Action: SignInSuccess, Object: Ref{"agent", "ana"}}, Event{Action: SignInSuccess, Object: Ref{"agent", "ben"}})
		}
		if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error { return store.DeleteActivities(tx, "ana") }); err != nil {
			t.Fatal(err)
		}
		if len(h.activities("ana", "", 9)) != 0 || len(h.activities("ben", "", 9)) != 3 {
			t.Error("not the one agent's were deleted")
		}
		time.Sleep(activityLife)
		if list := h.activities("ben", "", 9); len(list) != 0 {
			t.Errorf("after their time: %+v", list)
		}
	})
}
