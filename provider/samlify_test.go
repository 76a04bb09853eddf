package provider_test

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var installing sync.Mutex

// onePackage installs it once, before all want it.
func onePackage(t *testing.T, name string) string {
	t.Helper()
	installing.Lock()
	defer installing.Unlock()
	return packages(t, name)
}

// startPeer runs a script of testdata beside a package, and returns what it prints
// first of itself: where it listens.
func startPeer(t *testing.T, script, of string, args ...string) string {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		lacking(t, "Node.js")
	}
	dir := onePackage(t, of)
	text, err := os.ReadFile(filepath.Join("testdata", script))
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(dir, "*-"+script) // beside node_modules, where Node looks for imports
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(file.Name()) })
	if _, err := file.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	said := &lockedBuffer{}
	peer := exec.Command(node, append([]string{file.Name()}, args...)...)
	peer.Stderr = said
	stdout, err := peer.StdoutPipe()
	if err == nil {
		err = peer.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		peer.Process.Kill()
		peer.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", script, said)
		}
	})
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "http://") { // its library may have something to say as well
			return lines.Text()
		}
	}
	t.Fatalf("%s did not start", script)
	return ""
}

// samlify is npm samlify as an identity provider.
type samlify struct{ base string }

const samlifyPackage = "samlify@2.13.1"

// startSamlify serves it for the connection corp at a name of this machine's, by one
// binding: redirect or post.
func startSamlify(t *testing.T, h *running, binding, host string) samlify {
	t.Helper()
	openssl, err := exec.LookPath("openssl")
	if err != nil {
		lacking(t, "openssl")
	}
	folder := t.TempDir()
	out, err := exec.Command(openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "365", "-subj", "/CN=idp",
		"-keyout", filepath.Join(folder, "idp.key"), "-out", filepath.Join(folder, "idp.crt")).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v %s", err, out)
	}
	return samlify{startPeer(t, "samlify.mjs", samlifyPackage, folder, h.issuer+"/federation/corp/metadata", binding, host)}
}

// withSamlify starts the house and, beside it, samlify: each reads the other's
// metadata.
func withSamlify(t *testing.T, on storetest.Engine, binding string, change ...func(*store.Connection)) (*running, samlify) {
	t.Helper()
	h := start(t, on, "")
	return h, besideSamlify(t, h, binding, "127.0.0.1", change...)
}

// besideSamlify starts it beside the house.
func besideSamlify(t *testing.T, h *running, binding, host string, change ...func(*store.Connection)) samlify {
	t.Helper()
	away := func(c *store.Connection) {
		c.SAML = &store.SAMLConnection{MetadataURL: "http://127.0.0.1:1/metadata", SignRequests: true}
	}
	h.connect(corp(nil, away)) // so that there is our metadata for it to read
	idp := startSamlify(t, h, binding, host)
	at := func(c *store.Connection) { c.SAML.MetadataURL = idp.base + "/metadata" }
	h.connect(corp(nil, append([]func(*store.Connection){away, at}, change...)...))
	return idp
}

// Ways to sign and to encrypt that samlify knows, as its login page calls them.
const (
	signedAssertion = "signed assertion"
	signedBoth      = "signed message and assertion"
)

// follow goes on through its login page and pages that post themselves, up to where
// the browser stops.
func (p samlify) follow(b *browser, at page, user, way string) page {
	b.t.Helper()
	for range 8 {
		switch {
		case at.away != nil:
			return at
		case p.asks(at):
			at = b.submit(at, "", map[string]string{"username": user, "way": way})
		case strings.Contains(at.body, `name="SAMLResponse"`), strings.Contains(at.body, `name="SAMLRequest"`):
			at = b.submit(at, "", nil)
		case at.header.Get("Refresh") != "":
			at = b.onward(at)
		default:
			return at
		}
	}
	b.t.Fatalf("it goes in circles: at %s: %s", at.url, at.body)
	return at
}

// asks reports whether the page is its login page.
func (p samlify) asks(at page) bool {
	return strings.HasPrefix(at.url.String(), p.base) && strings.Contains(at.body, `name="username"`)
}

func TestSamlifySignsAnAgentInAndOut(t *testing.T) {
	for _, binding := range []string{"redirect", "post"} {
		t.Run(binding, func(t *testing.T) {
			storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) { testSamlifySignsAnAgentInAndOut(t, on, binding) })
		})
	}
}

