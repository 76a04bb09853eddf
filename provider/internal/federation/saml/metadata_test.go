package saml

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func keyXML(use string, certificate *x509.Certificate) string {
	if use != "" {
		use = ` use="` + use + `"`
	}
	return `<md:KeyDescriptor` + use + `><ds:KeyInfo xmlns:ds="` + nsSignature + `"><ds:X509Data><ds:X509Certificate>
` + base64.StdEncoding.EncodeToString(certificate.Raw) + `
</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>`
}

func idpMetadata() string {
	return `<?xml version="1.0"?><!-- made by hand --><md:EntityDescriptor xmlns:md="` + nsMetadata + `" ID="_metadata1" entityID="` + testIssuer + `" validUntil="2026-06-01T00:00:00Z" cacheDuration="PT6H">` +
		`<md:Extensions><x:y xmlns:x="urn:x">z</x:y></md:Extensions>` +
		`<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol ` + nsProtocol + `"><!-- keys -->` +
		keyXML("signing", idpSigner().Certificate) + keyXML("", nextSigner().Certificate) + keyXML("", idpSigner().Certificate) + keyXML("encryption", otherSigner().Certificate) +
		`<md:SingleLogoutService Binding="` + string(Redirect) + `" Location="https://idp.example/slo" ResponseLocation="https://idp.example/slo/done"/>` +
		`<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://idp.example/soap"/>` +
		`<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat>` +
		`<md:SingleSignOnService Binding="` + string(Redirect) + `" Location="https://idp.example/sso"/>` +
		`<md:SingleSignOnService Binding="` + string(Post) + `" Location="https://idp.example/sso/post"/>` +
		`<md:SingleSignOnService Binding="` + string(Post) + `" Location="https://idp.example/second"/>` +
		`</md:IDPSSODescriptor></md:EntityDescriptor>`
}

func TestMetadataOfAProviderIsRead(t *testing.T) {
	t.Parallel()
	got, list, err := ParseMetadata([]byte(idpMetadata()), MetadataOptions{Now: testNow})
	if err != nil || len(failed(list)) > 0 {
		t.Fatal(err, failed(list))
	}
	want := IdP{
		EntityID: testIssuer, WantsSigned: true,
		SSO:           map[Binding]string{Redirect: "https://idp.example/sso", Post: "https://idp.example/sso/post"},
		SLO:           map[Binding]string{Redirect: "https://idp.example/slo"},
		SLOResponse:   map[Binding]string{Redirect: "https://idp.example/slo/done"},
		Certificates:  []*x509.Certificate{idpSigner().Certificate, nextSigner().Certificate},
		NameIDFormats: []string{"urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
		ValidUntil:    time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), CacheDuration: 6 * time.Hour,
	}
	if diff := cmp.Diff(want, got, cmp.Comparer((*x509.Certificate).Equal)); diff != "" {
		t.Error(diff)
	}
}

