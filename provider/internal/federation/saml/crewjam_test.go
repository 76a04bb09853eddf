package saml

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	crewjam "github.com/crewjam/saml"
	"github.com/crewjam/saml/logger"
)

// spList is the library's identity provider's list of service providers: us.
type spList struct{ metadata *crewjam.EntityDescriptor }

func (l spList) GetServiceProvider(_ *http.Request, id string) (*crewjam.EntityDescriptor, error) {
	if id != l.metadata.EntityID {
		return nil, os.ErrNotExist
	}
	return l.metadata, nil
}

// TestTheLibrarysIdentityProviderSignsSomebodyIn goes the whole way with a provider that others
// wrote: our metadata read, our request taken by both bindings, its answer signed twice and
// encrypted by CBC, its metadata read by us.
func TestTheLibrarysIdentityProviderSignsSomebodyIn(t *testing.T) {
	t.Parallel()
	now := time.Now() // the library asks the clock
	certificate := func(signer *Signer) *x509.Certificate {
		made, err := NewCertificate(signer.Key, "now", now.Add(-time.Hour), now.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	sp, ours := testSP(), &Signer{spSigner().Key, certificate(spSigner())}
	sp.Signing, sp.Encryption = []*x509.Certificate{ours.Certificate}, []*x509.Certificate{ours.Certificate}
	data, err := Metadata(sp)
	if err != nil {
		t.Fatal(err)
	}
	var metadata crewjam.EntityDescriptor
	if err := xml.Unmarshal(data, &metadata); err != nil {
		t.Fatal(err)
	}
	idp := &crewjam.IdentityProvider{
		Key: idpSigner().Key, Certificate: certificate(idpSigner()), Logger: logger.DefaultLogger, SignatureMethod: algRSA256,
		MetadataURL: url.URL{Scheme: "https", Host: "idp.example", Path: "/metadata"}, SSOURL: url.URL{Scheme: "https", Host: "idp.example", Path: "/sso"},
		ServiceProviderProvider: spList{&metadata},
	}
	theirs, err := xml.Marshal(idp.Metadata())
	if err != nil {
		t.Fatal(err)
	}
	provider, list, err := ParseMetadata(theirs, MetadataOptions{Now: now})
	if err != nil {
		t.Fatal(err, failed(list))
	}
	for _, binding := range []Binding{Redirect, Post} {
		request, err := NewAuthnRequest(sp, provider.SSO[binding], RequestOptions{NameIDFormat: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}, now)
		if err != nil {
			t.Fatal(err)
		}
		answer := ask(t, idp, httpRequest(t, request, binding, ours))
		expect := Expect{IdP: provider, Audience: sp.EntityID, ACS: sp.ACS, InResponseTo: request.ID, DecryptionKeys: []*rsa.PrivateKey{ours.Key.(*rsa.PrivateKey)}, Now: time.Now()}
		got := mustVerify(t, answer, expect)
		if got.NameID.Value != "alice" || got.Values("mail")[0] != "alice@acme.example" || got.Values("urn:oid:0.9.2342.19200300.100.1.1")[0] != "alice" {
			t.Errorf("%+v", got)
		}
		expect.InResponseTo = "_another"
		mustRefuse(t, answer, expect, CheckInResponseTo)
	}
}

func httpRequest(t *testing.T, message Message, binding Binding, signer *Signer) *http.Request {
	t.Helper()
	if binding == Redirect {
		address, err := message.Redirect("state", signer)
		if err != nil {
			t.Fatal(err)
		}
		return httptest.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	}
	form, err := message.Post("state", signer)
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, form.Action, nil)
	r.PostForm = url.Values{}
	for _, field := range form.Fields {
		r.PostForm.Set(field[0], field[1])
	}
	r.Form = r.PostForm
	return r
}

func ask(t *testing.T, idp *crewjam.IdentityProvider, r *http.Request) string {
	t.Helper()
	request, err := crewjam.NewIdpAuthnRequest(idp, r)
	if err != nil {
		t.Fatal(err)
	}
	if err := request.Validate(); err != nil {
		t.Fatal(err)
	}
	session := &crewjam.Session{ID: "s1", CreateTime: time.Now(), ExpireTime: time.Now().Add(time.Hour), Index: "i1", NameID: "alice", UserName: "alice", UserEmail: "alice@acme.example", Groups: []string{"staff"}}
	if err := (crewjam.DefaultAssertionMaker{}).MakeAssertion(request, session); err != nil {
		t.Fatal(err)
	}
	form, err := request.PostBinding()
	if err != nil {
		t.Fatal(err)
	}
	data, err := base64.StdEncoding.DecodeString(form.SAMLResponse)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
