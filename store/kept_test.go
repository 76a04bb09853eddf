package store_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func TestARereadRecordIsDecodedAgainOnlyWhenItChanged(t *testing.T) {
	t.Parallel()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "kept.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	put := func(name string) {
		t.Helper()
		err := engine.Update(t.Context(), "", func(tx store.Tx) error {
			return store.Departments.Put(tx, &store.Department{Key: "billing", Name: name})
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	reread := func(kept *store.Kept[store.Department]) (again *store.Kept[store.Department], err error) {
		err = engine.View(t.Context(), "", func(tx store.Tx) error {
			again, err = store.Reread(tx, &store.Departments, "billing", kept)
			return err
		})
		return again, err
	}
	put("Billing")
	first, err := reread(nil)
	if err != nil || first.Record.Name != "Billing" {
		t.Fatal(first, err)
	}
	if second, err := reread(first); err != nil || second != first {
		t.Errorf("decoded again: %v, %v", second, err)
	}
	put("Accounts")
	if third, err := reread(first); err != nil || third.Record.Name != "Accounts" || first.Record.Name != "Billing" {
		t.Errorf("%v, %v", third, err)
	}
	err = engine.Update(t.Context(), "", func(tx store.Tx) error { return store.Departments.Delete(tx, "billing") })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reread(first); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a record that is gone: %v", err)
	}
}
