package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// least is a Hasher whose hashes take no time.
func least() *Hasher { return New(Options{MemoryKiB: 8, Time: 1, Threads: 1, Concurrency: 2}) }

func TestAPasswordIsVerifiedAgainstItsOwnHashOnly(t *testing.T) {
	t.Parallel()
	h := least()
	hash, err := h.Hash(t.Context(), "correct horse")
	if err != nil {
		t.Fatal(err)
	}
	again, _ := h.Hash(t.Context(), "correct horse")
	if hash == again {
		t.Error("two hashes of one password are the same")
	}
	for typed, want := range map[string]bool{"correct horse": true, "correct horse ": false, "Correct horse": false, "x": false} {
		ok, rehash, err := h.Verify(t.Context(), hash, typed)
		if ok != want || rehash || err != nil {
			t.Errorf("%q: %v, rehash %v, %v", typed, ok, rehash, err)
		}
	}
}

func TestAnAccountWithoutAHashHasNoPassword(t *testing.T) {
	t.Parallel()
	if ok, rehash, err := least().Verify(t.Context(), "", "anything"); ok || rehash || err != nil {
		t.Errorf("%v %v %v", ok, rehash, err)
	}
}

// The hashes are published test vectors: of the argon2 reference code,
// crypt_blowfish, passlib and RFC 6070.
func TestHashesOfOtherSoftwareAreVerifiedAndMadeAnew(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ hash, password string }{
		"argon2id, reference test vector": {"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc", "password"},
		"argon2i, reference test vector":  {"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$wWKIMhR9lyDFvRz9YTZweHKfbftvj+qf+YFY4NeBbtA", "password"},
		"bcrypt 2a, crypt_blowfish":       {"$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		"bcrypt 2y, crypt_blowfish":       {"$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"},
		"bcrypt 2b, crypt_blowfish":       {"$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"},
		"PBKDF2 with SHA-1, RFC 6070":     {"$pbkdf2$4096$c2FsdFNBTFRzYWx0U0FMVHNhbHRTQUxUc2FsdFNBTFRzYWx0$PS7sT+QchJuAyNg2YsDkSospGpZM8vBwOA", "passwordPASSWORDpassword"},
		"PBKDF2 of passlib, SHA-256":      {"$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ", "password"},
		"PBKDF2 of passlib, SHA-512":      {"$pbkdf2-sha512$1212$RHY0Fr3IDMSVO/RSZyb5ow$eNLfBK.eVozomMr.1gYa17k9B7KIK25NOEshvhrSX.esqY3s.FvWZViXz4KoLlQI.BzY/YTNJOiKc5gBYFYGww", "password"},
		"PBKDF2 in PHC form":              {"$pbkdf2-sha256$i=1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg+fJPeq1h/gXXY7acBp9/6c+tmQ", "password"},
		"PBKDF2 in PHC form with length":  {"$pbkdf2-sha256$i=1212,l=32$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg+fJPeq1h/gXXY7acBp9/6c+tmQ", "password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := least()
			if err := ParseHash(c.hash); err != nil {
				t.Fatal(err)
			}
			if ok, rehash, err := h.Verify(t.Context(), c.hash, c.password); !ok || !rehash || err != nil {
				t.Errorf("right password: ok %v, rehash %v, %v", ok, rehash, err)
			}
			if ok, rehash, err := h.Verify(t.Context(), c.hash, c.password+"x"); ok || rehash || err != nil {
				t.Errorf("wrong password: ok %v, rehash %v, %v", ok, rehash, err)
			}
		})
	}
}

func TestUnusableHashesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	salt, key := "c29tZXNhbHQ", "CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	for hash, want := range map[string]string{
		"":                                 "not of the form",
		"hunter2":                          "not of the form",
		"{SSHA}deadbeef":                   "not of the form",
		"5f4dcc3b5aa765d61d8327deb882cf99": "not of the form",
		"$1$salt$qJH7.N4xYta3aEG/dfqo/0":   "only argon2id",
		"$6$salt$x":                        "only argon2id",
		"$argon2d$v=19$m=65536,t=2,p=1$" + salt + "$" + key:                      "only argon2id",
		"$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":           "only argon2id",
		"$argon2id$v=16$m=65536,t=2,p=1$" + salt + "$" + key:                     "v=19",
		"$argon2id$m=65536,t=2,p=1$" + salt + "$" + key:                          "v=19",
		"$argon2id$v=19$t=2,m=65536,p=1$" + salt + "$" + key:                     "in this order",
		"$argon2id$v=19$m=+65536,t=2,p=1$" + salt + "$" + key:                    "in this order",
		"$argon2id$v=19$m=065536,t=2,p=1$" + salt + "$" + key:                    "in this order",
		"$argon2id$v=19$m=65536,t=0,p=1$" + salt + "$" + key:                     "in this order",
		"$argon2id$v=19$m=7,t=2,p=1$" + salt + "$" + key:                         "at least 8 times p",
		"$argon2id$v=19$m=4194304,t=1,p=1$" + salt + "$" + key:                   "too costly",
		"$argon2id$v=19$m=131072,t=9,p=1$" + salt + "$" + key:                    "too costly",
		"$argon2id$v=19$m=65536,t=2,p=64$" + salt + "$" + key:                    "too costly",
		"$argon2id$v=19$m=65536,t=2,p=300$" + salt + "$" + key:                   "at most 255",
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$AAAA":                       "not 16 to 64",
		"$argon2id$v=19$m=65536,t=2,p=1$AAAA$" + key:                             "not 8 to 64",
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key + "=":               "without padding",
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$\n" + key:                   "without padding",
		"$argon2id$v=19$m=65536,t=2,p=1$" + salt + "$" + key + "$" + key:         "is $argon2id",
		"$2b$15$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":           "too costly",
		"$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":           "04 to 14",
		"$2b$+5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":           "04 to 14",
		"$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe":            "60 characters",
		"$2b$05$CCCCCCCCCCCCCCCCCCCCC=E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW":           "60 characters",
		"$pbkdf2-sha256$9999999$" + salt + "$" + key:                             "too costly",
		"$pbkdf2-sha1$i=2000000$" + salt + "$" + key:                             "too costly",
		"$pbkdf2-sha256$i=1000,l=20$" + salt + "$" + key:                         "does not fit",
		"$pbkdf2-sha256$0$" + salt + "$" + key:                                   "whole number",
		"$pbkdf2-sha256$1000,x=1$" + salt + "$" + key:                            "whole number",
		"$pbkdf2-md5$1000$" + salt + "$" + key:                                   "only argon2id",
		"$argon2id$v=19$m=65536,t=2,p=1$" + strings.Repeat("A", 600) + "$" + key: "longer than",
	} {
		err := ParseHash(hash)
		if !errors.Is(err, ErrHash) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", hash, err, want)
		}
		if err != nil && strings.Contains(err.Error(), key[:20]) {
			t.Errorf("%q: the error repeats the hash", hash)
		}
	}
}

func TestOurOwnHashesAreVerifiedWhateverTheyCost(t *testing.T) {
	t.Parallel()
	h := New(Options{MemoryKiB: 8 * 32, Time: 1, Threads: 32}) // more lanes than an import may have
	hash, err := h.Hash(t.Context(), "p")
	if err != nil {
		t.Fatal(err)
	}
	if ParseHash(hash) == nil {
		t.Error("an import may be as costly")
	}
	if ok, rehash, err := h.Verify(t.Context(), hash, "p"); !ok || rehash || err != nil {
		t.Errorf("%v %v %v", ok, rehash, err)
	}
}

func TestAPasswordIsItsNormalForm(t *testing.T) {
	t.Parallel()
	h := least()
	hash, err := h.Hash(t.Context(), "Zo\u00eb")
	if err != nil {
		t.Fatal(err)
	}
	if ok, _, _ := h.Verify(t.Context(), hash, "Zoe\u0308"); !ok {
		t.Error("the decomposed spelling is not the same password")
	}
	for typed, want := range map[string]error{
		"":                                nil,
		strings.Repeat("x", 128):          nil,
		strings.Repeat("e\u0308", 128):    nil,
		strings.Repeat("\U0001F511", 128): nil,
		strings.Repeat("x", 129):          ErrTooLong,
		strings.Repeat("x", 1<<20):        ErrTooLong,
		"a\x00b":                          ErrNotText,
		"a\xffb":                          ErrNotText,
	} {
		if typed == "" {
			want = ErrEmpty
		}
		if _, err := Normalize(typed); !errors.Is(err, want) {
			t.Errorf("%.20q: %v, want %v", typed, err, want)
		}
	}
}

func TestNoPasswordIsCutShort(t *testing.T) {
	t.Parallel()
	h := least()
	long := strings.Repeat("a", 72)
	hash, _ := h.Hash(t.Context(), long+"b")
	if ok, _, _ := h.Verify(t.Context(), hash, long+"c"); ok {
		t.Error("argon2id: what follows 72 bytes does not count")
	}
	// bcrypt of 72 times "a", made by crypt_blowfish: 73 bytes must not fit it.
	cut := "$2a$05$/OK.fbVrR/bpIqNJ5ianF.swQOIzjOiJ9GHEPuhEkvqrUyvWhEMx6"
	if ok, _, _ := h.Verify(t.Context(), cut, strings.Repeat("\xc3\xaa", 36)); ok {
		t.Error("bcrypt: another password fits")
	}
	v, err := parse(cut)
	if err != nil {
		t.Fatal(err)
	}
	if !v.matches(strings.Repeat("\xaa", 72)) || v.matches(strings.Repeat("\xaa", 72)+"chars after 72 are ignored as usual") {
		t.Error("bcrypt: 72 bytes are the password, more are another")
	}
}

func TestMoreThanCanBeServedIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	h := New(Options{MemoryKiB: 8, Time: 1, Concurrency: 1, Queue: 1, Wait: time.Hour})
	first, err := h.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error)
	go func() {
		slot, err := h.Slot(t.Context())
		if err == nil {
			slot.Release()
		}
		waits <- err
	}()
	for h.inside.Load() < 2 {
		time.Sleep(time.Millisecond)
	}
	if _, err := h.Slot(t.Context()); !errors.Is(err, ErrBusy) {
		t.Errorf("over the queue: %v", err)
	}
	first.Release()
	first.Release() // is no second leave
	if err := <-waits; err != nil {
		t.Errorf("the waiting one: %v", err)
	}
	if len(h.slots) != 0 || h.inside.Load() != 0 {
		t.Errorf("%d slots taken, %d inside", len(h.slots), h.inside.Load())
	}
}

func TestAWaitEnds(t *testing.T) {
	t.Parallel()
	h := New(Options{MemoryKiB: 8, Time: 1, Concurrency: 1, Wait: time.Millisecond})
	slot, err := h.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Release()
	if _, err := h.Hash(t.Context(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("after the wait: %v", err)
	}
	h.wait = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := h.Verify(ctx, "", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestNoMoreHashesRunAtOnceThanAllowed(t *testing.T) {
	t.Parallel()
	h := New(Options{MemoryKiB: 8, Time: 1, Concurrency: 3, Queue: 100})
	var wg sync.WaitGroup
	var mu sync.Mutex
	running, most := 0, 0
	for range 50 {
		wg.Go(func() {
			slot, err := h.Slot(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer slot.Release()
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			slot.Hash("x")
			mu.Lock()
			running--
			mu.Unlock()
		})
	}
	wg.Wait()
	if most > 3 {
		t.Errorf("%d at once", most)
	}
}

func TestTheDeadlineCoversTheSlowestKindInUse(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_800_000_000, 0)
	h := New(Options{MemoryKiB: 8, Time: 1, Concurrency: 1, Now: func() time.Time { return now }})
	h.costs = map[string]time.Duration{h.kind: 4 * time.Millisecond, "$2b$12": 200 * time.Millisecond, "$2b$14": time.Hour}
	slot, err := h.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Release()
	for _, c := range []struct {
		kinds []string
		want  time.Duration
	}{
		{nil, 15 * time.Millisecond},
		{[]string{h.kind}, 15 * time.Millisecond},
		{[]string{h.kind, "$2b$12"}, 260 * time.Millisecond},
		{[]string{"$2b$14"}, maxDeadline},
		{[]string{"$2b$04", "garbage"}, 15 * time.Millisecond}, // measured with a clock that stands still
	} {
		if got := slot.Deadline(c.kinds).Sub(now); got != c.want {
			t.Errorf("%v: %v, want %v", c.kinds, got, c.want)
		}
	}
	if _, ok := h.costs["$2b$04"]; !ok {
		t.Error("a kind that was not known was not measured")
	}
}

func TestEveryErrorHasARow(t *testing.T) {
	t.Parallel()
	table := web.Web{Options: web.Options{Rows: Errors}}
	for _, err := range []error{ErrBusy, ErrEmpty, ErrTooLong, ErrNotText, ErrHash} {
		if _, ok := table.Row(err); !ok {
			t.Errorf("%v has none", err)
		}
	}
}

func FuzzParseHash(f *testing.F) {
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Add("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")
	f.Add("$pbkdf2-sha256$i=1212,l=32$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg+fJPeq1h/gXXY7acBp9/6c+tmQ")
	f.Add("$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, hash string) {
		if ParseHash(hash) != nil {
			return
		}
		v, err := parse(hash)
		if err != nil {
			t.Fatal(err)
		}
		if cheap(v) && v.matches("\x01 nobody's password") {
			t.Errorf("%q fits a password at random", hash)
		}
	})
}

func cheap(v verifier) bool {
	switch v := v.(type) {
	case argon2Hash:
		return v.memory*v.time < 1000
	case bcryptHash:
		return v.cost < 6
	case pbkdf2Hash:
		return v.iterations < 10_000
	}
	return false
}

func BenchmarkVerify(b *testing.B) {
	for name, h := range map[string]*Hasher{"defaults": New(Options{}), "least": least()} {
		b.Run(name, func(b *testing.B) {
			hash, err := h.Hash(b.Context(), "correct horse")
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if ok, _, _ := h.Verify(b.Context(), hash, "correct horse"); !ok {
					b.Fatal("wrong")
				}
			}
		})
	}
}