func testSamlifySignsAnAgentInAndOut(t *testing.T, on storetest.Engine, binding string) {
	h, idp := withSamlify(t, on, binding)
	if looked := h.control("connections/check", map[string]any{"connection": "corp"}, ""); looked["ok"] != true {
		t.Errorf("a look at the connection says %v", looked)
	}
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	p := idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", signedAssertion)
	got := h.arrives(p, verifier)
	if claims := readClaims(t, got.ID); claims.Sub != h.agent("raj@acme.example").ID || claims.String() != "aal1 by fed" {
		t.Errorf("the ID token says %+v", claims)
	}
	// Signing out here signs out there: the next sign-in asks again.
	leave := h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}.Encode()
	b.stop = "http://127.0.0.1:9999/"
	p = idp.follow(b, b.get(leave), "", "")
	if p.away == nil || p.away.Path != "/" {
		t.Fatalf("the sign-out ended at %s (status %d): %s", p.url, p.status, p.body)
	}
	b.stop = deskCallback
	p = b.link(b.get(h.authorizeURL(verifier)), "connection-corp")
	if binding == "post" {
		p = b.submit(p, "", nil)
	}
	if !idp.asks(p) {
		t.Errorf("still signed in there: at %s (status %d): %s", p.url, p.status, p.body)
	}
}

func TestAProviderThatCannotSignAnybodyOutIsNotSaidToHave(t *testing.T) {
	for _, binding := range []string{"redirect", "post"} {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			testAProviderThatCannotSignAnybodyOutIsNotSaidToHave(t, binding)
		})
	}
}

func testAProviderThatCannotSignAnybodyOutIsNotSaidToHave(t *testing.T, binding string) {
	h, idp := withSamlify(t, storetest.Bolt, binding)
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	got := h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", signedAssertion), verifier)
	b.get(idp.base + "/stick")
	b.stop = "http://127.0.0.1:9999/"
	p := idp.follow(b, b.get(h.issuer+"/oauth/logout?"+url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}.Encode()), "", "")
	if p.away != nil || p.status != http.StatusOK || !strings.Contains(p.body, "couldn’t end all of the others") {
		t.Errorf("away to %v, %d: %s", p.away, p.status, p.body)
	}
	if p := b.get(h.issuer + "/account"); p.url.Path == "/account" {
		t.Error("the session here lives on")
	}
}

func TestSamlifyTakesNoRequestThatWasChangedOnItsWay(t *testing.T) {
	t.Parallel()
	h, idp := withSamlify(t, storetest.Bolt, "redirect")
	b := newBrowser(t, idp.base)
	p := b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-corp")
	if p.away == nil {
		t.Fatalf("not sent there: %d %s", p.status, p.body)
	}
	b.stop = ""
	if at := b.get(p.away.String()); !idp.asks(at) {
		t.Fatalf("the request as it was: %d %s", at.status, at.body)
	}
	if at := b.get(strings.Replace(p.away.String(), "RelayState=", "RelayState=x", 1)); at.status != http.StatusBadRequest || !strings.Contains(at.body, "SIGNATURE") {
		t.Errorf("with another RelayState: %d %s", at.status, at.body)
	}
}

func TestWhatSamlifySignsAndEncryptsIsTakenWhereItHolds(t *testing.T) {
	t.Parallel()
	h, idp := withSamlify(t, storetest.Bolt, "redirect")
	through := func(way string) (page, string) {
		b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
		return idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", way), verifier
	}
	for _, c := range []struct {
		way     string
		message bool // is signed, beside the assertion
		cipher  string
	}{
		{signedAssertion, false, ""},
		{signedBoth, true, ""},
		{"encrypted assertion", false, "xmlenc11#aes256-gcm"},
		{"encrypted assertion in a signed message", true, "xmlenc11#aes256-gcm"},
		{"CBC in a signed message", true, "xmlenc#aes256-cbc"},
	} {
		p, verifier := through(c.way)
		got := h.traced()
		if p.away == nil {
			t.Errorf("%s: %d %s", c.way, p.status, got)
			continue
		}
		h.arrives(p, verifier)
		encrypted := strings.Contains(got, "name:decryption ok:true")
		if !strings.Contains(got, "a signature of Assertion") || strings.Contains(got, "a signature of Response") != c.message || encrypted != (c.cipher != "") || !strings.Contains(got, c.cipher) {
			t.Errorf("%s: what was checked is %s", c.way, got)
		}
	}
	p, _ := through("CBC in a message that nobody signed")
	h.fails(p, http.StatusBadRequest, "token_invalid")
	if got := h.traced(); !strings.Contains(got, "AES-CBC only in a signed Response") {
		t.Errorf("the trace says %s", got)
	}

	// In clear is not enough where encryption is demanded.
	h.connect(corp(nil, func(c *store.Connection) {
		c.SAML = &store.SAMLConnection{MetadataURL: idp.base + "/metadata", SignRequests: true, RequireEncryption: true}
	}))
	p, _ = through(signedBoth)
	h.fails(p, http.StatusBadRequest, "token_invalid")
	p, verifier := through("encrypted assertion")
	h.arrives(p, verifier)
}

