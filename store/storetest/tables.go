package storetest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

func agentIDs(tx store.Tx, lookup, value string) (ids []string, err error) {
	for a, err := range store.Agents.List(tx, lookup, value) {
		if err != nil {
			return ids, err
		}
		ids = append(ids, a.ID)
	}
	return ids, nil
}

func testLookups(t *testing.T, open Open) {
	s := open(t, time.Now)
	ana := store.Agent{ID: "1", Email: "ana@acme.example", Roles: []string{"supervisors", "agents"}}
	bob := store.Agent{ID: "2", Email: "bob@acme.example", Roles: []string{"agents"}}
	mustUpdate(t, s, "", func(tx store.Tx) error {
		return errors.Join(store.Agents.Create(tx, &ana), store.Agents.Create(tx, &bob))
	})
	mustUpdate(t, s, "", func(tx store.Tx) error {
		wantErr(t, store.Agents.Create(tx, &ana), store.ErrExists)
		bob := bob
		bob.Email = ana.Email
		wantErr(t, store.Agents.Put(tx, &bob), store.ErrExists)
		return nil
	})
	expect := func(lookup, value string, want ...string) {
		t.Helper()
		if err := s.View(t.Context(), "", func(tx store.Tx) error {
			got, err := agentIDs(tx, lookup, value)
			equal(t, got, want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	expect("role", "agents", "1", "2")
	expect("email", "ana@acme.example", "1")
	expect("email", "ana@acme.exampl")
	ana.Email, ana.Roles = "ana.silva@acme.example", []string{"agents"}
	mustUpdate(t, s, "", func(tx store.Tx) error { return store.Agents.Put(tx, &ana) })
	expect("role", "supervisors")
	expect("email", "ana@acme.example")
	expect("email", "ana.silva@acme.example", "1")
	mustUpdate(t, s, "", func(tx store.Tx) error { return store.Agents.Delete(tx, "1") })
	expect("role", "agents", "2")
	expect("email", "ana.silva@acme.example")
}

func testUnder(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, clock.Now)
	grant := func(id, connection, subject string, offline bool) store.Grant {
		g := store.Grant{ID: id, Authorization: store.Authorization{AgentID: "ana", Login: store.LoginKey(connection, subject)}, Expires: clock.Now().Add(time.Hour)}
		if offline {
			g.Current = []byte{1}
		}
		return g
	}
	mustUpdate(t, s, "", func(tx store.Tx) error {
		over := grant("over", "corp", "ana", true)
		over.Expires = clock.Now().Add(time.Minute)
		for _, g := range []store.Grant{
			grant("1", "corp", "ana", true), grant("2", "corp", "bob", true), grant("3", "corporation", "ana", true), grant("4", "", "", true), grant("5", "corp", "ana", false), over,
		} {
			if err := store.Grants.Put(tx, &g); err != nil {
				return err
			}
		}
		return nil
	})
	clock.Add(2 * time.Minute)
	for _, c := range []struct {
		connection, subject string
		want                []string
	}{
		{"corp", "", []string{"1", "2"}}, {"corp", "ana", []string{"1"}}, {"corporation", "", []string{"3"}}, {"cor", "", nil}, {"corp", "eve", nil},
	} {
		if err := s.View(t.Context(), "", func(tx store.Tx) error {
			var got []string
			for g, err := range store.Under(tx, &store.Grants, "login", store.LoginKey(c.connection, c.subject)) {
				if err != nil {
					return err
				}
				got = append(got, g.ID)
			}
			slices.Sort(got)
			equal(t, got, c.want)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func count(t *testing.T, s store.Store, k store.Kind) (n int) {
	t.Helper()
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		n = 0
		for _, err := range tx.Scan(k, nil, nil) {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return n
}

func testSweep(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, clock.Now)
	const sessions = store.SweepBatch + 50
	mustUpdate(t, s, "", func(tx store.Tx) error {
		for i := range sessions {
			rec := store.Session{Hash: fmt.Sprint(i), SID: fmt.Sprint("sid", i), AgentID: "ana", Expires: clock.Now().Add(time.Minute)}
			if err := store.Sessions.Put(tx, &rec); err != nil {
				return err
			}
		}
		return nil
	})
	extended := store.Session{Hash: "0", SID: "sid0", AgentID: "ana", Expires: clock.Now().Add(time.Hour)}
	mustUpdate(t, s, "", func(tx store.Tx) error { return store.Sessions.Put(tx, &extended) })

	clock.Add(2 * time.Minute)
	mustUpdate(t, s, "", func(tx store.Tx) error { // comes back before the sweep, as another agent's
		return store.Sessions.Put(tx, &store.Session{Hash: "1", SID: "sid1", AgentID: "bob", Expires: clock.Now().Add(time.Hour)})
	})
	var swept int
	for n := store.SweepBatch; n == store.SweepBatch; swept += n {
		var err error
		if n, err = store.Sweep(t.Context(), s, "", clock.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if swept != sessions {
		t.Errorf("swept %d entries", swept)
	}
	for k, want := range map[store.Kind]int{"session": 2, "session/sid": 2, "session/agent": 2} {
		if n := count(t, s, k); n != want {
			t.Errorf("%d of %s are left", n, k)
		}
	}
	clock.Add(2 * time.Hour)
	if _, err := store.Sweep(t.Context(), s, "", clock.Now()); err != nil {
		t.Fatal(err)
	}
	for _, k := range []store.Kind{"session", "session/sid", "session/agent", store.ExpiryKind} {
		if n := count(t, s, k); n != 0 {
			t.Errorf("%d of %s are left", n, k)
		}
	}
}
