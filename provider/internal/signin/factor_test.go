package signin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// app gives the agent an authenticator app and returns its seed.
func (h *house) app(agent store.Agent) []byte {
	h.t.Helper()
	seed := mfa.NewSeed()
	h.update(func(tx store.Tx) {
		_, err := h.x.Factors.ImportTOTP(h.t.Context(), tx, agent.ID, seed)
		must(h.t, err)
	})
	return seed
}

func (h *house) recoveryCodes(agent store.Agent) (codes []string) {
	h.t.Helper()
	s := h.site()
	h.update(func(tx store.Tx) {
		var err error
		codes, err = h.x.Factors.NewCodes(h.t.Context(), tx, s, agent)
		must(h.t, err)
	})
	return codes
}

// code is what the app shows now.
func (h *house) code(seed []byte) string {
	h.t.Helper()
	code, err := mfa.Code(seed, h.now())
	must(h.t, err)
	return code
}

// password gets as far as the page after the password and returns its path.
func (b *browser) password(email, pw string) string {
	b.h.t.Helper()
	got := b.signIn(email, pw)
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, "/sign-in/") {
		b.h.t.Fatalf("after the password: %d %s %s", got.status, got.to, got.body)
	}
	return got.to
}

func (h *house) twoFactors(change func(*store.TwoFactor)) {
	h.t.Helper()
	h.settings(func(s *store.Settings) { change(&s.TwoFactor) })
}

func (h *house) settings(change func(*store.Settings)) {
	h.t.Helper()
	h.update(func(tx store.Tx) {
		s, err := store.GetSettings(tx)
		must(h.t, err)
		change(&s)
		must(h.t, store.AllSettings.Put(tx, &s))
		must(h.t, site.Changed(tx))
	})
}

func TestTheSecondFactorIsAskedForAndMakesTheSessionStronger(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		seed := h.app(h.agent(ana, good))
		b := h.browser()
		path := b.password(ana, good)
		if !strings.HasSuffix(path, "/factor") || len(h.sessions()) != 0 {
			t.Fatalf("%s, %d sessions", path, len(h.sessions()))
		}
		if got := b.get(path); got.status != http.StatusOK || !strings.Contains(got.body, `name="code"`) || !strings.Contains(got.body, `id="continue"`) {
			t.Fatalf("%d %s", got.status, got.body)
		}
		code := h.code(seed)
		got := b.post(path, "code", code)
		if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		all := h.sessions()
		if len(all) != 1 || all[0].ACR != policy.ACRTwoFactors || !slices.Equal(all[0].AMR, []string{"pwd", "otp", "mfa"}) {
			t.Fatalf("%+v", all)
		}
		other := h.browser()
		if got := other.post(other.password(ana, good), "code", code); got.status != http.StatusUnprocessableEntity || len(h.sessions()) != 1 {
			t.Errorf("the same code once more: %d", got.status)
		}
	})
}

func TestNoStepIsSkippedByOpeningAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.app(h.agent(ana, good))
	b := h.browser()
	first := b.begin("client_id=desk")
	for _, page := range []string{"/factor", "/enrol", "/password", "/sessions"} {
		if got := b.get(first + page); got.status != http.StatusSeeOther || got.to != first {
			t.Errorf("%s before the password: %d %s", page, got.status, got.to)
		}
	}
	for _, page := range []string{"/factor", "/enrol", "/password", "/sessions", "/skip/factor", "/skip/enrol"} {
		if got := b.post(first+page, "code", h.code(seed), "new_password", good, "confirm_password", good); got.status != http.StatusSeeOther || got.to != first {
			t.Errorf("post %s before the password: %d %s", page, got.status, got.to)
		}
	}
	half := b.post(first, "email", ana, "password", good).to
	begun := strings.TrimSuffix(half, "/factor")
	if begun == first {
		t.Fatal("the id is the same after the password")
	}
	if got := b.get(begun); got.to != half {
		t.Errorf("the first page leads to %d %s", got.status, got.to)
	}
	for _, page := range []string{"/enrol", "/password", "/sessions", "/skip/factor", "/skip/enrol", "/skip/done"} {
		if got := b.post(begun+page, "code", h.code(seed)); got.status != http.StatusSeeOther || got.to != half {
			t.Errorf("post %s before the factor: %d %s", page, got.status, got.to)
		}
	}
	if got := b.post(begun + "/on"); got.status != http.StatusSeeOther || got.to != half {
		t.Errorf("on: %d %s", got.status, got.to)
	}
	if got := b.get(first); got.status != http.StatusBadRequest {
		t.Errorf("the id before: %d", got.status)
	}
	if len(h.sessions()) != 0 {
		t.Error("there is a session")
	}
}

func TestAHalfDoneSignInIsItsBrowsersAlone(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.app(h.agent(ana, good))
	thief := h.browser()
	planted := thief.begin("client_id=desk")
	victim := h.browser()
	u, _ := url.Parse(h.url)
	victim.client.Jar.SetCookies(u, thief.client.Jar.Cookies(u)) // the thief's flow, planted
	half := victim.post(planted, "email", ana, "password", good).to
	for _, path := range []string{half, strings.TrimSuffix(half, "/factor"), planted + "/factor"} {
		if got := thief.post(path, "code", h.code(seed)); got.status == http.StatusOK || strings.HasPrefix(got.to, "/oauth/") || len(h.sessions()) != 0 {
			t.Errorf("%s: %d %s, %d sessions", path, got.status, got.to, len(h.sessions()))
		}
	}
}

