package templates

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// axeVersion is the axe-core that pages are checked with.
const axeVersion = "4.14.1"

// need skips a test on a laptop that lacks a program, and fails it in CI.
func need(t *testing.T, program string) string {
	t.Helper()
	found, err := exec.LookPath(program)
	if err != nil {
		lack(t, program+" is not installed")
	}
	return found
}

func lack(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// axeScript is axe-core's source.
func axeScript(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(npmPackage(t, "axe-core", axeVersion), "axe.min.js"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// npmPackage is the folder of a package, fetched once from npm into the user's cache.
func npmPackage(t *testing.T, name, version string) string {
	t.Helper()
	npm := need(t, "npm")
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = t.TempDir()
	}
	prefix := filepath.Join(cache, "chatelaine-test", name+"-"+version)
	folder := filepath.Join(prefix, "node_modules", name)
	if _, err := os.Stat(filepath.Join(folder, "package.json")); err != nil {
		out, err := exec.Command(npm, "install", "--prefix", prefix, "--ignore-scripts", "--no-audit", "--no-fund", name+"@"+version).CombinedOutput()
		if err != nil {
			lack(t, fmt.Sprintf("npm install %s: %v: %s", name, err, out))
		}
	}
	return folder
}

// browser is one tab of a Chromium, and the server it looks at.
type browser struct {
	tab context.Context
	url string // of the server

	mu     sync.Mutex
	posted []string                                 // "path?body" of every form sent
	answer func(http.ResponseWriter, *http.Request) // to script: POSTs to …/options and …/check; nil: 404
	said   []string                                 // what the console complained of
}

// openBrowser starts Chromium, and a server that shows the samples under
// /page/{locale}/{name} with a Content-Security-Policy as strict as web's.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	chromium := need(t, "chromium")
	b := &browser{}
	server := httptest.NewServer(b.handler(t))
	t.Cleanup(server.Close)
	b.url = server.URL
	allocator, stop := chromedp.NewExecAllocator(context.Background(),
		chromedp.ExecPath(chromium), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Headless, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-sync", true), chromedp.Flag("hide-scrollbars", true))
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(tab)
		closeTab()
	})
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	console := chromedp.Console(tab)
	go func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if strings.HasSuffix(m.URL, "/favicon.ico") || strings.HasSuffix(m.URL, "/options") { // asked for where a form arrives; by script that says so in the page
				continue
			}
			b.mu.Lock()
			b.said = append(b.said, m.String())
			b.mu.Unlock()
		}
	}()
	limited, cancel := context.WithTimeout(tab, 5*time.Minute)
	t.Cleanup(cancel)
	b.tab = limited
	call(t, b, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	return b
}

// do runs steps in the tab.
func (b *browser) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.tab, steps...); err != nil {
		t.Fatal(err)
	}
}

// eval is what an expression is in the tab.
func eval[T any](t *testing.T, b *browser, expression string) T {
	t.Helper()
	v, err := chromedp.Run(b.tab, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// call sends a command of the DevTools protocol.
func call[P, R any](t *testing.T, b *browser, command cdp.Command[P, R], params P) {
	t.Helper()
	if _, err := chromedp.Call(b.tab, command, params); err != nil {
		t.Fatal(err)
	}
}

// open shows a sample.
func (b *browser) open(t *testing.T, locale, name string) {
	t.Helper()
	b.do(t, chromedp.Navigate(b.url+"/page/"+locale+"/"+name))
}

// script switches the pages' script on or off.
func (b *browser) script(t *testing.T, on bool) {
	t.Helper()
	call(t, b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !on})
}

// media makes the tab prefer what the features say.
func (b *browser) media(t *testing.T, features ...*emulation.MediaFeature) {
	t.Helper()
	call(t, b, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: features})
}

func (b *browser) handler(t *testing.T) http.Handler {
	renderer := New()
	mux := http.NewServeMux()
	mux.Handle("GET /static/", Static())
	mux.Handle("GET /acme/static/", http.StripPrefix("/acme", Static()))
	mux.HandleFunc("GET /page/{locale}/{name}", func(w http.ResponseWriter, r *http.Request) {
		page := samples(r.PathValue("locale"))[r.PathValue("name")]
		switch post := page.(type) {
		case FormPostPage:
			post.Action = b.url + "/callback"
			page = post
		case ProviderPostPage:
			post.Action = b.url + "/sso"
			page = post
		case SingleSignOutPage:
			if post.Action != "" {
				post.Action = b.url + "/slo"
			}
			page = post
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; script-src 'nonce-bm9uY2U'; style-src 'self' 'nonce-bm9uY2U'; img-src 'self' data:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		if err := renderer.Render(w, page); err != nil {
			t.Errorf("%s: %v", r.URL, err)
		}
	})
	mux.HandleFunc("GET /favicon.ico", http.NotFound)
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		r.ParseForm()
		if last := path.Base(r.URL.Path); last == "options" || last == "check" {
			b.answering()(w, r)
			return
		}
		b.mu.Lock()
		b.posted = append(b.posted, r.URL.Path+"?"+r.PostForm.Encode())
		b.mu.Unlock()
		fmt.Fprint(w, "received")
	})
	return mux
}

