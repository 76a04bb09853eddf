package account_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// lift lifts one control for a quarter of an hour.
func (h *house) lift(control string) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		now := h.now()
		err := store.BreakGlasses.Put(tx, &store.BreakGlass{
			Control: control, By: "operator:tess", How: "shell", Created: now, Until: now.Add(store.MaxBreakGlass), Expires: now.Add(time.Hour),
		})
		if err != nil {
			return err
		}
		return site.Changed(tx)
	})
	h.pass(2 * site.MaxAge)
}

func TestALiftedSecondFactorIsNoWayToTakeAnAccountOverForGood(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.lift(store.ControlSecondFactor)
		thief := h.browser().signIn(ben) // with the password alone
		before := h.state(ben)
		for _, path := range []string{"/account/factors/totp", "/account/factors/passkey", "/account/password", "/account/factors/codes"} {
			got := thief.get(path)
			if !got.toSignIn() {
				t.Fatalf("%s: %d %s", path, got.status, got.to)
			}
			half := thief.post(got.to, form("email", ben, "password", good))
			if !strings.HasSuffix(half.to, "/factor") {
				t.Errorf("%s: the factor is not asked for: %d %s", path, half.status, half.to)
			}
			if got := thief.get(path); !got.toSignIn() {
				t.Errorf("%s, with the sign-in half done: %d", path, got.status)
			}
		}
		if h.state(ben) != before {
			t.Error("something changed")
		}
		admin := h.browser().signIn(tess)
		if got := admin.get("/account/factors/totp"); got.status != http.StatusOK {
			t.Errorf("the administrator for whom it was lifted: %d %s", got.status, got.to)
		}
		h.pass(store.MaxBreakGlass)
		for name, b := range map[string]*browser{"the thief": thief, "the administrator": admin} {
			if got := b.get("/account"); !got.toSignIn() {
				t.Errorf("%s, without the factor, when it is over: %d", name, got.status)
			}
		}
	})
}

func TestANodeWhoseClockIsBehindTakesAProofOfAMomentAgo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	h.pass(-time.Second)
	if got := b.get("/account/factors/totp"); got.status != http.StatusOK {
		t.Errorf("%d %s", got.status, got.to)
	}
	h.pass(-time.Minute)
	if got := b.get("/account/factors/totp"); !got.toSignIn() {
		t.Errorf("a proof of next minute: %d", got.status)
	}
}

func TestOfManyGuessesAtOnceFiveAreJudged(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		b := h.browser().signIn(ana)
		csrf := b.csrf()
		var judged, late atomic.Int32
		var wg sync.WaitGroup
		for range 30 {
			wg.Go(func() {
				switch got := b.post("/account/password", form("csrf", csrf, "password", "guess", "new_password", better, "confirm_password", better)); got.status {
				case http.StatusUnprocessableEntity:
					judged.Add(1)
				case http.StatusTooManyRequests:
					late.Add(1)
				}
			})
		}
		wg.Wait()
		if judged.Load() != 5 || late.Load() != 25 || count(h.audited(), "password.change refused wrong_password "+ana) > 5 {
			t.Errorf("%d judged, %d not", judged.Load(), late.Load())
		}
		if got := b.post("/account/password", form("csrf", csrf, "password", good, "new_password", better, "confirm_password", better)); got.status != http.StatusTooManyRequests {
			t.Errorf("the right one then: %d", got.status)
		}
	})
}
