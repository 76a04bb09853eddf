package provider_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// lacking skips a test by name where the machine lacks something, and fails it
// under CI=true.
func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf("this machine lacks %s", what)
	}
	t.Skipf("this machine lacks %s", what)
}

func TestGoOIDCAndXOAuth2SignAnAgentIn(t *testing.T) {
	storetest.OnBothEngines(t, testGoOIDCAndXOAuth2SignAnAgentIn)
}

func testGoOIDCAndXOAuth2SignAnAgentIn(t *testing.T, on storetest.Engine) {
	h := start(t, on, "")
	ctx := t.Context()
	discovered, err := oidc.NewProvider(ctx, h.issuer)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{
		ClientID: "desk", ClientSecret: deskSecret, Endpoint: discovered.Endpoint(), RedirectURL: deskCallback,
		Scopes: []string{oidc.ScopeOpenID, "profile", "email", oidc.ScopeOfflineAccess},
	}
	verifier := oauth2.GenerateVerifier()
	b := newBrowser(t, deskCallback)
	p := b.signIn(config.AuthCodeURL("state-of-mine", oidc.Nonce("nonce-of-mine"), oauth2.S256ChallengeOption(verifier)), "ana@acme.example", agentPassword)
	if p.away == nil {
		t.Fatalf("not sent back: status %d: %s", p.status, p.body)
	}
	if got := p.away.Query().Get("iss"); got != h.issuer {
		t.Errorf("iss in the response is %q, want %q", got, h.issuer)
	}
	if got := p.away.Query().Get("state"); got != "state-of-mine" {
		t.Errorf("state is %q", got)
	}
	token, err := config.Exchange(ctx, p.away.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := discovered.Verifier(&oidc.Config{ClientID: "desk"}).Verify(ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != "nonce-of-mine" {
		t.Errorf("nonce is %q", id.Nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	info, err := discovered.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatal(err)
	}
	if info.Subject != id.Subject || info.Email != "ana@acme.example" || !info.EmailVerified {
		t.Errorf("userinfo says %+v of %s", info, id.Subject)
	}
	token.Expiry = time.Now().Add(-time.Minute)
	fresh, err := config.TokenSource(ctx, token).Token()
	if err != nil {
		t.Fatal(err)
	}
	if fresh.RefreshToken == token.RefreshToken {
		t.Error("the refresh token did not rotate")
	}
}

// packages installs npm packages into the user's cache, once, by exact version.
func packages(t *testing.T, names ...string) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		lacking(t, "npm")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "chatelaine-test", strings.NewReplacer("/", "_", "@", "_").Replace(strings.Join(names, "-")))
	if _, err := os.Stat(filepath.Join(dir, "done")); err == nil {
		return dir
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, npm, append([]string{"install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", dir}, names...)...)
	if out, err := install.CombinedOutput(); err != nil {
		t.Logf("%s", out)
		lacking(t, "the npm registry")
	}
	if err := os.WriteFile(filepath.Join(dir, "done"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestNodesOpenIDClientWalksAWholeSession(t *testing.T) {
	packages(t, "openid-client@6") // once, before both want it
	storetest.OnBothEngines(t, testNodesOpenIDClientWalksAWholeSession)
}

func testNodesOpenIDClientWalksAWholeSession(t *testing.T, on storetest.Engine) {
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "Node.js")
	}
	dir := packages(t, "openid-client@6")
	script, err := os.ReadFile("testdata/openid-client.mjs")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, fmt.Sprintf("walk-%s-%d.mjs", on, os.Getpid())) // beside node_modules, where Node looks for imports
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file) })
	h := start(t, on, "")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	walk := exec.CommandContext(ctx, node, file, h.issuer, "desk", deskSecret, deskCallback)
	walk.Stderr = os.Stderr
	stdin, err := walk.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := walk.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := walk.Start(); err != nil {
		t.Fatal(err)
	}
	defer walk.Wait()
	lines := bufio.NewScanner(stdout)
	if !lines.Scan() {
		t.Fatal("openid-client gave no authorization URL")
	}
	p := newBrowser(t, deskCallback).signIn(lines.Text(), "ana@acme.example", agentPassword)
	if p.away == nil {
		t.Fatalf("not sent back: status %d: %s", p.status, p.body)
	}
	fmt.Fprintln(stdin, p.away)
	if !lines.Scan() {
		t.Fatal("openid-client did not finish")
	}
	var got struct {
		Sub, Email, Name, Machine string
		Rotated, Live, Dead       bool
	}
	if err := json.Unmarshal(lines.Bytes(), &got); err != nil {
		t.Fatalf("%v: %s", err, lines.Text())
	}
	if got.Sub == "" || got.Email != "ana@acme.example" || got.Name != "Ana Silva" || !got.Rotated || !got.Live || got.Dead || !strings.EqualFold(got.Machine, "bearer") {
		t.Errorf("openid-client saw %+v", got)
	}
}

