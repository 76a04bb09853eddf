package account_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

type step = chromedp.Action[chromedp.Void]

// window is a window of Chromium that looks at the house.
type window struct {
	h   *house
	tab context.Context
	n   int // pictures so far
}

// window opens one on a machine that has Chromium.
func (h *house) window(t *testing.T) *window {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Headless, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1180, 900))
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(tab)
		closeTab()
	})
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	limited, cancel := context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(cancel)
	return &window{h: h, tab: limited}
}

func (w *window) do(steps ...step) {
	w.h.t.Helper()
	if err := chromedp.Do(w.tab, steps...); err != nil {
		text, _ := chromedp.Run(w.tab, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
		w.h.t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

func (w *window) open(path string) step { return chromedp.Navigate(w.h.url + path) }

func (w *window) text(selector string) string {
	w.h.t.Helper()
	text, err := chromedp.Run(w.tab, chromedp.Evaluate[string](`document.querySelector(`+fmt.Sprintf("%q", selector)+`)?.textContent || ""`))
	w.h.ok(err)
	return strings.TrimSpace(text)
}

// says waits until the page shows the text, over navigations too; it keeps a
// picture if CHATELAINE_PICTURES names a folder, and lets nothing be wider than
// the window.
func (w *window) says(text string) {
	w.h.t.Helper()
	look := chromedp.Evaluate[bool](fmt.Sprintf("document.readyState === 'complete' && document.body.innerText.includes(%q)", text))
	w.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(30 * time.Millisecond) {
			if ok, err := look(ctx, target); err == nil && ok {
				return nil
			}
		}
		return errors.New("the page never says " + text)
	}))
	if over, err := chromedp.Run(w.tab, chromedp.Evaluate[int]("document.documentElement.scrollWidth - innerWidth")); err != nil || over > 0 {
		w.h.t.Errorf("the page that says %q is %d px too wide: %v", text, over, err)
	}
	w.picture(text)
}

func (w *window) picture(name string) {
	dir := os.Getenv("CHATELAINE_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(w.tab, chromedp.FullScreenshot(100))
	w.h.ok(err)
	w.n++
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune("/:?.<>", r) {
			return -1
		}
		return r
	}, name)
	w.h.ok(os.WriteFile(filepath.Join(dir, fmt.Sprintf("%s-%02d-%s.png", strings.ReplaceAll(w.h.t.Name(), "/", "-"), w.n, name)), png, 0o600))
}

func fill(id, text string) step { return chromedp.SendKeys("#"+id, text) }

func press(id string) step { return chromedp.Click("#" + id) }

// oathtool is what that program, which others wrote, makes of a seed, where the
// machine has it.
func (h *house) oathtool(seed string) string {
	h.t.Helper()
	path, err := exec.LookPath("oathtool")
	if err != nil {
		return h.codeOf(seed)
	}
	out, err := exec.Command(path, "--totp", "--base32", "--now", h.now().UTC().Format("2006-01-02 15:04:05 UTC"), strings.ReplaceAll(seed, " ", "")).Output()
	h.ok(err)
	return strings.TrimSpace(string(out))
}

// script switches the pages' script on or off.
func script(on bool) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
		return err
	})
}

// device gives the window a device with a screen lock.
func device(ctx context.Context, _ *chromedp.Target) error {
	if _, err := chromedp.Call(ctx, webauthn.Enable, webauthn.EnableParams{}); err != nil {
		return err
	}
	_, err := chromedp.Call(ctx, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true, AutomaticPresenceSimulation: true,
	}})
	return err
}

func (w *window) signIn(email string) {
	w.h.t.Helper()
	w.do(w.open("/account"), fill("email", email), fill("password", good), press("continue"))
}

// addApp adds an authenticator app as somebody who types the key, and returns it.
func (w *window) addApp(name string) (seed string) {
	w.h.t.Helper()
	w.do(w.open("/account/factors"), press("add-totp"))
	w.says("scan this code")
	seed = w.text("#seed")
	w.do(fill("code", w.h.oathtool(seed)), fill("name", name), press("continue"))
	return seed
}

// factor is the id of the agent's one factor of that kind.
func (h *house) factor(email, kind string) (id string) {
	h.t.Helper()
	for _, f := range list(h, &store.Authenticators, "agent", h.agent(email).ID) {
		if f.Type == kind {
			id = f.ID
		}
	}
	return id
}

