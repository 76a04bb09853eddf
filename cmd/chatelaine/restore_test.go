package main

import (
	"errors"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
)

const (
	restoreSeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // RFC 6238's
	restoreSite = crashSite + `    two_factor: {remember_days: 14}
`
)

// restoreAgents are put before the crash site's only one.
const restoreAgents = `
      - {email: tess@acme.example, name: Tess Two, password: "` + crashPassword + `", totp_secret: ` + restoreSeed + `, roles: [administrators]}
      - {email: kim@acme.example, name: Kim New, roles: [agents]}`

// visitor is one browser, and the page it shows.
type visitor struct {
	t      *testing.T
	http   *http.Client
	at     *url.URL
	status int
	page   string
}

func newVisitor(t *testing.T) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return &visitor{t: t, http: &http.Client{Jar: jar, Timeout: 10 * time.Second}}
}

func (v *visitor) show(resp *http.Response, err error) *visitor {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	v.at, v.status, v.page = resp.Request.URL, resp.StatusCode, string(body)
	return v
}

func (v *visitor) open(address string) *visitor {
	v.t.Helper()
	return v.show(v.http.Get(address))
}

var anyForm = regexp.MustCompile(`<form[^>]*>`)

// submit fills the page's first form in that is posted.
func (v *visitor) submit(fields ...string) *visitor {
	v.t.Helper()
	m := crashForm.FindStringSubmatch(v.page)
	if m == nil {
		v.t.Fatalf("no form at %s, status %d: %s\n%s", v.at, v.status, anyForm.FindAllString(v.page, -1), v.page)
	}
	form := url.Values{}
	for _, f := range crashInput.FindAllStringSubmatch(v.page, -1) {
		form.Set(f[1], html.UnescapeString(f[2]))
	}
	form.Del("remember")
	for i := 0; i < len(fields); i += 2 {
		form.Set(fields[i], fields[i+1])
	}
	action, err := v.at.Parse(html.UnescapeString(m[1] + m[2]))
	if err != nil {
		v.t.Fatal(err)
	}
	return v.show(v.http.PostForm(action.String(), form))
}

func (v *visitor) has(field string) bool { return strings.Contains(v.page, `name="`+field+`"`) }

// signedIn reports whether the browser may see its account.
func (v *visitor) signedIn(issuer string) bool {
	v.t.Helper()
	v.open(issuer + "/account")
	return v.status == http.StatusOK && v.at.Path == "/account"
}

