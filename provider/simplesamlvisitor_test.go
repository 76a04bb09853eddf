package provider_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// forVisitors makes a connection one of visitors, with fields that they alone have.
func forVisitors(c *store.Connection) {
	c.For, c.Domains, c.RoleMap = store.ForVisitors, nil, nil
	c.Attributes = []store.Attribute{
		{Field: "custom.groups", From: []string{"memberOf"}, Type: "list"}, {Field: "custom.plan", Constant: "gold"}, {Field: "email", From: []string{"mail"}},
		{Field: "external_id", From: []string{"uid"}}, {Field: "name", From: []string{"displayName"}},
	}
}

// widgetStart is where a widget sends its visitor, to come back by redirect.
func (h *running) widgetStart(connection, verifier string) string {
	return h.issuer + "/federation/" + connection + "/start?" + url.Values{
		"visitor": {"redirect"}, "origin": {widgetOrigin}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"},
		"state": {"w1"}, "return_to": {widgetOrigin + "/cart"},
	}.Encode()
}

// proven is what a widget does with what came back: it starts with the proof, and
// with the renewal token that it has, or "".
func (h *running) proven(at page, verifier, renew string) visitor {
	h.t.Helper()
	if at.away == nil {
		h.t.Fatalf("not sent back to the widget: %d at %s: %s", at.status, at.url, at.body)
	}
	fragment, err := url.ParseQuery(at.away.Fragment)
	if err != nil || fragment.Get("chatelaine_code") == "" || fragment.Get("chatelaine_state") != "w1" {
		h.t.Fatalf("sent to %s", at.away)
	}
	body := map[string]string{"proof": fragment.Get("chatelaine_code"), "code_verifier": verifier}
	if renew != "" {
		body["renew"] = renew
	}
	return h.visit(body)
}

