package postgres_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestMain(m *testing.M) {
	postgres.Server = storetest.Postgres
	os.Exit(m.Run())
}

// database makes one more empty database on the server and returns its URL.
func database(t testing.TB, server string, n int64) string {
	t.Helper()
	conn, err := pgx.Connect(context.Background(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	name := fmt.Sprintf("test%d", n)
	if _, err := conn.Exec(context.Background(), "create database "+name); err != nil {
		t.Fatal(err)
	}
	return strings.Replace(server, "/postgres?", "/"+name+"?", 1) + "&pool_max_conns=4"
}

func open(t testing.TB, url string, now func() time.Time) *postgres.Store {
	t.Helper()
	s, err := postgres.Open(t.Context(), postgres.Options{URL: url, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestContract(t *testing.T) {
	url := storetest.Postgres(t)
	var n atomic.Int64
	storetest.Run(t, func(t *testing.T, now func() time.Time) store.Store {
		return open(t, database(t, url, n.Add(1)), now)
	})
}

func TestABackupMovesAStoreFromOneEngineToTheOther(t *testing.T) {
	t.Parallel()
	pg := open(t, storetest.Postgres(t), time.Now)
	sealer, err := store.NewSealer(bytes.Repeat([]byte{7}, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	for i := range 1200 {
		if err := pg.Update(t.Context(), "acme", func(tx store.Tx) error {
			return store.Agents.Put(tx, &store.Agent{ID: fmt.Sprint(i), Email: fmt.Sprintf("agent%d@acme.example", i)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	var backup bytes.Buffer
	if _, err := store.Backup(t.Context(), pg, sealer, &backup); err != nil {
		t.Fatal(err)
	}
	file, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "db")})
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := store.Restore(t.Context(), pg, sealer, bytes.NewReader(backup.Bytes()), time.Now()); !errors.Is(err, store.ErrNotEmpty) {
		t.Error(err)
	}
	if _, err := store.Restore(t.Context(), file, sealer, bytes.NewReader(backup.Bytes()), time.Now()); err != nil {
		t.Fatal(err)
	}
	backup.Reset()
	if _, err := store.Backup(t.Context(), file, sealer, &backup); err != nil {
		t.Fatal(err)
	}
	back := open(t, storetest.Postgres(t), time.Now)
	if _, err := store.Restore(t.Context(), back, sealer, bytes.NewReader(backup.Bytes()), time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := back.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := back.View(t.Context(), "acme", func(tx store.Tx) error {
		_, err := store.Agents.Find(tx, "email", "agent1199@acme.example")
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
