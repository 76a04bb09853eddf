package saml

import (
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzVerify takes any bytes. Keys are of the moment, and so no seed is authentic in
// another process: FuzzSplice is for what is.

func FuzzVerify(f *testing.F) {
	for _, sign := range signedWays {
		f.Add([]byte(sign(f, plainAssertion)))
	}
	for _, p := range providers {
		f.Add([]byte(p.sign(f, p.response)))
	}
	f.Add([]byte(inResponse(encryption{}.wrap(f, signedAlone(f)))))
	f.Add([]byte(inResponse(plainAssertion)))
	expect := testExpect()
	f.Fuzz(func(t *testing.T, data []byte) {
		got, list, err := Verify(data, expect)
		if err != nil {
			if got.NameID.Value != "" || len(failed(list)) == 0 {
				t.Fatalf("%v %+v %+v", err, got, list)
			}
			return
		}
		switch got.NameID.Value {
		case "alice@idp.example", "alice@acme.example", "alice", "G-5b0f8d3c", "_5b0f8d3c":
		default:
			t.Fatalf("%+v", got)
		}
	})
}

// FuzzSplice cuts a piece out of an authentic document and puts another in: whatever
// it does, the document is refused or says what it said.
func FuzzSplice(f *testing.F) {
	var documents []string
	var want []Assertion
	for _, way := range []string{"assertion", "response", "both"} {
		documents = append(documents, signedWays[way](f, plainAssertion))
	}
	for _, name := range []string{"Entra ID", "Okta", "Google Workspace", "Keycloak", "SimpleSAMLphp"} {
		documents = append(documents, providers[name].sign(f, providers[name].response))
	}
	for _, document := range documents {
		want = append(want, mustVerify(f, document, testExpect()))
	}
	for i := range documents {
		f.Add(uint8(i), uint16(200*i), uint16(0), []byte("<!-- -->"))
		f.Add(uint8(i), uint16(1000), uint16(40), []byte("mallory"))
		f.Add(uint8(i), uint16(1500), uint16(0), []byte(`<saml:NameID>mallory</saml:NameID>`))
	}
	expect := testExpect()
	f.Fuzz(func(t *testing.T, which uint8, at, long uint16, words []byte) {
		i := int(which) % len(documents)
		document := documents[i]
		from := int(at) % len(document)
		to := min(from+int(long), len(document))
		got, _, err := Verify([]byte(document[:from]+string(words)+document[to:]), expect)
		if err != nil {
			return
		}
		got.ResponseID = want[i].ResponseID // unsigned, where the assertion alone is signed
		if diff := cmp.Diff(want[i], got, cmp.Comparer((*x509.Certificate).Equal)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzParseMetadata(f *testing.F) {
	f.Add([]byte(idpMetadata()))
	f.Add([]byte(`<md:EntitiesDescriptor xmlns:md="` + nsMetadata + `">` + strings.TrimPrefix(idpMetadata(), `<?xml version="1.0"?>`) + `</md:EntitiesDescriptor>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		idp, _, err := ParseMetadata(data, MetadataOptions{Now: testNow})
		if err != nil {
			return
		}
		for _, address := range idp.SSO {
			if !Address(address) {
				t.Fatal(address)
			}
		}
		if idp.EntityID == "" || len(idp.SSO) == 0 || len(idp.Certificates) == 0 {
			t.Fatalf("%+v", idp)
		}
	})
}

func FuzzLogout(f *testing.F) {
	message := logoutRequest(f)
	f.Add(byRedirect(f, message, idpSigner()))
	f.Add(byRedirect(f, message, nil))
	f.Add("SAMLResponse=x&Signature=" + url.QueryEscape("+/=") + "&SigAlg=x")
	expect := testLogout()
	f.Fuzz(func(t *testing.T, query string) {
		in, err := FromQuery(query)
		if err != nil {
			return
		}
		if got, _, err := VerifyLogoutRequest(in, expect); err == nil && got.NameID.Value != "alice@idp.example" {
			t.Fatalf("%+v", got)
		}
		_, _, _ = VerifyLogoutResponse(in, expect)
	})
}