func TestApachesModAuthOpenIDCLetsAnAgentIn(t *testing.T) {
	t.Parallel()
	apache, err := exec.LookPath("apache2")
	if err != nil {
		lacking(t, "Apache")
	}
	const modules = "/usr/lib/apache2/modules/"
	if _, err := os.Stat(modules + "mod_auth_openidc.so"); err != nil {
		lacking(t, "mod_auth_openidc")
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	h := start(t, storetest.Bolt, "http://"+address+"/protected/callback")
	root := t.TempDir()
	for _, dir := range []string{root, filepath.Dir(root)} { // Apache's children run as another user
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "www/protected"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "www/protected/index.html"), []byte("the desk"), 0o644); err != nil {
		t.Fatal(err)
	}
	var conf strings.Builder
	for _, m := range []string{"mpm_event", "authn_core", "authz_core", "authz_user", "dir", "headers", "auth_openidc", "unixd"} {
		if _, err := os.Stat(modules + "mod_" + m + ".so"); err == nil {
			fmt.Fprintf(&conf, "LoadModule %s_module %smod_%s.so\n", m, modules, m)
		}
	}
	fmt.Fprintf(&conf, `ServerRoot %[1]s
PidFile %[1]s/pid
ErrorLog %[1]s/error.log
Mutex file:%[1]s
ServerName %[2]s
Listen %[2]s
User www-data
Group www-data
DocumentRoot %[1]s/www
DirectoryIndex index.html
OIDCProviderMetadataURL %[3]s/.well-known/openid-configuration
OIDCClientID desk
OIDCClientSecret %[4]s
OIDCRedirectURI http://%[2]s/protected/callback
OIDCCryptoPassphrase a-passphrase-for-this-test-only
OIDCScope "openid profile email"
OIDCPKCEMethod S256
OIDCRemoteUserClaim email
<Location /protected>
  AuthType openid-connect
  Require valid-user
  Header set X-User "expr=%%{REMOTE_USER}"
</Location>
`, root, address, h.issuer, deskSecret)
	file := filepath.Join(root, "apache.conf")
	if err := os.WriteFile(file, []byte(conf.String()), 0o644); err != nil {
		t.Fatal(err)
	}
	server := exec.Command(apache, "-X", "-f", file)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(root, "error.log"))
			t.Logf("Apache's error log:\n%s", log)
		}
	})
	for range 100 {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	b := newBrowser(t, "")
	p := b.submit(b.get("http://"+address+"/protected/"), "continue", map[string]string{"email": "ana@acme.example", "password": agentPassword})
	if p.status != 200 || !strings.Contains(p.body, "the desk") || p.header.Get("X-User") != "ana@acme.example" {
		t.Errorf("status %d, user %q at %s: %s", p.status, p.header.Get("X-User"), p.url, p.body)
	}
}