func TestAnAgentLooksAfterTheirAccountInABrowser(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	w := h.window(t)
	w.do(chromedp.Func(device))
	w.signIn(ana)
	w.says("Only your password protects this account")

	seed := w.addApp("Phone of Ana")
	w.says("Your recovery codes")
	w.do(press("saved"), press("continue"))
	w.says("The authenticator app was added.")

	w.do(press("add-passkey"))
	w.says("Name of the passkey")
	w.do(fill("name", "Work laptop"), press("passkey"))
	w.says("The passkey was added.")
	key := h.factor(ana, store.FactorPasskey)
	w.do(chromedp.Click("li:has(#remove-"+key+") summary"), chromedp.Clear("#name-"+key), fill("name-"+key, "Old laptop"), press("rename-"+key))
	w.says("The new name was saved.")
	w.says("Old laptop")

	// A second browser, which is remembered, and an application that it opened.
	other := h.browser()
	half := other.post(other.get("/account").to, form("email", ana, "password", good)).to
	h.pass(31 * time.Second)
	if got := other.post(half, form("code", h.oathtool(seed), "remember", "1")); got.to != "/account" {
		t.Fatal(got.status)
	}
	held := other.allow()
	w.do(w.open("/account/factors"))
	w.says("Firefox on Linux")
	w.do(chromedp.Click("[id^=forget-]"))
	w.says("Forget this browser?")
	w.do(press("confirm"))
	w.says("The browser was forgotten")
	w.do(w.open("/account/apps"))
	w.says("Reports")
	w.do(press("revoke-third"), chromedp.WaitVisible("#confirm"))
	w.says("Take back what Reports may do?")
	w.do(press("confirm"))
	w.says("The application can no longer use your account.")
	if h.lives(held) {
		t.Error("the application goes on")
	}
	w.do(w.open("/account/sessions"))
	w.says("this one")
	w.do(press("end-others"), chromedp.WaitVisible("#confirm"))
	w.says("End your other session?")
	w.do(press("confirm"))
	w.says("You are signed in nowhere else.")
	if !other.get("/account").toSignIn() {
		t.Error("the other session goes on")
	}

	// Later, the passkey is the whole proof that the act asks for.
	h.pass(10 * time.Minute)
	app := h.factor(ana, store.FactorTOTP)
	w.do(w.open("/account/factors"), press("remove-"+app))
	w.says("Remove this authenticator app?") // the device offers the passkey to the sign-in by itself
	w.do(press("confirm"))
	w.says("It was removed")
	w.do(w.open("/account/password"))
	w.says("At least 8 characters")
	w.do(fill("password", good), fill("new_password", better), fill("confirm_password", better), press("continue"))
	w.says("Your password was changed")
	w.do(w.open("/account/activity"))
	w.says("The password was changed")
}

func TestTheAccountNeedsNoScriptAndFitsAPhone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	w := h.window(t)
	w.do(chromedp.EmulateViewport(360, 740), script(false))
	w.signIn(ana)
	w.says("Your account")
	w.addApp("Phone of Ana, which has quite a long name for so small a page")
	w.says("Your recovery codes")
	w.do(press("saved"), press("continue"))
	w.says("The authenticator app was added.")
	app := h.factor(ana, store.FactorTOTP)
	w.do(chromedp.Click("li:has(#remove-"+app+") summary"), chromedp.Clear("#name-"+app), fill("name-"+app, "Phone"), press("rename-"+app))
	w.says("The new name was saved.")
	w.do(press("renew-codes"))
	w.says("Replace your recovery codes?")
	w.do(press("confirm"))
	w.says("Your former codes no longer work.")
	w.do(w.open("/account/profile"), chromedp.Clear("#name"), press("continue"))
	w.says("Enter your name")
	w.do(fill("name", "Ana S. Silva"), press("continue"))
	w.says("Your profile was saved.")
	w.do(w.open("/account/password"), fill("password", "wrong"), fill("new_password", better), fill("confirm_password", better), press("continue"))
	w.says("That is not your current password.")
	w.do(fill("password", good), fill("new_password", better), fill("confirm_password", better), press("continue"))
	w.says("Your password was changed")
	for path, text := range map[string]string{"/account/sessions": "this one", "/account/apps": "No application", "/account/activity": "A second step was added", "/": "You are signed in as"} {
		w.do(w.open(path))
		w.says(text)
	}
	w.do(w.open("/account/factors"), press("remove-"+app))
	w.says("Remove your last second step?")
	w.do(press("confirm"))
	w.says("It was removed")
}