// answers sets what script is told; nil: there is nothing of that name.
func (b *browser) answers(f func(http.ResponseWriter, *http.Request)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answer = f
}

func (b *browser) answering() func(http.ResponseWriter, *http.Request) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.answer == nil {
		return http.NotFound
	}
	return b.answer
}

// sent are the forms that arrived since it was last asked.
func (b *browser) sent() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	forms := b.posted
	b.posted = nil
	return forms
}

// complaints are what the console said since it was last asked.
func (b *browser) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	said := b.said
	b.said = nil
	return said
}

const axeRun = `axe.run(document, {resultTypes: ["violations"], runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})
	.then(r => r.violations.map(v => v.id + ": " + v.help + ": " + v.nodes.map(n => n.target + " " + n.failureSummary).join(" | ")))`

// The walks share one Chromium, so they run one after another.
func TestPagesInChromium(t *testing.T) {
	t.Parallel()
	b := openBrowser(t)
	for _, walk := range []struct {
		name string
		test func(*testing.T, *browser)
	}{
		{"every page is accessible", everyPageIsAccessible},
		{"targets are big enough for a thumb", targetsAreBigEnough},
		{"forced colours keep the shapes", forcedColoursKeepTheShapes},
		{"the keyboard goes through a page in its order", keyboardOrder},
		{"signing in needs the keyboard only", keyboardOnly},
		{"a link in the summary leads into its field", summaryLinks},
		{"a password can be shown and is sent hidden", showPassword},
		{"consent is deaf for half a second", consentIsDeaf},
		{"consent works without script", consentWithoutScript},
		{"an answer goes on by itself or by its button", formPost},
		{"a form goes once", formGoesOnce},
		{"a passkey is made and used", passkeyIsMadeAndUsed},
		{"a passkey offers itself in the field", passkeyOffersItself},
		{"a passkey that fails says why and can be tried again", passkeyFails},
		{"where there are no passkeys the page says so", noPasskeys},
		{"rules are ticked while one types, as far as they are known", rulesAreTicked},
		{"codes can be kept in three ways", codesAreKept},
		{"times are the reader's own", timesAreTheReaders},
		{"a widget signs its visitor in", widgetSignsIn},
		{"a visitor's code is told to its origin only", codeIsToldToItsOriginOnly},
	} {
		t.Run(walk.name, func(t *testing.T) {
			b.script(t, true)
			b.media(t)
			b.answers(nil)
			b.do(t, chromedp.EmulateViewport(1280, 900))
			walk.test(t, b)
			for _, said := range b.complaints() {
				t.Errorf("console: %s", said)
			}
		})
	}
}

// Every page in light and dark, on a desk and on a phone, and right to left:
// nothing sticks out, axe-core finds nothing. CHATELAINE_SCREENSHOTS names a
// folder for pictures.
func everyPageIsAccessible(t *testing.T, b *browser) {
	axe := axeScript(t)
	for _, view := range []struct {
		name, locale, scheme string
		width, height        int64
		axe                  bool // the other two have no colour, order or direction that these have not
	}{
		{"desk-light", "en", "light", 1280, 900, true},
		{"desk-dark", "fr", "dark", 1280, 900, false},
		{"phone-light", "de", "light", 360, 740, false},
		{"phone-dark-rtl", "ar", "dark", 360, 740, true},
	} {
		b.media(t, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: view.scheme})
		b.do(t, chromedp.EmulateViewport(view.width, view.height))
		for name := range samples("en") {
			if goesOn[name] != "" { // it has a walk of its own
				continue
			}
			b.open(t, view.locale, name)
			b.screenshot(t, view.name+"-"+name)
			if over := eval[int](t, b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
				t.Errorf("%s: %s is %d px too wide", view.name, name, over)
			}
			if !view.axe {
				continue
			}
			eval[chromedp.Void](t, b, axe)
			for _, v := range eval[[]string](t, b, axeRun) {
				t.Errorf("%s: %s: %s", view.name, name, v)
			}
		}
	}
}

