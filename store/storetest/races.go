package storetest

import (
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// race runs fn n times at once and returns how many had no error; others than
// the allowed one fail the test.
func race(t *testing.T, n int, allowed error, fn func(i int) error) int {
	t.Helper()
	var won atomic.Int32
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			switch err := fn(i); {
			case err == nil:
				won.Add(1)
			case allowed == nil || !errors.Is(err, allowed):
				t.Errorf("racer %d: %v", i, err)
			}
		})
	}
	close(start)
	group.Wait()
	return int(won.Load())
}

func testLostUpdate(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("counter", "0"))
	const racers, rounds = 20, 5
	race(t, racers, nil, func(int) error {
		for range rounds {
			if err := s.Update(t.Context(), "", func(tx store.Tx) error {
				v, err := tx.Get(kind, []byte("counter"))
				if err != nil {
					return err
				}
				n, err := strconv.Atoi(string(v))
				if err != nil {
					return err
				}
				return put("counter", strconv.Itoa(n+1))(tx)
			}); err != nil {
				return err
			}
		}
		return nil
	})
	if v, err := get(t, s, "", "counter"); err != nil || v != strconv.Itoa(racers*rounds) {
		t.Fatalf("counter = %s, %v", v, err)
	}
}

func testSingleUse(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("code", "fresh"))
	spent := errors.New("spent")
	won := race(t, 100, spent, func(i int) error {
		return s.Update(t.Context(), "", func(tx store.Tx) error {
			v, err := tx.Get(kind, []byte("code"))
			if err != nil {
				return err
			}
			if string(v) != "fresh" {
				return spent
			}
			return errors.Join(put("code", "spent")(tx), put(fmt.Sprint("token ", i), "")(tx))
		})
	})
	if won != 1 {
		t.Fatalf("%d racers spent the code", won)
	}
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		got, err := scan(tx, "token ", "token!")
		if len(got) != 1 {
			t.Errorf("tokens: %q", got)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// meanwhile runs fn once, in another Update than the one that calls it.
func meanwhile(t *testing.T, s store.Store, once *bool, fn func(store.Tx) error) {
	if *once {
		return
	}
	*once = true
	mustUpdate(t, s, "", fn)
}

func testSwallowedConflict(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("a", "1"))
	done, runs := false, 0
	mustUpdate(t, s, "", func(tx store.Tx) error {
		runs++
		v, _ := tx.Get(kind, []byte("a")) // errors are swallowed throughout
		before := string(v)
		meanwhile(t, s, &done, put("a", "2"))
		_ = put("b", "saw "+before)(tx)
		_ = put("a", before+"!")(tx)
		return nil
	})
	if v, _ := get(t, s, "", "b"); v != "saw 2" || runs < 2 {
		t.Fatalf("b = %q after %d runs", v, runs)
	}
}

// testPhantom lets two fill the last of two places: each sees one taken when it
// looks, and only a conflict over the range can stop the second.
func testPhantom(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", put("m1", ""))
	full := errors.New("no place left")
	take := func(key string, between func()) func(store.Tx) error {
		return func(tx store.Tx) error {
			got, err := scan(tx, "m", "n")
			if err != nil {
				return err
			}
			between()
			if len(got) >= 2 {
				return full
			}
			return put(key, "")(tx)
		}
	}
	done := false
	err := s.Update(t.Context(), "", take("m2", func() { meanwhile(t, s, &done, take("m3", func() {})) }))
	wantErr(t, err, full)
	_, err = get(t, s, "", "m2")
	wantErr(t, err, store.ErrNotFound)
}

func testWriteSkew(t *testing.T, open Open) {
	s := open(t, time.Now)
	mustUpdate(t, s, "", func(tx store.Tx) error { return errors.Join(put("admin1", "on")(tx), put("admin2", "on")(tx)) })
	last := errors.New("the last administrator stays")
	names := []string{"admin1", "admin2"}
	won := race(t, 2, last, func(i int) error {
		return s.Update(t.Context(), "", func(tx store.Tx) error {
			other, err := tx.Get(kind, []byte(names[1-i]))
			if err != nil {
				return err
			}
			if string(other) != "on" {
				return last
			}
			time.Sleep(5 * time.Millisecond)
			return put(names[i], "off")(tx)
		})
	})
	if won != 1 {
		t.Fatalf("%d administrators were switched off", won)
	}
}

func testUnrelated(t *testing.T, open Open) {
	s := open(t, time.Now)
	for i := range 200 { // so that a database may lock records, not all of them
		mustUpdate(t, s, "", put(fmt.Sprintf("k%03d", i), ""))
	}
	done, runs := false, 0
	mustUpdate(t, s, "", func(tx store.Tx) error {
		runs++
		if _, err := tx.Get(kind, []byte("k001")); err != nil {
			return err
		}
		meanwhile(t, s, &done, put("z", "1"))
		return put("k001", "1")(tx)
	})
	if runs > 2 { // PostgreSQL may see a conflict where there is none
		t.Fatalf("ran %d times", runs)
	}
}

func testUnique(t *testing.T, open Open) {
	s := open(t, time.Now)
	won := race(t, 20, store.ErrExists, func(i int) error {
		return s.Update(t.Context(), "", func(tx store.Tx) error {
			return store.Agents.Create(tx, &store.Agent{ID: fmt.Sprint("agent", i), Email: "ana@acme.example"})
		})
	})
	if won != 1 {
		t.Fatalf("%d agents have one address", won)
	}
}