// traced is the last attempt at the connection corp, as its trace tells it.
func (h *running) traced() string {
	h.t.Helper()
	attempts, _ := h.control("connections/trace", map[string]any{"connection": "corp"}, "")["attempts"].([]any)
	if len(attempts) == 0 {
		h.t.Fatal("there is no trace")
	}
	return fmt.Sprint(attempts[len(attempts)-1])
}

func TestAnAnswerOfSamlifysThatWasChangedOnItsWayIsNone(t *testing.T) {
	t.Parallel()
	h, idp := withSamlify(t, storetest.Bolt, "redirect", func(c *store.Connection) { c.Create = true })
	for _, way := range []string{signedAssertion, signedBoth} {
		b := newBrowser(t, deskCallback)
		p := b.submit(b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-corp"), "", map[string]string{"username": "eve", "way": way})
		field := attributes(`v="` + between(p.body, `name="SAMLResponse" value="`, `"`) + `"`)["v"]
		plain, err := base64.StdEncoding.DecodeString(field)
		if err != nil || !strings.Contains(string(plain), "eve@acme.example") {
			t.Fatalf("%v: %s", err, plain)
		}
		changed := base64.StdEncoding.EncodeToString([]byte(strings.ReplaceAll(string(plain), "eve@acme.example", "raj@acme.example")))
		h.fails(b.submit(p, "", map[string]string{"SAMLResponse": changed}), http.StatusBadRequest, "token_invalid")
	}
	// As it was, Eve is made, under the name that she has there.
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "eve", signedBoth), verifier)
	if eve := h.agent("eve@acme.example"); eve.Name != "Eve & <Co>" {
		t.Errorf("made %+v", eve)
	}
}

func TestSamlifyBeginsWhereItMay(t *testing.T) {
	t.Parallel()
	h, idp := withSamlify(t, storetest.Bolt, "redirect")
	b := newBrowser(t, "")
	h.fails(idp.follow(b, b.get(idp.base+"/begin"), "raj", signedBoth), http.StatusBadRequest, "not_asked")

	h.connect(corp(nil, func(c *store.Connection) {
		c.IdPInitiated, c.SAML = true, &store.SAMLConnection{MetadataURL: idp.base + "/metadata", SignRequests: true}
	}))
	b = newBrowser(t, "")
	p := idp.follow(b, b.get(idp.base+"/begin"), "raj", "encrypted assertion in a signed message")
	if p.status != http.StatusOK || !strings.Contains(p.body, "raj@acme.example") || p.url.Path != "/federation/corp/resume" {
		t.Fatalf("no question whether to go on: %d at %s", p.status, p.url)
	}
	if p = b.submit(p, "continue", nil); p.url.Path != "/account" || p.status != http.StatusOK {
		t.Errorf("it ended at %s (status %d)", p.url, p.status)
	}
}

func TestASignOutAtSamlifyEndsTheSessionHere(t *testing.T) {
	for _, binding := range []string{"redirect", "post"} {
		t.Run(binding, func(t *testing.T) {
			t.Parallel()
			h, idp := withSamlify(t, storetest.Bolt, binding)
			backend := h.backend()
			through := func() (*browser, tokens) {
				b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
				got := h.arrives(idp.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-corp"), "raj", signedAssertion), verifier)
				if _, err := backend.Token(t.Context(), got.Access); err != nil {
					t.Fatal(err)
				}
				return b, got
			}
			b, got := through()
			_, elsewhere := through()
			b.stop = ""
			if p := idp.follow(b, b.get(idp.base+"/logout"), "", ""); p.status != http.StatusOK || !strings.Contains(p.body, "signed out everywhere") {
				t.Fatalf("the sign-out there ended at %s: %d %s", p.url, p.status, p.body)
			}
			ends(t, backend, got.Access, "a sign-out at the provider")
			if _, err := backend.Token(t.Context(), elsewhere.Access); err != nil {
				t.Errorf("the session in another browser, of another index: %v", err)
			}
			last, third := through()
			last.stop = ""
			if p := idp.follow(last, last.get(idp.base+"/logout?everywhere"), "", ""); !strings.Contains(p.body, "signed out everywhere") {
				t.Fatalf("the sign-out of all sessions ended at %s: %d %s", p.url, p.status, p.body)
			}
			ends(t, backend, third.Access, "a sign-out that names no index")
			ends(t, backend, elsewhere.Access, "a sign-out that names no index")
			if p := b.get(h.issuer + "/account"); p.url.Path == "/account" {
				t.Error("the session lives on")
			}
		})
	}
}
