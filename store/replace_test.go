package store_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func TestReplaceKeepsLookupsTrueAndRefusesAnotherKey(t *testing.T) {
	t.Parallel()
	s, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "x.db"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Update(t.Context(), "", func(tx store.Tx) error {
		old := store.Grant{ID: "g", Authorization: store.Authorization{SID: "one"}, Expires: time.Now().Add(time.Hour)}
		if err := store.Grants.Put(tx, &old); err != nil {
			return err
		}
		rec := old
		rec.SID = "two"
		if err := store.Replace(tx, &store.Grants, &old, &rec); err != nil {
			return err
		}
		if _, err := store.Grants.Find(tx, "sid", "one"); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the old lookup stands: %v", err)
		}
		if found, err := store.Grants.Find(tx, "sid", "two"); err != nil || found.ID != "g" {
			t.Errorf("got %v, %v", found, err)
		}
		other := rec
		other.ID = "h"
		if err := store.Replace(tx, &store.Grants, &rec, &other); !errors.Is(err, store.ErrNoKey) {
			t.Errorf("another key: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
