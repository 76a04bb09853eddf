package bolt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

const thing = store.Kind("thing")

var damageSites = []string{"", "acme", store.House}

// sample makes a file with some history, cleanly stopped, and returns its bytes
// and what is in it.
func sample(t *testing.T) (file []byte, truth map[string]string) {
	t.Helper()
	_, file, truth = samples(t)
	return file, truth
}

// samples is sample, and the file as it was before it was stopped.
func samples(t *testing.T) (running, file []byte, truth map[string]string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "db")
	s, err := Open(Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	truth = map[string]string{}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 120 {
		site := damageSites[i%len(damageSites)]
		if err := s.Update(t.Context(), site, func(tx store.Tx) error {
			for range 5 {
				key := fmt.Sprintf("key %03d", r.IntN(150))
				if r.IntN(4) == 0 {
					delete(truth, site+"|"+key)
					if err := tx.Delete(thing, []byte(key)); err != nil {
						return err
					}
					continue
				}
				value := fmt.Sprintf("%d:%0*d", i, r.IntN(400), i)
				truth[site+"|"+key] = value
				if err := tx.Put(thing, []byte(key), []byte(value), time.Time{}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	running = withoutReserve(t, path)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return running, withoutReserve(t, path), truth
}

// withoutReserve is the part of a file that is in use.
func withoutReserve(t *testing.T, path string) []byte {
	t.Helper()
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	m := newestMeta(t, file)
	return file[:m.pages*m.pageSize]
}

func newestMeta(t *testing.T, file []byte) meta {
	t.Helper()
	c := &checker{file: bytes.NewReader(file), size: int64(len(file))}
	if err := c.header(); err != nil {
		t.Fatal(err)
	}
	return c.meta
}

// harm damages a copy of the file in one of several ways.
func harm(r *rand.Rand, file []byte) (harmed []byte, how string) {
	b := bytes.Clone(file)
	page := func() []byte { at := r.IntN(len(b)/4096) * 4096; return b[at : at+4096] }
	switch r.IntN(6) {
	case 0:
		at := r.IntN(len(b))
		b[at] ^= 1 << r.IntN(8)
		return b, fmt.Sprintf("flip a bit of byte %d", at)
	case 1:
		for range 1 + r.IntN(20) {
			b[r.IntN(len(b))] = byte(r.Uint32())
		}
		return b, "overwrite some bytes"
	case 2:
		return b[:r.IntN(len(b))], "truncate"
	case 3:
		clear(page())
		return b, "zero a page"
	case 4:
		copy(page(), page())
		return b, "copy a page over another"
	default: // the head of a page or of an element is where structure is
		p := page()
		p[r.IntN(64)] ^= byte(1 + r.IntN(255))
		return b, "change the head of a page"
	}
}

// read returns what a store answers: every value must be the true one.
func read(t *testing.T, s *Store, truth map[string]string, how string) (missing int, err error) {
	t.Helper()
	for _, site := range damageSites {
		err := s.View(t.Context(), site, func(tx store.Tx) error {
			for i := range 150 {
				key := fmt.Sprintf("key %03d", i)
				want, there := truth[site+"|"+key]
				v, err := tx.Get(thing, []byte(key))
				switch {
				case err == nil && (!there || string(v) != want):
					t.Errorf("%s: wrong answer for %q: %q", how, key, v)
				case errors.Is(err, store.ErrNotFound):
					if there {
						missing++
					}
				case err != nil:
					return err
				}
			}
			for item, err := range tx.Scan(thing, nil, nil) {
				if err != nil {
					return err
				}
				if truth[site+"|"+string(item.Key)] != string(item.Value) {
					t.Errorf("%s: wrong record in a scan: %q", how, item.Key)
				}
			}
			return nil
		})
		if err != nil {
			return missing, err
		}
	}
	return missing, nil
}

// tryDamaged opens the harmed bytes and says how it went.
func tryDamaged(t *testing.T, path string, harmed []byte, truth map[string]string, how string, checkedAtOpen int64) (noticed bool) {
	t.Helper()
	if err := os.WriteFile(path, harmed, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openChecking(Options{Path: path}, checkedAtOpen)
	if err != nil {
		if !errors.Is(err, store.ErrDamaged) {
			t.Errorf("%s: unclear error %v", how, err)
		}
		return true
	}
	defer s.Close()
	missing, err := read(t, s, truth, how)
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%s: unclear error %v", how, err)
	}
	if checkedAtOpen > 0 && (missing > 0 || err != nil) {
		t.Errorf("%s: %d records are missing and Open did not say: %v", how, missing, err)
	}
	checked := s.Check(t.Context(), nil)
	if missing > 0 && err == nil && !errors.Is(checked, store.ErrDamaged) {
		t.Errorf("%s: %d records are missing and Check did not say: %v", how, missing, checked)
	}
	err = s.Update(t.Context(), "", func(tx store.Tx) error { return tx.Put(thing, []byte("new"), []byte("1"), time.Time{}) })
	if err != nil && !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%s: unclear error %v", how, err)
	}
	return checked != nil || err != nil
}

func TestADamagedFileIsAClearErrorAndNeverAWrongAnswer(t *testing.T) {
	t.Parallel()
	file, truth := sample(t)
	r := rand.New(rand.NewPCG(3, 4))
	noticed := 0
	for i := range 600 {
		harmed, how := harm(r, file)
		if tryDamaged(t, filepath.Join(t.TempDir(), "db"), harmed, truth, fmt.Sprintf("trial %d: %s", i, how), wholeUpTo) {
			noticed++
		}
	}
	t.Logf("%d of 600 harmed files were refused; the others held what was written", noticed)
	if noticed < 150 {
		t.Errorf("only %d harmed files were noticed", noticed)
	}
}

func TestDamageThatOpenDidNotLookForIsAnErrorWhereItIsMet(t *testing.T) {
	t.Parallel()
	file, truth := sample(t)
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 300 {
		harmed, how := harm(r, file)
		tryDamaged(t, filepath.Join(t.TempDir(), "db"), harmed, truth, fmt.Sprintf("trial %d: %s", i, how), 0)
	}
}

// After an unclean stop there is no freelist, and the library walks the whole tree
// to make one: it must not meet any damage there, however large the file is.
func TestAFileWithoutAFreelistIsCheckedBeforeItIsUsed(t *testing.T) {
	t.Parallel()
	running, stopped, truth := samples(t)
	if newestMeta(t, running).freelist != noFreelist || newestMeta(t, stopped).freelist == noFreelist {
		t.Fatal("the freelist belongs into the last commit and no other")
	}
	if tryDamaged(t, filepath.Join(t.TempDir(), "db"), running, truth, "nothing", 0) {
		t.Error("a whole file without a freelist was refused")
	}
	r := rand.New(rand.NewPCG(7, 8))
	noticed := 0
	for i := range 300 {
		harmed, how := harm(r, running)
		path := filepath.Join(t.TempDir(), "db")
		if tryDamaged(t, path, harmed, truth, fmt.Sprintf("trial %d: %s", i, how), 0) {
			noticed++
		}
	}
	if noticed < 75 {
		t.Errorf("only %d of 300 harmed files were noticed", noticed)
	}
}

// TestAFreelistThatNamesPagesBeyondTheFileIsRefusedWhateverTheSize: the library
// would write there.
func TestAFreelistThatNamesPagesBeyondTheFileIsRefusedWhateverTheSize(t *testing.T) {
	t.Parallel()
	file, _ := sample(t)
	c := &checker{file: bytes.NewReader(file), size: int64(len(file))}
	if err := c.header(); err != nil {
		t.Fatal(err)
	}
	p, err := func() (page, error) { c.seen = make([]bool, c.meta.pages); return c.page(c.meta.freelist) }()
	if err != nil {
		t.Fatal(err)
	}
	freed, err := p.freed()
	if err != nil || len(freed) == 0 {
		t.Fatal(freed, err)
	}
	at := c.meta.freelist*c.pageSize + pageHead + int64(len(freed)-1)*8
	binary.LittleEndian.PutUint64(file[at:], 1<<50)
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openChecking(Options{Path: path}, 0)
	if !errors.Is(err, store.ErrDamaged) {
		t.Errorf("%v", err)
	}
	if err == nil {
		_ = s.Close()
	}
}

func TestEveryByteOfTheMetaPagesCounts(t *testing.T) {
	t.Parallel()
	file, truth := sample(t)
	path := filepath.Join(t.TempDir(), "db")
	for _, start := range []int{0, 4096} {
		for at := start + pageHead; at < start+pageHead+metaSize; at++ {
			harmed := slices.Clone(file)
			harmed[at] ^= 0x10
			if !tryDamaged(t, path, harmed, truth, fmt.Sprint("byte ", at), wholeUpTo) {
				t.Errorf("byte %d was not missed", at)
			}
		}
	}
}

func TestALeafThatLostRecordsIsNoticedByTheSum(t *testing.T) {
	t.Parallel()
	file, truth := sample(t)
	found := 0
	for at := 0; at+4096 <= len(file); at += 4096 {
		if p := parsePage(file[at : at+4096]); p.flags == leafPage && p.count > 2 {
			harmed := slices.Clone(file)
			harmed[at+10]-- // the page's count of records
			if tryDamaged(t, filepath.Join(t.TempDir(), "db"), harmed, truth, fmt.Sprint("page at ", at), wholeUpTo) {
				found++
			}
		}
	}
	if found < 3 {
		t.Errorf("noticed %d", found)
	}
}
