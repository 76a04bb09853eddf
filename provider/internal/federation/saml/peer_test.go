package saml

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"
)

// An identity provider for tests. It writes its XML as text and signs it by hand, so that
// it can also do what no honest one does.

const (
	testIssuer   = "https://idp.example/metadata"
	testAudience = "https://id.example/federation/corp/metadata"
	testACS      = "https://id.example/federation/corp/acs"
	testSLO      = "https://id.example/federation/corp/slo"
	testRequest  = "_request1"
)

var testNow = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newSigner(key crypto.Signer, name string) *Signer {
	certificate, err := NewCertificate(key, name, testNow.AddDate(-1, 0, 0), testNow.AddDate(1, 0, 0))
	if err != nil {
		panic(err)
	}
	return &Signer{Key: key, Certificate: certificate}
}

func rsaSigner(name string, bits int) func() *Signer {
	return sync.OnceValue(func() *Signer {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			panic(err)
		}
		return newSigner(key, name)
	})
}

var (
	idpSigner   = rsaSigner("idp", 2048)
	nextSigner  = rsaSigner("idp next", 2048)
	otherSigner = rsaSigner("attacker", 2048)
	spSigner    = rsaSigner("sp", 2048)
	ecSigner    = sync.OnceValue(func() *Signer {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return newSigner(key, "idp with a curve")
	})
)

func testExpect() Expect {
	return Expect{
		IdP:            IdP{EntityID: testIssuer, Certificates: []*x509.Certificate{idpSigner().Certificate}},
		Audience:       testAudience,
		ACS:            testACS,
		InResponseTo:   testRequest,
		DecryptionKeys: []*rsa.PrivateKey{spSigner().Key.(*rsa.PrivateKey)},
		Now:            testNow,
	}
}

// plainAssertion and plainResponse are as testExpect wants them. Tests replace parts of them.
const plainAssertion = `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_assertion1" IssueInstant="2026-05-04T11:59:58Z" Version="2.0">` +
	`<saml:Issuer>` + testIssuer + `</saml:Issuer>` +
	`<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">alice@idp.example</saml:NameID>` +
	`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="_request1" NotOnOrAfter="2026-05-04T12:04:58Z" Recipient="` + testACS + `"/></saml:SubjectConfirmation></saml:Subject>` +
	`<saml:Conditions NotBefore="2026-05-04T11:59:28Z" NotOnOrAfter="2026-05-04T12:04:58Z"><saml:AudienceRestriction><saml:Audience>` + testAudience + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
	`<saml:AuthnStatement AuthnInstant="2026-05-04T11:50:00Z" SessionIndex="_session1" SessionNotOnOrAfter="2026-05-04T20:00:00Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
	`<saml:AttributeStatement><saml:Attribute Name="mail" FriendlyName="email"><saml:AttributeValue>alice@acme.example</saml:AttributeValue></saml:Attribute>` +
	`<saml:Attribute Name="groups"><saml:AttributeValue>staff</saml:AttributeValue><saml:AttributeValue>chat &amp; phone</saml:AttributeValue></saml:Attribute></saml:AttributeStatement>` +
	`</saml:Assertion>`

const plainResponse = `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Destination="` + testACS + `" ID="_response1" InResponseTo="_request1" IssueInstant="2026-05-04T11:59:59Z" Version="2.0">` +
	`<saml:Issuer>` + testIssuer + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/></samlp:Status>ASSERTION</samlp:Response>`

// signing is how one Signature is made. The zero value is the usual way.
type signing struct {
	signer     *Signer
	prefix     *string // of the Signature; ds
	inclusive  string  // PrefixList
	uri        string
	method     string
	digest     string
	digestHash crypto.Hash
	c14n       string
	transforms string // instead of the usual two
	keyInfo    string // instead of the signer's certificate
	before     string // into SignedInfo, before its end
}

// signID signs the element with an ID, and puts the Signature after its Issuer.
func signID(t testing.TB, document, id string, how signing) string {
	t.Helper()
	signature := how.over(t, document, id)
	at := strings.Index(document, `ID="`+id+`"`)
	if at < 0 {
		t.Fatalf("no element with the ID %s", id)
	}
	end := strings.Index(document[at:], "Issuer>")
	if next := strings.Index(document[at+end+7:], "Issuer>"); document[at+end-1] != '/' && !strings.Contains(document[at:at+end], "</") && next >= 0 {
		end += 7 + next
	}
	if end < 0 { // metadata
		end = strings.Index(document[at:], ">") - 6
	}
	at += end + len("Issuer>")
	return document[:at] + signature + document[at:]
}

func (how signing) over(t testing.TB, document, id string) string {
	t.Helper()
	root, err := parse([]byte(document))
	if err != nil {
		t.Fatal(err)
	}
	target := findID(root, id)
	if target == nil {
		t.Fatalf("no element with the ID %s", id)
	}
	canonical, err := dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList(how.inclusive).Canonicalize(detach(target))
	if err != nil {
		t.Fatal(err)
	}
	how.defaults(id)
	digest := how.digestHash.New()
	digest.Write(canonical)
	return how.signature(t, base64.StdEncoding.EncodeToString(digest.Sum(nil)))
}

func (how *signing) defaults(id string) {
	if how.signer == nil {
		how.signer = idpSigner()
	}
	if how.uri == "" {
		how.uri = "#" + id
	}
	if how.method == "" {
		how.method, _, _ = how.signer.method()
	}
	if how.digest == "" {
		how.digest = digestMethods[0]
	}
	if how.digestHash == 0 {
		how.digestHash = crypto.SHA256
	}
	if how.c14n == "" {
		how.c14n = algExclusive
	}
}