func TestMetadataThatCannotBeUsedIsRefused(t *testing.T) {
	t.Parallel()
	good := idpMetadata()
	keys := between(good, "<!-- keys -->", "<md:SingleLogoutService")
	for name, c := range map[string]statement{
		"no entity ID":                {`entityID="` + testIssuer + `"`, "", CheckEntityID},
		"an end in the past":          {"2026-06-01", "2026-05-01", CheckClock},
		"an end that is none":         {"2026-06-01T00:00:00Z", "soon", CheckClock},
		"another protocol":            {nsProtocol, "urn:x", CheckShape},
		"no role":                     {"IDPSSODescriptor", "SPSSODescriptor", CheckShape},
		"no keys":                     {keys, "<md:SingleLogoutService", CheckCertificate},
		"keys for encryption alone":   {keys, keyXML("encryption", idpSigner().Certificate) + "<md:SingleLogoutService", CheckCertificate},
		"a key that is none":          {keys, `<md:KeyDescriptor><ds:KeyInfo xmlns:ds="` + nsSignature + `"><ds:X509Data><ds:X509Certificate>AAAA</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor><md:SingleLogoutService`, CheckCertificate},
		"a weak key":                  {keys, keyXML("signing", weakSigner().Certificate) + "<md:SingleLogoutService", CheckCertificate},
		"no sign-on service":          {"SingleSignOnService", "SingleSignOffService", CheckEndpoint},
		"a sign-on service in script": {"https://idp.example/sso", "javascript:alert(1)//", CheckShape},
		"sign-on in the clear":        {"https://idp.example/s", "http://idp.example/s", CheckEndpoint},
		"a DOCTYPE":                   {"<!-- made", "<!DOCTYPE x><!-- made", CheckXML},
		"CDATA":                       {"persistent<", "<![CDATA[persistent]]><", CheckXML},
		"a comment in a value":        {"persistent<", "persis<!-- -->tent<", CheckXML},
		"a comment before a value":    {"<md:NameIDFormat>", "<md:NameIDFormat><!-- -->", CheckXML},
		"another root":                {"md:EntityDescriptor", "md:Entity", CheckEntityID},
		"no XML":                      {"</md:EntityDescriptor>", "", CheckXML},
		"too big":                     {"<x:y", "<x:z" + strings.Repeat(" ", MaxMetadata) + "/><x:y", CheckSize},
		"too deep":                    {`<x:y xmlns:x="urn:x">z</x:y>`, strings.Repeat("<y>", 50) + strings.Repeat("</y>", 50), CheckSize},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if !strings.Contains(good, c.old) {
				t.Fatal("there is no", c.old)
			}
			got, list, err := ParseMetadata([]byte(strings.ReplaceAll(good, c.old, c.new)), MetadataOptions{Now: testNow})
			var refused *Refused
			if !errors.As(err, &refused) || refused.Name != c.by || got.EntityID != "" || len(failed(list)) == 0 {
				t.Errorf("%v %+v %+v", err, refused, got)
			}
		})
	}
}

var weakSigner = rsaSigner("weak idp", 1024)

