package account_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func change(csrf, old, new string) []string {
	return []string{"csrf", csrf, "password", old, "new_password", new, "confirm_password", new}
}

func TestANewPasswordEndsEverythingElseAndRenewsThisSession(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		o := h.furnish(ben)
		b, other := h.browser().signIn(ben, "remember", "1"), h.browser().signIn(ben)
		half := h.browser()
		step := half.post(half.get("/account").to, form("email", ben, "password", good)).to
		old := h.cookie(b, "session")
		device := h.cookie(b, "device")
		sids := list(h, &store.Sessions, "agent", h.agent(ben).ID)
		if len(sids) != 3 || device == "" {
			t.Fatalf("%d sessions, device %q", len(sids), device)
		}
		page := b.get("/account/password")
		if !page.says("This ends your 2 other sessions.") {
			t.Errorf("it does not say what ends: %s", page.body)
		}
		if got := b.post("/account/password", form(change(b.csrf(), good, better)...)); got.to != "/account" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if got := b.get("/account"); got.status != http.StatusOK || !got.says("Your password was changed") {
			t.Errorf("this session: %d %s", got.status, got.to)
		}
		left := list(h, &store.Sessions, "agent", h.agent(ben).ID)
		if h.cookie(b, "session") == old || len(left) != 1 || slices.ContainsFunc(sids, func(s store.Session) bool { return s.SID == left[0].SID }) || left[0].ACR != policy.ACRTwoFactors {
			t.Errorf("the session is not a new one: %+v", left)
		}
		if got := other.get("/account"); !got.toSignIn() {
			t.Errorf("the other session goes on: %d", got.status)
		}
		if got := half.post(step, form("code", h.code())); strings.HasPrefix(got.to, "/account") {
			t.Errorf("a sign-in begun with the old password goes on: %d %s", got.status, got.to)
		}
		if devices := list(h, &store.Devices, "agent", h.agent(ben).ID); len(devices) != 0 || h.cookie(b, "device") != "" {
			t.Errorf("%d devices are remembered", len(devices))
		}
		h.view(func(tx store.Tx) error {
			g, err := store.Grants.Get(tx, o.grant)
			if err == nil && !g.Revoked {
				t.Error("what was granted goes on")
			}
			return err
		})
		replayed := h.browser()
		if got := replayed.do(http.MethodGet, "/account", "", func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: old}) }); !got.toSignIn() {
			t.Errorf("the cookie of before: %d", got.status)
		}
		fresh := h.browser()
		if got := fresh.post(fresh.get("/account").to, form("email", ben, "password", good)); got.status != http.StatusUnprocessableEntity {
			t.Errorf("the old password: %d", got.status)
		}
		if to := fresh.through(fresh.get("/account"), ben, better); to != "/account" {
			t.Errorf("the new one: %s", to)
		}
	})
}

func TestEveryRuleThatAPasswordBreaksIsNamedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	csrf, before := b.csrf(), h.state(ana)
	for what, c := range map[string]struct {
		fields []string
		status int
		says   []string
	}{
		"short and common": {change(csrf, good, "Silva1"), 422, []string{`data-rule="length"`, `data-rule="names"`}},
		"not repeated":     {[]string{"csrf", csrf, "password", good, "new_password", better, "confirm_password", "other"}, 422, []string{"The two passwords are different"}},
		"no new one":       {change(csrf, good, ""), 422, []string{"Enter a password"}},
		"no old one":       {change(csrf, "", better), 422, []string{"Type your current password"}},
		"a wrong old one":  {change(csrf, "wrong", better), 422, []string{"not your current password"}},
		"the same again":   {change(csrf, good, good), 422, []string{`data-rule="history"`}},
		"too long":         {change(csrf, good, strings.Repeat("aB3-", 40)), 422, []string{`data-rule="too_long"`}},
		"a megabyte":       {change(csrf, good, strings.Repeat("a", 1<<20)), 413, nil},
		"a NUL":            {change(csrf, good, "Some other\x00lamp, 31"), 400, nil},
		"no text":          {change(csrf, good, "\xff\xfe Some other lamp"), 400, nil},
	} {
		got := b.post("/account/password", form(c.fields...))
		if got.status != c.status || h.state(ana) != before {
			t.Errorf("%s: %d", what, got.status)
		}
		for _, text := range c.says {
			if !got.says(text) {
				t.Errorf("%s: it does not say %q: %s", what, text, got.body)
			}
		}
		for _, typed := range []string{good, better} {
			if strings.Contains(got.body, typed) {
				t.Errorf("%s: the page holds a password", what)
			}
		}
	}
	if strings.Contains(h.log.String(), good) || strings.Contains(h.log.String(), better) {
		t.Error("the log holds a password")
	}
}

