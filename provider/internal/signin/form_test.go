package signin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
)

func TestTheFormSaysWhereOneIsGoingAndKeepsWhatIsKnown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	path := b.begin("client_id=desk&redirect_uri=https%3A%2F%2Fdesk.example%2Fcb&login_hint=ana%40acme.example%22%3E%3Cscript%3E")
	got := b.get(path)
	for _, want := range []string{
		"Agent Desk", `name="email"`, `name="password"`, `id="continue"`, `value="ana@acme.example&#34;&gt;&lt;script&gt;"`,
		`action="` + path + `"`, `/oauth/authorize/` + strings.TrimPrefix(path, "/sign-in/") + `?cancel=1`, "Acme &lt;Support&gt;",
	} {
		if !strings.Contains(got.body, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	if strings.Contains(got.body, "<script>") {
		t.Error("login_hint is markup")
	}
	if csp := got.header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://desk.example;") {
		t.Errorf("CSP %s", csp)
	}
	if cc := got.header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control %s", cc)
	}
	if csp := b.get(b.begin("client_id=app&redirect_uri=com.example.app:/cb")).header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' com.example.app:;") {
		t.Errorf("a native application's CSP %s", csp)
	}
	if csp := b.get(b.begin("client_id=desk")).header.Get("Content-Security-Policy"); !strings.Contains(csp, "form-action 'self' https://desk.example;") {
		t.Errorf("CSP without a redirect_uri %s", csp)
	}
}

func TestWhatWasTypedIsKeptButThePasswordIsNot(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := h.browser()
	got := b.signIn("nobody@acme.example", "s3cret-typed")
	if !strings.Contains(got.body, `value="nobody@acme.example"`) || strings.Contains(got.body, "s3cret-typed") {
		t.Error(got.body)
	}
}

func TestOnlyTheBrowserThatBeganASignInCanFinishIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	b := h.browser()
	path := b.begin("client_id=desk")
	for name, c := range map[string]struct {
		b    *browser
		path string
	}{
		"another browser":     {h.browser(), path},
		"another id":          {b, path[:len(path)-2] + "xx"},
		"an id of our making": {b, "/sign-in/x"},
		"an odd id":           {b, "/sign-in/%00%ff"},
	} {
		for _, got := range []answer{c.b.get(c.path), c.b.post(c.path, "email", ana, "password", good)} {
			if got.status != http.StatusBadRequest {
				t.Errorf("%s: %d", name, got.status)
			}
		}
	}
	if n := len(h.sessions()); n != 0 {
		t.Errorf("%d sessions", n)
	}
	if got := h.browser().get("/sign-in"); got.status != http.StatusOK || !strings.Contains(got.body, "application") {
		t.Errorf("without a flow: %d", got.status)
	}
}

func TestUnreadableFormsAreRefusedBeforeAnythingIsHashed(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	const form = "application/x-www-form-urlencoded"
	right := "email=ana%40acme.example&password=correct+horse+battery"
	b := h.browser()
	path := b.begin("client_id=desk")
	hashes, commits := h.hashes.Load(), h.store.updates.Load()
	for name, c := range map[string]struct {
		query, contentType, body string
		want                     int
	}{
		"password in the query":    {"?password=x", form, right, 400},
		"all in the query":         {"?" + right, form, "", 400},
		"email in the query":       {"?email=x", form, right, 400},
		"no type":                  {"", "", right, 415},
		"JSON":                     {"", "application/json", `{"email":"ana@acme.example","password":"correct horse battery"}`, 415},
		"text":                     {"", "text/plain", right, 415},
		"multipart":                {"", "multipart/form-data; boundary=x", "--x--", 415},
		"another charset":          {"", form + "; charset=utf-7", right, 415},
		"two passwords":            {"", form, right + "&password=x", 400},
		"two addresses":            {"", form, "email=x&" + right, 400},
		"a list of passwords":      {"", form, "email=ana%40acme.example&password%5B%5D=correct+horse+battery", 422},
		"no password":              {"", form, "email=ana%40acme.example", 422},
		"no address":               {"", form, "password=x", 422},
		"a NUL":                    {"", form, right + "%00", 400},
		"invalid UTF-8":            {"", form, right + "%ff", 400},
		"a bad escape":             {"", form, right + "%zz", 400},
		"129 characters":           {"", form, "email=ana%40acme.example&password=" + strings.Repeat("x", 129), 400},
		"1 KiB":                    {"", form, "email=ana%40acme.example&password=" + strings.Repeat("x", 1024), 400},
		"1 MiB":                    {"", form, "email=ana%40acme.example&password=" + strings.Repeat("x", 1<<20), 413},
		"an address of 1 KiB":      {"", form, "password=x&email=" + strings.Repeat("x", 1024), 400},
		"more than two parameters": {"", form, right + strings.Repeat("&a=b", 300), 413},
	} {
		got := b.do(http.MethodPost, path+c.query, c.contentType, c.body)
		if got.status != c.want {
			t.Errorf("%s: %d, want %d", name, got.status, c.want)
		}
	}
	if got := b.do(http.MethodGet, path+"?"+right, "", ""); got.status != http.StatusBadRequest {
		t.Errorf("credentials in a GET: %d", got.status)
	}
	if h.hashes.Load() != hashes || h.store.updates.Load() != commits || len(h.sessions()) != 0 {
		t.Error("something was hashed or written")
	}
}

func TestAFormFromAnotherOriginIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	b := h.browser()
	path := b.begin("client_id=desk")
	for name, header := range map[string][2]string{
		"another origin": {"Origin", "https://evil.example"},
		"no origin":      {"Origin", "null"},
		"cross-site":     {"Sec-Fetch-Site", "cross-site"},
		"same site":      {"Sec-Fetch-Site", "same-site"},
	} {
		got := b.do(http.MethodPost, path, "application/x-www-form-urlencoded", "email=ana%40acme.example&password=correct+horse+battery",
			func(r *http.Request) { r.Header.Set(header[0], header[1]) })
		if got.status != http.StatusForbidden {
			t.Errorf("%s: %d", name, got.status)
		}
	}
	if n := len(h.sessions()); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestAPasswordIsNotTrimmedAndIsComparedInItsNormalForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) { o.settings = func(s *store.Settings) { s.Password.LockAfter = 0 } })
	h.agent(ana, " caf\u00e9 au lait ")
	b := h.browser()
	for typed, want := range map[string]int{
		" caf\u00e9 au lait ": http.StatusSeeOther, " cafe\u0301 au lait ": http.StatusSeeOther,
		"caf\u00e9 au lait": http.StatusUnprocessableEntity, " cafe au lait ": http.StatusUnprocessableEntity,
	} {
		if got := b.signIn(ana, typed); got.status != want {
			t.Errorf("%q: %d", typed, got.status)
		}
	}
}
