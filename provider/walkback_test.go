package provider_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Ways back in, and what stands in the way of who knows the password.

func passwordIsForgotten(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, kimAgent)
	w := r.window(t, h, how)
	asked := h.begin()
	w.open(asked.url)
	w.follow("Forgot your password?")
	w.says("Forgot your password?", "We send you a link")
	w.press("continue")
	w.says("Enter your e-mail address")
	w.fill("email", "nobody@acme.example")
	w.press("continue")
	w.says("Look into your mail", "If nobody@acme.example has an account here")
	w.press("continue")
	w.says("to continue to Agent Desk")

	forget := func() string {
		t.Helper()
		w.open("/forgot")
		w.fill("email", kim)
		w.press("continue")
		w.says("Look into your mail", "If "+kim+" has an account here")
		return h.link(kim, "asked for a new password")
	}
	older, newer := forget(), forget()
	w.open(older)
	w.says("There is a newer link")
	w.open(newer[:len(newer)-5])
	w.says("This link isn’t whole")
	h.pass(31 * time.Minute)
	w.open(newer)
	w.says("This link has run out")
	w.press("continue")
	w.says("We send you a link")
	w.open(asked.url) // the sign-in that is left
	w.follow("Forgot your password?")
	w.says("We send you a link")
	w.fill("email", kim)
	w.press("continue")
	w.says("Look into your mail", "If "+kim+" has an account here")
	link := h.link(kim, "asked for a new password")
	w.open(link)
	w.says("Choose a new password", "After that you are signed out everywhere")
	if at := eval[string](w, "location.pathname"); at != "/reset" {
		t.Errorf("the page of the link is at %s", at)
	}
	w.fill("new_password", "kim new")
	w.fill("confirm_password", next)
	w.press("continue")
	w.says("At least 8 characters", "The two passwords are different")
	w.fill("new_password", next)
	w.fill("confirm_password", next)
	w.press("continue")
	w.says("Your new password works")
	h.letter(kim, "A new password was set for your account")
	other := r.window(t, h, how)
	other.open(link)
	other.says("This link was used already")
	other.press("continue")
	other.says("Sign in")
	w.press("continue")
	w.says("to continue to Agent Desk")
	w.signIn(kim, agentPassword)
	w.says("don’t match an account here")
	w.signIn(kim, next)
	w.says("One more step")
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	h.want(asked, w.back(), "aal2 by mfa+otp+pwd")
}

func agentIsInvited(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "agents: [{email: lea@acme.example, name: Lea New}]")
	w := r.window(t, h, how)
	w.open(h.link("lea@acme.example", "An account was made for you"))
	w.says("Welcome: choose your password", "The password is for lea@acme.example")
	w.fill("new_password", next)
	w.fill("confirm_password", next)
	w.press("continue")
	w.says("Your account is ready", "Sign in with your e-mail address")
	asked := h.begin()
	w.open(asked.url)
	w.signIn("lea@acme.example", next)
	h.want(asked, w.back(), "aal1 by pwd")
}

// guess guesses at a password from another browser; five times lock the account.
func (r *walkers) guess(t *testing.T, h *walked, email string, times int) {
	t.Helper()
	b := newBrowser(t, h.desk)
	p := b.get(h.begin().url)
	for range times {
		if p = b.submit(p, "continue", map[string]string{"email": email, "password": "wrong"}); p.status != http.StatusUnprocessableEntity {
			t.Fatalf("a wrong password is answered %d: %s", p.status, p.body)
		}
	}
}

