package bolt_test

import (
	"bufio"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

// The tests below run this binary again as a child that they can kill or starve.
const childEnv = "CHATELAINE_BOLT_TEST_CHILD"

func TestMain(m *testing.M) {
	switch os.Getenv(childEnv) {
	case "write":
		os.Exit(writeUntilKilled(os.Args[1]))
	case "starve":
		os.Exit(writeOnAFullDisk(os.Args[1]))
	}
	os.Exit(m.Run())
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self, path)
	cmd.Env = append(os.Environ(), childEnv+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// writeUntilKilled writes pairs from several goroutines and prints each one
// that was acknowledged.
func writeUntilKilled(path string) int {
	s, err := bolt.Open(bolt.Options{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	run := strconv.FormatInt(time.Now().UnixNano(), 36)
	var group sync.WaitGroup
	var mu sync.Mutex
	for w := range 4 {
		group.Go(func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%s-%d-%d", run, w, i)
				err := s.Update(context(), "", func(tx store.Tx) error {
					return errors.Join(
						tx.Put("left", []byte(name), []byte(name), time.Time{}),
						tx.Put("right", []byte(name), []byte(strings.Repeat(name, 20)), time.Time{}))
				})
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					return
				}
				mu.Lock()
				fmt.Println(name)
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return 1
}

func TestNothingAcknowledgedIsLostWhenTheProcessIsKilled(t *testing.T) {
	t.Parallel()
	rounds := 8
	if os.Getenv("LONG_TESTS") != "" {
		rounds = 200
	}
	path := filepath.Join(t.TempDir(), "db")
	var acknowledged []string
	for range rounds {
		acknowledged = append(acknowledged, killMidway(t, path)...)
	}
	s := open(t, path, time.Now)
	if err := s.Check(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := s.View(t.Context(), "", func(tx store.Tx) error {
		for _, name := range acknowledged {
			if _, err := tx.Get("left", []byte(name)); err != nil {
				t.Errorf("%s was acknowledged: %v", name, err)
			}
		}
		lefts, rights := 0, 0
		for _, err := range tx.Scan("left", nil, nil) {
			lefts++
			if err != nil {
				return err
			}
		}
		for _, err := range tx.Scan("right", nil, nil) {
			rights++
			if err != nil {
				return err
			}
		}
		if lefts != rights || lefts < len(acknowledged) {
			t.Errorf("%d left, %d right, %d acknowledged", lefts, rights, len(acknowledged))
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func killMidway(t *testing.T, path string) (acknowledged []string) {
	t.Helper()
	cmd := child(t, "write", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Duration(10+rand.IntN(120))*time.Millisecond, func() { _ = cmd.Process.Kill() })
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadString('\n')
		if err != nil { // a cut line was not printed in full: it does not count
			break
		}
		acknowledged = append(acknowledged, strings.TrimSpace(line))
	}
	_ = cmd.Wait()
	return acknowledged
}

// writeOnAFullDisk limits the size of its files, which to a writer looks like a
// full disk, and then lifts the limit.
func writeOnAFullDisk(path string) int {
	signal.Ignore(syscall.SIGXFSZ)
	s, err := bolt.Open(bolt.Options{Path: path})
	if err != nil {
		fmt.Println(err)
		return 1
	}
	write := func(key string, size int) error {
		return s.Update(context(), "", func(tx store.Tx) error {
			return tx.Put("thing", []byte(key), make([]byte, size), time.Time{})
		})
	}
	has := func(key string) error {
		return s.View(context(), "", func(tx store.Tx) error { _, err := tx.Get("thing", []byte(key)); return err })
	}
	limit := func(n uint64) error {
		return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: n, Max: ^uint64(0)})
	}
	first := write("first", 10)
	info, err := os.Stat(path)
	lowered := limit(uint64(info.Size()))
	starved := write("big", 3<<20)
	after := has("big")
	raised := limit(^uint64(0))
	again := write("big", 3<<20)
	switch {
	case first != nil || err != nil || lowered != nil || raised != nil:
		fmt.Println("set-up:", first, err, lowered, raised)
	case !errors.Is(starved, store.ErrUnavailable) || !errors.Is(after, store.ErrNotFound):
		fmt.Println("starved:", starved, after)
	case again != nil || has("big") != nil || has("first") != nil:
		fmt.Println("again:", again, has("big"), has("first"))
	default:
		if err := errors.Join(s.Check(context(), nil), s.Close()); err != nil {
			fmt.Println(err)
			return 1
		}
		return 0
	}
	return 1
}

func TestAFullDiskIsUnavailableUntilThereIsSpaceAgain(t *testing.T) {
	t.Parallel()
	out, err := child(t, "starve", filepath.Join(t.TempDir(), "db")).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}
