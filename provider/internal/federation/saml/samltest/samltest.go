// Package samltest is a SAML identity provider for tests of what stands on saml:
// it answers as it is told, signed by its own key. It writes its XML by hand, in
// canonical form, and shares no code with what judges it.
package samltest

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"
)

// IdP is an identity provider.
type IdP struct {
	EntityID, SSO, SLO string
	Key                *rsa.PrivateKey
	Certificate        *x509.Certificate
}

var keys = sync.OnceValue(func() (list []*rsa.PrivateKey) {
	for range 2 {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		list = append(list, key)
	}
	return list
})

// New makes an identity provider whose addresses begin with base.
func New(base string, now time.Time) *IdP { return with(base, keys()[0], now) }

// Other makes one with another key.
func Other(base string, now time.Time) *IdP { return with(base, keys()[1], now) }

func with(base string, key *rsa.PrivateKey, now time.Time) *IdP {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "idp"}, NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(1, 0, 0),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &IdP{EntityID: base + "/metadata", SSO: base + "/sso", SLO: base + "/slo", Key: key, Certificate: certificate}
}

// PEM is its certificate.
func (p *IdP) PEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate.Raw}))
}

// Metadata describes it.
func (p *IdP) Metadata() string {
	slo := ""
	if p.SLO != "" {
		slo = `<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + esc(p.SLO) + `"/>`
	}
	return `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="` + esc(p.EntityID) + `">` +
		`<md:IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"><md:KeyDescriptor use="signing">` +
		`<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:X509Data><ds:X509Certificate>` + base64.StdEncoding.EncodeToString(p.Certificate.Raw) +
		`</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` + slo +
		`<md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + esc(p.SSO) + `"/>` +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

// Answer is what a Response says. What is left out is as an honest provider has it.
type Answer struct {
	InResponseTo  string // empty: nobody asked
	ACS, Audience string
	NameID        string
	Format        string // persistent
	SessionIndex  string
	Attributes    map[string][]string
	Now           time.Time
	AuthnInstant  time.Time
	Context       string
	ID            string // of the assertion; another each time
}

// Respond makes the field SAMLResponse: a Response with a signed assertion.
func (p *IdP) Respond(a Answer) string {
	a.defaults()
	assertion := p.sign(p.assertion(a), a.ID)
	to := ""
	if a.InResponseTo != "" {
		to = ` InResponseTo="` + esc(a.InResponseTo) + `"`
	}
	response := `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" Destination="` + esc(a.ACS) + `" ID="` + newID() + `"` + to +
		` IssueInstant="` + stamp(a.Now) + `" Version="2.0"><saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">` + text(p.EntityID) + `</saml:Issuer>` +
		`<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>` + assertion + `</samlp:Response>`
	return base64.StdEncoding.EncodeToString([]byte(response))
}

func (a *Answer) defaults() {
	if a.Format == "" {
		a.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
	}
	if a.SessionIndex == "" {
		a.SessionIndex = "session-" + a.NameID
	}
	if a.AuthnInstant.IsZero() {
		a.AuthnInstant = a.Now
	}
	if a.Context == "" {
		a.Context = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
	}
	if a.ID == "" {
		a.ID = newID()
	}
}

// assertion is in canonical form, a place for the signature in it.
func (p *IdP) assertion(a Answer) string {
	to := ""
	if a.InResponseTo != "" {
		to = `InResponseTo="` + esc(a.InResponseTo) + `" `
	}
	end := stamp(a.Now.Add(5 * time.Minute))
	return `<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="` + a.ID + `" IssueInstant="` + stamp(a.Now) + `" Version="2.0">` +
		`<saml:Issuer>` + text(p.EntityID) + `</saml:Issuer>SIGNATURE` +
		`<saml:Subject><saml:NameID Format="` + esc(a.Format) + `">` + text(a.NameID) + `</saml:NameID>` +
		`<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData ` + to +
		`NotOnOrAfter="` + end + `" Recipient="` + esc(a.ACS) + `"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>` +
		`<saml:Conditions NotBefore="` + stamp(a.Now.Add(-time.Minute)) + `" NotOnOrAfter="` + end + `"><saml:AudienceRestriction><saml:Audience>` + text(a.Audience) +
		`</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
		`<saml:AuthnStatement AuthnInstant="` + stamp(a.AuthnInstant) + `" SessionIndex="` + esc(a.SessionIndex) + `"><saml:AuthnContext><saml:AuthnContextClassRef>` +
		text(a.Context) + `</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` + attributes(a.Attributes) + `</saml:Assertion>`
}

func attributes(all map[string][]string) string {
	if len(all) == 0 {
		return ""
	}
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	b.WriteString(`<saml:AttributeStatement>`)
	for _, name := range names {
		b.WriteString(`<saml:Attribute Name="` + esc(name) + `">`)
		for _, v := range all[name] {
			b.WriteString(`<saml:AttributeValue>` + text(v) + `</saml:AttributeValue>`)
		}
		b.WriteString(`</saml:Attribute>`)
	}
	b.WriteString(`</saml:AttributeStatement>`)
	return b.String()
}

// sign puts an enveloped signature in its place (XML Signature, section 6.6.4).
func (p *IdP) sign(document, id string) string {
	digest := sha256.Sum256([]byte(strings.Replace(document, "SIGNATURE", "", 1)))
	info := `<ds:SignedInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:CanonicalizationMethod Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:CanonicalizationMethod>` +
		`<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#rsa-sha256"></ds:SignatureMethod><ds:Reference URI="#` + id + `"><ds:Transforms>` +
		`<ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform><ds:Transform Algorithm="http://www.w3.org/2001/10/xml-exc-c14n#"></ds:Transform>` +
		`</ds:Transforms><ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod><ds:DigestValue>` +
		base64.StdEncoding.EncodeToString(digest[:]) + `</ds:DigestValue></ds:Reference></ds:SignedInfo>`
	sum := sha256.Sum256([]byte(info))
	value, err := rsa.SignPKCS1v15(rand.Reader, p.Key, crypto.SHA256, sum[:])
	if err != nil {
		panic(err)
	}
	signature := `<ds:Signature xmlns:ds="http://www.w3.org/2000/09/xmldsig#">` + strings.Replace(info, ` xmlns:ds="http://www.w3.org/2000/09/xmldsig#"`, "", 1) +
		`<ds:SignatureValue>` + base64.StdEncoding.EncodeToString(value) + `</ds:SignatureValue></ds:Signature>`
	return strings.Replace(document, "SIGNATURE", signature, 1)
}

func newID() string {
	b := make([]byte, 16)
	rand.Read(b)
	return "_" + hex.EncodeToString(b)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

// esc and text escape as canonical form does, in attributes and between them
// (Canonical XML 1.0, section 2.3).
func esc(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", `"`, "&quot;").Replace(s)
}
func text(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}
