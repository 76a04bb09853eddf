package signin

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// wanted begins a sign-in as the authorization endpoint or the account's pages
// do, and returns the path of its form.
func (b *browser) wanted(rec store.SignIn) string {
	b.h.t.Helper()
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(b.h.t.Context(), http.MethodGet, b.h.url, http.NoBody)
	id, err := b.h.x.Sessions.BeginSignIn(w, r, b.h.site(), rec)
	must(b.h.t, err)
	u, err := url.Parse(b.h.url)
	must(b.h.t, err)
	b.client.Jar.SetCookies(u, w.Result().Cookies())
	return "/sign-in/" + id
}

// remembered is a browser that ana's second factor need not be shown in.
func (h *house) remembered(seed []byte) *browser {
	h.t.Helper()
	b := h.browser()
	if got := b.post(b.password(ana, good), "code", h.code(seed), "remember", "1"); got.status != http.StatusSeeOther {
		h.t.Fatalf("%d %s", got.status, got.body)
	}
	return b
}

func TestASignInThatIsRefusedUsesNoRememberedDeviceUp(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		mails := &outbox{}
		h := newHouse(t, engine, withMail(mails))
		h.settings(func(s *store.Settings) {
			s.TwoFactor.RememberDays = 14
			s.Allowlist = store.Allowlist{Enabled: true, Console: true, Entries: []store.AllowlistEntry{{CIDR: "203.0.113.0/24"}}}
		})
		b := h.remembered(h.app(h.agent(ana, good)))
		bob := h.agent("bob@acme.example", good)
		b.ip = "198.51.100.7"
		if got := b.signIn(ana, good); got.status != http.StatusForbidden {
			t.Fatalf("from elsewhere: %d", got.status)
		}
		b.ip = "203.0.113.9"
		if got := b.post(b.wanted(store.SignIn{Return: "/account", AgentHint: bob.ID}), "email", ana, "password", good); got.status != http.StatusUnprocessableEntity {
			t.Fatalf("where bob has to sign in again: %d %s", got.status, got.to)
		}
		h.pass(time.Minute)
		if got := b.signIn(ana, good); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Errorf("the device is not remembered any more: %d %s", got.status, got.to)
		}
		if slices.Contains(mails.notices, ana+" device_stolen") || h.audited()["device.stolen"] != 0 {
			t.Errorf("its owner hears of a theft: %q", mails.notices)
		}
	})
}

func TestAnEnrolmentInASignInEndsWhatWasBegunWithoutTheFactor(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		h.twoFactors(func(two *store.TwoFactor) { two.RequiredRoles, two.GraceDays = []string{policy.Agents}, 7 })
		h.agent(ana, good)
		thief, waiting, b := h.browser(), h.browser(), h.browser()
		path := thief.password(ana, good)
		if got := thief.post(strings.TrimSuffix(path, "enrol") + "skip/enrol"); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Fatalf("%d %s", got.status, got.to)
		}
		parked := waiting.password(ana, good)
		path = b.password(ana, good)
		id, seed := b.enrolling(path)
		if got := b.post(path, "enrolment", id, "code", h.code(seed)); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if all := h.sessions(); len(all) != 1 || all[0].ACR != policy.ACRTwoFactors {
			t.Errorf("%d sessions, %+v", len(all), all)
		}
		if got := waiting.post(strings.TrimSuffix(parked, "enrol") + "skip/enrol"); strings.HasPrefix(got.to, "/oauth/") {
			t.Error("a half-done sign-in of before went on")
		}
	})
}

func TestANodeWhoseClockIsBehindGoesOnWithASignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.app(h.agent(ana, good))
	b := h.browser()
	path := b.password(ana, good)
	h.pass(-time.Second)
	if got := b.get(path); got.status != http.StatusOK {
		t.Errorf("the page: %d %s", got.status, got.to)
	}
	if got := b.post(path, "code", h.code(seed)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Errorf("the code: %d %s", got.status, got.to)
	}
}

