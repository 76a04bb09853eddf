// Package storetest is the contract that every engine of store passes, a store
// that fails on demand, and a throw-away PostgreSQL to run tests against.
//
// It is imported by tests only.
package storetest

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/store"
)

// Open returns an empty store whose clock is now.
type Open func(t *testing.T, now func() time.Time) store.Store

const kind = store.Kind("thing")

// Run runs the contract.
func Run(t *testing.T, open Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"WhatWasPutIsThere":                  testPut,
		"ScanIsInOrderAndKeepsItsBounds":     testScan,
		"ScanSeesTheTransactionsOwnWrites":   testScanOverlay,
		"AnErrorRollsEverythingBack":         testRollback,
		"APanicHarmsOnlyItsCaller":           testPanic,
		"NoUpdateIsLost":                     testLostUpdate,
		"OneOfAHundredRacersSpendsACode":     testSingleUse,
		"ACancelledContextWritesNothing":     testCancelled,
		"ASwallowedConflictIsRetried":        testSwallowedConflict,
		"ExpiredRecordsAreGone":              testExpiry,
		"APhantomInARangeIsAConflict":        testPhantom,
		"WriteSkewIsAConflict":               testWriteSkew,
		"AnUnrelatedWriteIsNoConflict":       testUnrelated,
		"OnlyOneOfManyTakesAUniqueAddress":   testUnique,
		"KeysAndValuesHaveLimits":            testLimits,
		"SitesDoNotSeeEachOther":             testSites,
		"AViewIsOneSnapshotAndWritesNothing": testView,
		"AFinishedTransactionIsUseless":      testFinished,
		"LookupsFollowTheirRecords":          testLookups,
		"LookupsAreFoundByHowTheyBegin":      testUnder,
		"ExpiredRecordsAreSwept":             testSweep,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, open)
		})
	}
}

// Clock is a clock that stands still until it is moved.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock starts at a fixed instant.
func NewClock() *Clock { return &Clock{now: time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)} }

// Now is its time.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Add moves it on.
func (c *Clock) Add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func mustUpdate(t *testing.T, s store.Store, site string, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(t.Context(), site, fn); err != nil {
		t.Fatal(err)
	}
}

func put(key, value string) func(store.Tx) error {
	return func(tx store.Tx) error { return tx.Put(kind, []byte(key), []byte(value), time.Time{}) }
}

func get(t *testing.T, s store.Store, site, key string) (value string, err error) {
	t.Helper()
	err = s.View(t.Context(), site, func(tx store.Tx) error {
		v, err := tx.Get(kind, []byte(key))
		value = string(v)
		return err
	})
	return value, err
}

func scan(tx store.Tx, from, to string) (all []string, err error) {
	for item, err := range tx.Scan(kind, []byte(from), []byte(to)) {
		if err != nil {
			return all, err
		}
		all = append(all, string(item.Key)+"="+string(item.Value))
	}
	return all, nil
}

func wantErr(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func equal(t *testing.T, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("(-want +got)\n%s", d)
	}
}

func testPut(t *testing.T, open Open) {
	s := open(t, time.Now)
	_, err := get(t, s, "", "a")
	wantErr(t, err, store.ErrNotFound)
	mustUpdate(t, s, "", put("a", "1"))
	mustUpdate(t, s, "", put("b", ""))
	mustUpdate(t, s, "", func(tx store.Tx) error {
		if v, err := tx.Get(kind, []byte("a")); err != nil || string(v) != "1" {
			t.Errorf("a = %q, %v", v, err)
		}
		if err := put("a", "2")(tx); err != nil {
			return err
		}
		v, err := tx.Get(kind, []byte("a"))
		if string(v) != "2" {
			t.Errorf("own write: %q", v)
		}
		return errors.Join(err, tx.Delete(kind, []byte("b")), tx.Delete(kind, []byte("never was")))
	})
	if v, err := get(t, s, "", "a"); err != nil || v != "2" {
		t.Fatalf("a = %q, %v", v, err)
	}
	_, err = get(t, s, "", "b")
	wantErr(t, err, store.ErrNotFound)
}

func testScan(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", func(tx store.Tx) error {
		for _, k := range []string{"b", "a\xff\xff", "a", "a\x00", "c", "\x00", "\xff", "ab"} {
			if err := put(k, "")(tx); err != nil {
				return err
			}
		}
		return errors.Join(
			tx.Put("thin", []byte("a"), nil, time.Time{}), tx.Put("thing/x", []byte("a"), nil, time.Time{}),
			tx.Put("thingy", []byte("a"), nil, time.Time{}))
	})
	for _, c := range []struct {
		from, to string
		want     []string
	}{
		{"", "", []string{"\x00=", "a=", "a\x00=", "ab=", "a\xff\xff=", "b=", "c=", "\xff="}},
		{"a\x00", "b", []string{"a\x00=", "ab=", "a\xff\xff="}},
		{"b", "b", nil},
		{"c", "b", nil},
		{"d", "", []string{"\xff="}},
	} {
		if err := s.View(t.Context(), "", func(tx store.Tx) error {
			got, err := scan(tx, c.from, c.to)
			equal(t, got, c.want)
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func testScanOverlay(t *testing.T, open Open) {
	s := open(t, time.Now)
	for _, k := range []string{"b", "d", "f", "h"} {
		mustUpdate(t, s, "", put(k, "old"))
	}
	mustUpdate(t, s, "", func(tx store.Tx) error {
		err := errors.Join(put("a", "new")(tx), put("d", "new")(tx), tx.Delete(kind, []byte("f")), put("z", "new")(tx), put("y", "")(tx), tx.Delete(kind, []byte("y")))
		if err != nil {
			return err
		}
		got, err := scan(tx, "", "")
		equal(t, got, []string{"a=new", "b=old", "d=new", "h=old", "z=new"})
		return err
	})
	mustUpdate(t, s, "", func(tx store.Tx) error { // writes under the scan
		var seen []string
		for item, err := range tx.Scan(kind, nil, nil) {
			if err != nil {
				return err
			}
			seen = append(seen, string(item.Key))
			if err := tx.Delete(kind, item.Key); err != nil {
				return err
			}
			if string(item.Key) == "b" {
				if err := tx.Delete(kind, []byte("d")); err != nil {
					return err
				}
			}
		}
		equal(t, seen, []string{"a", "b", "h", "z"})
		return nil
	})
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		got, err := scan(tx, "", "")
		equal(t, got, []string(nil))
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

func testRollback(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("a", "1"))
	refused := errors.New("refused")
	err := s.Update(t.Context(), "", func(tx store.Tx) error {
		return errors.Join(put("a", "2")(tx), put("b", "2")(tx), refused)
	})
	wantErr(t, err, refused)
	if v, err := get(t, s, "", "a"); err != nil || v != "1" {
		t.Fatalf("a = %q, %v", v, err)
	}
	_, err = get(t, s, "", "b")
	wantErr(t, err, store.ErrNotFound)
}

func testPanic(t *testing.T, open Open) {
	s := open(t, time.Now)
	func() {
		defer func() {
			if r := recover(); fmt.Sprint(r) != "boom" {
				t.Errorf("the caller's own panic should reach it, got %v", r)
			}
		}()
		_ = s.Update(t.Context(), "", func(tx store.Tx) error {
			_ = put("a", "1")(tx)
			panic("boom")
		})
	}()
	mustUpdate(t, s, "", put("b", "1"))
	_, err := get(t, s, "", "a")
	wantErr(t, err, store.ErrNotFound)
}
