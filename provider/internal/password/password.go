// Package password owns how passwords are kept and checked: argon2id in PHC
// strings for our own, and the checking of hashes that other software made.
//
// No more hashes run at once than there are cores for, no more wait than can be
// served in time, and what exceeds that is refused at once with ErrBusy. It
// reads no store, knows no account and decides nothing about a sign-in. Nothing
// here may be called inside a transaction: a hash takes tens of milliseconds.
package password

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// MaxLength is how many characters a password may have, counted in NFC.
const MaxLength = 128

// maxBytes is more than MaxLength characters can take before normalisation.
const maxBytes = 4096

var (
	// ErrBusy says that too many passwords are being checked already.
	ErrBusy = errors.New("too many passwords are being checked")
	// ErrEmpty is a password without a character.
	ErrEmpty = errors.New("the password is empty")
	// ErrTooLong is a password of more than MaxLength characters.
	ErrTooLong = errors.New("the password has more than 128 characters")
	// ErrNotText is a password with invalid UTF-8 or a NUL.
	ErrNotText = errors.New("the password is not text")
	// ErrHash is a password hash that this house does not take: of an unknown
	// kind, malformed, or too costly to check. The error says which.
	ErrHash = errors.New("the password hash cannot be used")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrBusy, Status: http.StatusServiceUnavailable, OAuth: "temporarily_unavailable", Key: "busy"},
	{Err: ErrEmpty, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrTooLong, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrNotText, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrChanged, Status: http.StatusConflict, OAuth: "invalid_request", Key: "conflict"},
	{Err: ErrTooManyChanges, Status: http.StatusConflict, OAuth: "invalid_request", Key: "conflict"},
	{Err: ErrHash, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
}

// Options is what a Hasher needs; zeros are the defaults.
type Options struct {
	MemoryKiB   uint32        // 19456
	Time        uint32        // 2 passes
	Threads     uint8         // 1 lane
	Concurrency int           // hashes at once: as many as cores for their lanes
	Queue       int           // waiting beyond those: 32 for each at once
	Wait        time.Duration // the longest wait: 2 s
	Now         func() time.Time
	// Observe, if set, is told how long each hash took, made or checked, by kind.
	Observe func(kind string, took time.Duration)
}

// Hasher makes and checks password hashes. It is safe for concurrent use.
type Hasher struct {
	own    argon2Hash    // the parameters of new hashes
	kind   string        // and their store.PasswordKind
	dummy  string        // a hash of nothing, for accounts that have none
	slots  chan struct{} // one item for each hash that runs
	inside atomic.Int64  // how many run or wait
	most   int64         // of them
	wait   time.Duration
	now    func() time.Time

	observe func(kind string, took time.Duration)

	mu    sync.Mutex
	costs map[string]time.Duration // by kind, as measured
}

// New returns a Hasher.
func New(o Options) *Hasher {
	o = withDefaults(o)
	h := &Hasher{
		own:   argon2Hash{memory: o.MemoryKiB, time: o.Time, threads: o.Threads, salt: random(16), key: make([]byte, 32)},
		slots: make(chan struct{}, o.Concurrency),
		most:  int64(o.Concurrency + o.Queue), wait: o.Wait, now: o.Now, observe: o.Observe,
		costs: map[string]time.Duration{},
	}
	h.dummy = h.own.String()
	h.kind = store.PasswordKind(h.dummy)
	return h
}

func withDefaults(o Options) Options {
	if o.MemoryKiB == 0 {
		o.MemoryKiB = 19 * 1024
	}
	if o.Time == 0 {
		o.Time = 2
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	o.MemoryKiB = max(o.MemoryKiB, 8*uint32(o.Threads)) // argon2's own least
	if o.Concurrency <= 0 {
		o.Concurrency = max(1, runtime.GOMAXPROCS(0)/int(o.Threads))
	}
	if o.Queue <= 0 {
		o.Queue = 32 * o.Concurrency
	}
	if o.Wait <= 0 {
		o.Wait = 2 * time.Second
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// Normalize returns a password in the form that is hashed: NFC, of 1 to
// MaxLength characters, never trimmed. ErrEmpty, ErrTooLong or ErrNotText.
func Normalize(typed string) (string, error) {
	switch {
	case typed == "":
		return "", ErrEmpty
	case len(typed) > maxBytes:
		return "", ErrTooLong
	case !utf8.ValidString(typed):
		return "", ErrNotText
	}
	pw := norm.NFC.String(typed)
	for _, r := range pw {
		if r == 0 {
			return "", ErrNotText
		}
	}
	if utf8.RuneCountInString(pw) > MaxLength {
		return "", ErrTooLong
	}
	return pw, nil
}

// Hash returns the PHC string of a new password.
func (h *Hasher) Hash(ctx context.Context, typed string) (string, error) {
	pw, err := Normalize(typed)
	if err != nil {
		return "", err
	}
	slot, err := h.Slot(ctx)
	if err != nil {
		return "", err
	}
	defer slot.Release()
	return slot.Hash(pw), nil
}

// Verify reports whether typed is the password that hash was made of, and
// whether the hash should be made anew with the current parameters. An empty
// hash is nobody's, and takes as long to find out.
func (h *Hasher) Verify(ctx context.Context, hash, typed string) (ok, rehash bool, err error) {
	pw, err := Normalize(typed)
	if err != nil {
		return false, false, err
	}
	slot, err := h.Slot(ctx)
	if err != nil {
		return false, false, err
	}
	defer slot.Release()
	return slot.Verify(hash, pw)
}

// NeedsRehash reports whether a hash is of another kind than new ones are.
func (h *Hasher) NeedsRehash(hash string) bool { return store.PasswordKind(hash) != h.kind }
