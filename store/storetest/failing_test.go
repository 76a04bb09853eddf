package storetest_test

import (
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestWhicheverCallFailsNothingIsHalfWritten(t *testing.T) {
	t.Parallel()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	s := storetest.NewFailing(engine, store.ErrUnavailable)
	work := func() error {
		return s.Update(t.Context(), "", func(tx store.Tx) error {
			if _, err := tx.Get("thing", []byte("a")); err == nil {
				return store.ErrExists
			}
			_ = tx.Put("thing", []byte("a"), nil, time.Time{}) // swallowed, as a library does
			return store.Agents.Create(tx, &store.Agent{ID: "1", Email: "ana@acme.example"})
		})
	}
	failed := 0
	for nth := 1; ; nth++ {
		s.FailAt(nth)
		if err := work(); err == nil {
			break
		} else if !errors.Is(err, store.ErrUnavailable) {
			t.Fatalf("call %d: %v", nth, err)
		}
		failed++
		if err := engine.View(t.Context(), "", func(tx store.Tx) error { _, err := tx.Get("thing", []byte("a")); return err }); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("call %d left something: %v", nth, err)
		}
	}
	if failed < 5 {
		t.Errorf("only %d calls could fail", failed)
	}
}