func TestMetadataMustBeSignedByTheKeyThatIsGiven(t *testing.T) {
	t.Parallel()
	good := strings.Replace(idpMetadata(), "<!-- made by hand -->", "", 1)
	signature := signing{}.over(t, good, "_metadata1")
	signed := strings.Replace(good, "<md:Extensions>", signature+"<md:Extensions>", 1)
	options := MetadataOptions{Certificates: []*x509.Certificate{idpSigner().Certificate}, Now: testNow}
	if got, list, err := ParseMetadata([]byte(signed), options); err != nil || len(got.Certificates) != 2 {
		t.Errorf("%v %+v", err, failed(list))
	}
	for name, document := range map[string]string{
		"unsigned":       good,
		"changed":        strings.Replace(signed, "https://idp.example/sso", "https://evil.example/sso", 1),
		"another's":      strings.Replace(good, "<md:Extensions>", signing{signer: otherSigner()}.over(t, good, "_metadata1")+"<md:Extensions>", 1),
		"a key slipped":  strings.Replace(signed, "<!-- keys -->", keyXML("signing", otherSigner().Certificate), 1),
		"wrapped":        `<md:EntitiesDescriptor xmlns:md="` + nsMetadata + `">` + strings.Replace(strings.TrimPrefix(strings.Replace(good, "_metadata1", "_metadata2", 1), `<?xml version="1.0"?>`), "idp.example/s", "evil.example/s", 9) + strings.TrimPrefix(signed, `<?xml version="1.0"?>`) + `</md:EntitiesDescriptor>`,
		"signed at last": strings.Replace(good, "</md:EntityDescriptor>", signature+"</md:EntityDescriptor>", 1),
	} {
		if _, _, err := ParseMetadata([]byte(document), options); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestOneEntityIsChosenAmongSeveral(t *testing.T) {
	t.Parallel()
	one := strings.TrimPrefix(strings.Replace(idpMetadata(), ` ID="_metadata1"`, "", 1), `<?xml version="1.0"?>`)
	two := strings.ReplaceAll(one, testIssuer, "https://idp2.example/metadata")
	both := `<md:EntitiesDescriptor xmlns:md="` + nsMetadata + `" validUntil="2026-05-20T00:00:00Z">` + one + two + `</md:EntitiesDescriptor>`
	got, _, err := ParseMetadata([]byte(both), MetadataOptions{EntityID: "https://idp2.example/metadata", Now: testNow})
	if err != nil || got.EntityID != "https://idp2.example/metadata" || got.ValidUntil.Day() != 20 {
		t.Error(err, got)
	}
	for _, id := range []string{"", "https://idp3.example/metadata"} {
		if _, _, err := ParseMetadata([]byte(both), MetadataOptions{EntityID: id, Now: testNow}); err == nil {
			t.Errorf("%q: accepted", id)
		}
	}
	if _, _, err := ParseMetadata([]byte(strings.Replace(both, "https://idp2.example/metadata", testIssuer, 1)), MetadataOptions{EntityID: testIssuer, Now: testNow}); err == nil {
		t.Error("two entities of one name: accepted")
	}
}

func TestACertificateIsReadAsPeoplePasteIt(t *testing.T) {
	t.Parallel()
	der := idpSigner().Certificate.Raw
	block := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	for _, words := range []string{block, "\n " + block + "\n\n", base64.StdEncoding.EncodeToString(der), strings.NewReplacer("-----BEGIN CERTIFICATE-----", "", "-----END CERTIFICATE-----", "").Replace(block)} {
		if got, err := ParseCertificate(words); err != nil || !got.Equal(idpSigner().Certificate) {
			t.Errorf("%v: %s", err, words)
		}
	}
	key := string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	for _, words := range []string{"", "x", "AAAA", key, block + block} {
		if _, err := ParseCertificate(words); err == nil {
			t.Errorf("accepted %q", words)
		}
	}
}

func TestTheEndOfTheLastCertificateIsToldInTime(t *testing.T) {
	t.Parallel()
	make := func(begin, end time.Time) *x509.Certificate {
		certificate, err := NewCertificate(spSigner().Key, "id.example", begin, end)
		if err != nil {
			t.Fatal(err)
		}
		return certificate
	}
	soon, later := make(testNow.AddDate(-1, 0, 0), testNow.AddDate(0, 0, 6)), make(testNow.AddDate(0, 0, -1), testNow.AddDate(2, 0, 0))
	gone, next := make(testNow.AddDate(-2, 0, 0), testNow.AddDate(-1, 0, 0)), make(testNow.AddDate(0, 0, 1), testNow.AddDate(2, 0, 0))
	week := 7 * 24 * time.Hour
	for name, c := range map[string]struct {
		list []*x509.Certificate
		end  time.Time
		soon bool
	}{
		"one that ends":         {[]*x509.Certificate{soon}, soon.NotAfter, true},
		"and one that goes on":  {[]*x509.Certificate{soon, later}, later.NotAfter, false},
		"and one that is over":  {[]*x509.Certificate{gone, later}, later.NotAfter, false},
		"and one not yet begun": {[]*x509.Certificate{soon, next}, soon.NotAfter, true},
		"over":                  {[]*x509.Certificate{gone}, time.Time{}, true},
		"none":                  {nil, time.Time{}, true},
	} {
		if end, ends := Ending(c.list, testNow, week); !end.Equal(c.end) || ends != c.soon {
			t.Errorf("%s: %v %v", name, end, ends)
		}
	}
	for _, bad := range []string{"", "a\nb"} {
		if _, err := NewCertificate(spSigner().Key, bad, testNow, testNow.AddDate(1, 0, 0)); err == nil {
			t.Errorf("a certificate of the name %q", bad)
		}
	}
}

// Metadata in the shape of providers in wide use, with what stands around what we need.
func TestMetadataOfProvidersInWideUseIsRead(t *testing.T) {
	t.Parallel()
	der := base64.StdEncoding.EncodeToString(idpSigner().Certificate.Raw)
	bare := `<KeyInfo xmlns="` + nsSignature + `"><X509Data><X509Certificate>` + der + `</X509Certificate></X509Data></KeyInfo>`
	for name, document := range map[string]string{
		"Entra ID": `<?xml version="1.0" encoding="utf-8"?><EntityDescriptor ID="_5b0f" entityID="https://sts.example/5b0f/" xmlns="` + nsMetadata + `">` +
			`<RoleDescriptor xsi:type="fed:SecurityTokenServiceType" xmlns:xsi="` + nsInstance + `" protocolSupportEnumeration="http://docs.oasis-open.org/wsfed/federation/200706" xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706">` +
			`<KeyDescriptor use="signing">` + bare + `</KeyDescriptor><fed:ClaimTypesOffered><auth:ClaimType Uri="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name" xmlns:auth="http://docs.oasis-open.org/wsfed/authorization/200706"><auth:DisplayName>Name</auth:DisplayName></auth:ClaimType></fed:ClaimTypesOffered>` +
			`<fed:PassiveRequestorEndpoint><wsa:EndpointReference xmlns:wsa="http://www.w3.org/2005/08/addressing"><wsa:Address>https://sts.example/5b0f/wsfed</wsa:Address></wsa:EndpointReference></fed:PassiveRequestorEndpoint></RoleDescriptor>` +
			`<IDPSSODescriptor protocolSupportEnumeration="` + nsProtocol + `"><KeyDescriptor use="signing">` + bare + `</KeyDescriptor>` +
			`<SingleLogoutService Binding="` + string(Redirect) + `" Location="https://sts.example/5b0f/saml2"/><SingleSignOnService Binding="` + string(Redirect) + `" Location="https://sts.example/5b0f/saml2"/><SingleSignOnService Binding="` + string(Post) + `" Location="https://sts.example/5b0f/saml2"/></IDPSSODescriptor></EntityDescriptor>`,
		"Keycloak": `<md:EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" xmlns:md="` + nsMetadata + `" xmlns:saml="` + nsAssertion + `" xmlns:ds="` + nsSignature + `" entityID="https://keycloak.example/realms/acme">` +
			`<md:IDPSSODescriptor WantAuthnRequestsSigned="true" protocolSupportEnumeration="` + nsProtocol + `"><md:KeyDescriptor use="signing"><ds:KeyInfo><ds:KeyName>5b0f</ds:KeyName><ds:X509Data><ds:X509Certificate>` + der + `</ds:X509Certificate></ds:X509Data></ds:KeyInfo></md:KeyDescriptor>` +
			`<md:ArtifactResolutionService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://keycloak.example/resolve" index="0"/><md:SingleLogoutService Binding="` + string(Post) + `" Location="https://keycloak.example/saml"/>` +
			`<md:NameIDFormat>urn:oasis:names:tc:SAML:2.0:nameid-format:persistent</md:NameIDFormat><md:SingleSignOnService Binding="` + string(Post) + `" Location="https://keycloak.example/saml"/><md:SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:SOAP" Location="https://keycloak.example/saml"/></md:IDPSSODescriptor></md:EntityDescriptor>`,
		"Shibboleth": `<?xml version="1.0" encoding="UTF-8"?>
<!--
     This is example metadata only. Do *NOT* supply it as is without review.
-->
<EntityDescriptor xmlns="` + nsMetadata + `" xmlns:ds="` + nsSignature + `" xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" xmlns:xml="http://www.w3.org/XML/1998/namespace" xmlns:mdui="urn:oasis:names:tc:SAML:metadata:ui" entityID="https://shib.example/idp/shibboleth">
  <IDPSSODescriptor protocolSupportEnumeration="` + nsProtocol + ` urn:oasis:names:tc:SAML:1.1:protocol urn:mace:shibboleth:1.0">
    <Extensions><shibmd:Scope regexp="false">shib.example</shibmd:Scope><mdui:UIInfo><mdui:DisplayName xml:lang="en">Übung &amp; Co</mdui:DisplayName></mdui:UIInfo></Extensions>
    <!-- First signing certificate is BackChannel, the Second is FrontChannel-->
    <KeyDescriptor use="signing"><ds:KeyInfo><ds:X509Data><ds:X509Certificate>
` + der + `
    </ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>
    <SingleSignOnService Binding="urn:mace:shibboleth:1.0:profiles:AuthnRequest" Location="https://shib.example/idp/profile/Shibboleth/SSO"/>
    <SingleSignOnService Binding="` + string(Redirect) + `" Location="https://shib.example/idp/profile/SAML2/Redirect/SSO"/>
  </IDPSSODescriptor>
  <AttributeAuthorityDescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol"><AttributeService Binding="urn:oasis:names:tc:SAML:1.0:bindings:SOAP-binding" Location="https://shib.example:8443/idp"/></AttributeAuthorityDescriptor>
  <Organization><OrganizationName xml:lang="en">x</OrganizationName><OrganizationDisplayName xml:lang="en">x</OrganizationDisplayName><OrganizationURL xml:lang="en">https://shib.example</OrganizationURL></Organization>
  <ContactPerson contactType="technical"><GivenName>x</GivenName><EmailAddress>mailto:x@shib.example</EmailAddress></ContactPerson>
</EntityDescriptor>`,
	} {
		got, list, err := ParseMetadata([]byte(document), MetadataOptions{Now: testNow})
		if err != nil || len(got.Certificates) != 1 || len(got.SSO) == 0 {
			t.Errorf("%s: %v %+v", name, err, failed(list))
		}
	}
}