// ends waits until the backend has heard that the token is over.
func ends(t *testing.T, backend *verify.Client, token, why string) {
	t.Helper()
	deadline := time.Now().Add(5 * time.Second)
	for _, err := backend.Token(t.Context(), token); err == nil; _, err = backend.Token(t.Context(), token) {
		if time.Now().After(deadline) {
			t.Fatalf("the token lives on after %s", why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestAVisitorSignsInAtSimpleSAMLphpAndIsSignedOutFromThere(t *testing.T) {
	hasSimpleSAML(t)
	storetest.OnBothEngines(t, testAVisitorSignsInAtSimpleSAMLphpAndIsSignedOutFromThere)
}

func testAVisitorSignsInAtSimpleSAMLphpAndIsSignedOutFromThere(t *testing.T, on storetest.Engine) {
	h, idp := start(t, on, ""), startSimpleSAML(t)
	h.widgets()
	h.connect(corp(nil, idp.connection, forVisitors))
	idp.knows(h, h.issuer+"/federation/corp")
	backend := h.backend()
	through := func(user, renew string) (*browser, visitor) {
		b, verifier := newBrowser(t, widgetOrigin), oauth2.GenerateVerifier()
		return b, h.proven(idp.follow(b, b.get(h.widgetStart("corp", verifier)), user, user+"spass"), verifier, renew)
	}

	stranger := h.visit(map[string]string{})
	b, known := through("raj", stranger.Renew)
	token, err := backend.Token(t.Context(), known.Token)
	if err != nil || token.Assurance != "federated" || token.Subject != known.VisitorID || known.VisitorID == stranger.VisitorID {
		t.Fatalf("%+v: %+v %v", known, token, err)
	}
	got, _ := token.Visitor()
	want := verify.Visitor{
		ExternalID: "raj", Name: "Raj Patel", Email: "raj@acme.example", Was: stranger.VisitorID,
		Custom: map[string]json.RawMessage{"groups": json.RawMessage(`["cn=supervisors","cn=staff"]`), "plan": json.RawMessage(`"gold"`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the token says of the visitor: %s", diff)
	}
	ends(t, backend, stranger.Token, "the stranger became known")
	if again := h.visit(map[string]string{"renew": stranger.Renew}); again.Error != "invalid_grant" {
		t.Errorf("the stranger's renewal: %+v", again)
	}

	// In another browser they are the same visitor; somebody else is another.
	_, elsewhere := through("raj", "")
	_, ana := through("ana", "")
	if elsewhere.VisitorID != known.VisitorID || ana.VisitorID == known.VisitorID {
		t.Errorf("Raj is %s and %s, Ana %s", known.VisitorID, elsewhere.VisitorID, ana.VisitorID)
	}

	renewed := h.visit(map[string]string{"renew": known.Renew})
	if renewed.VisitorID != known.VisitorID || renewed.Assurance != "federated" {
		t.Fatalf("renewed: %+v", renewed)
	}
	b.stop = ""
	p := idp.follow(b, b.get(idp.base+"saml2/idp/SingleLogoutService.php?ReturnTo="+url.QueryEscape(idp.base)), "", "")
	if p.status >= 400 {
		t.Fatalf("the sign-out there failed: %d at %s: %s", p.status, p.url, p.body)
	}
	ends(t, backend, renewed.Token, "a sign-out at the provider")
	if again := h.visit(map[string]string{"renew": renewed.Renew}); again.Error != "invalid_grant" {
		t.Errorf("renewed after a sign-out at the provider: %+v", again)
	}
	// It was that browser's login: others go on.
	for name, other := range map[string]visitor{"Raj elsewhere": elsewhere, "Ana": ana} {
		if _, err := backend.Token(t.Context(), other.Token); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again := h.visit(map[string]string{"renew": other.Renew}); again.VisitorID != other.VisitorID {
			t.Errorf("%s, renewed: %+v", name, again)
		}
	}
}

// One provider, to which the house is two: its agents' connection and its visitors'.
// A sign-out that begins at the one reaches the other by way of the provider.
func TestASignOutByWayOfSimpleSAMLphpReachesTheVisitorsConnection(t *testing.T) {
	t.Parallel()
	hasSimpleSAML(t)
	h, idp := start(t, storetest.Bolt, ""), startSimpleSAML(t)
	h.widgets()
	h.connect(corp(nil, idp.connection), corp(nil, idp.connection, forVisitors, func(c *store.Connection) { c.ID = "club" }))
	idp.knows(h, h.issuer+"/federation/corp", h.phpOf(h.issuer+"/federation/club"))
	backend := h.backend()
	signIn := func() (*browser, tokens, visitor) {
		b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
		got := h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass"), verifier)
		b.stop = widgetOrigin
		at := idp.follow(b, b.get(h.widgetStart("club", verifier)), "not asked", "again")
		return b, got, h.proven(at, verifier, "")
	}

	b, got, known := signIn()
	if _, err := backend.Token(t.Context(), known.Token); err != nil {
		t.Fatal(err)
	}
	b.stop = "http://127.0.0.1:9999/"
	p := b.get(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}.Encode())
	if p.away == nil {
		p = idp.follow(b, b.onward(p), "", "")
	}
	if p.away == nil || p.away.Path != "/" {
		t.Fatalf("the agent's sign-out ended at %s (status %d): %s", p.url, p.status, p.body)
	}
	ends(t, backend, got.Access, "the agent's sign-out")
	ends(t, backend, known.Token, "the agent's sign-out")
	if again := h.visit(map[string]string{"renew": known.Renew}); again.Error != "invalid_grant" {
		t.Errorf("the visitor, renewed: %+v", again)
	}

	// Begun at the provider it reaches both.
	b, got, known = signIn()
	b.stop = ""
	if p := idp.follow(b, b.get(idp.base+"saml2/idp/SingleLogoutService.php?ReturnTo="+url.QueryEscape(idp.base)), "", ""); p.status >= 400 {
		t.Fatalf("the sign-out there failed: %d at %s: %s", p.status, p.url, p.body)
	}
	ends(t, backend, got.Access, "a sign-out at the provider")
	ends(t, backend, known.Token, "a sign-out at the provider")
}

// shopPage is a page of the customer's with a widget. The test reads what it says.
const shopPage = `<!doctype html><html lang="en"><link rel="icon" href="data:,"><title>Shop</title><button id="sign-in">Sign in</button><button id="redirect">Sign in here</button><button id="frame">Sign in below</button><p id="said"></p><div id="box" style="height: 30em"></div><script type="module">
import { Chatelaine } from "%[1]s/static/visitor.js";
const say = async (chat, problem) => { document.getElementById("said").textContent = JSON.stringify({ visitor_id: chat.visitorId, assurance: chat.assurance, access_token: await chat.token(), error: problem }); };
const chat = await Chatelaine.start({ issuer: "%[1]s" });
await say(chat, chat.signInError ? chat.signInError.code : "");
document.getElementById("sign-in").onclick = () => chat.signIn({ connection: "corp" }).then(() => say(chat, ""), (err) => say(chat, err.code));
document.getElementById("frame").onclick = () => chat.signIn({ connection: "corp", mode: "frame", container: document.getElementById("box") }).then(() => say(chat, ""), (err) => say(chat, err.code));
document.getElementById("redirect").onclick = () => chat.signIn({ connection: "corp", mode: "redirect" });
</script>`

// inShop is the shop's page in a browser.
type inShop struct {
	t   *testing.T
	tab context.Context
}

// openShop opens it on another site than the house's, which lets its widget in.
func (h *running) openShop(t *testing.T) inShop {
	t.Helper()
	chromium, _ := chromium(t)
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, shopPage, h.issuer)
	}))
	t.Cleanup(listening.Close)
	shop := strings.Replace(listening.URL, "127.0.0.1", "localhost", 1)
	h.widgets()
	h.write(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		s.Visitors.Origins = []string{shop}
		return store.AllSettings.Put(tx, &s)
	})
	tab, closeTab := chromedp.NewContext(chromium, chromedp.WithNewBrowserContext())
	t.Cleanup(closeTab)
	if err := chromedp.Do(tab, chromedp.Navigate(shop+"/")); err != nil {
		t.Fatal(err)
	}
	return inShop{t, tab}
}

