package provider_test

import (
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// The login pages of the guide are run as they stand.
func TestTheGuidesLoginPagesSignAgentsIn(t *testing.T) {
	t.Parallel()
	const examples = "../docs/examples/jwt-login/"
	for name, command := range map[string][]string{
		"go":     {"go", "run", examples + "go/main.go"},
		"node":   {"node", examples + "node/login.mjs"},
		"php":    {"php", "-S", "LISTEN", examples + "php/login.php"},
		"python": {"python3", examples + "python/login.py"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := exec.LookPath(command[0]); err != nil {
				lacking(t, command[0])
			}
			h, address := start(t, storetest.Bolt, ""), freeAddress(t)
			login := "http://" + address + "/login"
			logout := "http://" + address + "/logout"
			h.connect(h.portal(func(c *store.Connection) { c.JWT.LoginURL, c.JWT.LogoutURL, c.JWT.Issuer = login, logout, "portal" }))
			serveLoginPage(t, command, address, h.issuer+"/federation/portal")

			b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
			p := b.link(b.get(h.authorizeURL(verifier)), "connection-portal")
			if p = b.submit(p, "", map[string]string{"user": "raj", "password": "not this"}); !strings.Contains(p.body, `name="password"`) {
				t.Fatalf("a wrong password: %d %s", p.status, p.body)
			}
			p = b.submit(p, "", map[string]string{"user": "raj", "password": "rajs-password"})
			h.arrives(b.submit(p, "continue", nil), verifier)

			for _, to := range []string{"https://evil.example/", h.issuer + "/federation/portal/jwt.evil.example", h.issuer + ".evil.example/federation/portal/jwt?x", ""} {
				if p := newBrowser(t, "").get(login + "?" + url.Values{"return_to": {to}}.Encode()); p.status != http.StatusBadRequest {
					t.Errorf("return_to %q: %d", to, p.status)
				}
				if p := newBrowser(t, "").get(logout + "?" + url.Values{"return_to": {to}}.Encode()); p.status != http.StatusBadRequest {
					t.Errorf("sign-out, return_to %q: %d", to, p.status)
				}
			}
			b.stop = h.issuer + "/federation/portal/logout?"
			back := b.get(logout + "?" + url.Values{"return_to": {h.issuer + "/federation/portal/logout?state=s"}}.Encode())
			if back.away == nil || back.away.Query().Get("state") != "s" {
				t.Errorf("sign-out: %d at %s", back.status, back.url)
			}
		})
	}
}

// serveLoginPage runs a page until the test ends.
func serveLoginPage(t *testing.T, command []string, address, connection string) {
	t.Helper()
	for i, word := range command {
		if word == "LISTEN" {
			command[i] = address
		}
	}
	page := exec.Command(command[0], command[1:]...)
	page.Env = append(os.Environ(), "LISTEN="+address, "CONNECTION="+connection, "ISSUER=portal", "KID=a", "SECRET="+portalSecret, "GOFLAGS=", "GOCACHE="+goCache(t))
	page.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // go run has a child
	if err := page.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		syscall.Kill(-page.Process.Pid, syscall.SIGTERM)
		page.Wait()
	})
	for range 600 {
		if resp, err := http.Get("http://" + address + "/"); err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("the login page did not start")
}

func goCache(t *testing.T) string {
	t.Helper()
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	if set := os.Getenv("GOCACHE"); set != "" {
		return set
	}
	return filepath.Join(dir, "go-build")
}
