package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// spoken collects what a command prints.
type spoken struct {
	mu sync.Mutex
	b  strings.Builder
}

func (s *spoken) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *spoken) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// startDemo runs the demo on free ports until the test ends, and returns what it
// printed.
func startDemo(t *testing.T) string {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	deskPort, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	shopPort, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	out, faults, ended := &spoken{}, &spoken{}, make(chan int, 1)
	term := &terminal{in: strings.NewReader(""), out: out, err: faults, environ: []string{"CHATELAINE_ARGON2_MEMORY_KIB=8", "CHATELAINE_ARGON2_TIME=1"}}
	go func() {
		ended <- run(ctx, term, []string{"demo", "--listen", "127.0.0.1:" + port, "--public-url", "http://localhost:" + port, "--desk-listen", "127.0.0.1:" + deskPort, "--shop-listen", "127.0.0.1:" + shopPort})
	}()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(faults)
		}
		stop()
		select {
		case code := <-ended:
			if code != exitDone {
				t.Errorf("the demo ended with %d: %s", code, faults)
			}
		case <-time.After(20 * time.Second):
			t.Error("the demo does not stop")
		}
	})
	for begin := time.Now(); !strings.Contains(out.String(), "The identity provider itself"); time.Sleep(20 * time.Millisecond) {
		if time.Since(begin) > 20*time.Second {
			t.Fatalf("the demo is not ready: %s", faults)
		}
	}
	return out.String()
}

type step = chromedp.Action[chromedp.Void]

// browser opens a window of Chromium; windows share no cookies.
func browser(t *testing.T, more ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("chromium is not installed")
		}
		t.Skip("chromium is not installed")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.NoSandbox, chromedp.NoFirstRun, chromedp.Headless, chromedp.DisableGPU,
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.WindowSize(1180, 900),
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), append(options, more...)...)
	t.Cleanup(stop)
	tab, closeTab := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		chromedp.Cancel(tab)
		closeTab()
	})
	if err := chromedp.Do(tab); err != nil {
		t.Fatalf("start Chromium: %v", err)
	}
	limited, cancel := context.WithTimeout(tab, 90*time.Second)
	t.Cleanup(cancel)
	return limited
}

// picture keeps a screenshot if CHATELAINE_PICTURES names a folder.
func picture(name string) step {
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		dir := os.Getenv("CHATELAINE_PICTURES")
		if dir == "" {
			return nil
		}
		png, err := chromedp.FullScreenshot(100)(ctx, target)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name+".png"), png, 0o600)
	})
}

func do(t *testing.T, tab context.Context, steps ...step) {
	t.Helper()
	if err := chromedp.Do(tab, steps...); err != nil {
		text, _ := chromedp.Run(tab, chromedp.Evaluate[string]("location.href + document.body.innerText"))
		t.Fatalf("%v; the page says:\n%s", err, text)
	}
}

// says waits until an element shows the text, over navigations too.
func says(selector, text string) step {
	look := chromedp.Evaluate[bool](`(document.querySelector("` + selector + `")?.textContent || "").includes("` + text + `")`)
	return chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		for begin := time.Now(); time.Since(begin) < 15*time.Second; time.Sleep(30 * time.Millisecond) {
			if ok, err := look(ctx, target); err == nil && ok {
				return nil
			}
		}
		return errors.New(selector + " never says " + text)
	})
}

func found(t *testing.T, text, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("%q is not in:\n%s", pattern, text)
	}
	return m[1]
}