func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("CHATELAINE_SCREENSHOTS")
	if dir == "" {
		return
	}
	// A viewport as high as the page: FullScreenshot shifts pages that are read from right to left.
	size := eval[[3]int64](t, b, `[innerWidth, innerHeight, Math.max(innerHeight, document.documentElement.scrollHeight)]`)
	b.do(t, chromedp.EmulateViewport(size[0], size[2]))
	picture, err := chromedp.Run(b.tab, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatal(err)
	}
	b.do(t, chromedp.EmulateViewport(size[0], size[1]))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		t.Fatal(err)
	}
}

// focused names what has the focus by id, or by its words.
const focused = `(e => e === document.body ? "nothing" : e.id || e.getAttribute("aria-controls") && "show " + e.getAttribute("aria-controls") || e.textContent.trim())(document.activeElement)`

// settled waits until the focus is where a page puts it.
func (b *browser) settled(t *testing.T, at string) {
	t.Helper()
	for range 40 {
		if eval[string](t, b, focused) == at {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("%s has the focus, not %s", eval[string](t, b, focused), at)
}

func keyboardOrder(t *testing.T, b *browser) {
	for name, want := range map[string][]string{
		"sign_in":              {"email", "password", "show password", "continue", "English", "Deutsch"},
		"sign_in_known_email":  {"password", "show password", "continue"},
		"sign_in_wrong":        {"problem", "e-mail address", "password", "Or reset your password.", "email", "Forgot your password?", "password", "show password", "continue"},
		"sign_in_everything":   {"email", "Forgot your password?", "password", "show password", "continue", "connection-corp", "connection-entra", "Cancel and go back to Agent Desk"},
		"sign_in_email_wanted": {"problem", "email", "password"},
		"set_up_problems":      {"problem", "Enter an e-mail address like name@example.com.", "At least 8 characters"},
		"error":                {"nothing", "Skip to content", "For the developer"},
	} {
		b.open(t, "en", name)
		b.settled(t, want[0])
		got := []string{eval[string](t, b, focused)}
		for len(got) < len(want) {
			b.do(t, chromedp.KeyEvent(kb.Tab))
			got = append(got, eval[string](t, b, focused))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: the focus went %q, want %q", name, got, want)
		}
	}
}

func keyboardOnly(t *testing.T, b *browser) {
	b.open(t, "en", "sign_in")
	b.settled(t, "email")
	b.do(t, chromedp.KeyEvent("raj@acme.example"), chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent("correct horse"), chromedp.KeyEvent(kb.Enter), chromedp.WaitNotPresent(chromedp.ID("continue")))
	b.expect(t, "/sign-in/f1?email=raj%40acme.example&password=correct+horse")
}

// expect checks which forms arrived.
func (b *browser) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := b.sent(); !slices.Equal(got, want) {
		t.Errorf("sent %q, want %q", got, want)
	}
}

// enter presses Enter as a keyboard does: chromedp's own sends the character
// apart, which then falls into the field that the link has led to.
func enter(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
	key := input.DispatchKeyEventParams{Type: kb.KeyDown, Key: "Enter", Code: "Enter", Text: "\r", UnmodifiedText: "\r", WindowsVirtualKeyCode: 13}
	if _, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key); err != nil {
		return chromedp.Void{}, err
	}
	key.Type, key.Text, key.UnmodifiedText = kb.KeyUp, "", ""
	_, err := cdp.Call(ctx, t, input.DispatchKeyEvent, key)
	return chromedp.Void{}, err
}

func summaryLinks(t *testing.T, b *browser) {
	for _, script := range []bool{true, false} {
		b.script(t, script)
		b.open(t, "en", "sign_in_wrong")
		b.settled(t, "problem")
		b.do(t, chromedp.KeyEvent(kb.Tab), chromedp.KeyEvent(kb.Tab), enter, chromedp.Sleep(100*time.Millisecond))
		if at := eval[string](t, b, `document.activeElement.name || document.activeElement.outerHTML`); at != "password" {
			t.Errorf("script %v: the link led to %s", script, at)
		}
	}
}

func showPassword(t *testing.T, b *browser) {
	const kind = `document.getElementById("password").type`
	b.open(t, "en", "sign_in")
	b.do(t, chromedp.SendKeys(chromedp.ID("password"), "correct horse"), chromedp.Click(chromedp.CSS(".reveal")))
	if got, pressed := eval[string](t, b, kind), eval[string](t, b, `document.querySelector(".reveal").ariaPressed`); got != "text" || pressed != "true" {
		t.Errorf("shown: type %s, pressed %s", got, pressed)
	}
	b.screenshot(t, "password-shown")
	b.do(t, chromedp.Click(chromedp.CSS(".reveal")))
	if got := eval[string](t, b, kind); got != "password" {
		t.Errorf("hidden again: type %s", got)
	}
	b.script(t, false)
	b.open(t, "en", "sign_in")
	if eval[bool](t, b, `document.querySelector(".reveal").checkVisibility()`) {
		t.Error("there is a button that does nothing without script")
	}
}

