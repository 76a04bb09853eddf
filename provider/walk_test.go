package provider_test

import (
	"context"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// walkers share one Chromium.
type walkers struct {
	browser context.Context
	axe     string   // axe-core's source, where it is at hand
	had     sync.Map // pages that it has seen, by what they say
}

// Agents walk from their application through every page of signing in and back,
// at the whole server over HTTP. CHATELAINE_PICTURES names a folder for pictures.
func TestAgentsWalkThroughTheHouse(t *testing.T) {
	t.Parallel()
	r := &walkers{}
	r.browser, r.axe = chromium(t)
	for _, walk := range []struct {
		name string
		test func(*testing.T, *walkers, manner)
		how  []manner
	}{
		{"a second step is asked for, put off, and then set up", factorIsDue, []manner{atADesk, byKeyboard, onAPhone}},
		{"a passkey is set up, is a second step, and is the whole sign-in", passkeyServes, []manner{atADesk}},
		{"a browser is remembered until the password changes", browserIsRemembered, []manner{atADesk, onAPhone}},
		{"an application asks for more than the session has", applicationAsksForMore, []manner{atADesk}},
		{"a password is forgotten", passwordIsForgotten, []manner{atADesk, byKeyboard, onAPhone}},
		{"an agent is invited", agentIsInvited, []manner{atADesk}},
		{"an account is locked", accountIsLocked, []manner{atADesk, onAPhone}},
		{"a passkey opens a locked account", passkeyOpensALockedAccount, []manner{atADesk}},
		{"a password expires", passwordExpires, []manner{atADesk, onAPhone}},
		{"one session at a time", sessionsAreFull, []manner{atADesk, onAPhone}},
		{"the glass is broken", glassIsBroken, []manner{atADesk, onAPhone}},
	} {
		for _, how := range walk.how {
			t.Run(walk.name+" "+how.name, func(t *testing.T) {
				t.Parallel()
				walk.test(t, r, how)
			})
		}
	}
}

// want checks what the desk was told.
func (h *walked) want(asked request, answer, want string) {
	h.t.Helper()
	if got := h.redeem(asked, answer).String(); got != want {
		h.t.Errorf("the desk was told %s, not %s", got, want)
	}
}

func factorIsDue(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "two_factor: {required_roles: [supervisors], grace_days: 7, remember_days: 14}")
	w := r.window(t, h, how)
	asked := h.begin()
	w.open(asked.url)
	w.says("Sign in", "to continue to Agent Desk")
	w.signIn(raj, "wrong")
	w.says("don’t match an account here")
	w.signIn(raj, agentPassword)
	w.says("Set up a second step", "You will need it to sign in from")
	w.press("skip")
	h.want(asked, w.back(), "aal1 by pwd")
	w.open("/account")
	w.says("You will need a second step to sign in from")

	h.pass(8 * 24 * time.Hour)
	asked = h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("Set up a second step", "asks for more than a password")
	w.lacks("skip")
	w.open(asked.url) // there is no way around
	w.says("to continue to Agent Desk")
	w.signIn(raj, agentPassword)
	w.says("Set up a second step")
	w.follow("Can’t scan it?")
	seed := eval[string](w, "document.getElementById('seed').textContent")
	h.secret(seed, strings.ReplaceAll(seed, " ", ""))
	w.fill("code", "000000")
	w.fill("name", "Phone of Raj")
	w.press("continue")
	w.says("That code doesn’t work")
	w.follow("Can’t scan it?")
	if again := eval[string](w, "document.getElementById('seed').textContent"); again != seed {
		t.Errorf("after a wrong code the key is another: %s, not %s", again, seed)
	}
	w.fill("code", h.code(seed))
	w.press("continue")
	w.says("Your recovery codes", "They are shown now and never again")
	codes := w.keepCodes(10)
	w.press("saved")
	w.press("continue")
	h.want(asked, w.back(), "aal2 by mfa+otp+pwd")
	h.letter(raj, "An authenticator app was added")

	// From another browser the code is asked for, and each counts once.
	other := r.window(t, h, how)
	h.pass(31 * time.Second)
	asked = h.begin()
	other.open(asked.url)
	other.signIn(raj, agentPassword)
	other.says("One more step", "You are signing in as "+raj)
	once := h.code(seed)
	other.fill("code", once)
	other.press("continue")
	h.want(asked, other.back(), "aal2 by mfa+otp+pwd")
	third := r.window(t, h, how)
	asked = h.begin()
	third.open(asked.url)
	third.signIn(raj, agentPassword)
	third.says("One more step")
	third.fill("code", once)
	third.press("continue")
	third.says("That code doesn’t work")
	third.follow("Use a recovery code")
	third.fill("recovery", codes[0])
	third.press("recovery-continue")
	h.want(asked, third.back(), "aal2 by mfa+pwd+recovery")
	h.letter(raj, "One of your recovery codes was used")
	fourth := r.window(t, h, how)
	fourth.open(h.begin().url)
	fourth.signIn(raj, agentPassword)
	fourth.follow("Use a recovery code")
	fourth.fill("recovery", codes[0])
	fourth.press("recovery-continue")
	fourth.says("That recovery code doesn’t work")
	fourth.wait("document.getElementById('recovery').checkVisibility()", "shows the field again")
	fourth.follow("Cancel and go back to Agent Desk")
	if answer := fourth.back(); !strings.Contains(answer, "error=access_denied") {
		t.Errorf("who cancels goes back with %s", answer)
	}
}

