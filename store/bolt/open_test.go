package bolt_test

import (
	stdcontext "context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func context() stdcontext.Context { return stdcontext.Background() }

func TestASecondProcessIsToldSoWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	s := open(t, path, time.Now)
	start := time.Now()
	_, err := bolt.Open(bolt.Options{Path: path})
	if !errors.Is(err, bolt.ErrInUse) || !strings.Contains(err.Error(), "in use by another process") || time.Since(start) > 2*time.Second {
		t.Fatalf("after %v: %v", time.Since(start), err)
	}
	if err := s.Update(t.Context(), "", func(tx store.Tx) error { return tx.Put("thing", []byte("a"), nil, time.Time{}) }); err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatOthersMayReadIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	if err := open(t, path, time.Now).Close(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("made with mode %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := bolt.Open(bolt.Options{Path: path}); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatal(err)
	}
}

func TestAFileThatIsNoStoreIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	for name, content := range map[string]string{"empty": "", "short": "hello", "text": strings.Repeat("not a store\n", 5000)} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := bolt.Open(bolt.Options{Path: path}); !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.ReadFile(path); err != nil || string(got) != content {
			t.Errorf("%s was changed", name)
		}
	}
}

func TestAFolderThatIsNotThereIsAClearError(t *testing.T) {
	t.Parallel()
	_, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "missing", "db")})
	if !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
}

func TestAClosedStoreIsUnavailable(t *testing.T) {
	t.Parallel()
	s := open(t, filepath.Join(t.TempDir(), "db"), time.Now)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), "", func(store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Update(t.Context(), "", func(store.Tx) error { return nil }); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestWhatWasWrittenIsThereAfterReopening(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "db")
	for i := range 3 {
		s := open(t, path, time.Now)
		key := []byte{'k', byte('0' + i)}
		if err := s.Update(t.Context(), "", func(tx store.Tx) error { return tx.Put("thing", key, []byte("v"), time.Time{}) }); err != nil {
			t.Fatal(err)
		}
		if err := s.View(t.Context(), "", func(tx store.Tx) error {
			n := 0
			for _, err := range tx.Scan("thing", nil, nil) {
				if n++; err != nil {
					return err
				}
			}
			if n != i+1 {
				t.Errorf("%d records in round %d", n, i)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
