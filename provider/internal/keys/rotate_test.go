package keys

import (
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

// verifier is an outside one: it keeps a JWKS for as long as it may and asks for
// no other, whatever kid it meets.
type verifier struct {
	t       *testing.T
	keys    *Keys
	set     jose.JSONWebKeySet
	fetched time.Time
}

func (v *verifier) fetch() {
	body, err := v.keys.JWKS(v.t.Context(), load(v.t, v.keys, ""))
	if err != nil {
		v.t.Fatal(err)
	}
	v.set = jose.JSONWebKeySet{}
	if err := json.Unmarshal(body, &v.set); err != nil {
		v.t.Fatal(err)
	}
}

func (v *verifier) check(raw string) {
	v.t.Helper()
	if time.Since(v.fetched) >= JWKSMaxAge {
		v.fetch()
		v.fetched = time.Now()
	}
	jws, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.EdDSA})
	if err != nil {
		v.t.Fatal(err)
	}
	known := v.set.Key(jws.Signatures[0].Header.KeyID)
	if len(known) != 1 {
		v.t.Fatalf("%s: a verifier whose JWKS is %s old knows %d keys with the kid", time.Now(), time.Since(v.fetched), len(known))
	}
	if _, err := jws.Verify(known[0].Key); err != nil {
		v.t.Fatalf("%s: %v", time.Now(), err)
	}
}

type aging struct {
	raw string
	end time.Time
}

func TestAVerifierThatKeepsTheJWKSForTenMinutesNeverFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "keys.db"), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		defer engine.Close()
		if err := site.Create(t.Context(), engine, "", "", site.DefaultSettings("Acme"), time.Now()); err != nil {
			t.Fatal(err)
		}
		k := open(t, engine, time.Now)
		if err := k.Ensure(t.Context(), "", EdDSA); err != nil {
			t.Fatal(err)
		}
		verifiers := make([]*verifier, 10) // each fetches in another minute
		for i := range verifiers {
			verifiers[i] = &verifier{t: t, keys: k, fetched: time.Now().Add(time.Duration(i)*time.Minute - JWKSMaxAge)}
			verifiers[i].fetch()
		}
		var alive []aging
		kids := map[string]bool{}
		minutes := func(n int, each func(minute int)) {
			for i := range n {
				if err := k.RotateDue(t.Context()); err != nil {
					t.Fatal(err)
				}
				if each != nil {
					each(i)
				}
				for _, alg := range []string{ES256, EdDSA, RS256} {
					raw := sign(t, k, "", alg, "at+jwt", `{}`)
					kids[raw[:80]] = true
					for _, v := range verifiers {
						v.check(raw)
					}
					alive = append(alive, aging{raw, time.Now().Add(10 * time.Minute)}) // an ID token's life
				}
				for len(alive) > 0 && !alive[0].end.After(time.Now().Add(time.Minute)) {
					for _, v := range verifiers {
						v.check(alive[0].raw)
					}
					if _, _, err := k.Verify(t.Context(), load(t, k, ""), alive[0].raw, "at+jwt"); err != nil {
						t.Fatal(err)
					}
					alive = alive[1:]
				}
				time.Sleep(time.Minute)
			}
		}
		minutes(60, func(minute int) {
			if minute == 7 {
				if err := errors.Join(k.Rotate(t.Context(), "", ES256), k.Rotate(t.Context(), "", EdDSA)); err != nil {
					t.Fatal(err)
				}
			}
		})
		time.Sleep(MaxAge - 90*time.Minute)
		alive = nil
		minutes(150, nil) // the schedule rotates every key in here
		if len(kids) != 3+2+3 {
			t.Errorf("%d keys have signed, not 8", len(kids))
		}
		list, err := k.List(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != 3 {
			t.Errorf("%d keys are left, not 3: %v", len(list), list)
		}
	})
}

func TestANewKeyIsPublishedACacheAgeBeforeItSigns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	err := h.Ensure(t.Context(), "", EdDSA)
	var later *NotYetActive
	if !errors.As(err, &later) || later.At.Sub(h.now) < JWKSMaxAge {
		t.Fatalf("Ensure: %v", err)
	}
	if _, err := h.Sign(t.Context(), load(t, h.Keys, ""), EdDSA, "JWT", nil); !errors.Is(err, ErrNotYetActive) {
		t.Errorf("Sign before its time: %v", err)
	}
	if err := h.Ensure(t.Context(), "", EdDSA); !errors.Is(err, ErrNotYetActive) {
		t.Errorf("Ensure again: %v", err)
	}
	h.pass(PublishAhead)
	if err := h.Ensure(t.Context(), "", EdDSA); err != nil {
		t.Error(err)
	}
	sign(t, h.Keys, "", EdDSA, "JWT", `{}`)
}

func TestRotationsDoNotOverlap(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.Rotate(t.Context(), "", ES256); err != nil {
		t.Fatal(err)
	}
	if err := h.Rotate(t.Context(), "", ES256); !errors.Is(err, ErrNotYetActive) {
		t.Errorf("a second rotation: %v", err)
	}
	if err := h.Rotate(t.Context(), "", "HS256"); !errors.Is(err, ErrNoKey) {
		t.Errorf("of an algorithm we do not have: %v", err)
	}
}

func TestAHundredRacersMakeAndRotateOneKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	rotated := 0
	for range 100 {
		wg.Go(func() {
			if err := h.Ensure(t.Context(), "", EdDSA); !errors.Is(err, ErrNotYetActive) {
				t.Error(err)
			}
			switch err := h.Rotate(t.Context(), "", ES256); {
			case err == nil:
				mu.Lock()
				rotated++
				mu.Unlock()
			case !errors.Is(err, ErrNotYetActive):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := h.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if rotated != 1 || len(list) != 4 {
		t.Errorf("%d rotations, %d keys", rotated, len(list))
	}
}

func TestACompromisedKeyIsDeadAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	raw := sign(t, h.Keys, "", ES256, "at+jwt", `{"exp":4000000000}`)
	for range 2 { // the second time it has been seen
		if _, _, err := h.Verify(t.Context(), load(t, h.Keys, ""), raw, "at+jwt"); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Withdraw(t.Context(), "", ES256); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Verify(t.Context(), load(t, h.Keys, ""), raw, "at+jwt"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("its token: %v", err)
	}
	after := sign(t, h.Keys, "", ES256, "at+jwt", `{}`)
	if _, _, err := h.Verify(t.Context(), load(t, h.Keys, ""), after, "at+jwt"); err != nil {
		t.Error(err)
	}
	if err := h.RotateDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if list, _ := h.List(t.Context(), ""); len(list) != 2 {
		t.Errorf("keys: %v", list)
	}
}

func TestARetiredKeyStaysLongerWhenTokensLiveLonger(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if err := h.Rotate(t.Context(), "", ES256); err != nil {
		t.Fatal(err)
	}
	if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error {
		settings, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		settings.Lifetimes.IDToken = 3600
		return errors.Join(store.AllSettings.Put(tx, &settings), site.Changed(tx))
	}); err != nil {
		t.Fatal(err)
	}
	last := PublishAhead - time.Second
	h.pass(last)
	raw := sign(t, h.Keys, "", ES256, "JWT", `{}`)
	if err := h.RotateDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.pass(time.Hour)
	if err := h.RotateDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Verify(t.Context(), load(t, h.Keys, ""), raw, "JWT"); err != nil {
		t.Error(err)
	}
	h.pass(time.Hour)
	if _, _, err := h.Verify(t.Context(), load(t, h.Keys, ""), raw, "JWT"); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("long after: %v", err)
	}
}
