package saml

import (
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Responses in the shape of providers in wide use: their prefixes, their order of attributes, where they
// declare namespaces, what they sign and what they send. All names and keys are the tests' own.

type provider struct {
	response string
	sign     func(t testing.TB, response string) string
	name     NameID
	context  string
	values   map[string]string
}

var none = ""

const (
	xs      = `xmlns:xs="http://www.w3.org/2001/XMLSchema"`
	xsi     = `xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"`
	success = "urn:oasis:names:tc:SAML:2.0:status:Success"
)

var providers = map[string]provider{
	// Entra ID signs the assertion alone, with default namespaces throughout.
	"Entra ID": {
		response: `<samlp:Response ID="_response1" Version="2.0" IssueInstant="2026-05-04T11:59:59.123Z" Destination="` + testACS + `" InResponseTo="_request1" xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol">` +
			`<Issuer xmlns="urn:oasis:names:tc:SAML:2.0:assertion">` + testIssuer + `</Issuer><samlp:Status><samlp:StatusCode Value="` + success + `"/></samlp:Status>` +
			`<Assertion ID="_assertion1" IssueInstant="2026-05-04T11:59:59.119Z" Version="2.0" xmlns="urn:oasis:names:tc:SAML:2.0:assertion"><Issuer>` + testIssuer + `</Issuer>` +
			`<Subject><NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">alice@acme.example</NameID><SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><SubjectConfirmationData InResponseTo="_request1" NotOnOrAfter="2026-05-04T12:59:59.023Z" Recipient="` + testACS + `"/></SubjectConfirmation></Subject>` +
			`<Conditions NotBefore="2026-05-04T11:54:59.023Z" NotOnOrAfter="2026-05-04T12:59:59.023Z"><AudienceRestriction><Audience>` + testAudience + `</Audience></AudienceRestriction></Conditions>` +
			`<AttributeStatement><Attribute Name="http://schemas.microsoft.com/identity/claims/tenantid"><AttributeValue>5b0f</AttributeValue></Attribute>` +
			`<Attribute Name="http://schemas.microsoft.com/ws/2008/06/identity/claims/groups"><AttributeValue>g1</AttributeValue><AttributeValue>g2</AttributeValue></Attribute>` +
			`<Attribute Name="http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress"><AttributeValue>alice@acme.example</AttributeValue></Attribute></AttributeStatement>` +
			`<AuthnStatement AuthnInstant="2026-05-04T08:01:02.003Z" SessionIndex="_assertion1"><AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef></AuthnContext></AuthnStatement></Assertion></samlp:Response>`,
		sign: func(t testing.TB, response string) string {
			return signID(t, response, "_assertion1", signing{prefix: &none})
		},
		name:    NameID{Value: "alice@acme.example", Format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"},
		context: "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
		values:  map[string]string{"http://schemas.microsoft.com/ws/2008/06/identity/claims/groups": "g1|g2"},
	},
	// Okta signs both, each with a list of prefixes, and begins with a declaration.
	"Okta": {
		response: `<?xml version="1.0" encoding="UTF-8"?><saml2p:Response Destination="` + testACS + `" ID="_response1" InResponseTo="_request1" IssueInstant="2026-05-04T11:59:59.601Z" Version="2.0" xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" ` + xs + `>` +
			`<saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion">` + testIssuer + `</saml2:Issuer><saml2p:Status xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol"><saml2p:StatusCode Value="` + success + `"/></saml2p:Status>` +
			`<saml2:Assertion ID="_assertion1" IssueInstant="2026-05-04T11:59:59.601Z" Version="2.0" xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ` + xs + `><saml2:Issuer Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">` + testIssuer + `</saml2:Issuer>` +
			`<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified">alice</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData InResponseTo="_request1" NotOnOrAfter="2026-05-04T12:04:59.601Z" Recipient="` + testACS + `"/></saml2:SubjectConfirmation></saml2:Subject>` +
			`<saml2:Conditions NotBefore="2026-05-04T11:54:59.601Z" NotOnOrAfter="2026-05-04T12:04:59.601Z"><saml2:AudienceRestriction><saml2:Audience>` + testAudience + `</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>` +
			`<saml2:AuthnStatement AuthnInstant="2026-05-04T11:59:59.601Z" SessionIndex="_request1"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement>` +
			`<saml2:AttributeStatement><saml2:Attribute Name="email" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"><saml2:AttributeValue ` + xsi + ` xsi:type="xs:string">alice@acme.example</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>`,
		sign: func(t testing.TB, response string) string {
			how := signing{inclusive: "xs"}
			return signID(t, signID(t, response, "_assertion1", how), "_response1", how)
		},
		name:    NameID{Value: "alice", Format: "urn:oasis:names:tc:SAML:1.1:nameid-format:unspecified"},
		context: "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport",
		values:  map[string]string{"email": "alice@acme.example"},
	},
	// Google signs the Response alone by default, with its own prefixes.
	"Google Workspace": {
		response: `<?xml version="1.0" encoding="UTF-8" standalone="no"?><saml2p:Response xmlns:saml2p="urn:oasis:names:tc:SAML:2.0:protocol" Destination="` + testACS + `" ID="_response1" InResponseTo="_request1" IssueInstant="2026-05-04T11:59:59.010Z" Version="2.0">` +
			`<saml2:Issuer xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion">` + testIssuer + `</saml2:Issuer><saml2p:Status><saml2p:StatusCode Value="` + success + `"/></saml2p:Status>` +
			`<saml2:Assertion xmlns:saml2="urn:oasis:names:tc:SAML:2.0:assertion" ID="_assertion1" IssueInstant="2026-05-04T11:59:59.010Z" Version="2.0"><saml2:Issuer>` + testIssuer + `</saml2:Issuer>` +
			`<saml2:Subject><saml2:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">alice@acme.example</saml2:NameID><saml2:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml2:SubjectConfirmationData InResponseTo="_request1" NotOnOrAfter="2026-05-04T12:04:59.010Z" Recipient="` + testACS + `"/></saml2:SubjectConfirmation></saml2:Subject>` +
			`<saml2:Conditions NotBefore="2026-05-04T11:54:59.010Z" NotOnOrAfter="2026-05-04T12:04:59.010Z"><saml2:AudienceRestriction><saml2:Audience>` + testAudience + `</saml2:Audience></saml2:AudienceRestriction></saml2:Conditions>` +
			`<saml2:AttributeStatement><saml2:Attribute Name="email"><saml2:AttributeValue ` + xs + ` ` + xsi + ` xsi:type="xs:anyType">alice@acme.example</saml2:AttributeValue></saml2:Attribute></saml2:AttributeStatement>` +
			`<saml2:AuthnStatement AuthnInstant="2026-05-04T09:00:00.000Z" SessionIndex="_assertion1"><saml2:AuthnContext><saml2:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml2:AuthnContextClassRef></saml2:AuthnContext></saml2:AuthnStatement></saml2:Assertion></saml2p:Response>`,
		sign: func(t testing.TB, response string) string {
			return signID(t, response, "_response1", signing{})
		},
		name:    NameID{Value: "alice@acme.example", Format: "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"},
		context: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
		values:  map[string]string{"email": "alice@acme.example"},
	},
	// Keycloak declares on the Response what the assertion uses, repeats an attribute for each role, and has a KeyName.
	"Keycloak": {
		response: `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" Destination="` + testACS + `" ID="_response1" InResponseTo="_request1" IssueInstant="2026-05-04T11:59:59.500Z" Version="2.0">` +
			`<saml:Issuer>` + testIssuer + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="` + success + `"/></samlp:Status>` +
			`<saml:Assertion xmlns="urn:oasis:names:tc:SAML:2.0:assertion" ID="_assertion1" IssueInstant="2026-05-04T11:59:59.499Z" Version="2.0"><saml:Issuer>` + testIssuer + `</saml:Issuer>` +
			`<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:2.0:nameid-format:persistent">G-5b0f8d3c</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData InResponseTo="_request1" NotOnOrAfter="2026-05-04T12:04:57.499Z" Recipient="` + testACS + `"/></saml:SubjectConfirmation></saml:Subject>` +
			`<saml:Conditions NotBefore="2026-05-04T11:59:57.499Z" NotOnOrAfter="2026-05-04T12:00:57.499Z"><saml:AudienceRestriction><saml:Audience>` + testAudience + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
			`<saml:AuthnStatement AuthnInstant="2026-05-04T11:59:59.500Z" SessionIndex="5b0f::8d3c" SessionNotOnOrAfter="2026-05-04T21:59:59.500Z"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
			`<saml:AttributeStatement><saml:Attribute FriendlyName="email" Name="urn:oid:1.2.840.113549.1.9.1" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri"><saml:AttributeValue ` + xs + ` ` + xsi + ` xsi:type="xs:string">alice@acme.example</saml:AttributeValue></saml:Attribute>` +
			`<saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue ` + xs + ` ` + xsi + ` xsi:type="xs:string">agents</saml:AttributeValue></saml:Attribute>` +
			`<saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue ` + xs + ` ` + xsi + ` xsi:type="xs:string">offline_access</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		sign: func(t testing.TB, response string) string {
			how := signing{keyInfo: `<P:KeyInfo><P:KeyName>5b0f8d3c</P:KeyName></P:KeyInfo>`}
			return signID(t, signID(t, response, "_assertion1", how), "_response1", how)
		},
		name:    NameID{Value: "G-5b0f8d3c", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"},
		context: "urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified",
		values:  map[string]string{"Role": "agents|offline_access", "email": "alice@acme.example"},
	},
	// SimpleSAMLphp signs both, encrypts when told to, and qualifies its NameID.
	"SimpleSAMLphp": {
		response: `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_response1" Version="2.0" IssueInstant="2026-05-04T11:59:59Z" Destination="` + testACS + `" InResponseTo="_request1">` +
			`<saml:Issuer>` + testIssuer + `</saml:Issuer><samlp:Status><samlp:StatusCode Value="` + success + `"/></samlp:Status>` +
			`<saml:Assertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ` + xsi + ` ` + xs + ` ID="_assertion1" Version="2.0" IssueInstant="2026-05-04T11:59:59Z"><saml:Issuer>` + testIssuer + `</saml:Issuer>` +
			`<saml:Subject><saml:NameID SPNameQualifier="` + testAudience + `" Format="urn:oasis:names:tc:SAML:2.0:nameid-format:transient">_5b0f8d3c</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"><saml:SubjectConfirmationData NotOnOrAfter="2026-05-04T12:04:59Z" Recipient="` + testACS + `" InResponseTo="_request1"/></saml:SubjectConfirmation></saml:Subject>` +
			`<saml:Conditions NotBefore="2026-05-04T11:59:29Z" NotOnOrAfter="2026-05-04T12:04:59Z"><saml:AudienceRestriction><saml:Audience>` + testAudience + `</saml:Audience></saml:AudienceRestriction></saml:Conditions>` +
			`<saml:AuthnStatement AuthnInstant="2026-05-04T11:59:59Z" SessionNotOnOrAfter="2026-05-04T19:59:59Z" SessionIndex="_8d3c"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>` +
			`<saml:AttributeStatement><saml:Attribute Name="uid" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue xsi:type="xs:string">alice</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion></samlp:Response>`,
		sign: func(t testing.TB, response string) string {
			signed := signID(t, response, "_assertion1", signing{})
			assertion := between(signed, "<saml:Assertion ", "</saml:Assertion>")
			box := encryption{cipher: algGCM128}.wrap(t, assertion)
			return signID(t, strings.Replace(signed, assertion, box, 1), "_response1", signing{})
		},
		name:    NameID{Value: "_5b0f8d3c", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:transient", SPNameQualifier: testAudience},
		context: "urn:oasis:names:tc:SAML:2.0:ac:classes:Password",
		values:  map[string]string{"uid": "alice"},
	},
}

func TestProvidersInWideUseAreUnderstood(t *testing.T) {
	t.Parallel()
	for name, p := range providers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := mustVerify(t, p.sign(t, p.response), testExpect())
			if diff := cmp.Diff(p.name, got.NameID); diff != "" || got.AuthnContext != p.context || got.SessionIndex == "" {
				t.Errorf("%s %+v", diff, got)
			}
			for attribute, want := range p.values {
				if words := strings.Join(got.Values(attribute), "|"); words != want {
					t.Errorf("%s: %q", attribute, words)
				}
			}
		})
	}
}

func TestAnEncryptedAnswerOfAProviderNeedsOurKey(t *testing.T) {
	t.Parallel()
	p := providers["SimpleSAMLphp"]
	expect := testExpect()
	expect.DecryptionKeys = []*rsa.PrivateKey{otherSigner().Key.(*rsa.PrivateKey)}
	mustRefuse(t, p.sign(t, p.response), expect, CheckDecryption)
}
