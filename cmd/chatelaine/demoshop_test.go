package main

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// thirdPartyCookies is a browser whose owner allows them, or not.
func thirdPartyCookies(t *testing.T, wishes string) context.Context {
	t.Helper()
	profile := t.TempDir()
	if err := os.MkdirAll(filepath.Join(profile, "Default"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(profile, "Default", "Preferences"), []byte(`{"profile": `+wishes+`}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return browser(t, chromedp.UserDataDir(profile))
}

const (
	cookiesBlocked = `{"block_third_party_cookies": true, "cookie_controls_mode": 1}`
	cookiesAllowed = `{"block_third_party_cookies": false, "cookie_controls_mode": 0}`
)

// cookieElsewhere is what a page of one site gets back of a cookie that another has
// set: "kept" or "blocked".
func cookieElsewhere(t *testing.T, tab context.Context, wanted string) {
	t.Helper()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		http.SetCookie(w, &http.Cookie{Name: "third", Value: "party", Secure: true, SameSite: http.SameSiteNoneMode})
		if _, err := r.Cookie("third"); err == nil {
			_, _ = io.WriteString(w, "kept")
			return
		}
		_, _ = io.WriteString(w, "blocked")
	}))
	defer other.Close()
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		address := strings.Replace(other.URL, "127.0.0.1", "localhost", 1)
		_, _ = io.WriteString(w, `<p id="got"></p><script>(async () => {
			const ask = async () => (await fetch("`+address+`", { credentials: "include" })).text();
			await ask();
			document.getElementById("got").textContent = await ask();
		})();</script>`)
	}))
	defer page.Close()
	do(t, tab, chromedp.Navigate(page.URL), says("#got", wanted))
}

func TestTheBrowserOfTheShopsWalkBlocksThirdPartyCookies(t *testing.T) {
	t.Parallel()
	cookieElsewhere(t, thirdPartyCookies(t, cookiesAllowed), "kept")
	cookieElsewhere(t, thirdPartyCookies(t, cookiesBlocked), "blocked")
}

// popUp does what opens a window, and steps in that window.
func popUp(t *testing.T, tab context.Context, open step, steps ...step) {
	t.Helper()
	opened := chromedp.WaitNewTarget(tab, func(*target.Info) bool { return true })
	do(t, tab, open)
	select {
	case id := <-opened:
		window, done := chromedp.NewContext(tab, chromedp.WithTargetID(id), chromedp.WithDetachOnCancel())
		defer done()
		do(t, window, steps...)
	case <-time.After(10 * time.Second):
		t.Fatal("no window has opened")
	}
}

func TestAVisitorOfTheDemosShopBecomesKnown(t *testing.T) {
	t.Parallel()
	visitor := thirdPartyCookies(t, cookiesBlocked)
	shop := found(t, startDemo(t), `Be a visitor of the shop[^:]*: (\S+)`)

	do(t, visitor, chromedp.Navigate(shop), chromedp.WaitVisible("#open"), picture("shop"), chromedp.Click("#open"), says("#who", "an anonymous visitor"),
		chromedp.SendKeys("#text", "Do you have longer chains?"), chromedp.Click("#say button"), says("#said", "We do not know who you are"), says("#said", "longer chains"),
		chromedp.Click("#orders"), says("#problem", "Sign in with Acme Club"), picture("shop-anonymous"))

	// The shop's own login: it signs who its customer is, and the conversation goes on.
	do(t, visitor, chromedp.Click("#fold"), chromedp.Click("#login"), chromedp.WaitVisible("button[name=who]"), picture("shop-login"), chromedp.Click("button[value=cust-17]"),
		chromedp.WaitVisible("#open"), chromedp.Click("#open"), says("#who", "Mia Chen (mia@buyers.example), signed by the shop"), says("#said", "longer chains"),
		chromedp.Click("#orders"), says("#said", "Order: Brass key ring"), picture("shop-signed"))

	// The club's, in a pop-up: another person, who has said nothing yet.
	popUp(t, visitor, chromedp.Click("#sign-in"), chromedp.WaitVisible("button[value=club-3]"), picture("club"), chromedp.Click("button[value=club-3]"))
	do(t, visitor, says("#who", "Nora Lind (nora@members.example), signed in with Acme Club"), chromedp.Click("#orders"), says("#said", "Order: Brass key ring"), picture("shop-federated"))

	// Signed out of the chat, until the shop says again who they are. Logged out of the
	// shop, what it signed is over.
	do(t, visitor, chromedp.Click("#sign-out"), says("#who", "an anonymous visitor"), chromedp.Reload(), chromedp.Click("#open"), says("#who", "Mia Chen"))
	do(t, visitor, chromedp.Click("#fold"), chromedp.Click("#logout"), chromedp.WaitVisible("#login"), chromedp.Click("#open"), says("#who", "an anonymous visitor"))
}

func TestTheDemosAgentBansAVisitorAndTheChatGoes(t *testing.T) {
	t.Parallel()
	visitor, agent := thirdPartyCookies(t, cookiesBlocked), browser(t)
	said := startDemo(t)
	shop := found(t, said, `Be a visitor of the shop[^:]*: (\S+)`)
	do(t, visitor, chromedp.Navigate(shop), chromedp.Click("#open"), says("#who", "an anonymous visitor"), chromedp.SendKeys("#text", "Rude words"), chromedp.Click("#say button"), says("#said", "Rude words"))
	popUp(t, visitor, chromedp.Click("#sign-in"), chromedp.WaitVisible("button[value=club-8]"), chromedp.Click("button[value=club-8]"))
	do(t, visitor, says("#who", "Omar Haddad"), says("#said", "Rude words"))

	do(t, agent, chromedp.Navigate(found(t, said, `Sign in as Raj: +(\S+)`)), chromedp.Click("#sign-in"), chromedp.SendKeys("input[name=email]", demoSam),
		chromedp.SendKeys("input[name=password]", found(t, said, `sam@acme.example +password (\S+)`)), chromedp.Click("#continue"), says("#visitors", "Omar Haddad, federated"), picture("desk-visitors"))
	do(t, agent, chromedp.Click("#visitors button"))
	begin := time.Now()
	do(t, visitor, chromedp.WaitNotVisible("#bubble"), picture("shop-banned"))
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("the chat went after %s", took)
	}
	do(t, agent, says("#visitors", "Omar Haddad, federated, banned"))
	do(t, visitor, chromedp.Reload(), chromedp.WaitReady("h1"), chromedp.Sleep(time.Second), chromedp.WaitNotVisible("#bubble"))
	do(t, agent, chromedp.Click("#visitors button"), says("#visitors", "Omar Haddad, federated, gone"))
	do(t, visitor, chromedp.Reload(), chromedp.WaitVisible("#open"), chromedp.Click("#open"), says("#who", "Omar Haddad"), says("#said", "Rude words"))

	// By the command that the demo prints.
	id, err := chromedp.Run(visitor, chromedp.Evaluate[string](`document.getElementById("who").dataset.visitor`))
	if err != nil {
		t.Fatal(err)
	}
	command := strings.Fields(strings.Replace(found(t, said, `chatelaine (visitor ban .* --visitor ID)`), "ID", id, 1))
	out := &spoken{}
	if code := run(t.Context(), &terminal{in: strings.NewReader(""), out: out, err: out}, command); code != exitDone {
		t.Fatalf("%v ends with %d: %s", command, code, out)
	}
	do(t, visitor, chromedp.WaitNotVisible("#bubble"))
}

func TestTheDemosShopSaysWhatItNeedsWithoutScripts(t *testing.T) {
	t.Parallel()
	visitor := browser(t, chromedp.Flag("blink-settings", "scriptEnabled=false"))
	shop := found(t, startDemo(t), `Be a visitor of the shop[^:]*: (\S+)`)
	do(t, visitor, chromedp.Navigate(shop), chromedp.WaitVisible("#no-script"), chromedp.WaitNotVisible("#bubble"), picture("shop-no-script"))
}
