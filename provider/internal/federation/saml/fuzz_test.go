package saml

import (
	"net/url"
	"strings"
	"testing"
)

// The corpora are made here, since their signatures are by keys of the moment: what they
// seed are the forms, and no change of a byte may bring mallory in.

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