// keepCodes reads the codes of the page and of the file that it offers; they are
// on paper too.
func (w *window) keepCodes(n int) []string {
	w.t.Helper()
	codes := eval[[]string](w, "[...document.querySelectorAll('#codes li')].map(e => e.textContent.trim())")
	w.h.secret(codes...)
	if len(codes) != n {
		w.t.Fatalf("%d codes", len(codes))
	}
	href := eval[string](w, "document.getElementById('download').href")
	text, err := url.PathUnescape(href[strings.Index(href, ",")+1:])
	if err != nil || !strings.Contains(text, strings.Join(codes, "\r\n")) {
		w.t.Errorf("%v: the file is %q", err, text)
	}
	dir := w.t.TempDir()
	id := chromedp.FromContext(w.tab).BrowserContextID
	if _, err := chromedp.CallBrowser(w.tab, cdpbrowser.SetDownloadBehavior, cdpbrowser.SetDownloadBehaviorParams{Behavior: cdpbrowser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: id, DownloadPath: dir}); err != nil {
		w.t.Fatal(err)
	}
	w.press("download")
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if files, _ := filepath.Glob(dir + "/*-codes.txt"); len(files) == 1 {
			if saved, err := os.ReadFile(files[0]); err == nil && strings.Contains(string(saved), codes[n-1]) {
				break
			}
		}
		if time.Since(begin) > 10*time.Second {
			w.fail("the file was not saved")
		}
	}
	if w.noScript { // no buttons that do nothing
		if eval[bool](w, "document.getElementById('print').checkVisibility()") {
			w.t.Error("there is a button to print that does nothing")
		}
		return codes
	}
	eval[chromedp.Void](w, "window.print = () => { window.printed = true; }")
	w.press("print")
	w.wait("window.printed === true", "prints")
	return codes
}

func passkeyServes(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "two_factor: {required_roles: [supervisors], grace_days: 0, remember_days: 14}")
	w := r.window(t, h, how)
	w.holdDevice()
	asked := h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("Set up a second step", "Create a passkey")
	w.unlock(true)
	w.press("passkey")
	w.says("Your recovery codes")
	w.keepCodes(10)
	w.press("saved")
	w.press("continue")
	h.want(asked, w.back(), "phr by hwk+mfa+pwd+user")
	h.letter(raj, "A passkey was added")

	// After the password it is the second step; a code of an app is none of Raj's.
	w.unlock(false)
	w.leave()
	asked = h.begin()
	w.open(asked.url)
	w.signIn(raj, agentPassword)
	w.says("One more step", "Use a passkey")
	w.lacks("code")
	w.press("remember")
	w.unlock(true)
	w.press("passkey")
	h.want(asked, w.back(), "phr by hwk+mfa+pwd+user")

	// Picked in the field for the address, it is all that is needed.
	w.leave()
	asked = h.begin()
	w.open(asked.url)
	h.want(asked, w.back(), "phr by hwk+mfa+user")
	w.unlock(false)

	// By its button too.
	w.leave()
	asked = h.begin()
	w.open(asked.url)
	w.says("Use a passkey")
	w.offer()
	h.want(asked, w.back(), "phr by hwk+mfa+user")
}