// signature writes a Signature in canonical form, and so need not canonicalise it.
func (how signing) signature(t testing.TB, digest string) string {
	t.Helper()
	prefix, declared := "ds:", `xmlns:ds="`+nsSignature+`"`
	if how.prefix != nil && *how.prefix == "" {
		prefix, declared = "", `xmlns="`+nsSignature+`"`
	}
	transforms := how.transforms
	if transforms == "" {
		inclusive := ""
		if how.inclusive != "" {
			inclusive = `<ec:InclusiveNamespaces xmlns:ec="` + algExclusive + `" PrefixList="` + how.inclusive + `"></ec:InclusiveNamespaces>`
		}
		transforms = `<P:Transform Algorithm="` + algEnveloped + `"></P:Transform><P:Transform Algorithm="` + algExclusive + `">` + inclusive + `</P:Transform>`
	}
	info := `<P:SignedInfo DECLARED><P:CanonicalizationMethod Algorithm="` + how.c14n + `"></P:CanonicalizationMethod>` +
		`<P:SignatureMethod Algorithm="` + how.method + `"></P:SignatureMethod>` +
		`<P:Reference URI="` + how.uri + `"><P:Transforms>` + transforms + `</P:Transforms>` +
		`<P:DigestMethod Algorithm="` + how.digest + `"></P:DigestMethod><P:DigestValue>` + digest + `</P:DigestValue></P:Reference>` + how.before + `</P:SignedInfo>`
	keyInfo := how.keyInfo
	if keyInfo == "" {
		keyInfo = `<P:KeyInfo><P:X509Data><P:X509Certificate>` + base64.StdEncoding.EncodeToString(how.signer.Certificate.Raw) + `</P:X509Certificate></P:X509Data></P:KeyInfo>`
	}
	own := strings.NewReplacer("P:", prefix, "DECLARED", declared)
	info = own.Replace(info)
	value := base64.StdEncoding.EncodeToString(how.sign(t, info))
	return own.Replace(`<P:Signature DECLARED>`) + info + own.Replace(`<P:SignatureValue>`+value+`</P:SignatureValue>`+keyInfo+`</P:Signature>`)
}

func (how signing) sign(t testing.TB, words string) []byte {
	t.Helper()
	hash := crypto.SHA256
	switch {
	case strings.HasSuffix(how.method, "sha1"):
		hash = crypto.SHA1
	case strings.HasSuffix(how.method, "sha384"):
		hash = crypto.SHA384
	case strings.HasSuffix(how.method, "sha512"):
		hash = crypto.SHA512
	}
	h := hash.New()
	h.Write([]byte(words))
	signature, err := how.signer.Key.Sign(rand.Reader, h.Sum(nil), hash)
	if err != nil {
		t.Fatal(err)
	}
	if key, ok := how.signer.Key.Public().(*ecdsa.PublicKey); ok {
		if signature, err = fromDER(signature, key); err != nil {
			t.Fatal(err)
		}
	}
	return signature
}

func findID(el *etree.Element, id string) *etree.Element {
	if value(el, "ID") == id {
		return el
	}
	for _, child := range el.ChildElements() {
		if found := findID(child, id); found != nil {
			return found
		}
	}
	return nil
}

// inResponse puts an assertion into a Response.
func inResponse(assertion string) string {
	return strings.Replace(plainResponse, "ASSERTION", assertion, 1)
}

// The three ways to sign.
func signedAssertion(t testing.TB, assertion string) string {
	return inResponse(signID(t, assertion, "_assertion1", signing{}))
}

func signedResponse(t testing.TB, assertion string) string {
	return signID(t, inResponse(assertion), "_response1", signing{})
}

func signedBoth(t testing.TB, assertion string) string {
	return signID(t, signedAssertion(t, assertion), "_response1", signing{})
}

var signedWays = map[string]func(testing.TB, string) string{
	"assertion": signedAssertion, "response": signedResponse, "both": signedBoth,
}

// mustVerify fails with the checks that failed.
func mustVerify(t testing.TB, document string, expect Expect) Assertion {
	t.Helper()
	assertion, list, err := Verify([]byte(document), expect)
	if err != nil {
		t.Fatalf("%v\n%+v", err, failed(list))
	}
	if bad := failed(list); len(bad) > 0 {
		t.Fatalf("accepted, with failed checks %+v", bad)
	}
	return assertion
}

// mustRefuse wants a refusal by one of the checks named, and nothing of an assertion.
func mustRefuse(t testing.TB, document string, expect Expect, by ...string) {
	t.Helper()
	assertion, list, err := Verify([]byte(document), expect)
	var refused *Refused
	if !errors.As(err, &refused) {
		t.Fatalf("accepted, or not a Refused: %v\n%+v", err, assertion)
	}
	if assertion.ID != "" || assertion.NameID.Value != "" || assertion.Attributes != nil {
		t.Fatalf("a refusal that says %+v", assertion)
	}
	if len(failed(list)) == 0 {
		t.Fatal("no failed check is listed")
	}
	for _, name := range by {
		if refused.Name == name {
			return
		}
	}
	if len(by) > 0 {
		t.Fatalf("refused by %q, not by %q: expected %s, got %s", refused.Name, by, refused.Expected, refused.Got)
	}
}

func failed(list []Check) (bad []Check) {
	for _, check := range list {
		if !check.OK {
			bad = append(bad, check)
		}
	}
	return bad
}
