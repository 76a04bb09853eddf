package store

import (
	"slices"
	"testing"
	"time"
)

func TestAFamilyNamesEveryAccessTokenThatMayBeAlive(t *testing.T) {
	t.Parallel()
	const life = 5 * time.Minute
	g := Grant{ID: "G"}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	alive := map[string]time.Time{}
	for i := range 500 {
		alive[g.NextTokenID(now, life)] = now.Add(life)
		named, all := g.LiveTokenIDs(1000)
		if !all {
			t.Fatal("fewer than 1000 are too many")
		}
		for id, until := range alive {
			if until.After(now) && !slices.Contains(named, id) {
				t.Fatalf("after %d tokens, %s lives until %v and is not named", i+1, id, until)
			}
		}
		now = now.Add(time.Duration(i%70) * time.Second)
	}
	if named, _ := g.LiveTokenIDs(1000); len(named) > 60 {
		t.Errorf("%d tokens are named, most of them long dead", len(named))
	}
}

func TestAFamilyNamesNoMoreTokensThanItIsAskedFor(t *testing.T) {
	t.Parallel()
	g := Grant{ID: "G"}
	for range 9 {
		g.NextTokenID(time.Now(), time.Minute)
	}
	ids, all := g.LiveTokenIDs(4)
	if all || len(ids) != 4 || ids[0] != "G.9" {
		t.Errorf("got %v, %v", ids, all)
	}
}

func TestAJTINamesItsGrant(t *testing.T) {
	t.Parallel()
	g := Grant{ID: "abc"}
	if id, ok := GrantOf(g.NextTokenID(time.Now(), time.Minute)); id != "abc" || !ok {
		t.Errorf("got %q, %v", id, ok)
	}
	if _, ok := GrantOf("just-random"); ok {
		t.Error("a client's own token has a grant")
	}
}