func consentIsDeaf(t *testing.T, b *browser) {
	const click = `(b => { const deaf = b.disabled; b.click(); return deaf; })(document.getElementById("allow"))`
	b.open(t, "en", "consent")
	if !eval[bool](t, b, click) {
		t.Error("the button works at once")
	}
	b.do(t, chromedp.WaitEnabled(chromedp.ID("allow")))
	// The window loses the focus, as it does to one that opens above it, and gets it back.
	eval[chromedp.Void](t, b, `dispatchEvent(new Event("blur")); dispatchEvent(new Event("focus"))`)
	if !eval[bool](t, b, click) {
		t.Error("the button works at once after the window was away")
	}
	b.expect(t)
	b.do(t, chromedp.WaitEnabled(chromedp.ID("allow")), chromedp.Click(chromedp.ID("allow")), chromedp.WaitNotPresent(chromedp.ID("allow")))
	b.expect(t, "/consent/f1?csrf=c5rf&decision=allow")
}

func consentWithoutScript(t *testing.T, b *browser) {
	b.script(t, false)
	b.open(t, "en", "consent")
	b.do(t, chromedp.Click(chromedp.ID("deny")), chromedp.WaitNotPresent(chromedp.ID("deny")))
	b.expect(t, "/consent/f1?csrf=c5rf&decision=deny")
}

// goesOn are the pages that go on by themselves, and what they send.
var goesOn = map[string]string{
	"form_post":            "/callback?code=SplxlOBeZQQYbYS6WxSbIA&state=af0ifjsldkj",
	"provider_post":        "/sso?RelayState=r1&SAMLRequest=PHNhbWxwOkF1dGhuUmVxdWVzdC8%2B",
	"single_sign_out_post": "/slo?SAMLRequest=eA%3D%3D",
}

func formPost(t *testing.T, b *browser) {
	for name, answer := range goesOn {
		b.script(t, true)
		b.open(t, "en", name)
		b.do(t, chromedp.WaitNotPresent(chromedp.ID("continue")))
		b.expect(t, answer)
		b.script(t, false)
		b.open(t, "en", name)
		b.screenshot(t, name)
		b.expect(t)
		b.do(t, chromedp.Click(chromedp.ID("continue")), chromedp.WaitNotPresent(chromedp.ID("continue")))
		b.expect(t, answer)
	}
}

func formGoesOnce(t *testing.T, b *browser) {
	b.open(t, "en", "sign_in")
	eval[chromedp.Void](t, b, `for (let i = 0; i < 3; i++) document.getElementById("continue").click()`)
	b.do(t, chromedp.WaitNotPresent(chromedp.ID("continue")), chromedp.Sleep(200*time.Millisecond))
	b.expect(t, "/sign-in/f1?email=&password=")
}

func targetsAreBigEnough(t *testing.T, b *browser) {
	b.do(t, chromedp.EmulateViewport(360, 740))
	for name := range samples("en") {
		if goesOn[name] != "" {
			continue
		}
		b.open(t, "en", name)
		for _, small := range eval[[]string](t, b, `[...document.querySelectorAll("input:not([type=hidden]):not([type=checkbox]):not(.unseen), .check, select, button, summary, .primary, .secondary, .small-button, .foot a, .aside a, .rooms a, .more a")]
			.filter(e => e.checkVisibility() && e.getBoundingClientRect().height < 48).map(e => e.outerHTML + " is " + e.getBoundingClientRect().height + " px high")`) {
			t.Errorf("%s: %s", name, small)
		}
	}
}

// Contrast themes drop our colours: the shapes must not go with them.
func forcedColoursKeepTheShapes(t *testing.T, b *browser) {
	b.media(t, &emulation.MediaFeature{Name: "forced-colors", Value: "active"}, &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "dark"})
	b.open(t, "en", "sign_in_wrong")
	b.screenshot(t, "forced-colors")
	border := eval[string](t, b, `(s => s.borderTopStyle + " " + s.borderTopColor)(getComputedStyle(document.getElementById("continue")))`)
	if !strings.HasPrefix(border, "solid") || strings.Contains(border, "rgba(0, 0, 0, 0)") {
		t.Errorf("the button's border is %s", border)
	}
}
