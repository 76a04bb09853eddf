package keyset

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const site = "shop"

// house is Sets, and the server that publishes a key set.
type house struct {
	*Sets
	t   *testing.T
	url string

	mu     sync.Mutex
	now    time.Time
	asked  int
	answer http.HandlerFunc
}

func newHouse(t *testing.T) *house {
	t.Helper()
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	h := &house{t: t, now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.url = server.URL + "/keys"
	h.Sets = New(Options{Client: web.NewOutboundClient(true), Sealer: sealer, Now: func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return h.now
	}})
	return h
}

func (h *house) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked++
	answer := h.answer
	h.mu.Unlock()
	answer(w, r)
}

// publish answers with a text from now on.
func (h *house) publish(text string) {
	h.handle(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })
}

func (h *house) handle(answer http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.answer = answer
}

func (h *house) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// requests is how often the server was asked since the last call.
func (h *house) requests() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.asked
	h.asked = 0
	return n
}

func (h *house) kids(kid string, own ...store.VerificationKey) (string, error) {
	h.t.Helper()
	c := &store.Connection{ID: "staff", JWT: &store.JWTConnection{JWKSURL: h.url, Keys: own}}
	keys, err := h.Keys(h.t.Context(), site, c, kid)
	var kids []string
	for _, k := range keys {
		kids = append(kids, k.KID)
	}
	return strings.Join(kids, " "), err
}

func (h *house) expect(kid, want string) {
	h.t.Helper()
	if got, err := h.kids(kid); err != nil || got != want {
		h.t.Errorf("keys %q, %v, want %q", got, err, want)
	}
}

func (h *house) expectRequests(want int) {
	h.t.Helper()
	if got := h.requests(); got != want {
		h.t.Errorf("asked %d times, want %d", got, want)
	}
}

// jwk is a new Ed25519 key with that kid and other members behind.
func jwk(t *testing.T, kid string, more ...string) string {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf(`{"kty":"OKP","crv":"Ed25519","x":%q,"kid":%q%s}`, base64.RawURLEncoding.EncodeToString(public), kid, strings.Join(more, ""))
}

func set(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }

func TestAPublishedSetIsKeptAndAskedForAgainWhenItIsOld(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a"), jwk(t, "b")))
	h.expect("a", "a b")
	h.expect("", "a b")
	h.later(fresh - time.Second)
	h.expect("b", "a b")
	h.expectRequests(1)
	h.publish(set(jwk(t, "b")))
	h.later(time.Second)
	h.expect("a", "b")
	h.expectRequests(1)
}

func TestAKidThatIsNotKnownIsAskedForAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a")))
	h.expect("a", "a")
	h.publish(set(jwk(t, "a"), jwk(t, "b")))
	h.expect("b", "a")
	h.expectRequests(1)
	h.later(again)
	h.expect("b", "a b")
	h.expectRequests(1)
	for i := range 200 {
		h.later(time.Second)
		if _, err := h.kids(fmt.Sprint("made up ", i)); err != nil {
			t.Fatal(err)
		}
	}
	if got := h.requests(); got > 4 {
		t.Errorf("200 kids that do not exist in 200 s: asked %d times", got)
	}
}

func TestAnOutageKeepsTheLastGoodSetForADay(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a")))
	h.expect("a", "a")
	for _, answer := range []http.HandlerFunc{
		func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusServiceUnavailable) },
		func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, set()) },
		func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		h.handle(answer)
		h.later(fresh)
		h.expect("a", "a")
	}
	h.later(stale - 4*fresh - time.Second)
	h.expect("a", "a")
	h.later(again + time.Second)
	if got, err := h.kids("a"); !errors.Is(err, ErrKeys) || got != "" {
		t.Errorf("after a day: %q, %v", got, err)
	}
	h.requests()
	for range 50 {
		if _, err := h.kids("a"); !errors.Is(err, ErrKeys) {
			t.Error(err)
		}
	}
	h.expectRequests(0)
	h.publish(set(jwk(t, "c")))
	h.later(again)
	h.expect("c", "c")
}

func TestAFetchGoesOnWhenWhoeverAskedGoesAway(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a")))
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	keys, err := h.Keys(gone, site, &store.Connection{ID: "staff", JWT: &store.JWTConnection{JWKSURL: h.url}}, "x")
	if err != nil || len(keys) != 1 {
		t.Errorf("%v, %v", keys, err)
	}
	h.expect("a", "a")
}

func TestWhileTheSetIsAskedForNobodyWaitsWhoHasTheirKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.publish(set(jwk(t, "a")))
	h.expect("a", "a")
	h.later(fresh)
	release, reached, done := make(chan struct{}), make(chan struct{}), make(chan struct{})
	h.handle(func(w http.ResponseWriter, _ *http.Request) {
		close(reached)
		<-release
		io.WriteString(w, set(jwk(t, "b")))
	})
	go func() {
		defer close(done)
		if got, err := h.kids("b"); err != nil || got != "b" {
			t.Errorf("who asks: %q, %v", got, err)
		}
	}()
	<-reached
	h.expect("a", "a")
	close(release)
	<-done
	h.expect("b", "b")
}

func TestOwnKeysCountWithoutTheURL(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.handle(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })
	secret := []byte(strings.Repeat("s", jwt.MinSecret))
	sealed, err := h.Sealer.Seal(site, store.Connections.Kind, "staff", secret)
	if err != nil {
		t.Fatal(err)
	}
	own := store.VerificationKey{KID: "own", Secret: sealed}
	if got, err := h.kids("own", own); err != nil || got != "own" {
		t.Errorf("%q, %v", got, err)
	}
	h.publish(set(jwk(t, "a")))
	h.later(again)
	if got, err := h.kids("own", own); err != nil || got != "own a" {
		t.Errorf("%q, %v", got, err)
	}
	h.requests()
	h.later(again)
	if _, err := h.kids("own", own); err != nil {
		t.Error(err)
	}
	h.expectRequests(0)
	c := &store.Connection{ID: "other", JWT: &store.JWTConnection{Keys: []store.VerificationKey{own}}}
	if _, err := h.Keys(t.Context(), site, c, ""); !errors.Is(err, ErrKeys) || strings.Contains(err.Error(), string(secret)) {
		t.Errorf("a secret that was sealed for another connection: %v", err)
	}
	c = &store.Connection{ID: "staff", JWT: &store.JWTConnection{Keys: []store.VerificationKey{{PublicKey: "x"}}}}
	if _, err := h.Keys(t.Context(), site, c, ""); !errors.Is(err, ErrKeys) {
		t.Errorf("a public key that is none: %v", err)
	}
}