func TestTheDemoCanBeClickedThrough(t *testing.T) {
	t.Parallel()
	agent := browser(t)
	said := startDemo(t)
	desk := found(t, said, `Sign in as Raj: +(\S+)`)
	panel := found(t, said, `(http://\S+/administrator/\S+)`)
	password := found(t, said, `raj@acme.example +password (\S+)`)
	signIn := []step{
		chromedp.SendKeys("input[name=email]", demoRaj),
		chromedp.SendKeys("input[name=password]", password),
		chromedp.Click("#continue"),
		says("#state", "open"),
	}
	do(t, agent, chromedp.Navigate(desk), picture("desk-signed-out"), chromedp.Click("#sign-in"), chromedp.WaitVisible("input[name=email]"), picture("hosted-sign-in"))
	do(t, agent, signIn...)
	do(t, agent, says("#name", "Raj Patel"), says("#roles", "agents"),
		chromedp.Click(`button[data-action="chat.join"][data-from="127.0.0.1"]`), says("#answer", "By asking Chatelaine: allowed"), picture("desk-allowed"), chromedp.EmulateViewport(390, 844), picture("desk-phone"), chromedp.EmulateViewport(1180, 900),
		chromedp.Click(`button[data-action="chat.join"][data-from="`+demoElse+`"]`), says("#answer", "By the token alone: refused: ip_not_allowed"), says("#answer", "By asking Chatelaine: refused: ip_not_allowed"), picture("desk-refused"),
		chromedp.Click(`button[data-action="visitor.ban"][data-from="127.0.0.1"]`), says("#answer", "refused: permission_missing"))

	// An administrator, in a window of their own, gives and takes a role.
	administrator := browser(t)
	do(t, administrator, chromedp.Navigate(panel), picture("administrator"), chromedp.Click(`button[name=role][value="`+demoRaj+`"]`), says(".done", "is a supervisor now"))
	do(t, agent, chromedp.Reload(), says("#state", "open"), says("#roles", "agents"))
	do(t, administrator, chromedp.Click(`button[name=role][value="`+demoRaj+`"]`), says(".done", "no supervisor now"))
	do(t, agent, says("#log", "your roles changed"), says("#log", "a new token was issued"), says("#state", "open"))
	do(t, administrator, chromedp.Click(`button[name=end][value="`+demoRaj+`"]`), says(".done", "1 session ended"), picture("administrator-done"))
	do(t, agent, says("#state", "closed by the chat backend"), says("#log", "an administrator ended your sessions"), chromedp.WaitVisible("#signed-out"), picture("desk-ended"))

	// The browser's own session is gone too: the password is asked for again.
	do(t, agent, chromedp.Click("#signed-out a"), chromedp.WaitVisible("input[name=email]"))
	do(t, agent, signIn...)
	do(t, agent, chromedp.Click("#sign-out"), chromedp.WaitVisible("#sign-in"))
}

// A newcomer follows the link of a mail that nobody sent.
func TestAForgottenPasswordOfTheDemoIsReplacedByItsOutbox(t *testing.T) {
	t.Parallel()
	agent := browser(t)
	said := startDemo(t)
	desk := found(t, said, `Sign in as Raj: +(\S+)`)
	outbox := found(t, said, `(http://\S+/outbox/\S+)`)
	do(t, agent, chromedp.Navigate(outbox), says("h1", "No mail yet"), picture("outbox-empty"), chromedp.Navigate(desk), chromedp.Click("#sign-in"),
		chromedp.Click(`a[href*="/forgot"]`), chromedp.SendKeys("input[name=email]", demoRaj), chromedp.Click("#continue"), says("h1", "Look into your mail"))
	do(t, agent, chromedp.Navigate(outbox), says("main", "Choose a new password for Acme Support"), picture("outbox"),
		chromedp.Click("table a"), says("h1", "Choose a new password"), picture("outbox-letter"), chromedp.ScrollIntoView("a.link"), says("pre", "Hello Raj Patel,"),
		chromedp.Click("a.link"), chromedp.SendKeys("input[name=new_password]", "Nine-Quiet-Harbours-7"), chromedp.SendKeys("input[name=confirm_password]", "Nine-Quiet-Harbours-7"),
		chromedp.Click("#continue"), says("h1", "Your new password works"), picture("reset-done"))
	do(t, agent, chromedp.Navigate(outbox), says("main", "Your account at Acme Support has a new password"))
	html, err := http.Get(outbox + "/1/html")
	if err != nil {
		t.Fatal(err)
	}
	html.Body.Close()
	if html.StatusCode != http.StatusOK || !strings.Contains(html.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("the HTML of a mail: %d %v", html.StatusCode, html.Header)
	}
	for _, path := range []string{"/outbox", "/outbox/", "/outbox/wrong", "/outbox/wrong/1", "/outbox/wrong/1/html"} {
		resp, err := http.Get(desk + path)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s answers %d without the key", path, resp.StatusCode)
		}
	}
}
