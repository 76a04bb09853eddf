package storetest

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

func testLimits(t *testing.T, open Open) {
	s := open(t, time.Now)
	for _, c := range []struct {
		key, value int
		want       error
	}{{0, 1, store.ErrNoKey}, {store.MaxKey + 1, 1, store.ErrTooLarge}, {1, store.MaxValue + 1, store.ErrTooLarge}} {
		err := s.Update(t.Context(), "", put(strings.Repeat("k", c.key), strings.Repeat("v", c.value)))
		wantErr(t, err, c.want)
	}
	long := strings.Repeat("\xff", store.MaxKey)
	mustUpdate(t, s, "", put(long, strings.Repeat("v", store.MaxValue)))
	if v, err := get(t, s, "", long); err != nil || len(v) != store.MaxValue {
		t.Fatalf("%d bytes, %v", len(v), err)
	}
	_, err := get(t, s, "", "")
	wantErr(t, err, store.ErrNotFound)
}

func testSites(t *testing.T, open Open) {
	s := open(t, time.Now)
	sites := []string{"", "acme", "acm", "house", store.House}
	for _, site := range sites {
		mustUpdate(t, s, site, put("a", "of "+site))
	}
	for _, site := range sites {
		if err := s.View(t.Context(), site, func(tx store.Tx) error {
			if tx.Site() != site {
				t.Errorf("Site() = %q", tx.Site())
			}
			got, err := scan(tx, "", "")
			equal(t, got, []string{"a=of " + site})
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	mustUpdate(t, s, "acme", func(tx store.Tx) error { return tx.Delete(kind, []byte("a")) })
	if v, err := get(t, s, "", "a"); err != nil || v != "of " {
		t.Fatalf("another site's record: %q, %v", v, err)
	}
}

func testView(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("a", "1"))
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		if _, err := tx.Get(kind, []byte("a")); err != nil {
			return err
		}
		mustUpdate(t, s, "", put("a", "2"))
		v, err := tx.Get(kind, []byte("a"))
		if string(v) != "1" {
			t.Errorf("a changed under a View: %q", v)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	err := s.View(t.Context(), "", put("a", "3"))
	wantErr(t, err, store.ErrReadOnly)
}

func testFinished(t *testing.T, open Open) {
	s := open(t, time.Now)
	var kept store.Tx
	mustUpdate(t, s, "", func(tx store.Tx) error { kept = tx; return put("a", "1")(tx) })
	_, err := kept.Get(kind, []byte("a"))
	wantErr(t, err, store.ErrFinished)
	wantErr(t, put("a", "2")(kept), store.ErrFinished)
	_, err = scan(kept, "", "")
	wantErr(t, err, store.ErrFinished)
}

func testExpiry(t *testing.T, open Open) {
	clock := NewClock()
	s := open(t, clock.Now)
	expires := clock.Now().Add(time.Minute)
	mustUpdate(t, s, "", func(tx store.Tx) error {
		return errors.Join(tx.Put(kind, []byte("a"), []byte("1"), expires), put("b", "1")(tx), tx.Put(kind, []byte("c"), []byte("1"), clock.Now()))
	})
	clock.Add(time.Minute - time.Millisecond)
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		for item, err := range tx.Scan(kind, nil, []byte("b")) {
			if err != nil || !item.Expires.Equal(expires) {
				t.Errorf("expires %v, %v", item.Expires, err)
			}
		}
		got, err := scan(tx, "", "")
		equal(t, got, []string{"a=1", "b=1"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	clock.Add(time.Millisecond)
	_, err := get(t, s, "", "a")
	wantErr(t, err, store.ErrNotFound)
	mustUpdate(t, s, "", func(tx store.Tx) error {
		got, err := scan(tx, "", "")
		equal(t, got, []string{"b=1"})
		return err
	})
}

func testCancelled(t *testing.T, open Open) {
	s := open(t, time.Now)
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Update(ctx, "", func(tx store.Tx) error {
		cancel()
		return put("a", "1")(tx)
	})
	wantErr(t, err, context.Canceled)
	wantErr(t, s.Update(ctx, "", put("a", "1")), context.Canceled)
	wantErr(t, s.View(ctx, "", func(store.Tx) error { return nil }), context.Canceled)
	_, err = get(t, s, "", "a")
	wantErr(t, err, store.ErrNotFound)
}