func TestOneCodeSignsOneBrowserIn(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		seed := h.app(h.agent(ana, good))
		const racers = 8 // fewer than the budget of wrong codes
		browsers, paths := make([]*browser, racers), make([]string, racers)
		for i := range racers {
			browsers[i] = h.browser()
			paths[i] = browsers[i].password(ana, good)
		}
		code := h.code(seed)
		var in atomic.Int32
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() {
				if got := browsers[i].post(paths[i], "code", code); strings.HasPrefix(got.to, "/oauth/authorize/") {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || len(h.sessions()) != 1 {
			t.Errorf("%d got in, %d sessions", in.Load(), len(h.sessions()))
		}
	})
}

func TestWrongCodesHaveOneBudgetThatNoPasswordRenews(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.app(h.agent(ana, good))
	for i := range 10 {
		b := h.browser()
		if got := b.post(b.password(ana, good), "code", "000000"); got.status != http.StatusUnprocessableEntity {
			t.Fatalf("guess %d: %d", i+1, got.status)
		}
	}
	b := h.browser()
	path := b.password(ana, good)
	if got := b.post(path, "code", h.code(seed)); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("the right code after ten wrong ones: %d", got.status)
	}
	h.pass(15 * time.Minute)
	if got := b.post(path, "code", h.code(seed)); got.status != http.StatusSeeOther || len(h.sessions()) != 1 {
		t.Errorf("after a quarter of an hour: %d %s", got.status, got.body)
	}
	if n := h.audited(); n["sign_in.failure wrong_code"] != 10 {
		t.Errorf("audited %v", n)
	}
}

func TestARecoveryCodeStandsInOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	agent := h.agent(ana, good)
	h.app(agent)
	codes := h.recoveryCodes(agent)
	b := h.browser()
	if got := b.post(b.password(ana, good), "code", strings.ToLower(codes[0])); got.status != http.StatusSeeOther {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if s := h.sessions()[0]; s.ACR != policy.ACRTwoFactors {
		t.Errorf("%+v", s)
	}
	b = h.browser()
	path := b.password(ana, good)
	if got := b.post(path, "code", codes[0], "kind", "recovery"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `<a href="#recovery">`) {
		t.Errorf("the same once more: %d", got.status)
	}
	if got := b.post(path, "code", "", "kind", "recovery"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, `<a href="#recovery">`) {
		t.Errorf("nothing: %d", got.status)
	}
	if got := b.post(path, "code", codes[1]); got.status != http.StatusSeeOther {
		t.Errorf("the next: %d", got.status)
	}
}

func TestARememberedDeviceIsAskedForNoCode(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.twoFactors(func(two *store.TwoFactor) { two.RememberDays = 14 })
	seed := h.app(h.agent(ana, good))
	b := h.browser()
	if got := b.post(b.password(ana, good), "code", h.code(seed), "remember", "1"); got.status != http.StatusSeeOther {
		t.Fatal(got.status)
	}
	if got := b.signIn(ana, good); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Fatalf("remembered: %d %s", got.status, got.to)
	}
	for _, s := range h.sessions() {
		if s.Remembered && (s.ACR != policy.ACRPassword || !slices.Equal(s.AMR, []string{"pwd"})) {
			t.Errorf("a remembered device is no factor: %+v", s)
		}
	}
	h.agent("bob@acme.example", good)
	h.app(h.stored("bob@acme.example"))
	if got := b.signIn("bob@acme.example", good); !strings.HasSuffix(got.to, "/factor") {
		t.Errorf("another agent in that browser: %d %s", got.status, got.to)
	}
	h.pass(14*24*time.Hour + time.Second)
	if got := b.signIn(ana, good); !strings.HasSuffix(got.to, "/factor") {
		t.Errorf("after its days: %d %s", got.status, got.to)
	}
}

func TestAStolenDeviceCookieIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.twoFactors(func(two *store.TwoFactor) { two.RememberDays = 14 })
	seed := h.app(h.agent(ana, good))
	b, thief := h.browser(), h.browser()
	b.post(b.password(ana, good), "code", h.code(seed), "remember", "1")
	u, _ := url.Parse(h.url)
	thief.client.Jar.SetCookies(u, []*http.Cookie{{Name: "device", Value: b.cookies()["device"], Path: "/"}})
	if got := b.signIn(ana, good); !strings.HasPrefix(got.to, "/oauth/") {
		t.Fatal(got.to)
	}
	h.pass(time.Minute)
	if got := thief.signIn(ana, good); !strings.HasSuffix(got.to, "/factor") {
		t.Errorf("the copy: %s", got.to)
	}
	if got := b.signIn(ana, good); !strings.HasSuffix(got.to, "/factor") {
		t.Errorf("the owner's, once a copy was used: %s", got.to)
	}
	if n := h.audited(); n["device.stolen"] != 1 {
		t.Errorf("audited %v", n)
	}
}

func TestAKnownDeviceHasTriesOfItsOwnWhereStrangersLockedTheAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	owner, stranger := h.browser(), h.browser()
	owner.signIn(ana, good)
	for range 6 {
		stranger.signIn(ana, "guess")
	}
	if got := stranger.signIn(ana, good); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("not locked: %d", got.status)
	}
	if got := owner.signIn(ana, good); got.status != http.StatusSeeOther {
		t.Errorf("the owner's device: %d", got.status)
	}
	if got := stranger.signIn(ana, good); got.status != http.StatusUnprocessableEntity {
		t.Errorf("the owner's sign-in let strangers in: %d", got.status)
	}
	for range 5 {
		owner.signIn(ana, "wrong")
	}
	if got := owner.signIn(ana, good); got.status != http.StatusUnprocessableEntity {
		t.Errorf("the device after five of its own: %d", got.status)
	}
	h.agent("bob@acme.example", good)
	for range 5 {
		stranger.signIn("bob@acme.example", "guess")
	}
	if got := owner.signIn("bob@acme.example", good); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a device known as ana's let bob's account be tried: %d", got.status)
	}
}
