package account_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// pages are those that somebody can open.
var pages = []string{
	"/account", "/account/profile", "/account/password", "/account/factors", "/account/factors/totp", "/account/factors/passkey",
	"/account/factors/codes", "/account/factors/forget-all", "/account/sessions", "/account/sessions/end-others", "/account/apps", "/account/activity",
}

func TestEveryPageLeadsToTheSignInAndBack(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		for _, page := range pages {
			b := h.browser()
			if to := b.through(b.get(page), ben, good); to != page {
				t.Errorf("%s came back to %s", page, to)
			}
			if got := b.get(page); got.status != http.StatusOK || !strings.Contains(got.header.Get("Cache-Control"), "no-store") {
				t.Errorf("%s: %d %s %v", page, got.status, got.to, got.header)
			}
		}
	})
}

func TestWhatIsNoPageIsNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	for _, path := range []string{
		"/account/", "/account/x.css", "/account/profile/x.js", "/account/factors/remove", "/account/factors/remove?id=", "/account/factors/forget?id=x",
		"/account/sessions/end", "/account/sessions/end?id=x", "/account/apps/revoke?id=third", "/account/%70rofile/..%2f",
	} {
		if got := b.get(path); got.status != http.StatusNotFound && got.status != http.StatusMovedPermanently && got.status != http.StatusTemporaryRedirect {
			t.Errorf("%s: %d %s", path, got.status, got.to)
		}
	}
	if got := b.get("/account/sessions/end?id=a&id=b"); got.status != http.StatusBadRequest {
		t.Errorf("an id given twice: %d", got.status)
	}
}

func TestASessionThatEndedMeanwhileIsNone(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		here, there := h.browser().signIn(ben), h.browser().signIn(ben)
		csrf, before := here.csrf(), h.agent(ben)
		if got := there.post("/account/sessions/end-others", form("csrf", there.csrf(), "confirm", "yes")); got.to != "/account/sessions" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		got := here.post("/account/profile", form("csrf", csrf, "name", "Mallory"))
		if !got.toSignIn() || h.agent(ben).Name != before.Name {
			t.Fatalf("%d %s, %q", got.status, got.to, h.agent(ben).Name)
		}
		if to := here.through(got, ben, good); to != "/account/profile" {
			t.Errorf("came back to %s", to)
		}
		if got := here.post("/account/profile", form("csrf", csrf, "name", "Mallory")); got.status != http.StatusForbidden {
			t.Errorf("the form of the session before: %d", got.status)
		}
		h.pass(8*time.Hour + time.Second)
		if got := here.get("/account"); !got.toSignIn() {
			t.Errorf("idle for too long: %d", got.status)
		}
	})
}

func TestTheAccountOfASiteBelowAPathStaysThere(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.apply(`sites: [{path: acme, name: Acme, agents: [{email: ` + ana + `, name: Another Ana, password: "` + better + `", roles: [agents]}]}]`)
	h.ok(h.server.Prepare(t.Context()))
	b := h.browser().signIn(ana)
	got := b.get("/acme/account/profile")
	if got.status != http.StatusSeeOther || !strings.HasPrefix(got.to, "/acme/sign-in/") {
		t.Fatalf("the session of one site is one of the other: %d %s", got.status, got.to)
	}
	if got = b.post(got.to, form("email", ana, "password", better)); got.to != "/acme/account/profile" {
		t.Fatalf("%d %s", got.status, got.to)
	}
	page := b.get(got.to)
	if !page.says("Another Ana") || !page.says(`action="/acme/account/profile"`) || strings.Contains(page.body, `href="/account`) {
		t.Errorf("%s", page.body)
	}
	if got := b.post("/acme/account/profile", form("csrf", b.csrf(), "name", "Mallory")); got.status != http.StatusForbidden {
		t.Errorf("the form of the other site: %d", got.status)
	}
	csrf := csrfField.FindStringSubmatch(page.body)[1]
	if got := b.post("/acme/account/profile", form("csrf", csrf, "name", "Ana the Other")); got.to != "/acme/account/profile" || h.agent(ana).Name != "Ana Silva" {
		t.Errorf("%d %s", got.status, got.to)
	}
	for _, page := range pages[1:] {
		if got := b.get("/acme" + page); strings.Contains(got.body, `"/account`) {
			t.Errorf("%s leads out of its site", page)
		}
	}
}
