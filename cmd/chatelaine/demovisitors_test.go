package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
)

// atDesk is somebody's browser at the sample desk, without its scripts.
type atDesk struct {
	t    *testing.T
	desk string
	http *http.Client
}

func newAtDesk(t *testing.T, desk string) *atDesk {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &atDesk{t, desk, &http.Client{Jar: jar}}
}

func (a *atDesk) answer(resp *http.Response, err error) (status int, at *url.URL, body string) {
	a.t.Helper()
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return resp.StatusCode, resp.Request.URL, string(raw)
}

var hiddenInput = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)"`)

// signIn goes through the hosted page.
func (a *atDesk) signIn(email, password string) {
	a.t.Helper()
	_, at, body := a.answer(a.http.Get(a.desk + "/sign-in"))
	form := url.Values{"email": {email}, "password": {password}}
	for _, field := range hiddenInput.FindAllStringSubmatch(body, -1) {
		form.Set(field[1], field[2])
	}
	if status, at, body := a.answer(a.http.PostForm(at.String(), form)); at.Path != "/" || !strings.Contains(body, email) {
		a.t.Fatalf("%s is not signed in: %d at %s: %s", email, status, at, body)
	}
}

func (a *atDesk) post(path string, form url.Values) (status int, body string) {
	a.t.Helper()
	status, _, body = a.answer(a.http.PostForm(a.desk+path, form))
	return status, body
}

func TestWhoMayBanAtTheSampleDeskBans(t *testing.T) {
	t.Parallel()
	said := startDemo(t)
	desk, issuer := found(t, said, `Sign in as Raj: +(\S+)`), found(t, said, `The identity provider itself: +(\S+)`)
	password := func(email string) string { return found(t, said, regexp.QuoteMeta(email)+` +password (\S+)`) }
	visits := func(renew string) (v struct {
		ID     string `json:"visitor_id"`
		Renew  string `json:"renew"`
		Reason string `json:"reason"`
	}) {
		resp, err := http.Post(issuer+"/visitors/start", "application/json", strings.NewReader(`{"renew":"`+renew+`"}`))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	v := visits("")
	ban := url.Values{"visitor": {v.ID}}
	stranger, raj, sam := newAtDesk(t, desk), newAtDesk(t, desk), newAtDesk(t, desk)
	if status, _ := stranger.post("/visitors/ban", ban); status != http.StatusUnauthorized {
		t.Errorf("who is not signed in: %d", status)
	}
	raj.signIn(demoRaj, password(demoRaj))
	for name, form := range map[string]url.Values{"a ban": ban, "its end": {"visitor": {v.ID}, "lift": {"any"}}} {
		if status, body := raj.post("/visitors/ban", form); status != http.StatusForbidden || !strings.Contains(body, "permission_missing") {
			t.Errorf("%s by an agent who may not: %d %s", name, status, body)
		}
	}
	again := visits(v.Renew)
	if again.ID != v.ID {
		t.Fatalf("the visitor is banned all the same: %+v", again)
	}
	sam.signIn(demoSam, password(demoSam))
	if status, body := sam.post("/visitors/ban", ban); status != http.StatusNoContent {
		t.Fatalf("a supervisor: %d %s", status, body)
	}
	if now := visits(again.Renew); now.Reason != "visitor_banned" {
		t.Errorf("the visitor comes back: %+v", now)
	}
}