func accountIsLocked(t *testing.T, r *walkers, how manner) {
	h := newWalked(t)
	w := r.window(t, h, how)
	refused := func() {
		t.Helper()
		w.leave()
		w.open(h.begin().url)
		w.signIn(raj, agentPassword)
		w.says("don’t match an account here")
	}
	in := func(password string) {
		t.Helper()
		asked := h.begin()
		w.open(asked.url)
		w.signIn(raj, password)
		h.want(asked, w.back(), "aal1 by pwd")
	}
	r.guess(t, h, raj, 4)
	in(agentPassword) // four are no lock
	w.leave()
	w.open(h.begin().url)
	for range 5 {
		w.signIn(raj, "wrong")
		w.wait("document.getElementById('problem') && document.getElementById('password').value === ''", "says that it was wrong")
	}
	h.letter(raj, "For a while it can’t be entered with a password")
	refused()
	h.pass(29 * time.Minute)
	refused()
	h.pass(2 * time.Minute)
	in(agentPassword) // time

	r.guess(t, h, raj, 5) // this browser is known by now
	w.do(command(forgetSession()))
	in(agentPassword)
	h.pass(time.Hour)

	r.guess(t, h, raj, 5)
	refused()
	h.control("agents/unlock", map[string]any{"email": raj}, "")
	in(agentPassword) // an administrator
	h.pass(time.Hour)

	r.guess(t, h, raj, 5)
	refused()
	w.follow("Or reset your password.")
	w.says("We send you a link")
	w.fill("email", raj)
	w.press("continue")
	w.open(h.link(raj, "asked for a new password"))
	w.fill("new_password", next)
	w.fill("confirm_password", next)
	w.press("continue")
	w.says("Your new password works")
	in(next) // a reset
}

func passkeyOpensALockedAccount(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "two_factor: {required_roles: [supervisors], grace_days: 0}")
	w := r.window(t, h, how)
	w.holdDevice()
	w.unlock(true)
	w.open(h.begin().url)
	w.signIn(raj, agentPassword)
	w.says("Set up a second step")
	w.press("passkey")
	w.says("Your recovery codes")
	w.press("saved")
	w.press("continue")
	w.back()
	w.unlock(false)
	w.leave()
	r.guess(t, h, raj, 5)
	asked := h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("don’t match an account here")
	w.offer()
	h.want(asked, w.back(), "phr by hwk+mfa+user")

	// Nobody knows the passkey any more, and the page that says so can be read in
	// another language.
	h.control("agents/reset-factors", map[string]any{"email": raj}, "")
	w.unlock(false)
	w.open(h.begin().url)
	w.says("to continue to Agent Desk", "Use a passkey")
	w.offer()
	w.wait("document.getElementById('problem') !== null", "says that it is wrong")
	w.unlock(false) // the device would go on offering it
	time.Sleep(300 * time.Millisecond)
	w.says("That passkey didn’t work here")
	w.follow("Deutsch")
	w.says("Anmelden", "um zu Agent Desk zu gelangen")
}

func passwordExpires(t *testing.T, r *walkers, how manner) {
	h := newWalked(t)
	w := r.window(t, h, how)
	h.pass(36*24*time.Hour + 23*time.Hour)
	asked := h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	h.want(asked, w.back(), "aal1 by pwd") // there are more than three days
	w.leave()
	h.pass(2 * time.Hour)
	asked = h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("Your password is about to expire", "has to be changed within 3 days")
	w.press("skip")
	h.want(asked, w.back(), "aal1 by pwd")
	h.pass(3 * 24 * time.Hour)
	asked = h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("Choose a new password", "has grown too old")
	w.lacks("skip")
	long := strings.Repeat("Ab1-quiet-harbour", 8) // 136
	for _, c := range []struct{ rule, bad, good, says string }{
		{"length", "Qx7-fjo", "Qx7-fjow", "At least 8 characters"},
		{"too_long", long[:129], long[:128], "At most 128 characters"},
		{"kinds", "quietharbour7", "quietHarbour7", "At least 3 of these four"},
		{"names", "7-P@te1-Quiet", "7-Pa-tile-Quiet", "Without your name"},
		{"common", "Password123!", "Pier-123-wood!", "Not one that many people use"},
		{"history", agentPassword, next, "Not one of your last 5 passwords"},
	} {
		if !how.noScript {
			state := func(typed, want string) {
				t.Helper()
				w.fill("new_password", typed)
				w.wait(fmt.Sprintf(`(document.querySelector("[data-rule=%s]")?.dataset.state ?? "") === %q && document.querySelector("[data-rule=kinds]").dataset.state !== ""`, c.rule, want), fmt.Sprintf("ticks %s as %q", c.rule, want))
				if broken := eval[int](w, `document.querySelectorAll("[data-state=failed]").length`); broken > 1 || want != "failed" && broken > 0 {
					w.picture("more is broken than " + c.rule)
					t.Errorf("%q breaks %d rules", typed, broken)
				}
				if c.rule == "names" && want == "failed" {
					w.says("Without your name")
				}
			}
			good := map[string]string{"too_long": "ok", "history": ""}
			if c.rule == "history" { // only the hashes know: the server says so at the end
				state(c.bad, "")
			} else {
				state(c.bad, "failed")
				if want, odd := good[c.rule]; odd {
					w.fill("new_password", c.good)
					w.wait(`document.querySelectorAll("[data-state=failed]").length === 0`, "forgives "+want)
				} else {
					state(c.good, "ok")
				}
			}
		}
		w.fill("new_password", c.bad)
		w.fill("confirm_password", c.bad)
		w.press("continue")
		w.wait(fmt.Sprintf("document.getElementById('problem')?.innerText.includes(%q) && document.getElementById('new_password').value === ''", c.says), "says "+c.says)
		if said := eval[string](w, "document.getElementById('problem').innerText"); strings.Count(said, "\n") > 2 {
			t.Errorf("of %q it says %q", c.bad, said)
		}
	}
	w.says("Not one of your last 5 passwords")
	w.fill("new_password", next)
	w.fill("confirm_password", next)
	w.press("continue")
	h.want(asked, w.back(), "aal1 by pwd")
	h.letter(raj, "was changed")
}

