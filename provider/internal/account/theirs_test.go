package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestSomebodyElsesThingsAreNotThere(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		theirs, enrolling := h.furnish(tess), h.browser().signIn(tess)
		enrolment := scanned(enrolling, theirs)
		b := h.browser().signIn(ben)
		csrf, before, mine := b.csrf(), h.state(tess), h.state(ben)
		for path, id := range map[string]string{
			"/account/factors/rename": theirs.passkey, "/account/factors/remove": theirs.passkey, "/account/factors/forget": theirs.device,
			"/account/sessions/end": theirs.session, "/account/apps/revoke": "third",
		} {
			for _, id := range []string{id, "", "nobody's", id + " ", strings.Repeat("x", 5000)} {
				for _, f := range []url.Values{form("csrf", csrf, "id", id, "name", "Mine", "confirm", "yes"), form("csrf", csrf, "id", id)} {
					if got := b.post(path, f); got.status != http.StatusNotFound {
						t.Errorf("%s of %.20q: %d %s", path, id, got.status, got.to)
					}
				}
				if got := b.get(path + "?" + form("id", id).Encode()); got.status != http.StatusNotFound || got.says(theirs.device) || got.says("Laptop") {
					t.Errorf("the question at %s of %.20q: %d", path, id, got.status)
				}
			}
		}
		enrolment.Set("csrf", csrf)
		if got := b.post("/account/factors/totp", enrolment); got.status == http.StatusOK || got.to != "/account/factors/totp" {
			t.Errorf("somebody else's seed: %d %s", got.status, got.to)
		}
		if got := b.get("/account/factors/totp?" + form("enrolment", enrolment.Get("enrolment")).Encode()); got.says(`value="` + enrolment.Get("enrolment")) {
			t.Error("somebody else's seed is shown")
		}
		for _, page := range pages {
			if got := b.get(page); got.says(tess) || got.says("Tess") || got.says(theirs.passkey) || got.says(theirs.session) || got.says(theirs.device) {
				t.Errorf("%s shows something of somebody else's", page)
			}
		}
		if h.state(tess) != before || h.state(ben) != mine {
			t.Errorf("something is changed:\n%s\n%s", before, h.state(tess))
		}
	})
}

func TestASeedIsForTheSessionThatDrewIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	here, there := h.browser().signIn(ben), h.browser().signIn(ben)
	f := scanned(here, owned{})
	f.Set("csrf", there.csrf())
	before := h.state(ben)
	if got := there.post("/account/factors/totp", f); got.to != "/account/factors/totp" || h.state(ben) != before {
		t.Errorf("%d %s", got.status, got.to)
	}
	if got := there.get("/account/factors/totp"); !got.says("here is a new code to scan") {
		t.Errorf("it does not say so: %s", got.body)
	}
}

func TestADraftIsForWhoTypedIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	f := form("csrf", b.csrf(), "name", "Benjamin the Third", "given_name", "B")
	h.pass(5 * time.Minute)
	got := b.post("/account/profile", f)
	if !got.toSignIn() {
		t.Fatal(got.status)
	}
	var draft *http.Cookie
	u, _ := url.Parse(h.url)
	for _, c := range b.client.Jar.Cookies(u) {
		if c.Name == "account-draft" {
			draft = c
		}
	}
	if draft == nil || strings.Contains(draft.Value, "Benjamin") {
		t.Fatalf("draft %v", draft)
	}
	thief := h.browser().signIn(ana)
	thief.client.Jar.SetCookies(u, []*http.Cookie{draft})
	if got := thief.get("/account/profile"); got.says("Benjamin") || !got.says("Ana Silva") {
		t.Error("somebody else sees it")
	}
	b.through(got, ben, good)
	if page := b.get("/account/profile"); !page.says("Benjamin the Third") || !page.says("nothing is saved yet") || h.agent(ben).Name != "Ben Okafor" {
		t.Error("what was typed is lost, or saved by itself")
	}
	if got := b.post("/account/profile", form("csrf", b.csrf(), "name", "Ben the Third")); got.status != http.StatusSeeOther {
		t.Fatal(got.status)
	}
	if b.get("/account/profile").says("Benjamin") {
		t.Error("the draft outlives the change")
	}
	for _, junk := range []string{"x", "", strings.Repeat("A", 2900), strings.Repeat("A", 3900), draft.Value[:40] + "AAAA" + draft.Value[44:]} {
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "account-draft", Value: junk}})
		if got := b.get("/account/profile"); got.status != http.StatusOK || !got.says("Ben the Third") {
			t.Errorf("draft %.10q: %d", junk, got.status)
		}
	}
}
