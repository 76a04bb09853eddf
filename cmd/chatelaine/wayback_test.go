package main

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// houseOf is a server with tess, an administrator with an authenticator app, ana
// and kim, who has been invited.
func houseOf(t *testing.T) (issuer string, sh shell, server *serving) {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	dir, address := folder(t), "127.0.0.1:"+port
	binary := buildBinary(t)
	server = startServing(t, binary, dir, address)
	t.Cleanup(server.kill)
	return "http://" + address, shell{t, binary, filepath.Join(dir, "data"), address}, server
}

func (v *visitor) signIn(issuer, email string) *visitor {
	v.t.Helper()
	return v.open(issuer+"/account").submit("email", email, "password", crashPassword)
}

func TestAShutOutAdministratorGetsInByBreakGlassAndNobodyElseLonger(t *testing.T) {
	t.Parallel()
	issuer, sh, _ := houseOf(t)
	if tess := newVisitor(t).signIn(issuer, "tess@acme.example"); !tess.has("code") || tess.signedIn(issuer) {
		t.Fatal("tess needs no second factor")
	}
	sh.run("break-glass", "lift", "--control", "second_factor", "--minutes", "5")
	in := newVisitor(t).signIn(issuer, "tess@acme.example")
	if !in.signedIn(issuer) {
		t.Fatalf("the second factor is lifted, and tess is not in: %s", in.page)
	}
	if wrong := newVisitor(t).open(issuer+"/account").submit("email", "tess@acme.example", "password", "wrong"); wrong.signedIn(issuer) {
		t.Error("a wrong password is enough")
	}
	sh.run("break-glass", "end")
	if next := newVisitor(t).signIn(issuer, "tess@acme.example"); next.signedIn(issuer) {
		t.Error("the second factor is lifted still")
	}
}

func TestAnOfflineCodeLetsAnAdministratorInOnce(t *testing.T) {
	t.Parallel()
	issuer, sh, _ := houseOf(t)
	code := regexp.MustCompile(`(?:[0-9A-Z]{5}-){3}[0-9A-Z]{5}`).FindString(sh.run("break-glass", "codes"))
	lift := func(email, code string) *visitor {
		return newVisitor(t).open(issuer+"/break-glass").submit("email", email, "password", crashPassword, "code", code, "control", "second_factor")
	}
	if v := lift("ana@acme.example", code); v.status == http.StatusOK {
		t.Error("somebody who is no administrator lifted a control")
	}
	if v := lift("tess@acme.example", strings.ToLower(code)); v.status != http.StatusOK {
		t.Fatalf("%d %s", v.status, v.page)
	}
	if in := newVisitor(t).signIn(issuer, "tess@acme.example"); !in.signedIn(issuer) {
		t.Errorf("tess is not in: %s", in.page)
	}
	sh.run("break-glass", "end")
	if v := lift("tess@acme.example", code); v.status == http.StatusOK {
		t.Error("the code worked twice")
	}
	if said := sh.run("break-glass", "status"); !strings.Contains(said, "4 offline codes left") {
		t.Error(said)
	}
}

func TestWhatAnOperatorDoesToAnAgentIsFeltAtOnce(t *testing.T) {
	t.Parallel()
	issuer, sh, _ := houseOf(t)
	ana := newVisitor(t).signIn(issuer, "ana@acme.example")
	tess := newVisitor(t).signIn(issuer, "tess@acme.example").submit("code", totp(t, time.Now()), "remember", "yes")
	if !ana.signedIn(issuer) || !tess.signedIn(issuer) {
		t.Fatalf("%s %s", ana.page, tess.page)
	}
	if said := sh.run("agent", "sessions", "tess@acme.example"); !strings.Contains(said, "127.0.0.1") || !strings.Contains(said, "pwd+otp") {
		t.Error(said)
	}
	if said := sh.run("agent", "deactivate", "ana@acme.example"); !strings.Contains(said, "ana@acme.example") || ana.signedIn(issuer) {
		t.Errorf("ana, who is deactivated, is in: %s", said)
	}
	if ana.signIn(issuer, "ana@acme.example").signedIn(issuer) {
		t.Error("ana signed in again")
	}
	sh.run("agent", "activate", "ana@acme.example")
	if !ana.signIn(issuer, "ana@acme.example").signedIn(issuer) {
		t.Error("ana is active, and not let in")
	}
	if said := sh.run("agent", "reset-factors", "tess@acme.example"); !strings.Contains(said, "1 authenticator app") || !strings.Contains(said, "1 session ended") {
		t.Error(said)
	}
	if tess.signedIn(issuer) {
		t.Error("tess keeps the session of the factor that was reset")
	}
	if !tess.signIn(issuer, "tess@acme.example").signedIn(issuer) {
		t.Errorf("tess has no factor any more, and is not let in: %s", tess.page)
	}
}