func TestBreakGlassIsInReachOfAnAdministratorWhomStrangersLocked(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good, func(a *store.Agent) { a.Roles = []string{policy.Administrators} })
	s := h.site()
	var codes []string
	h.update(func(tx store.Tx) {
		var err error
		codes, err = h.x.Glass.NewCodes(t.Context(), tx, s, auditOperator)
		must(t, err)
	})
	owner, stranger := h.browser(), h.browser()
	owner.signIn(ana, good)
	for range 6 {
		stranger.signIn(ana, "guess")
	}
	lift := []string{"email", ana, "password", good, "code", codes[0], "control", "second_factor"}
	if got := stranger.post("/break-glass", lift...); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("a stranger at a locked account: %d", got.status)
	}
	if got := owner.post("/break-glass", lift...); got.status != http.StatusOK {
		t.Errorf("the administrator's own browser: %d", got.status)
	}
}

// rationed is an outbox that keeps to so many mails of a sort, as the real one.
type rationed struct {
	outbox
	most int
}

func (o *rationed) Allow(tx store.Tx, kind, address string, now time.Time) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.most--
	return o.most >= 0, nil
}

func TestLockingAnAccountOverAndOverFloodsNoMailbox(t *testing.T) {
	t.Parallel()
	mails := &rationed{most: 3}
	h := newHouse(t, func(o *houseOptions) { o.mail = mails })
	h.settings(func(s *store.Settings) { s.Password.LockAfter, s.Password.LockMinutes = 1, 1 })
	h.agent(ana, good)
	for range 10 {
		h.browser().signIn(ana, "guess")
		h.pass(time.Minute + time.Second)
	}
	if len(mails.notices) != 3 || h.audited()["sign_in.locked"] != 10 {
		t.Errorf("%d mails, audited %v", len(mails.notices), h.audited())
	}
}

func TestALiftedSecondFactorIsNotedInTheSessionOfWhoHoldsOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.app(h.agent(ana, good))
	bob := h.agent("bob@acme.example", good)
	s := h.site()
	h.update(func(tx store.Tx) {
		_, err := h.x.Glass.Lift(t.Context(), tx, s, store.ControlSecondFactor, store.MaxBreakGlass, auditOperator, "shell")
		must(t, err)
	})
	thief := h.browser()
	if got := thief.signIn(ana, good); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Fatalf("lifted: %d %s", got.status, got.to)
	}
	h.browser().signIn("bob@acme.example", good)
	for _, rec := range h.sessions() {
		if rec.Lifted != (rec.AgentID != bob.ID) {
			t.Errorf("%s: lifted %v", rec.AgentID, rec.Lifted)
		}
	}
	agent := h.stored(ana)
	path := thief.wanted(store.SignIn{Return: "/account/factors", AgentHint: agent.ID, Fresh: true, ACR: policy.ACRTwoFactors})
	half := thief.post(path, "email", ana, "password", good).to
	if !strings.HasSuffix(half, "/factor") {
		t.Fatalf("our own page asked for a factor, and the sign-in led to %s", half)
	}
	if got := thief.post(half, "code", h.code(seed)); got.to != "/account/factors" {
		t.Errorf("%d %s", got.status, got.to)
	}
	h.pass(store.MaxBreakGlass)
	if got := h.browser().signIn(ana, good); !strings.HasSuffix(got.to, "/factor") {
		t.Errorf("after a quarter of an hour: %s", got.to)
	}
}

// slow is a mail server's outbox on a busy disk.
type slow struct{ outbox }

func (o *slow) Link(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, link string, invites bool, life time.Duration) error {
	time.Sleep(forgotTime + forgotTime/10)
	return o.outbox.Link(ctx, tx, s, agent, link, invites, life)
}

func TestABusyHouseAnswersAboutForgottenPasswordsOnTheBeatToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) { o.mail = &slow{} })
	h.agent(ana, good)
	began := time.Now()
	if got := h.browser().post("/forgot", "email", ana); got.status != http.StatusOK {
		t.Fatal(got.status)
	}
	if took := time.Since(began); took < 2*forgotTime {
		t.Errorf("answered after %s: not on the beat", took)
	}
}