func TestWhoHasTheSessionGuessesThePasswordFiveTimes(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		tabs := []*browser{h.browser().signIn(ana), h.browser().signIn(ana)}
		csrf := []string{tabs[0].csrf(), tabs[1].csrf()}
		before := h.state(ana)
		var mu sync.Mutex
		answered := map[int]int{}
		var wg sync.WaitGroup
		for i := range 12 {
			wg.Go(func() {
				got := tabs[i%2].post("/account/password", form(change(csrf[i%2], "wrong", better)...))
				mu.Lock()
				defer mu.Unlock()
				answered[got.status]++
			})
		}
		wg.Wait()
		if answered[http.StatusUnprocessableEntity] != 5 || answered[http.StatusTooManyRequests] != 7 {
			t.Errorf("answered %v", answered)
		}
		got := tabs[0].post("/account/password", form(change(csrf[0], good, better)...))
		if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" || h.state(ana) != before {
			t.Errorf("the right one then: %d", got.status)
		}
		if n := count(h.audited(), "password.change wrong_password"); n != 5 {
			t.Errorf("%d are recorded", n)
		}
		if got := h.browser().signIn(ana).get("/account/activity"); got.status != http.StatusOK || strings.Count(got.body, "A failed sign-in") != 5 || got.says("The password was changed") {
			t.Errorf("who holds a session locks its owner out, or the owner does not see it: %d %s", got.status, got.body)
		}
		h.pass(15 * time.Minute)
		b := h.browser().signIn(ana)
		if got := b.post("/account/password", form(change(b.csrf(), good, better)...)); got.to != "/account" {
			t.Errorf("a quarter of an hour later: %d", got.status)
		}
	})
}

func TestOfTwoTabsThatChangeThePasswordOneDoes(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b := h.browser().signIn(ana)
		csrf := b.csrf()
		var mu sync.Mutex
		var won []string
		var wg sync.WaitGroup
		for _, pw := range []string{"Tulip-carbon-77", "Velvet_harbour_3", "Nickel+orchard+9", "Quartz.meadow.4"} {
			wg.Go(func() {
				got := b.post("/account/password", form(change(csrf, good, pw)...))
				mu.Lock()
				defer mu.Unlock()
				if got.to == "/account" {
					won = append(won, pw)
				} else if got.status >= 500 || got.status < 300 {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if len(won) != 1 || count(h.mailed(ana), "password_changed") != 1 {
			t.Fatalf("%q won, mailed %v", won, h.mailed(ana))
		}
		fresh := h.browser()
		if to := fresh.through(fresh.get("/account"), ana, won[0]); to != "/account" {
			t.Errorf("the password is another: %s", to)
		}
	})
}

func TestSoManyChangesADay(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	old := good
	for _, pw := range []string{"Tulip-carbon-77", "Velvet_harbour_3", "Nickel+orchard+9"} {
		if got := b.post("/account/password", form(change(b.csrf(), old, pw)...)); got.to != "/account" {
			t.Fatalf("%s: %d %s", pw, got.status, got.body)
		}
		old = pw
	}
	before := h.state(ana)
	got := b.post("/account/password", form(change(b.csrf(), old, "Quartz.meadow.4")...))
	if got.status != http.StatusUnprocessableEntity || h.state(ana) != before {
		t.Errorf("the fourth: %d", got.status)
	}
	if page := b.get("/account/password"); !page.says("as often as a day allows") || page.says(`name="new_password"`) {
		t.Errorf("the page offers a fourth: %s", page.body)
	}
}

func TestTheTicksAreForTheFormThatIsOpen(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	csrf := b.csrf()
	if got := b.post("/account/password/check", form("csrf", csrf, "new_password", "silva")); got.status != http.StatusOK || !strings.Contains(got.body, `{"rule":"length","ok":false,"wanted":8}`) {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.post("/account/password/check", form("new_password", "silva")); got.status != http.StatusForbidden {
		t.Errorf("without its form: %d", got.status)
	}
	if got := h.browser().post("/account/password/check", form("csrf", csrf, "new_password", "silva")); got.status != http.StatusUnauthorized {
		t.Errorf("without a session: %d %s", got.status, got.to)
	}
	h.pass(5 * time.Minute)
	if got := b.post("/account/password/check", form("csrf", csrf, "new_password", "silva")); got.status != http.StatusUnauthorized {
		t.Errorf("without a new proof: %d", got.status)
	}
}

// cookie is one that the browser holds; "" for none.
func (h *house) cookie(b *browser, name string) string {
	for _, c := range b.client.Jar.Cookies(mustParse(h.url)) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func TestNoPasswordIsChosenWhilePasswordsAreOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	csrf, hash := b.csrf(), h.agent(ana).PasswordHash
	h.update(func(tx store.Tx) error {
		now := h.now().UTC()
		return store.Connections.Put(tx, &store.Connection{
			ID: "corp", Kind: store.ConnectionSAML, For: store.ForAgents, Name: "Acme SSO", Domains: []string{"acme.example"}, Enforce: true,
			Created: now, Changed: now, Rehearsed: now, SAML: &store.SAMLConnection{},
		})
	})
	h.settings(func(*store.Settings) {})
	got := b.get("/account/password")
	if got.status != http.StatusOK || !got.says("Passwords are switched off for your address") || got.says("new_password") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := b.get("/account"); got.says("Change your password") {
		t.Errorf("the overview leads to it: %s", got.body)
	}
	if got := b.post("/account/password", form(change(csrf, good, better)...)); got.to != "/account/password" || h.agent(ana).PasswordHash != hash {
		t.Errorf("it is changed all the same: %d %s", got.status, got.to)
	}
	if got := b.post("/account/password/check", form(change(csrf, good, better)...)); got.status != http.StatusNotFound {
		t.Errorf("the ticks: %d", got.status)
	}
}
