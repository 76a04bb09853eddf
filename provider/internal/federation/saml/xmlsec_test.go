package saml

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// xmlsec1 is an implementation of XML Signature and XML Encryption that others wrote.
type xmlsec struct {
	t   *testing.T
	bin string
	dir string
}

func newXMLSec(t *testing.T) xmlsec {
	t.Helper()
	bin, err := exec.LookPath("xmlsec1")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("this machine lacks xmlsec1")
		}
		t.Skip("this machine lacks xmlsec1")
	}
	x := xmlsec{t, bin, t.TempDir()}
	for name, signer := range map[string]*Signer{"idp": idpSigner(), "sp": spSigner(), "ec": ecSigner()} {
		key, err := x509.MarshalPKCS8PrivateKey(signer.Key)
		if err != nil {
			t.Fatal(err)
		}
		x.write(name+".key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
		x.write(name+".crt", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: signer.Certificate.Raw})))
	}
	return x
}

func (x xmlsec) path(name string) string { return filepath.Join(x.dir, name) }

func (x xmlsec) write(name, words string) string {
	x.t.Helper()
	if err := os.WriteFile(x.path(name), []byte(words), 0o600); err != nil {
		x.t.Fatal(err)
	}
	return x.path(name)
}

func (x xmlsec) run(args ...string) string {
	x.t.Helper()
	out := x.path("out.xml")
	_ = os.Remove(out)
	command := exec.CommandContext(x.t.Context(), x.bin, append([]string{args[0], "--output", out}, args[1:]...)...)
	if words, err := command.CombinedOutput(); err != nil {
		x.t.Fatalf("xmlsec1 %s: %v\n%s", strings.Join(args, " "), err, words)
	}
	data, err := os.ReadFile(out)
	if err != nil && args[0] != "--verify" {
		x.t.Fatal(err)
	}
	return string(data)
}

// template is a Signature for xmlsec1 to fill in.
func template(id, method, digest, inclusive string) string {
	list := ""
	if inclusive != "" {
		list = `<ec:InclusiveNamespaces xmlns:ec="` + algExclusive + `" PrefixList="` + inclusive + `"/>`
	}
	return `<ds:Signature xmlns:ds="` + nsSignature + `"><ds:SignedInfo><ds:CanonicalizationMethod Algorithm="` + algExclusive + `"/><ds:SignatureMethod Algorithm="` + method + `"/>` +
		`<ds:Reference URI="#` + id + `"><ds:Transforms><ds:Transform Algorithm="` + algEnveloped + `"/><ds:Transform Algorithm="` + algExclusive + `">` + list + `</ds:Transform></ds:Transforms>` +
		`<ds:DigestMethod Algorithm="` + digest + `"/><ds:DigestValue/></ds:Reference></ds:SignedInfo><ds:SignatureValue/><ds:KeyInfo><ds:X509Data><ds:X509Certificate/></ds:X509Data></ds:KeyInfo></ds:Signature>`
}

func (x xmlsec) sign(document, id, key, method, inclusive string) string {
	x.t.Helper()
	// The first Issuer after the element's ID is its own.
	at := strings.Index(document, `ID="`+id+`"`)
	end := at + strings.Index(document[at:], "</saml:Issuer>") + len("</saml:Issuer>")
	document = document[:end] + template(id, method, digestMethods[0], inclusive) + document[end:]
	return x.run("--sign", "--privkey-pem", x.path(key+".key")+","+x.path(key+".crt"),
		"--id-attr:ID", nsAssertion+":Assertion", "--id-attr:ID", nsProtocol+":Response",
		"--node-xpath", `//*[@ID="`+id+`"]/*[local-name()="Signature"]`, x.write("in.xml", document))
}

func (x xmlsec) encrypt(document, cipher, sessionKey, transport string) string {
	x.t.Helper()
	xml := x.write("in.xml", document)
	return x.run("--encrypt", "--pubkey-cert-pem", x.path("sp.crt"), "--session-key", sessionKey, "--xml-data", xml,
		"--node-xpath", `//*[local-name()="Assertion"]`,
		x.write("template.xml", `<xenc:EncryptedData xmlns:xenc="`+nsEncryption+`" Type="http://www.w3.org/2001/04/xmlenc#Element"><xenc:EncryptionMethod Algorithm="`+cipher+`"/>`+
			`<ds:KeyInfo xmlns:ds="`+nsSignature+`"><xenc:EncryptedKey><xenc:EncryptionMethod Algorithm="`+transport+`"/><xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedKey></ds:KeyInfo>`+
			`<xenc:CipherData><xenc:CipherValue/></xenc:CipherData></xenc:EncryptedData>`))
}

