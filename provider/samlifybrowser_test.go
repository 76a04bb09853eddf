package provider_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// What a browser does with forms between sites, of cookies and of policies, no
// client in Go does: the provider is another site here, and takes and sends forms.
func TestChromiumSignsInAndOutAtSamlifyOnAnotherSite(t *testing.T) {
	t.Parallel()
	chromium, _ := chromium(t)
	desk := httptest.NewServer(http.HandlerFunc(atTheDesk))
	t.Cleanup(desk.Close)
	h := start(t, storetest.Bolt, desk.URL+"/callback")
	idp := besideSamlify(t, h, "post", "localhost") // the house is 127.0.0.1
	tab, closeTab := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	do := func(steps ...step) {
		t.Helper()
		if err := chromedp.Do(tab, steps...); err != nil {
			t.Fatal(err)
		}
	}
	// at waits until the browser is at an address that begins so.
	at := func(begin string) string {
		t.Helper()
		var said string
		err := errors.New("not looked")
		for since := time.Now(); time.Since(since) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
			if said, err = chromedp.Run(tab, chromedp.Evaluate[string]("document.readyState === 'complete' ? location.href + '\\n' + document.body.innerText : ''")); err == nil && strings.HasPrefix(said, begin) {
				return said
			}
		}
		t.Fatalf("not at %s: %v %s", begin, err, said)
		return ""
	}

	verifier := oauth2.GenerateVerifier()
	to := strings.Replace(h.authorizeURL(verifier), url.QueryEscape(deskCallback), url.QueryEscape(desk.URL+"/callback"), 1)
	signIn := func() {
		t.Helper()
		do(chromedp.Navigate(to), chromedp.Click("#connection-corp"))
		at(idp.base + "/sso")
	}
	signIn()
	do(chromedp.SendKeys("input[name=username]", "raj"), chromedp.SendKeys("input[name=way]", signedAssertion), chromedp.Click("#on"))
	at(idp.base + "/login")
	do(chromedp.Click("#on"))
	said := at(desk.URL + "/callback")
	answer, err := url.Parse(strings.SplitN(said, "\n", 2)[0])
	if err != nil {
		t.Fatal(err)
	}
	got, status := h.token("desk", deskSecret, url.Values{"grant_type": {"authorization_code"}, "code": {answer.Query().Get("code")}, "redirect_uri": {desk.URL + "/callback"}, "code_verifier": {verifier}})
	if status != http.StatusOK {
		t.Fatalf("token endpoint: %d %s", status, got.Error)
	}

	do(chromedp.Navigate(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}}.Encode()))
	at(idp.base + "/slo")
	do(chromedp.Click("#on"))
	if said := at(h.issuer); !strings.Contains(said, "You are signed out") || !strings.Contains(said, "Sign in again") {
		t.Errorf("the sign-out ended at %s", said)
	}
	signIn()
	do(chromedp.WaitVisible("input[name=username]")) // it asks again

	// From its side, without having been asked, nobody is let in.
	do(chromedp.Navigate(idp.base+"/begin"), chromedp.SendKeys("input[name=username]", "raj"), chromedp.SendKeys("input[name=way]", signedBoth), chromedp.Click("#on"))
	at(idp.base + "/login")
	do(chromedp.Click("#on"))
	if said := at(h.issuer + "/federation/corp/resume"); !strings.Contains(said, "not_asked") {
		t.Errorf("an answer that nobody asked for ended at %s", said)
	}
}

func TestAVisitorSignsInByPostInAPopUp(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	idp := besideSamlify(t, h, "post", "localhost", forVisitors)
	shop, backend := h.openShop(t), h.backend()
	stranger := shop.says("anonymous", "")
	// One that does not hold is told to the widget, and the visitor is who they were.
	shop.signIn(append(atSamlify("CBC in a message that nobody signed"), chromedp.WaitVisible("main"))...)
	if same := shop.says("anonymous", "token_invalid"); same.VisitorID != stranger.VisitorID {
		t.Errorf("another stranger: %+v", same)
	}
	if err := chromedp.Do(shop.tab, chromedp.Evaluate[chromedp.Void](fmt.Sprintf("void fetch(%q, { mode: 'no-cors' })", idp.base+"/forget"))); err != nil {
		t.Fatal(err)
	}
	shop.signIn(atSamlify("encrypted assertion in a signed message")...)
	known := shop.says("federated", "")
	token, err := backend.Token(t.Context(), known.Token)
	if err != nil || token.Subject != known.VisitorID || known.VisitorID == stranger.VisitorID {
		t.Fatalf("%+v: %+v %v", known, token, err)
	}
	if got, _ := token.Visitor(); got.Name != "Raj Patel" || got.Was != stranger.VisitorID {
		t.Errorf("the token says %+v", got)
	}
}

// atSamlify is what somebody does at its pages.
func atSamlify(way string) []step {
	return []step{
		chromedp.WaitVisible("input[name=way]"), chromedp.SendKeys("input[name=username]", "raj"), chromedp.SendKeys("input[name=way]", way), chromedp.Click("#on"),
		chromedp.WaitReady("input[name=SAMLResponse]"), chromedp.Click("#on"),
	}
}

func TestAVisitorSignsInByARedirectOfTheWholeTab(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	besideSamlify(t, h, "post", "localhost", forVisitors)
	shop := h.openShop(t)
	stranger := shop.says("anonymous", "")
	if err := chromedp.Do(shop.tab, append([]step{chromedp.Click("#redirect")}, atSamlify("encrypted assertion in a signed message")...)...); err != nil {
		t.Fatal(err)
	}
	known := shop.says("federated", "")
	token, err := h.backend().Token(t.Context(), known.Token)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := token.Visitor(); got.Name != "Raj Patel" || got.Was != stranger.VisitorID {
		t.Errorf("the token says %+v", got)
	}
}

// The house and the provider are another site than the shop, whose browser lets no
// third party keep cookies.
func TestAVisitorSignsInInAFrameOfTheShopsPage(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	besideSamlify(t, h, "post", "127.0.0.1", forVisitors)
	shop, backend := h.openShop(t), h.backend()
	stranger := shop.says("anonymous", "")
	shop.signInBelow(atSamlify("encrypted assertion in a signed message")...)
	known := shop.says("federated", "")
	token, err := backend.Token(t.Context(), known.Token)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := token.Visitor(); got.Name != "Raj Patel" || got.Was != stranger.VisitorID {
		t.Errorf("the token says %+v", got)
	}
	if left, err := chromedp.Run(shop.tab, chromedp.Evaluate[int](`document.querySelectorAll("iframe").length`)); err != nil || left != 0 {
		t.Errorf("%d frames are left: %v", left, err)
	}
}