func TestAnInvitedAgentChoosesAPasswordOnce(t *testing.T) {
	t.Parallel()
	issuer, sh, _ := houseOf(t)
	link := regexp.MustCompile(`http://\S+`)
	first, second := link.FindString(sh.run("agent", "invite", "kim@acme.example")), link.FindString(sh.run("agent", "invite", "kim@acme.example"))
	if v := newVisitor(t).open(first); v.status != http.StatusGone {
		t.Errorf("the older link: status %d", v.status)
	}
	choose := func() *visitor {
		v := newVisitor(t).open(second)
		if v.has("new_password") {
			v.submit("new_password", "weak", "confirm_password", "weak")
			v.submit("new_password", crashPassword, "confirm_password", crashPassword)
		}
		return v
	}
	if v := choose(); v.status != http.StatusOK {
		t.Fatalf("%d %s", v.status, v.page)
	}
	if v := choose(); v.status != http.StatusGone {
		t.Errorf("the link was used, and works again: status %d", v.status)
	}
	if !newVisitor(t).signIn(issuer, "kim@acme.example").signedIn(issuer) {
		t.Error("kim is not let in")
	}
}

func TestNeitherLogNorStoreHoldsWhatOpensAnAccount(t *testing.T) {
	t.Parallel()
	issuer, sh, server := houseOf(t)
	link := regexp.MustCompile(`http://\S+`).FindString(sh.run("agent", "invite", "kim@acme.example"))
	offline := regexp.MustCompile(`(?:[0-9A-Z]{5}-){3}[0-9A-Z]{5}`).FindString(sh.run("break-glass", "codes"))
	newVisitor(t).open(link).submit("new_password", "Some other lamp, 31", "confirm_password", "Some other lamp, 31")
	newVisitor(t).open(issuer+"/break-glass").submit("email", "tess@acme.example", "password", crashPassword, "code", offline, "control", "allowlist")
	code := totp(t, time.Now())
	tess := newVisitor(t).signIn(issuer, "tess@acme.example").submit("code", code, "remember", "yes")
	if !tess.signedIn(issuer) {
		t.Fatal(tess.page)
	}
	canaries := map[string]string{
		"a link": link[strings.LastIndex(link, "/")+1:], "an offline code": offline, "the same without dashes": strings.ReplaceAll(offline, "-", ""),
		"a password": crashPassword, "a new password": "Some other lamp, 31", "a seed": restoreSeed, "the seed as bytes": "12345678901234567890", "a client's secret": crashSecret,
	}
	for _, c := range tess.http.Jar.Cookies(tess.at) {
		canaries["the cookie "+c.Name] = c.Value
	}
	exported := sh.run("audit", "export")
	server.stop(t)
	places := map[string]string{"the log": server.log.String(), "the audit log": exported}
	for _, name := range []string{"chatelaine.db", "audit-checkpoints.jsonl"} {
		raw, err := os.ReadFile(filepath.Join(sh.data, name))
		if err != nil {
			t.Fatal(err)
		}
		places[name] = string(raw)
	}
	for place, text := range places {
		for what, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Errorf("%s holds %s", place, what)
			}
		}
	}
	if strings.Contains(places["the log"], `"`+code+`"`) || strings.Contains(exported, `"`+code+`"`) {
		t.Error("a log holds a code")
	}
}