const (
	algRSA256 = "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"
	algEC256  = "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256"
)

func TestSignaturesThatXMLSecMadeAreVerified(t *testing.T) {
	t.Parallel()
	x := newXMLSec(t)
	expect := testExpect()
	expect.IdP.Certificates = append(expect.IdP.Certificates, ecSigner().Certificate)
	// Declared far out and used in values alone, as Okta and Shibboleth do.
	typed := strings.Replace(plainAssertion, `<saml:AttributeValue>staff`, `<saml:AttributeValue xmlns:xsi="`+nsInstance+`" xsi:type="xs:string">staff`, 1)
	outer := strings.Replace(inResponse(typed), "<samlp:Response ", `<samlp:Response xmlns:xs="http://www.w3.org/2001/XMLSchema" `, 1)
	for name, c := range map[string]struct{ key, method, inclusive string }{
		"RSA":              {"idp", algRSA256, ""},
		"RSA, with a list": {"idp", algRSA256, "xs"},
		"RSA SHA-512":      {"idp", "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512", ""},
		"ECDSA":            {"ec", algEC256, "xs saml"},
	} {
		assertion := x.sign(outer, "_assertion1", c.key, c.method, c.inclusive)
		mustVerify(t, assertion, expect)
		mustVerify(t, x.sign(outer, "_response1", c.key, c.method, c.inclusive), expect)
		mustVerify(t, x.sign(assertion, "_response1", c.key, c.method, ""), expect)
		mustRefuse(t, strings.Replace(assertion, "alice@idp", "mallo@idp", 1), expect, CheckSignature)
		t.Log(name)
	}
	mustRefuse(t, x.sign(outer, "_assertion1", "idp", "http://www.w3.org/2000/09/xmldsig#rsa-sha1", ""), expect, CheckAlgorithm)
}

func TestAssertionsThatXMLSecEncryptedAreRead(t *testing.T) {
	t.Parallel()
	x := newXMLSec(t)
	signed := x.sign(inResponse(plainAssertion), "_assertion1", "idp", algRSA256, "")
	box := func(document string) string {
		document = strings.Replace(document, "<xenc:EncryptedData ", "<saml:EncryptedAssertion><xenc:EncryptedData ", 1)
		return strings.Replace(document, "</xenc:EncryptedData>", "</xenc:EncryptedData></saml:EncryptedAssertion>", 1)
	}
	for cipher, key := range map[string]string{algGCM128: "aes-128", algGCM256: "aes-256", algCBC128: "aes-128", algCBC256: "aes-256"} {
		document := box(x.encrypt(signed, cipher, key, algOAEP))
		if ciphers[cipher].sealed {
			mustVerify(t, document, testExpect())
		} else {
			mustRefuse(t, document, testExpect(), CheckAlgorithm)
		}
		mustVerify(t, x.sign(document, "_response1", "idp", algRSA256, ""), testExpect())
	}
	mustRefuse(t, box(x.encrypt(signed, algGCM256, "aes-256", "http://www.w3.org/2001/04/xmlenc#rsa-1_5")), testExpect(), CheckShape)
}

func TestXMLSecVerifiesWhatWeSign(t *testing.T) {
	t.Parallel()
	x := newXMLSec(t)
	for name, signer := range map[string]*Signer{"sp": spSigner(), "ec": ecSigner()} {
		request, err := NewAuthnRequest(testSP(), "https://idp.example/sso", RequestOptions{ForceAuthn: true, AuthnContexts: []string{"urn:a", "urn:b"}}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		logout, err := NewLogoutRequest(testSP(), "https://idp.example/slo", NameID{Value: "alice & bob"}, []string{"_s1"}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		for _, message := range []Message{request, logout} {
			form, err := message.Post("state", signer)
			if err != nil {
				t.Fatal(err)
			}
			data, err := Decode(form.Fields[0][1])
			if err != nil {
				t.Fatal(err)
			}
			x.run("--verify", "--pubkey-cert-pem", x.path(name+".crt"), "--id-attr:ID", nsProtocol+":"+message.root.Tag, x.write("signed.xml", string(data)))
		}
	}
}
