package provider_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/webauthn"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

type step = chromedp.Action[chromedp.Void]

// manner is how somebody uses a browser.
type manner struct {
	name     string
	noScript bool
	keyboard bool // Tab, Enter and the space bar only
	phone    bool
}

var (
	atADesk    = manner{name: "at a desk"}
	byKeyboard = manner{name: "by keyboard", keyboard: true}
	onAPhone   = manner{name: "on a phone without script", noScript: true, phone: true}
)

// chromium starts the one that all walks share, which blocks the cookies of third
// parties, and axe-core where it is at hand.
func chromium(t *testing.T) (browser context.Context, axe string) {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		lacking(t, "chromium is not installed")
	}
	profile := t.TempDir()
	if err := os.Mkdir(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(`{"profile": {"block_third_party_cookies": true, "cookie_controls_mode": 1}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(path), chromedp.UserDataDir(profile), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Headless, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("hide-scrollbars", true))
	t.Cleanup(stop)
	browser, closeBrowser := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(browser)
		closeBrowser()
	})
	if err := chromedp.Do(browser); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	if cache, err := os.UserCacheDir(); err == nil { // the test of templates fetches it
		source, _ := os.ReadFile(filepath.Join(cache, "chatelaine-test", "axe-core-4.14.1", "node_modules", "axe-core", "axe.min.js"))
		axe = string(source)
	}
	return browser, axe
}

// window is a browser of its own: it shares no cookies with another.
type window struct {
	manner
	t   *testing.T
	h   *walked
	tab context.Context
	r   *walkers

	device webauthn.AuthenticatorID

	mu   sync.Mutex
	said []string // what the console complained of
}

func (r *walkers) window(t *testing.T, h *walked, how manner) *window {
	t.Helper()
	tab, closeTab := chromedp.NewContext(r.browser, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	if err := chromedp.Do(tab); err != nil {
		t.Fatal(err)
	}
	w := &window{manner: how, t: t, h: h, r: r}
	console := chromedp.Console(tab)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == "info" || m.Source == "network" && strings.Contains(m.Text, "responded with a status of 4") { // a form that came back
				continue
			}
			w.mu.Lock()
			w.said = append(w.said, m.String())
			w.mu.Unlock()
		}
	}()
	limited, cancel := context.WithTimeout(tab, 2*time.Minute)
	t.Cleanup(cancel)
	w.tab = limited
	t.Cleanup(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, said := range w.said {
			t.Errorf("console: %s", said)
		}
	})
	width, height := int64(1180), int64(900)
	if how.phone {
		width, height = 360, 740
	}
	w.do(chromedp.EmulateViewport(width, height), command(emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true}),
		command(emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: how.noScript}))
	return w
}

func command[P, R any](c cdp.Command[P, R], params P) step {
	return chromedp.Func(func(ctx context.Context, _ *chromedp.Target) error {
		_, err := chromedp.Call(ctx, c, params)
		return err
	})
}

func (w *window) do(steps ...step) {
	w.t.Helper()
	if err := chromedp.Do(w.tab, steps...); err != nil {
		w.fail(err.Error())
	}
}

// fail ends the walk with what the page shows.
func (w *window) fail(why string) {
	w.t.Helper()
	text, _ := chromedp.Run(w.tab, chromedp.Evaluate[string]("location.href + '\\n' + document.body.innerText"))
	w.t.Fatalf("%s; the page says:\n%s", why, text)
}

// eval is what an expression is in the page.
func eval[T any](w *window, expression string) T {
	w.t.Helper()
	for begin := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		v, err := chromedp.Run(w.tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
		if err == nil {
			return v
		}
		if time.Since(begin) > 10*time.Second { // a page that is just being left has no document
			w.t.Fatal(err)
		}
	}
}

func (w *window) open(url string) {
	w.t.Helper()
	if strings.HasPrefix(url, "/") {
		url = w.h.issuer + url
	}
	w.do(chromedp.Navigate(url))
}

// wait waits until the page is whole and the expression true of it, over
// navigations too.
func (w *window) wait(expression, what string) {
	w.t.Helper()
	look := chromedp.Evaluate[bool]("document.readyState === 'complete' && (" + expression + ")")
	w.do(chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(20 * time.Millisecond) {
			if ok, err := look(ctx, target); err == nil && ok {
				return nil
			}
		}
		return errors.New("the page never " + what)
	}))
}

// says waits until the page says all of that, and looks at the page: it is no
// wider than the window, its title and address give nothing away, and axe-core
// finds nothing.
func (w *window) says(texts ...string) {
	w.t.Helper()
	for _, text := range texts {
		w.wait(fmt.Sprintf("document.body.innerText.replace(/\\s+/g, ' ').includes(%q)", text), "says "+text)
	}
	if over := eval[int](w, "document.documentElement.scrollWidth - innerWidth"); over > 0 {
		w.t.Errorf("the page that says %q is %d px too wide", texts, over)
	}
	known := eval[string](w, "document.title + ' ' + location.href")
	for _, secret := range w.h.secretsNow() {
		if strings.Contains(known, secret) && !linkPath.MatchString(eval[string](w, "location.pathname")) {
			w.t.Errorf("a secret is in %s", known)
		}
	}
	if eval[bool](w, "document.body.innerText.includes('Check what you typed and try again')") {
		w.t.Errorf("the page that says %q has no words for a problem", texts)
	}
	w.picture(strings.Join(texts, " "))
	w.accessible(strings.Join(texts, " "))
}

func (h *walked) secretsNow() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]string(nil), h.secrets...)
}

// lacks checks that the page has no such element.
func (w *window) lacks(id string) {
	w.t.Helper()
	if eval[bool](w, fmt.Sprintf("document.getElementById(%q) !== null", id)) {
		w.t.Errorf("the page has %s", id)
	}
}

// back waits until the browser is at the desk, and returns what the desk was
// answered.
func (w *window) back() string {
	w.t.Helper()
	w.wait("document.getElementById('said') !== null", "is the desk's")
	return eval[string](w, "location.href")
}

const axeRun = `axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
	.then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.target + " " + n.failureSummary).join(" | ")))`

// accessible asks axe-core about a page that no walk has shown it yet.
func (w *window) accessible(name string) {
	w.t.Helper()
	if w.r.axe == "" || w.noScript || w.keyboard {
		return
	}
	if _, had := w.r.had.LoadOrStore(name, true); had {
		return
	}
	eval[chromedp.Void](w, w.r.axe)
	for _, found := range eval[[]string](w, axeRun) {
		w.t.Errorf("the page that says %q: %s", name, found)
	}
}

// picture keeps one if CHATELAINE_PICTURES names a folder.
func (w *window) picture(name string) {
	w.t.Helper()
	dir := os.Getenv("CHATELAINE_PICTURES")
	if dir == "" {
		return
	}
	png, err := chromedp.Run(w.tab, chromedp.FullScreenshot(100))
	if err != nil {
		w.t.Fatal(err)
	}
	name = strings.Map(func(r rune) rune {
		if strings.ContainsRune(`/:?.<>"“”`, r) {
			return -1
		}
		return r
	}, fmt.Sprintf("%s-%02d-%.50s", filepath.Base(w.t.Name()), w.h.pictures.Add(1), name))
	if err := os.WriteFile(filepath.Join(dir, strings.ReplaceAll(name, " ", "_")+".png"), png, 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// fill puts a text into the field with that id, in place of what is there.
func (w *window) fill(id, text string) {
	w.t.Helper()
	w.wait(fmt.Sprintf("document.getElementById(%q)?.checkVisibility()", id), "has a field "+id)
	if !w.keyboard {
		w.do(chromedp.Click("#"+id), chromedp.Evaluate[chromedp.Void](fmt.Sprintf("document.getElementById(%q).select()", id)),
			command(input.InsertText, input.InsertTextParams{Text: text}))
		return
	}
	w.reach(id)
	if eval[bool](w, "document.activeElement.value !== ''") {
		w.do(chromedp.KeyEvent(kb.End + strings.Repeat(kb.Backspace, eval[int](w, "document.activeElement.value.length"))))
	}
	w.do(chromedp.KeyEvent(text))
}

// press presses what has that id: a button, a link or a box to tick.
func (w *window) press(id string) {
	w.t.Helper()
	w.wait(fmt.Sprintf("document.getElementById(%q)?.checkVisibility()", id), "has "+id)
	w.pressIt("#"+id, fmt.Sprintf("document.activeElement.id === %q", id))
}

// follow presses the link or the summary with those words.
func (w *window) follow(words string) {
	w.t.Helper()
	w.wait(fmt.Sprintf("[...document.querySelectorAll('a, summary')].some(e => e.textContent.trim() === %q)", words), "has a link "+words)
	eval[chromedp.Void](w, fmt.Sprintf("[...document.querySelectorAll('a, summary')].find(e => e.textContent.trim() === %q).dataset.pressed = 'here'", words))
	w.pressIt("[data-pressed=here]", "document.activeElement.dataset.pressed === 'here'")
	eval[chromedp.Void](w, "delete document.querySelector('[data-pressed=here]')?.dataset.pressed")
}

func (w *window) pressIt(selector, focused string) {
	w.t.Helper()
	if !w.keyboard {
		w.do(chromedp.Click(selector))
		return
	}
	w.tabTo(focused, selector)
	if eval[bool](w, "document.activeElement.type === 'checkbox'") {
		w.do(chromedp.KeyEvent(" "))
		return
	}
	w.do(chromedp.Func(enter))
}

func (w *window) reach(id string) {
	w.t.Helper()
	w.tabTo(fmt.Sprintf("document.activeElement.id === %q", id), id)
}

// tabTo presses Tab until it has the focus, once around the page.
func (w *window) tabTo(focused, what string) {
	w.t.Helper()
	for range 40 {
		if eval[bool](w, focused) {
			return
		}
		w.do(chromedp.KeyEvent(kb.Tab))
	}
	w.fail("Tab never reaches " + what)
}

// enter presses Enter as a keyboard does: the character is not sent apart.
func enter(ctx context.Context, t *chromedp.Target) error {
	key := input.DispatchKeyEventParams{Type: kb.KeyDown, Key: "Enter", Code: "Enter", Text: "\r", UnmodifiedText: "\r", WindowsVirtualKeyCode: 13}
	if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key); err != nil {
		return err
	}
	key.Type, key.Text, key.UnmodifiedText = kb.KeyUp, "", ""
	_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key)
	return err
}