// leave forgets all that this browser was told.
func (w *window) leave() {
	w.t.Helper()
	w.do(command(network.ClearBrowserCookies, struct{}{}))
}

func browserIsRemembered(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "two_factor: {remember_days: 14}", kimAgent)
	w := r.window(t, h, how)
	in := func(want string) {
		t.Helper()
		asked := h.begin("prompt", "login")
		w.open(asked.url)
		w.signIn(kim, agentPassword)
		h.want(asked, w.back(), want)
	}
	asked := h.begin()
	w.open(asked.url)
	w.signIn(kim, agentPassword)
	w.says("One more step", "Don’t ask again in this browser for 14 days")
	w.press("remember")
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	h.want(asked, w.back(), "aal2 by mfa+otp+pwd")
	w.open("/oauth/logout")
	w.says("Sign out of Acme Support?")
	w.press("confirm")
	w.says("You are signed out")
	in("aal1 by pwd")
	h.pass(13 * 24 * time.Hour)
	in("aal1 by pwd")
	h.pass(2 * 24 * time.Hour)
	w.open(h.begin("prompt", "login").url)
	w.signIn(kim, agentPassword)
	w.says("One more step")
	w.press("remember")
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	w.back()
	in("aal1 by pwd")

	h.control("agents/set-password", map[string]any{"email": kim, "password": next}, "")
	asked = h.begin()
	w.open(asked.url)
	w.signIn(kim, next)
	w.says("One more step")
	h.pass(31 * time.Second)
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	h.want(asked, w.back(), "aal2 by mfa+otp+pwd")
}

// forgetSession ends this browser's session, of all that it was told.
func forgetSession() (cdp.Command[network.DeleteCookiesParams, cdp.Empty], network.DeleteCookiesParams) {
	return network.DeleteCookies, network.DeleteCookiesParams{Name: "session", Domain: "localhost"}
}

func applicationAsksForMore(t *testing.T, r *walkers, how manner) {
	h := newWalked(t, "two_factor: {remember_days: 14}", kimAgent)
	w := r.window(t, h, how)
	asked := h.begin()
	w.open(asked.url)
	w.signIn(kim, agentPassword)
	w.press("remember")
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	w.back()
	w.open("/oauth/logout")
	w.press("confirm")
	w.says("You are signed out")
	asked = h.begin("login_hint", kim)
	w.open(asked.url)
	w.wait("document.getElementById('email').value === '"+kim+"'", "knows who it is")
	w.fill("password", agentPassword)
	w.press("continue")
	h.want(asked, w.back(), "aal1 by pwd")

	// Who has a session is asked for what it lacks, and the browser that is remembered
	// does not stand in for it.
	h.pass(31 * time.Second)
	asked = h.begin("acr_values", "phr aal2")
	w.open(asked.url)
	w.says("to continue to Agent Desk")
	w.signIn(kim, agentPassword)
	w.says("One more step")
	w.fill("code", h.code(kimSeed))
	w.press("continue")
	h.want(asked, w.back(), "aal2 by mfa+otp+pwd")
	asked = h.begin("acr_values", "aal2")
	w.open(asked.url)
	before := h.redeem(asked, w.back())

	// max_age=0: at once again, and whoever will not goes back with nothing.
	h.pass(31 * time.Second)
	asked = h.begin("max_age", "0")
	w.open(asked.url)
	w.says("to continue to Agent Desk")
	w.follow("Cancel and go back to Agent Desk")
	if answer := w.back(); !strings.Contains(answer, "error=access_denied") || !strings.Contains(answer, "state=s") {
		t.Errorf("who cancels goes back with %s", answer)
	}
	asked = h.begin("max_age", "0")
	w.open(asked.url)
	w.signIn(kim, agentPassword)
	if after := h.redeem(asked, w.back()); after.AuthTime <= before.AuthTime {
		t.Errorf("auth_time is %d, and was %d", after.AuthTime, before.AuthTime)
	}

	// A passkey is wished for, and there is none: the desk sees what was shown instead.
	asked = h.begin("acr_values", "phr")
	w.open(asked.url)
	if got := h.redeem(asked, w.back()); got.ACR == "phr" {
		t.Errorf("the desk was told %s", got)
	}
}