// says waits until the visitor is known like that, and what went wrong was that, or
// nothing.
func (s inShop) says(assurance, problem string) (v visitor) {
	s.t.Helper()
	var said string
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		said, _ = chromedp.Run(s.tab, chromedp.Evaluate[string](`document.getElementById("said")?.textContent ?? ""`))
		if json.Unmarshal([]byte(said), &v) == nil && v.Assurance == assurance && v.Error == problem {
			return v
		}
	}
	s.t.Fatalf("the widget says %q, and the visitor is not %s (%s)", said, assurance, problem)
	return v
}

// signIn takes steps in the window that the widget opens.
func (s inShop) signIn(steps ...step) {
	s.t.Helper()
	opened := chromedp.WaitNewTarget(s.tab, func(*target.Info) bool { return true })
	if err := chromedp.Do(s.tab, chromedp.Click("#sign-in")); err != nil {
		s.t.Fatal(err)
	}
	select {
	case id := <-opened:
		s.within(id, steps...)
	case <-time.After(20 * time.Second):
		s.t.Fatal("no window has opened")
	}
}

func (s inShop) within(id target.ID, steps ...step) {
	s.t.Helper()
	window, done := chromedp.NewContext(s.tab, chromedp.WithTargetID(id), chromedp.WithDetachOnCancel())
	defer done()
	if err := chromedp.Do(window, steps...); err != nil {
		s.t.Fatal(err)
	}
}

// signInBelow takes steps in the frame that the widget puts into the page.
func (s inShop) signInBelow(steps ...step) {
	s.t.Helper()
	if err := chromedp.Do(s.tab, chromedp.Click("#frame")); err != nil {
		s.t.Fatal(err)
	}
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(50 * time.Millisecond) {
		all, err := chromedp.Targets(s.tab)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, is := range all {
			if is.Type == "iframe" && strings.HasPrefix(is.URL, "http://127.0.0.1:") {
				s.within(is.TargetID, steps...)
				return
			}
		}
	}
	s.t.Fatal("there is no frame")
}

func TestAVisitorSignsInAtSimpleSAMLphpInAPopUp(t *testing.T) {
	t.Parallel()
	hasSimpleSAML(t)
	h, idp := start(t, storetest.Bolt, ""), startSimpleSAML(t)
	h.connect(corp(nil, idp.connection, forVisitors))
	idp.knows(h, h.issuer+"/federation/corp")
	shop, backend := h.openShop(t), h.backend()
	stranger := shop.says("anonymous", "")
	shop.signIn(chromedp.WaitVisible("input[name=password]"), chromedp.SendKeys("input[name=username]", "raj"), chromedp.SendKeys("input[name=password]", "rajspass"+kb.Enter))
	known := shop.says("federated", "")
	token, err := backend.Token(t.Context(), known.Token)
	if err != nil || token.Subject != known.VisitorID || known.VisitorID == stranger.VisitorID {
		t.Fatalf("%+v: %+v %v", known, token, err)
	}
	if got, _ := token.Visitor(); got.ExternalID != "raj" || got.Email != "raj@acme.example" || got.Was != stranger.VisitorID {
		t.Errorf("the token says %+v", got)
	}
	ends(t, backend, stranger.Token, "the stranger became known")
}
