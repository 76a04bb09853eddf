package provider_test

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// signsOut is a provider's word to a connection that Raj has signed out there.
func (h *running) signsOut(idp *samltest.IdP, connection string, made time.Time) saml.Message {
	h.t.Helper()
	raj := saml.NameID{Value: rajThere.nameID, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}
	m, err := saml.NewLogoutRequest(saml.SP{EntityID: idp.EntityID}, h.issuer+"/federation/"+connection+"/slo", raj, nil, made)
	if err != nil {
		h.t.Fatal(err)
	}
	return m
}

// carried is the address, or the address and the form, by which the message comes; by
// nobody: it is not signed.
func carried(t *testing.T, m saml.Message, by *samltest.IdP) (to string, form url.Values) {
	t.Helper()
	var signer *saml.Signer
	if by != nil {
		signer = &saml.Signer{Key: by.Key, Certificate: by.Certificate}
	}
	to, err := m.Redirect("", signer)
	if err != nil {
		t.Fatal(err)
	}
	post, err := m.Post("", signer)
	if err != nil {
		t.Fatal(err)
	}
	form = url.Values{}
	for _, field := range post.Fields {
		form.Set(field[0], field[1])
	}
	return to, form
}

func TestALogoutThatIsNotTheProvidersEndsNothing(t *testing.T) {
	t.Parallel()
	h := &federated{start(t, storetest.Bolt, ""), samltest.New(idpBase, time.Now())}
	other := samltest.Other(idpBase, time.Now()) // another company's, by the same name
	h.connect(corp(h.idp), corp(other, func(c *store.Connection) { c.ID = "other" }))
	b := newBrowser(t, "")
	if p := h.back(b, h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	stranger := newBrowser(t, idpBase)
	for _, row := range []struct {
		name, at, destination string
		by                    *samltest.IdP
		taken                 bool
	}{
		{"not signed", "corp", "corp", nil, false},
		{"signed by another connection's key", "corp", "corp", other, false},
		{"another connection's", "corp", "other", other, false},
		{"for another connection, by our provider's key", "corp", "other", h.idp, false},
		{"another connection's, where it belongs", "other", "other", other, true},
	} {
		to, form := carried(t, h.signsOut(other, row.destination, time.Now()), row.by)
		_, query, _ := strings.Cut(to, "?")
		at := h.issuer + "/federation/" + row.at + "/slo"
		for binding, p := range map[string]page{"redirect": stranger.get(at + "?" + query), "post": stranger.post(at, form)} {
			taken := p.away != nil || binding == "post" && row.taken && strings.Contains(p.body, `id="fault">token_replayed<`) // the same request
			if taken != row.taken || !row.taken && !strings.Contains(p.body, `id="fault">token_invalid<`) {
				t.Errorf("%s, by %s: %d, away to %v: %s", row.name, binding, p.status, p.away, between(p.body, "<h1>", "</h1>"))
			}
		}
		if !h.signedIn(b) {
			t.Fatalf("%s: it ended the session", row.name)
		}
	}
	to, _ := carried(t, h.signsOut(h.idp, "corp", time.Now()), h.idp)
	unsigned, _, _ := strings.Cut(to, "&SigAlg=")
	if p := stranger.get(unsigned); p.away != nil || !h.signedIn(b) {
		t.Fatalf("with its signature taken off: %d, away to %v", p.status, p.away)
	}
	if p := stranger.get(to); p.away == nil || h.signedIn(b) {
		t.Errorf("the provider's own: %d, away to %v", p.status, p.away)
	}
}
