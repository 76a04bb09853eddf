package account_test

import (
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	Error   string `json:"error"`
}

// token asks the token endpoint as Reports.
func (h *house) token(fields ...string) (got tokens) {
	h.t.Helper()
	asked := h.browser().post("/oauth/token", form(fields...), func(r *http.Request) { r.SetBasicAuth("third", thirdWord) })
	if err := json.Unmarshal([]byte(asked.body), &got); err != nil {
		h.t.Fatalf("%d %s", asked.status, asked.body)
	}
	return got
}

// allow signs in to Reports in this browser's session, and agrees.
func (b *browser) allow() tokens {
	b.h.t.Helper()
	got := b.get("/oauth/authorize?" + form("client_id", "third", "response_type", "code", "redirect_uri", callback, "scope", "openid email offline_access", "state", "a-state-of-this", "prompt", "consent").Encode())
	page := b.get(strings.TrimPrefix(got.to, b.h.url))
	m := csrfField.FindStringSubmatch(page.body)
	if m == nil {
		b.h.t.Fatalf("no consent page: %d %s, %d %s", got.status, got.to, page.status, page.body)
	}
	got = b.post(strings.TrimPrefix(got.to, b.h.url), form("csrf", m[1], "decision", "allow"))
	to, err := url.Parse(got.to)
	if err != nil || to.Query().Get("code") == "" {
		b.h.t.Fatalf("no code: %d %s %s", got.status, got.to, got.body)
	}
	bought := b.h.token("grant_type", "authorization_code", "code", to.Query().Get("code"), "redirect_uri", callback)
	if bought.Refresh == "" || !b.h.lives(bought) {
		b.h.t.Fatalf("bought %+v", bought)
	}
	return bought
}

// lives reports whether the access token is good for anything.
func (h *house) lives(t tokens) bool {
	h.t.Helper()
	got := h.browser().do(http.MethodGet, "/oauth/userinfo", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+t.Access) })
	return got.status == http.StatusOK
}

// dead checks that tokens are worth nothing, and that verifiers have heard so.
func (h *house) dead(got tokens, heard int) {
	h.t.Helper()
	if h.lives(got) {
		h.t.Error("the access token goes on")
	}
	if again := h.token("grant_type", "refresh_token", "refresh_token", got.Refresh); again.Error != "invalid_grant" {
		h.t.Errorf("the refresh token goes on: %+v", again)
	}
	if n := len(list(h, &store.Revocations, "", "")); n <= heard {
		h.t.Error("the feed says nothing")
	}
}

func TestWhatAnApplicationHoldsEndsWhenItIsTakenBack(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b, other := h.browser().signIn(ana), h.browser().signIn(ben)
		held, bens := b.allow(), other.allow()
		page := b.get("/account/apps")
		if !page.says("Reports") || !page.says("Else") || !page.says("See your e-mail address") {
			t.Errorf("%s", page.body)
		}
		heard := len(list(h, &store.Revocations, "", ""))
		if got := b.get("/account/apps/revoke?id=third"); !got.says("Take back what Reports may do?") || !h.lives(held) {
			t.Errorf("the question does it already: %d", got.status)
		}
		if got := b.post("/account/apps/revoke", form("csrf", b.csrf(), "id", "third", "confirm", "yes")); got.to != "/account/apps" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		h.dead(held, heard)
		if !h.lives(bens) {
			t.Error("somebody else's goes with it")
		}
		if page := b.get("/account/apps"); page.says("Reports</") || !page.says("can no longer use your account") {
			t.Errorf("%s", page.body)
		}
		if again := b.allow(); !h.lives(again) {
			t.Error("it cannot be allowed again")
		}
	})
}

func TestASessionThatIsEndedIsHeardByItsTokens(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		here, there := h.browser().signIn(ana), h.browser().signIn(ana)
		mine := list(h, &store.Sessions, "agent", h.agent(ana).ID)
		held, bought := here.allow(), there.allow()
		var theirs string
		for _, s := range mine {
			if page := here.get("/account/sessions"); page.says("end-" + s.SID) {
				theirs = s.SID
			}
		}
		heard := len(list(h, &store.Revocations, "", ""))
		if got := here.post("/account/sessions/end", form("csrf", here.csrf(), "id", theirs, "confirm", "yes")); got.to != "/account/sessions" {
			t.Fatalf("%q: %d %s", theirs, got.status, got.body)
		}
		h.dead(bought, heard)
		if !there.get("/account").toSignIn() || !h.lives(held) || here.get("/account").status != http.StatusOK {
			t.Error("the wrong session ended")
		}
		revocations := list(h, &store.Revocations, "", "")
		if !slices.ContainsFunc(revocations, func(r store.Revocation) bool { return r.SID == theirs }) {
			t.Errorf("the feed does not name the session: %+v", revocations)
		}
		own := slices.DeleteFunc(slices.Clone(mine), func(s store.Session) bool { return s.SID == theirs })[0].SID
		if got := here.post("/account/sessions/end", form("csrf", here.csrf(), "id", own, "confirm", "yes")); got.to != "/" || h.cookie(here, "session") != "" {
			t.Errorf("one's own: %d %s", got.status, got.to)
		}
		h.dead(held, heard)
	})
}

