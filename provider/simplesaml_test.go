package provider_test

import (
	"encoding/json"
	"fmt"
	"net"
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

// simpleSAML is SimpleSAMLphp as an identity provider, in PHP's own server.
type simpleSAML struct{ base, root string }

const simpleSAMLFolder = "/usr/share/simplesamlphp"

// freeAddress is a place on loopback where nobody listens.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// startSimpleSAML serves it.
func startSimpleSAML(t *testing.T) simpleSAML {
	t.Helper()
	root, address := t.TempDir(), freeAddress(t)
	base := "http://" + address + "/"
	run := func(name string, args ...string) {
		if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v %s", name, err, out)
		}
	}
	run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=idp", "-keyout", filepath.Join(root, "idp.key"), "-out", filepath.Join(root, "idp.crt"))
	for name, text := range map[string]string{
		"config.php": `<?php $config = ['baseurlpath' => '` + base + `', 'certdir' => '` + root + `/', 'loggingdir' => '` + root + `/', 'datadir' => '` + root + `/', 'tempdir' => '` + root + `/tmp',
			'technicalcontact_email' => 'na@example.org', 'secretsalt' => 'a-salt-for-this-test', 'auth.adminpassword' => 'a-password-for-this-test',
			'logging.handler' => 'file', 'logging.level' => 7, 'logging.logfile' => 'ssp.log', 'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
			'session.cookie.secure' => false, 'session.cookie.samesite' => 'Lax', 'store.type' => 'phpsession', 'session.phpsession.savepath' => '` + root + `', 'session.phpsession.httponly' => true,
			'language.default' => 'en', 'timezone' => 'UTC', 'metadata.sources' => [['type' => 'flatfile', 'directory' => '` + root + `/metadata']], 'metadatadir' => '` + root + `/metadata'];`,
		"authsources.php": `<?php $config = ['example' => ['exampleauth:UserPass',
			'raj:rajspass' => ['uid' => ['raj'], 'mail' => 'raj@acme.example', 'displayName' => 'Raj Patel', 'memberOf' => ['cn=supervisors', 'cn=staff']],
			'ana:anaspass' => ['uid' => ['ana'], 'mail' => 'ana@acme.example', 'displayName' => 'Ana Silva']]];`,
		"metadata/saml20-idp-hosted.php": `<?php $metadata['` + base + `idp'] = ['host' => '__DEFAULT__', 'privatekey' => 'idp.key', 'certificate' => 'idp.crt', 'auth' => 'example',
			'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', 'simplesaml.nameidattribute' => 'uid',
			'authproc' => [1 => ['class' => 'saml:AttributeNameID', 'attribute' => 'uid', 'Format' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent']],
			'signature.algorithm' => 'http://www.w3.org/2001/04/xmldsig-more#rsa-sha256', 'saml20.sign.response' => true, 'saml20.sign.assertion' => true];`,
		"metadata/saml20-sp-remote.php": "<?php ",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := exec.Command("php", "-d", "error_reporting=E_ALL&~E_DEPRECATED&~E_WARNING&~E_NOTICE", "-S", address, "-t", simpleSAMLFolder+"/www")
	server.Env = append(os.Environ(), "SIMPLESAMLPHP_CONFIG_DIR="+root)
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		server.Process.Signal(syscall.SIGTERM)
		server.Wait()
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(root, "ssp.log"))
			t.Logf("SimpleSAMLphp's log:\n%s", log)
		}
	})
	for range 100 {
		if resp, err := http.Get(base + "saml2/idp/metadata.php"); err == nil {
			resp.Body.Close()
			return simpleSAML{base, root}
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("SimpleSAMLphp did not start")
	return simpleSAML{}
}

// knows tells it of a connection of ours.
func (p simpleSAML) knows(h *running, connection string, more ...string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(p.root, "metadata/saml20-sp-remote.php"), []byte("<?php "+h.phpOf(connection)+strings.Join(more, " ")), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func hasSimpleSAML(t *testing.T) {
	t.Helper()
	if _, err := os.Stat(simpleSAMLFolder); err != nil {
		lacking(t, "SimpleSAMLphp")
	}
	if _, err := exec.LookPath("php"); err != nil {
		lacking(t, "PHP")
	}
}

// follow goes through pages that post themselves and forms for a password, up to
// the page where the browser stops.
func (p simpleSAML) follow(b *browser, at page, user, password string) page {
	b.t.Helper()
	for range 8 {
		switch {
		case at.away != nil:
			return at
		case strings.Contains(at.body, `name="password"`) && strings.HasPrefix(at.url.String(), p.base):
			at = b.submit(at, "", map[string]string{"username": user, "password": password})
		case strings.Contains(at.body, `name="SAMLResponse"`):
			at = b.submit(at, "", nil)
		default:
			return at
		}
	}
	b.t.Fatalf("it goes in circles: at %s: %s", at.url, at.body)
	return at
}

func TestSimpleSAMLphpSignsAnAgentInAndOut(t *testing.T) {
	hasSimpleSAML(t)
	storetest.OnBothEngines(t, testSimpleSAMLphpSignsAnAgentInAndOut)
}

func testSimpleSAMLphpSignsAnAgentInAndOut(t *testing.T, on storetest.Engine) {
	h, idp := start(t, on, ""), startSimpleSAML(t)
	h.connect(corp(nil, idp.connection))
	idp.knows(h, h.issuer+"/federation/corp")

	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	p := idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass")
	got := h.arrives(p, verifier)
	if claims := readClaims(t, got.ID); claims.Sub != h.agent("raj@acme.example").ID || claims.String() != "aal1 by fed" {
		t.Errorf("the ID token says %+v", claims)
	}

	// Signing out here signs out there: the next sign-in asks for the password again.
	b.stop = "http://127.0.0.1:9999/"
	p = b.get(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}.Encode())
	if p.away == nil {
		p = idp.follow(b, b.onward(p), "", "")
	}
	if p.away == nil || p.away.Path != "/" {
		t.Fatalf("the sign-out ended at %s (status %d): %s", p.url, p.status, p.body)
	}
	b.stop = deskCallback
	if p = b.link(b.get(h.authorizeURL(verifier)), "connection-corp"); !strings.Contains(p.body, `name="password"`) || !strings.HasPrefix(p.url.String(), idp.base) {
		t.Errorf("still signed in there: at %s (status %d)", p.url, p.status)
	}
}

func TestASignOutAtSimpleSAMLphpEndsTheSessionHere(t *testing.T) {
	t.Parallel()
	hasSimpleSAML(t)
	h, idp := start(t, storetest.Bolt, ""), startSimpleSAML(t)
	h.connect(corp(nil, idp.connection))
	idp.knows(h, h.issuer+"/federation/corp")
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	got := h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass"), verifier)
	backend := h.backend()
	if _, err := backend.Token(t.Context(), got.Access); err != nil {
		t.Fatal(err)
	}
	p := b.get(idp.base + "saml2/idp/SingleLogoutService.php?ReturnTo=" + url.QueryEscape(idp.base))
	p = idp.follow(b, p, "", "")
	if p.status >= 400 {
		t.Fatalf("the sign-out there failed: %d at %s: %s", p.status, p.url, p.body)
	}
	deadline := time.Now().Add(5 * time.Second)
	for time.Now().Before(deadline) {
		if _, err := backend.Token(t.Context(), got.Access); err != nil {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Error("the token lives on after a sign-out at the provider")
}

// connection says that it is the provider.
func (p simpleSAML) connection(c *store.Connection) {
	c.SAML = &store.SAMLConnection{MetadataURL: p.base + "saml2/idp/metadata.php", SignRequests: true}
}

// onward follows what a page that leads on by itself would: its Refresh header, or
// its form.
func (b *browser) onward(p page) page {
	b.t.Helper()
	if _, target, ok := strings.Cut(p.header.Get("Refresh"), "url="); ok {
		to, err := p.url.Parse(target)
		if err != nil {
			b.t.Fatal(err)
		}
		return b.get(to.String())
	}
	return b.submit(p, "continue", nil)
}

// phpOf is what SimpleSAMLphp has to know of a connection, read out of its
// metadata.
func (h *running) phpOf(connection string) string {
	h.t.Helper()
	p := newBrowser(h.t, "").get(connection + "/metadata")
	certificate := between(p.body, "X509Certificate>", "<")
	certificate = certificate[strings.LastIndex(certificate, ">")+1:]
	key, err := json.Marshal(strings.Join(strings.Fields(certificate), ""))
	if err != nil {
		h.t.Fatal(err)
	}
	return fmt.Sprintf(`$metadata['%[1]s'] = ['AssertionConsumerService' => '%[1]s/acs', 'SingleLogoutService' => [['Binding' => 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect', 'Location' => '%[1]s/slo']],
		'keys' => [['encryption' => true, 'signing' => true, 'type' => 'X509Certificate', 'X509Certificate' => %[2]s]],
		'validate.authnrequest' => true, 'validate.logout' => true, 'sign.logout' => true, 'NameIDFormat' => 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent', 'simplesaml.attributes' => true];`, connection, key)
}

func between(s, begin, end string) string {
	_, rest, _ := strings.Cut(s, begin)
	inside, _, _ := strings.Cut(rest, end)
	return inside
}

func TestSimpleSAMLphpEncryptsForUsAndBeginsWhereItMay(t *testing.T) {
	t.Parallel()
	hasSimpleSAML(t)
	h, idp := start(t, storetest.Bolt, ""), startSimpleSAML(t)
	encrypted := func(c *store.Connection) { c.SAML.RequireEncryption, c.IdPInitiated = true, true }
	h.connect(corp(nil, idp.connection, encrypted))
	connection := h.issuer + "/federation/corp"
	idp.knows(h, connection)
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	p := idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass")
	h.fails(p, http.StatusBadRequest, "token_invalid") // it was in clear

	idp.knows(h, connection, `$metadata['`+connection+`']['assertion.encryption'] = true;`)
	b = newBrowser(t, deskCallback)
	p = idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", "rajspass")
	h.arrives(p, verifier)

	// From its side, by a page that names the account.
	b = newBrowser(t, "")
	p = idp.follow(b, b.get(idp.base+"saml2/idp/SSOService.php?spentityid="+url.QueryEscape(connection)), "raj", "rajspass")
	if p.status != http.StatusOK || !strings.Contains(p.body, "raj@acme.example") || !strings.HasPrefix(p.url.Path, "/federation/corp/resume") {
		t.Fatalf("no question whether to go on: %d at %s", p.status, p.url)
	}
	if p = b.submit(p, "continue", nil); p.url.Path != "/account" || p.status != http.StatusOK {
		t.Errorf("it ended at %s (status %d)", p.url, p.status)
	}
}