func sessionsAreFull(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "sessions: {max_at_once: 1}")
	first, second := r.window(t, h, how), r.window(t, h, how)
	in := h.begin()
	first.open(in.url)
	first.signIn(raj, agentPassword)
	h.want(in, first.back(), "aal1 by pwd")

	asked := h.begin()
	second.open(asked.url)
	second.signIn(raj, agentPassword)
	second.says("You are signed in elsewhere", "This site allows one session at a time. If you go on, this one ends:", "127.0.0.1")
	second.follow("Cancel and go back to Agent Desk")
	if answer := second.back(); !strings.Contains(answer, "error=access_denied") {
		t.Errorf("who cancels goes back with %s", answer)
	}
	in = h.begin()
	first.open(in.url)
	h.want(in, first.back(), "aal1 by pwd") // nothing has ended

	asked = h.begin()
	second.open(asked.url)
	second.signIn(raj, agentPassword)
	second.says("End that session and go on")
	second.press("continue")
	h.want(asked, second.back(), "aal1 by pwd")
	first.open(h.begin().url)
	first.says("Sign in", "to continue to Agent Desk")
}

func glassIsBroken(t *testing.T, r *walkers, how manner) {
	h := newEmptyWalked(t)
	link, err := h.server.SetUpLink(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	w := r.window(t, h, how)
	w.open(link)
	w.says("Create the first administrator")
	w.fill("email", "ada@acme.example")
	w.fill("name", "Ada First")
	w.fill("new_password", next)
	w.fill("confirm_password", next)
	w.press("continue")
	w.says("The administrator is ready", "Emergency codes", h.issuer+"/break-glass")
	codes := w.keepCodes(5)
	w.press("saved")
	w.press("continue")
	w.signIn("ada@acme.example", next)
	w.says("Your account", "Ada First")

	// The list of networks is wrong, and the second step was lost with the phone.
	h.change("two_factor: {required_roles: [administrators], grace_days: 0}", "ip_allowlist: {enabled: true, console: true, entries: [{cidr: 203.0.113.0/24}]}")
	shut := func() {
		t.Helper()
		w.leave()
		w.open("/account")
		w.signIn("ada@acme.example", next)
		w.says("You can’t sign in from this network", "127.0.0.1")
	}
	shut()
	w.open("/break-glass")
	w.says("Break the glass", "One thing at a time is lifted")
	w.press("continue")
	w.says("Please check:")
	lift := func(code, control string) {
		t.Helper()
		w.fill("email", "ada@acme.example")
		w.fill("password", next)
		w.fill("code", code)
		eval[any](w, fmt.Sprintf("document.getElementById('control').value = %q", control))
		w.press("continue")
	}
	lift("AAAA-BBBB-CCCC-DDDD", "allowlist")
	w.says("Nothing was lifted")
	lift(codes[0], "allowlist")
	w.says("It is lifted", "The list of networks that may sign in")
	h.letter("ada@acme.example", "this control was lifted")
	w.press("continue")
	w.signIn("ada@acme.example", next)
	w.says("Set up a second step")

	w.open("/break-glass")
	lift(codes[1], "second_factor") // never two
	w.says("only one thing can be at a time")
	w.open("/break-glass")
	lift(codes[0], "allowlist")
	w.says("Nothing was lifted")
	h.pass(16 * time.Minute)
	shut()
	h.change("ip_allowlist: {enabled: false}")
	w.open("/break-glass")
	lift(codes[1], "second_factor")
	w.says("It is lifted", "The second step of signing in")
	w.press("continue")
	w.signIn("ada@acme.example", next)
	w.says("Your account")
	h.pass(16 * time.Minute)
	w.open("/account")
	w.says("Sign in")
}

// Changes of a password through the form, as somebody without script makes them.
func TestTheSixthFormerPasswordMayComeBack(t *testing.T) {
	t.Parallel()
	h := newWalked(t)
	password := agentPassword
	expired := func() (*browser, page) {
		t.Helper()
		h.pass(41 * 24 * time.Hour)
		b := newBrowser(t, h.desk)
		p := b.signIn(h.begin().url, raj, password)
		if !strings.Contains(p.body, "has grown too old") {
			t.Fatalf("status %d at %s", p.status, p.url)
		}
		return b, p
	}
	choose := func(b *browser, p page, password string) page {
		t.Helper()
		return b.submit(p, "continue", map[string]string{"new_password": password, "confirm_password": password})
	}
	for i := range 5 {
		b, p := expired()
		if p = choose(b, p, agentPassword); p.status != http.StatusUnprocessableEntity || !strings.Contains(p.body, "Not one of your last 5 passwords") {
			t.Fatalf("after %d changes the first password is answered %d", i, p.status)
		}
		password = fmt.Sprintf("Quiet-Harbour-%d-Nine", i)
		if p = choose(b, p, password); p.away == nil {
			t.Fatalf("change %d: status %d", i, p.status)
		}
	}
	b, p := expired()
	if p = choose(b, p, agentPassword); p.away == nil {
		t.Errorf("the password of before the last five is answered %d", p.status)
	}
}

func TestAPasswordIsChangedThreeTimesADay(t *testing.T) {
	t.Parallel()
	h := newWalked(t)
	password := agentPassword
	b := newBrowser(t, h.desk)
	b.signIn(h.issuer+"/account/password", raj, password)
	open := func() page {
		t.Helper()
		p := b.get(h.issuer + "/account/password")
		if strings.Contains(p.url.Path, "/sign-in/") {
			p = b.submit(p, "continue", map[string]string{"email": raj, "password": password})
		}
		return p
	}
	change := func(to string) page {
		t.Helper()
		p := b.submit(open(), "continue", map[string]string{"password": password, "new_password": to, "confirm_password": to})
		if p.status == http.StatusOK {
			password = to
		}
		return p
	}
	for i := range 3 {
		if p := change(fmt.Sprintf("Quiet-Harbour-%d-Nine", i)); p.status != http.StatusOK {
			t.Fatalf("change %d: status %d at %s: %s", i, p.status, p.url, p.body)
		}
		h.pass(time.Hour)
	}
	if p := open(); !strings.Contains(p.body, "as often as a day allows") {
		t.Errorf("a fourth change may be tried: %s", p.body)
	}
	h.pass(21*time.Hour + time.Minute)
	if p := change("Quiet-Harbour-4-Nine"); p.status != http.StatusOK {
		t.Errorf("a day after the first of them it is answered %d", p.status)
	}
}
