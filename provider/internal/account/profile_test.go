package account_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestNamesThatCannotBeAreRefusedAndWhatWasTypedStays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	csrf, before := b.csrf(), h.state(ana)
	for what, name := range map[string]string{
		"empty": "", "blanks": "  \t ", "too long": strings.Repeat("é", 121), "turned around": "Ana \u202egvs.exe", "an isolate": "Ana\u2066", "a line end": "Ana\r\nBcc: x@y.example",
		"escape": "Ana\x1b[2J", "nothing to be seen": "\u200d\u200c", "zero width": "An\u200ba", "byte order": "\ufeffAna", "a tag": "Ana\U000e0041", "U+2028": "Ana\u2028x", "private": "Ana\ue000",
	} {
		got := b.post("/account/profile", form("csrf", csrf, "name", name, "given_name", "<b>Typed</b>", "family_name", ""))
		if got.status != http.StatusUnprocessableEntity || h.state(ana) != before {
			t.Errorf("%s: %d, %q", what, got.status, h.agent(ana).Name)
		}
		if !strings.Contains(got.body, `value="&lt;b&gt;Typed&lt;/b&gt;"`) || !strings.Contains(got.body, `href="#name"`) {
			t.Errorf("%s: what was typed is lost, or nobody says what is wrong: %s", what, got.body)
		}
	}
	all := b.post("/account/profile", form("csrf", csrf, "name", "", "given_name", "\u202e", "family_name", strings.Repeat("x", 121)))
	for _, field := range []string{"#name", "#given_name", "#family_name"} {
		if !strings.Contains(all.body, `href="`+field+`"`) {
			t.Errorf("not all that is wrong is said: %s is missing", field)
		}
	}
}

func TestARequestThatIsNoFormIsRefusedEarly(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	csrf, before := b.csrf(), h.state(ana)
	for body, want := range map[string]int{
		"csrf=" + csrf + "&name=A%00na":             http.StatusBadRequest,
		"csrf=" + csrf + "&name=%ff%fe":             http.StatusBadRequest,
		"csrf=" + csrf + "&name=%C0%AE":             http.StatusBadRequest,
		"csrf=" + csrf + "&name=a&name=b":           http.StatusBadRequest,
		"csrf=" + csrf + "&name=%zz":                http.StatusBadRequest,
		"csrf=" + csrf + "&a[]=1;name=b":            http.StatusBadRequest,
		"name=" + strings.Repeat("a", 10<<20):       http.StatusRequestEntityTooLarge,
		strings.Repeat("a=&", 300) + "csrf=" + csrf: http.StatusRequestEntityTooLarge,
		`{"csrf":"` + csrf + `","name":"Mallory"}`:  http.StatusForbidden,
	} {
		if got := b.do(http.MethodPost, "/account/profile", body); got.status != want || h.state(ana) != before {
			t.Errorf("%.60q: %d", body, got.status)
		}
	}
	json := func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }
	if got := b.do(http.MethodPost, "/account/profile", `{"name":"Mallory"}`, json); got.status != http.StatusUnsupportedMediaType {
		t.Errorf("JSON: %d", got.status)
	}
}

func TestNamesOfAllScriptsAreKeptAndNothingElseIsChangedByThem(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b := h.browser().signIn(ana)
		csrf := b.csrf()
		for typed, want := range map[string]string{
			"Zoe\u0308 O’Brien": "Zoë O’Brien", " نازنین\u200cزهرا ": "نازنین\u200cزهرا", "שרה": "שרה", "क्\u200dष": "क्\u200dष", "José 🦊": "José 🦊", "<script>alert(1)</script>": "<script>alert(1)</script>",
		} {
			more := form("csrf", csrf, "name", typed, "email", "mallory@evil.example", "roles", "administrators", "id", h.agent(ben).ID, "password_hash", "x", "locale", "de")
			if got := b.post("/account/profile", more); got.status != http.StatusSeeOther {
				t.Errorf("%q: %d", typed, got.status)
			}
			a := h.agent(ana)
			if a.Name != want || len(a.Roles) != 1 || a.Roles[0] != "agents" || a.Locale != "" || h.agent(ben).Name != "Ben Okafor" {
				t.Errorf("%q became %+v", typed, a)
			}
			if got := b.get("/account"); strings.Contains(got.body, "<script>alert") {
				t.Error("a name is markup")
			}
		}
		mailed := h.mailed(ana)
		if got := b.post("/account/profile", form("csrf", csrf, "name", h.agent(ana).Name)); got.status != http.StatusSeeOther || len(h.mailed(ana)) != len(mailed) {
			t.Error("a change of nothing is told")
		}
	})
}

// The words that the next page says come in a cookie; no link and no cookie make
// it say anything else than words of ours.
func TestANoticeIsAWordOfOurs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	u, _ := url.Parse(h.url)
	for _, word := range []string{"<b>x</b>", "../x", strings.Repeat("x", 200), "profile_saved.x", "%3Cb%3E"} {
		b.client.Jar.SetCookies(u, []*http.Cookie{{Name: "account-notice", Value: word}, {Name: "account-problem", Value: word}})
		if got := b.get("/account?notice=hello&problem=hello"); got.status != http.StatusOK || strings.Contains(got.body, word) || got.says("hello") && !got.says("?notice=hello") {
			t.Errorf("%q: %d", word, got.status)
		}
	}
	b.post("/account/profile", form("csrf", b.csrf(), "name", "Ana S."))
	if first := b.get("/account/profile"); !first.says("Your profile was saved.") {
		t.Error("nothing is said")
	}
	if b.get("/account/profile").says("Your profile was saved.") {
		t.Error("it is said twice")
	}
}
