package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// TestARestartedServerLosesAndRepeatsNothing counts in the database and outside
// it while the server is stopped as if by a crash, again and again.
func TestARestartedServerLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	server := storetest.StartPostgres(t)
	s := open(t, server.URL, time.Now)
	ctx, stop := context.WithCancel(t.Context())
	var acknowledged, unknown atomic.Int64
	var group sync.WaitGroup
	for w := range 4 {
		key := []byte(fmt.Sprint("counter", w))
		group.Go(func() {
			for ctx.Err() == nil {
				err := s.Update(context.WithoutCancel(ctx), "", func(tx store.Tx) error {
					v, err := tx.Get("counter", key)
					if err != nil && !errors.Is(err, store.ErrNotFound) {
						return err
					}
					n, _ := strconv.Atoi(string(v))
					return tx.Put("counter", key, []byte(strconv.Itoa(n+1)), time.Time{})
				})
				switch {
				case err == nil:
					acknowledged.Add(1)
				case !errors.Is(err, store.ErrUnavailable):
					t.Errorf("unclear error: %v", err)
					return
				default:
					unknown.Add(1)
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	for range 3 {
		time.Sleep(300 * time.Millisecond)
		server.Stop()
		server.Start()
	}
	recovered := time.Now()
	before := acknowledged.Load()
	for acknowledged.Load() == before && time.Since(recovered) < 5*time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	if acknowledged.Load() == before {
		t.Error("still unavailable after 5 s")
	}
	stop()
	group.Wait()
	var counted int64
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		counted = 0
		for item, err := range tx.Scan("counter", nil, nil) {
			if err != nil {
				return err
			}
			n, _ := strconv.ParseInt(string(item.Value), 10, 64)
			counted += n
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if counted != acknowledged.Load() {
		t.Errorf("%d in the database, %d acknowledged, %d refused", counted, acknowledged.Load(), unknown.Load())
	}
}

func TestAServerThatIsAwayIsUnavailableAndSaidSoAtOnce(t *testing.T) {
	t.Parallel()
	start := time.Now()
	_, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://nobody@127.0.0.1:1/none?sslmode=disable"})
	if !errors.Is(err, store.ErrUnavailable) || time.Since(start) > 5*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: "postgres://[bad"}); err == nil {
		t.Fatal("a URL that is none was accepted")
	}
}

func TestWhatTheDatabaseMayForgetIsRefused(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "alter database postgres set synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), postgres.Options{URL: url}); !errors.Is(err, postgres.ErrAsync) {
		t.Fatal(err)
	}
}

func TestADamagedRowIsAClearError(t *testing.T) {
	t.Parallel()
	url := storetest.Postgres(t)
	s := open(t, url, time.Now)
	for _, key := range []string{"a", "b"} {
		if err := s.Update(t.Context(), "", func(tx store.Tx) error { return tx.Put("thing", []byte(key), []byte("value of "+key), time.Time{}) }); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), `update chatelaine_records set value = (select value from chatelaine_records where key = 'b') where key = 'a'`); err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), "", func(tx store.Tx) error { _, err := tx.Get("thing", []byte("a")); return err })
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Get: %v", err)
	}
	err = s.View(t.Context(), "", func(tx store.Tx) error {
		for _, err := range tx.Scan("thing", nil, nil) {
			if err != nil {
				return err
			}
		}
		return nil
	})
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("Scan: %v", err)
	}
}