func totp(t *testing.T, at time.Time) string {
	t.Helper()
	seed, err := mfa.ParseSeed(restoreSeed)
	if err != nil {
		t.Fatal(err)
	}
	code, err := mfa.Code(seed, at)
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// shell runs commands against a data folder.
type shell struct {
	t            *testing.T
	binary, data string
	address      string
}

func (s shell) run(args ...string) string {
	s.t.Helper()
	cmd := exec.Command(s.binary, args...)
	cmd.Env = append(os.Environ(), "CHATELAINE_DATA="+s.data, "CHATELAINE_PUBLIC_URL=http://"+s.address, "CHATELAINE_LISTEN="+s.address)
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

func (s *serving) stop(t *testing.T) {
	t.Helper()
	if err := errors.Join(s.cmd.Process.Signal(syscall.SIGTERM), s.cmd.Wait()); err != nil {
		t.Fatalf("%v\n%s", err, s.log.String())
	}
}

func folder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	site := strings.Replace(restoreSite, "    agents:", "    agents:"+restoreAgents, 1)
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "site.yaml"), []byte(site), 0o600), os.Mkdir(filepath.Join(dir, "data"), 0o700)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestARestoreRevivesNothingForAnybodyOutside does with a running server what may
// be spent or taken back after a backup, and tries all of it again on the restored
// one, with the cookies, links, codes and tokens that people would still have.
func TestARestoreRevivesNothingForAnybodyOutside(t *testing.T) {
	t.Parallel()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	address := "127.0.0.1:" + port
	issuer, binary := "http://"+address, buildBinary(t)
	dir := folder(t)
	server := startServing(t, binary, dir, address)
	defer func() { server.kill() }()
	sh := shell{t, binary, filepath.Join(dir, "data"), address}
	client := crashClient{issuer, http.DefaultClient}

	// Before the backup: what is alive when it is made.
	ana := newVisitor(t).open(issuer+"/account").submit("email", "ana@acme.example", "password", crashPassword)
	half := newVisitor(t).open(issuer+"/account").submit("email", "tess@acme.example", "password", crashPassword)
	if !ana.signedIn(issuer) || !half.has("code") {
		t.Fatalf("%s\n%s", ana.page, half.page)
	}
	begun := newVisitor(t).open(issuer + "/account") // the form alone
	unredeemed, tokens := someCode(t, client), someTokens(t, client)
	invitation := regexp.MustCompile(`http://\S+`).FindString(sh.run("agent", "invite", "kim@acme.example"))
	offline := regexp.MustCompile(`(?:[0-9A-Z]{5}-){3}[0-9A-Z]{5}`).FindString(sh.run("break-glass", "codes"))
	sh.run("break-glass", "lift", "--control", "allowlist")
	copied := filepath.Join(t.TempDir(), "copy.backup")
	sh.run("backup", copied)

	// After it: a code, a device, a link and an offline code are used, and sessions end.
	used := []string{totp(t, time.Now()), totp(t, time.Now().Add(30*time.Second))}
	tess := newVisitor(t).open(issuer+"/account").submit("email", "tess@acme.example", "password", crashPassword).submit("code", used[0], "remember", "yes")
	if !tess.signedIn(issuer) {
		t.Fatalf("tess is not in: %s", tess.page)
	}
	kim := newVisitor(t).open(invitation).submit("new_password", "Some other lamp, 31", "confirm_password", "Some other lamp, 31")
	if kim.status != http.StatusOK || kim.has("new_password") {
		t.Fatalf("the invitation: %d %s", kim.status, kim.page)
	}
	sh.run("break-glass", "end")
	sh.run("agent", "end-sessions", "ana@acme.example")
	if done := newVisitor(t).open(issuer+"/break-glass").submit("email", "tess@acme.example", "password", crashPassword, "code", offline, "control", "allowlist"); done.status != http.StatusOK {
		t.Fatalf("the offline code: %d %s", done.status, done.page)
	}
	server.stop(t)

	again := folder(t)
	sh.data = filepath.Join(again, "data")
	key, err := os.ReadFile(filepath.Join(dir, "data", "master.key"))
	if err := errors.Join(err, os.WriteFile(filepath.Join(sh.data, "master.key"), key, 0o600)); err != nil {
		t.Fatal(err)
	}
	said := sh.run("restore", copied)
	if !strings.Contains(said, "everybody signs in anew") || !strings.Contains(said, "offline codes") {
		t.Errorf("%s", said)
	}
	server = startServing(t, binary, again, address)

	for name, v := range map[string]*visitor{"ana, whose session was alive in the backup": ana, "tess, who came after it": tess} {
		if v.signedIn(issuer) {
			t.Errorf("%s, is signed in", name)
		}
	}
	if half.submit("code", totp(t, time.Now().Add(60*time.Second))); half.signedIn(issuer) {
		t.Error("a half-done sign-in went on")
	}
	if begun.submit("email", "ana@acme.example", "password", crashPassword); begun.signedIn(issuer) {
		t.Error("a form of before the restore was taken")
	}
	asked := tess.open(issuer+"/account").submit("email", "tess@acme.example", "password", crashPassword)
	if !asked.has("code") {
		t.Errorf("the remembered browser is not asked for a code: %d %s", asked.status, asked.page)
	}
	for _, code := range used {
		if asked.has("code") {
			asked.submit("code", code)
		}
		if asked.signedIn(issuer) {
			t.Errorf("the code %s worked again", code)
		}
		asked = newVisitor(t).open(issuer+"/account").submit("email", "tess@acme.example", "password", crashPassword)
	}
	if kim.open(invitation); kim.status != http.StatusGone {
		t.Errorf("the invitation: status %d", kim.status)
	}
	if got := newVisitor(t).open(issuer+"/break-glass").submit("email", "tess@acme.example", "password", crashPassword, "code", offline, "control", "allowlist"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("the offline code: status %d", got.status)
	}
	if said := sh.run("break-glass", "status"); !strings.Contains(said, "nothing is lifted") || !strings.Contains(said, "no offline codes") {
		t.Error(said)
	}
	if answer, status, err := client.redeem(unredeemed); err != nil || status != http.StatusBadRequest {
		t.Errorf("a code: %d %v %v", status, answer, err)
	}
	if answer, status, err := client.refresh(tokens["refresh_token"].(string)); err != nil || status != http.StatusBadRequest {
		t.Errorf("a refresh token: %d %v %v", status, answer, err)
	}
	if answer, _, err := client.post("/oauth/introspect", url.Values{"token": {tokens["access_token"].(string)}}); err != nil || answer["active"] != false {
		t.Errorf("an access token: %v %v", answer, err)
	}
	if in := newVisitor(t).open(issuer+"/account").submit("email", "ana@acme.example", "password", crashPassword); !in.signedIn(issuer) {
		t.Errorf("nobody gets in any more: %d %s", in.status, in.page)
	}
	server.stop(t)
	sh.run("audit", "verify")
}

func someCode(t *testing.T, c crashClient) *crashCode {
	t.Helper()
	code, err := c.code()
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func someTokens(t *testing.T, c crashClient) map[string]any {
	t.Helper()
	answer, status, err := c.redeem(someCode(t, c))
	if err != nil || status != http.StatusOK {
		t.Fatalf("%d %v %v", status, answer, err)
	}
	return answer
}