func TestEndingTheOthersEndsWhatTheyGotAndWhatIsHalfDone(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		here, there, ended := h.browser().signIn(ben), h.browser().signIn(ben), h.browser().signIn(ben)
		kept, bought, left := here.allow(), there.allow(), ended.allow()
		h.update(func(tx store.Tx) error { // over long since, but for its refresh token
			for _, rec := range list(h, &store.Sessions, "agent", h.agent(ben).ID) {
				if g := list(h, &store.Grants, "sid", rec.SID); len(g) == 1 && rec.Hash == newest(h) {
					return store.Sessions.Delete(tx, rec.Hash)
				}
			}
			return nil
		})
		half := h.browser()
		step := half.post(half.get("/account").to, form("email", ben, "password", good)).to
		heard := len(list(h, &store.Revocations, "", ""))
		if page := here.get("/account/sessions/end-others"); !page.says("End your other session?") {
			t.Errorf("%s", page.body)
		}
		if got := here.post("/account/sessions/end-others", form("csrf", here.csrf(), "confirm", "yes")); got.to != "/account/sessions" {
			t.Fatal(got.status)
		}
		h.dead(bought, heard)
		h.dead(left, heard)
		if !h.lives(kept) {
			t.Error("this session's ended too")
		}
		if got := half.post(step, form("code", h.code())); got.to == "/account" {
			t.Error("a sign-in that was half done goes on")
		}
	})
}

// newest is the key of the session that began last.
func newest(h *house) (hash string) {
	var last time.Time
	for _, rec := range list(h, &store.Sessions, "agent", h.agent(ben).ID) {
		if rec.Created.After(last) {
			last, hash = rec.Created, rec.Hash
		}
	}
	return hash
}

func TestTheActivityIsOnesOwnTheLatestFirstAndInPages(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	h.browser().signIn(ben)
	wrong := h.browser()
	wrong.ip = "198.51.100.200"
	wrong.post(wrong.get("/account").to, form("email", ana, "password", "wrong"))
	for range 35 {
		h.pass(time.Second)
		b.post("/account/profile", form("csrf", b.csrf(), "name", "Ana "+h.now().Format("150405")))
	}
	first := b.get("/account/activity")
	m := strings.Split(html.UnescapeString(first.body), `/account/activity?after=`)
	if n := strings.Count(first.body, "Account details were changed"); n != 30 || len(m) < 2 || first.says("A failed sign-in") {
		t.Fatalf("%d changes on the first page: %s", n, first.body)
	}
	second := b.get("/account/activity?after=" + m[1][:strings.IndexByte(m[1], '"')])
	if n := strings.Count(second.body, "Account details were changed"); n != 5 || !second.says("A failed sign-in") || !second.says("198.51.100.200") {
		t.Errorf("%d on the second: %s", n, second.body)
	}
	ids := h.agent(ben).ID
	for _, after := range []string{ids, ids + " ", "..", strings.Repeat("x", 99), "%20" + ids} {
		if got := b.get("/account/activity?after=" + url.QueryEscape(after)); got.status != http.StatusOK {
			t.Errorf("after %q: %d", after, got.status)
		}
	}
	if got := b.get("/account/activity?after=" + strings.Repeat("x", 101)); got.status != http.StatusBadRequest {
		t.Errorf("after much: %d", got.status)
	}
}

func TestTheFrontDoorLeadsToTheAccount(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser()
	if got := b.get("/"); !got.says(`href="/account"`) || got.says("You are signed in") {
		t.Errorf("%s", got.body)
	}
	b.signIn(ana)
	if got := b.get("/"); !got.says("Ana Silva") || !got.says(`id="account" href="/account"`) || !got.says("/oauth/logout") {
		t.Errorf("%s", got.body)
	}
	h.settings(func(s *store.Settings) {
		s.Allowlist = store.Allowlist{Enabled: true, Console: true, Entries: []store.AllowlistEntry{{CIDR: "192.0.2.0/24"}}}
	})
	if got := b.get("/"); got.status != http.StatusOK || got.says("Ana Silva") {
		t.Errorf("from outside the networks: %d %s", got.status, got.body)
	}
	for _, page := range pages {
		if got := b.get(page); got.status != http.StatusForbidden || got.says(ana) {
			t.Errorf("%s from outside the networks: %d", page, got.status)
		}
	}
	if got := b.post("/account/profile", form("csrf", "x", "name", "x")); got.status != http.StatusForbidden {
		t.Errorf("a form from outside the networks: %d", got.status)
	}
}