func TestWhatOneSiteGaveABrowserIsNothingInAnother(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		mails := &outbox{}
		h := newHouse(t, engine, withMail(mails))
		h.twoFactors(func(two *store.TwoFactor) { two.RememberDays = 14 })
		agent := h.agent(ana, good)
		seed := h.app(agent)
		settings := site.DefaultSettings("Acme")
		settings.TwoFactor.RememberDays = 14
		must(t, site.Create(t.Context(), h.store, "acme", "", settings, h.now()))
		must(t, h.store.Update(t.Context(), "acme", func(tx store.Tx) error { // the very same agent
			if err := store.Clients.Put(tx, &store.Client{ID: "desk"}); err != nil {
				return err
			}
			if _, err := h.x.Factors.ImportTOTP(t.Context(), tx, agent.ID, seed); err != nil {
				return err
			}
			return store.Agents.Put(tx, &agent)
		}))
		b := h.remembered(seed)
		half := h.browser().password(ana, good)
		h.browser().post("/forgot", "email", ana)
		link := mails.link(t)
		b.get(link)
		var moved []*http.Cookie
		for name, value := range b.cookies() {
			moved = append(moved, &http.Cookie{Name: name + ".acme", Value: value, Path: "/"})
		}
		thief := h.browser()
		u, err := url.Parse(h.url)
		must(t, err)
		thief.client.Jar.SetCookies(u, moved)
		for path, status := range map[string]int{
			"/acme/sign-in": http.StatusOK, "/acme/reset": http.StatusGone, "/acme" + link: http.StatusGone, "/acme" + half: http.StatusBadRequest,
		} {
			if got := thief.get(path); got.status != status {
				t.Errorf("%s: %d %s", path, got.status, got.to)
			}
		}
		if got := thief.post("/acme/reset", "new_password", better, "confirm_password", better); got.status != http.StatusGone {
			t.Errorf("a reset: %d", got.status)
		}
		if got := thief.post(thief.get("/acme/begin?client_id=desk").to, "email", ana, "password", good); !strings.HasSuffix(got.to, "/factor") {
			t.Errorf("remembered by another site: %d %s", got.status, got.to)
		}
		for range 6 {
			h.browser().post(thief.get("/acme/begin?client_id=desk").to, "email", ana, "password", "guess")
			thief.post(thief.get("/acme/begin?client_id=desk").to, "email", ana, "password", "guess")
		}
		if got := thief.post(thief.get("/acme/begin?client_id=desk").to, "email", ana, "password", good); got.status != http.StatusUnprocessableEntity {
			t.Errorf("known by another site: %d %s", got.status, got.to)
		}
	})
}

func TestNoFormIsTakenFromElsewhereAndNoneIsAnsweredForAnybodyToKeep(t *testing.T) {
	t.Parallel()
	h := newHouse(t, named, withMail(&outbox{}))
	agent := h.agent(ana, good)
	seed := h.app(agent)
	b := h.browser()
	begun := b.begin("client_id=desk")
	half := strings.TrimSuffix(b.password(ana, good), "/factor")
	var all []string
	for _, path := range []string{begun, half} {
		for _, page := range []string{"", "/factor", "/passkey", "/passkey/options", "/enrol", "/enrol/passkey", "/enrol/passkey/options", "/on", "/password", "/password/check", "/sessions", "/skip/enrol"} {
			all = append(all, path+page)
		}
	}
	all = append(all, "/forgot", "/reset", "/reset/check", "/break-glass", "/set-up/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "/set-up/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/check")
	fields := url.Values{"email": {ana}, "password": {good}, "code": {h.code(seed)}, "new_password": {better}, "confirm_password": {better}}.Encode()
	before := h.store.updates.Load()
	for _, path := range all {
		for name, value := range map[string]string{"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"} {
			got := b.do(http.MethodPost, path, "application/x-www-form-urlencoded", fields, func(r *http.Request) { r.Header.Set(name, value) })
			if got.status != http.StatusForbidden {
				t.Errorf("%s of %s: %d", path, name, got.status)
			}
		}
		for _, media := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", ""} {
			if got := b.do(http.MethodPost, path, media, fields); got.status != http.StatusUnsupportedMediaType {
				t.Errorf("%s as %q: %d", path, media, got.status)
			}
		}
		if got := b.get(path); got.header.Get("Cache-Control") != "no-store" && got.status != http.StatusMethodNotAllowed {
			t.Errorf("GET %s: %d, %q", path, got.status, got.header.Get("Cache-Control"))
		}
	}
	if after := h.store.updates.Load(); after != before || len(h.sessions()) != 0 {
		t.Errorf("%d commits, %d sessions", after-before, len(h.sessions()))
	}
	if got := b.post(half+"/factor", "code", h.code(seed)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Errorf("the agent's own: %d %s", got.status, got.to)
	}
}
