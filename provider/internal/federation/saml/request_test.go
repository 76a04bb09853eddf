package saml

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func testSP() SP {
	return SP{
		EntityID: testAudience, ACS: testACS, SLO: testSLO, SignsRequests: true,
		Signing: []*x509.Certificate{spSigner().Certificate}, Encryption: []*x509.Certificate{spSigner().Certificate},
		NameIDFormats: []string{"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
	}
}

func TestARequestSaysWhoAsksAndWhereToAnswer(t *testing.T) {
	t.Parallel()
	message, err := NewAuthnRequest(testSP(), "https://idp.example/sso?tenant=1", RequestOptions{
		ForceAuthn: true, NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", AuthnContexts: []string{"urn:a", "urn:b"},
	}, testNow.Add(123456*time.Microsecond))
	if err != nil {
		t.Fatal(err)
	}
	data, err := message.XML()
	if err != nil {
		t.Fatal(err)
	}
	want := `<samlp:AuthnRequest xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="` + message.ID +
		`" Version="2.0" IssueInstant="2026-05-04T12:00:00Z" Destination="https://idp.example/sso?tenant=1" ForceAuthn="true" AssertionConsumerServiceURL="` + testACS +
		`" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST"><saml:Issuer>` + testAudience + `</saml:Issuer>` +
		`<samlp:NameIDPolicy Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent" AllowCreate="true"/>` +
		`<samlp:RequestedAuthnContext Comparison="exact"><saml:AuthnContextClassRef>urn:a</saml:AuthnContextClassRef><saml:AuthnContextClassRef>urn:b</saml:AuthnContextClassRef></samlp:RequestedAuthnContext></samlp:AuthnRequest>`
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Error(diff)
	}
	if !isNCName(message.ID) || len(message.ID) < 40 {
		t.Error(message.ID)
	}
}

func TestEveryRequestHasAnotherID(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 1000 {
		seen[newID()] = true
	}
	if len(seen) != 1000 {
		t.Error(len(seen))
	}
}

func TestARequestByRedirectIsDeflatedAndItsQuerySigned(t *testing.T) {
	t.Parallel()
	for _, signer := range []*Signer{spSigner(), ecSigner()} {
		message, err := NewAuthnRequest(testSP(), "https://idp.example/sso?tenant=1", RequestOptions{}, testNow)
		if err != nil {
			t.Fatal(err)
		}
		address, err := message.Redirect("state + more", signer)
		if err != nil {
			t.Fatal(err)
		}
		query, found := strings.CutPrefix(address, "https://idp.example/sso?tenant=1&")
		if !found {
			t.Fatal(address)
		}
		values, err := url.ParseQuery(query)
		if err != nil || values.Get("RelayState") != "state + more" {
			t.Fatal(err, values)
		}
		packed, err := base64.StdEncoding.DecodeString(values.Get("SAMLRequest"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := inflate(packed)
		if err != nil || !strings.Contains(string(data), message.ID) {
			t.Fatal(err, string(data))
		}
		in, err := FromQuery("tenant=1&" + query)
		if err != nil {
			t.Fatal(err)
		}
		c := &checks{}
		if err := c.checkQuery(in, LogoutExpect{IdP: IdP{Certificates: []*x509.Certificate{signer.Certificate}}, Now: testNow}); err != nil {
			t.Errorf("%v %+v", err, c.list)
		}
	}
}

func TestARequestGoesNowhereButToAWebAddress(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"", "javascript:alert(1)", "http://idp.example/sso", "//idp.example/sso", "/sso", "https://", "https://a@idp.example/", "https://idp.example/\r\nx", "https://idp.example/#x", "data:text/html,x"} {
		if Address(address) {
			t.Errorf("%q is taken", address)
		}
		if _, err := NewAuthnRequest(testSP(), address, RequestOptions{}, testNow); err == nil {
			t.Errorf("asked at %q", address)
		}
	}
	for _, address := range []string{"https://idp.example/sso?x=y", "http://127.0.0.1:8080/sso", "http://localhost/sso", "http://[::1]:80/"} {
		if !Address(address) {
			t.Errorf("%q is not taken", address)
		}
	}
}

func TestALongRelayStateIsRefused(t *testing.T) {
	t.Parallel()
	message, err := NewAuthnRequest(testSP(), "https://idp.example/sso", RequestOptions{}, testNow)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := message.Redirect(strings.Repeat("x", 81), nil); err == nil {
		t.Error("redirect")
	}
	if _, err := message.Post(strings.Repeat("x", 81), nil); err == nil {
		t.Error("post")
	}
}

// TestADeflateBombIsPutOut is not parallel: it measures.
func TestADeflateBombIsPutOut(t *testing.T) {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	block := make([]byte, 1<<20)
	for range 64 {
		_, _ = w.Write(block)
	}
	_ = w.Close()
	begin := time.Now()
	allocated := testing.AllocsPerRun(1, func() {
		if _, err := FromQuery("SAMLRequest=" + url.QueryEscape(base64.StdEncoding.EncodeToString(b.Bytes()))); err == nil {
			t.Error("accepted")
		}
	})
	if took := time.Since(begin); took > 200*time.Millisecond || allocated > 1000 {
		t.Error(took, allocated)
	}
}

func TestMetadataOfOursIsAlwaysTheSameAndCanBeRead(t *testing.T) {
	t.Parallel()
	first, err := Metadata(testSP())
	if err != nil {
		t.Fatal(err)
	}
	second, _ := Metadata(testSP())
	if !bytes.Equal(first, second) {
		t.Error("two different documents")
	}
	certificate := base64.StdEncoding.EncodeToString(spSigner().Certificate.Raw)
	want := `<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:ds="http://www.w3.org/2000/09/xmldsig#" entityID="` + testAudience + `">
  <md:SPSSODescriptor AuthnRequestsSigned="true" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:KeyDescriptor use="signing">
      <ds:KeyInfo>
        <ds:X509Data>
          <ds:X509Certificate>` + certificate + `</ds:X509Certificate>
        </ds:X509Data>
      </ds:KeyInfo>
    </md:KeyDescriptor>
    <md:KeyDescriptor use="encryption">
      <ds:KeyInfo>
        <ds:X509Data>
          <ds:X509Certificate>` + certificate + `</ds:X509Certificate>
        </ds:X509Data>
      </ds:KeyInfo>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes128-gcm"/>
      <md:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>
    </md:KeyDescriptor>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="` + testSLO + `"/>
    <md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + testSLO + `"/>
    <md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="` + testACS + `" index="0" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
`
	if diff := cmp.Diff(want, string(first)); diff != "" {
		t.Error(diff)
	}
}