// signIn types the two on the sign-in page; by keyboard, Enter in the second
// field sends them.
func (w *window) signIn(email, password string) {
	w.t.Helper()
	w.fill("email", email)
	w.fill("password", password)
	w.press("continue")
}

// holdDevice gives the window a device with a screen lock. Somebody is there to
// unlock it from unlock(true) on.
func (w *window) holdDevice() {
	w.t.Helper()
	w.do(command(webauthn.Enable, webauthn.EnableParams{}))
	made, err := chromedp.Call(w.tab, webauthn.AddVirtualAuthenticator, webauthn.AddVirtualAuthenticatorParams{Options: &webauthn.VirtualAuthenticatorOptions{
		Protocol: webauthn.AuthenticatorProtocolCtap2, Transport: webauthn.AuthenticatorTransportInternal,
		HasResidentKey: true, HasUserVerification: true, IsUserVerified: true,
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.device = made.AuthenticatorID
}

func (w *window) unlock(there bool) {
	w.t.Helper()
	w.do(command(webauthn.SetAutomaticPresenceSimulation, webauthn.SetAutomaticPresenceSimulationParams{AuthenticatorID: w.device, Enabled: there}))
}

// offer holds the device out to a sign-in page and presses its button. A page that
// takes a passkey from the list of addresses too may have taken it before.
func (w *window) offer() {
	w.t.Helper()
	w.wait("document.getElementById('passkey')?.checkVisibility()", "has passkey")
	w.unlock(true)
	soon, cancel := context.WithTimeout(w.tab, 3*time.Second)
	defer cancel()
	if _, err := chromedp.Run(soon, chromedp.Click("#passkey")); err != nil {
		w.t.Log("the button was gone:", err)
	}
}
