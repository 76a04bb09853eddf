package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// offlineURL asks for a refresh token besides.
func (h *running) offlineURL(verifier string) string {
	return strings.Replace(h.authorizeURL(verifier), "+chat", "+offline_access+chat", 1)
}

// throughLiar goes through the liar, and comes back with a refresh token.
func (h *running) throughLiar() tokens {
	h.t.Helper()
	b, verifier := newBrowser(h.t, deskCallback), oauth2.GenerateVerifier()
	return h.arrives(b.link(b.get(h.offlineURL(verifier)), "connection-liar"), verifier)
}

func (h *running) refresh(refreshToken string) (tokens, int) {
	h.t.Helper()
	return h.token("desk", deskSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {refreshToken}})
}

func (h *running) refreshed(got tokens) tokens {
	h.t.Helper()
	next, status := h.refresh(got.Refresh)
	if status != http.StatusOK {
		h.t.Fatalf("refresh: %d %s", status, next.Error)
	}
	return next
}

// forgetSessions is the sweeper, hours later: of an agent's sessions nothing is left.
func (h *running) forgetSessions(email string) {
	h.t.Helper()
	agent := h.agent(email)
	h.write(func(tx store.Tx) error {
		var keys []string
		for key, err := range store.Sessions.Keys(tx, "agent", agent.ID) {
			if err != nil {
				return err
			}
			keys = append(keys, key)
		}
		for _, key := range keys {
			if err := store.Sessions.Delete(tx, key); err != nil {
				return err
			}
		}
		return nil
	})
}

func TestWhatOutlivesASessionEndsWithTheLoginItRestsOn(t *testing.T) {
	storetest.OnBothEngines(t, testWhatOutlivesASessionEndsWithTheLoginItRestsOn)
}

func testWhatOutlivesASessionEndsWithTheLoginItRestsOn(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.apply(crew)
	backend := h.backend()
	for name, end := range map[string]struct {
		how func()
		all bool // of the connection, not of Raj alone
	}{
		"the provider's logout": {func() { h.backchannel(op, map[string]any{"sub": "raj-7"}) }, false},
		"an operator unlinks": {func() {
			h.control("agents/unlink", map[string]any{"email": "raj@acme.example", "connection": "liar"}, "")
		}, false},
		"the connection is disabled": {func() { h.apply("sites: [{path: \"\", connections: [{id: liar, disabled: true}]}]") }, true},
		"the connection is another provider's": {func() {
			h.apply("sites: [{path: \"\", connections: [{id: liar, issuer: \"https://login.else.example\"}]}]")
		}, true},
		"the connection is removed": {func() { h.control("apply", map[string]any{"prune": true}, "sites: [{path: \"\", connections: []}]") }, true},
	} {
		h.connect(op.connection())
		op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true})
		rajs := h.throughLiar()
		op.next(map[string]any{"sub": "mia-1", "email": "mia@acme.example", "email_verified": true})
		mias := h.refreshed(h.throughLiar())
		own, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
		h.forgetSessions("raj@acme.example")
		h.forgetSessions("mia@acme.example")
		rajs, mias = h.refreshed(rajs), h.refreshed(mias)
		token, err := backend.Token(t.Context(), rajs.Access)
		if err != nil {
			t.Fatal(err)
		}
		ended := backend.Watch(t.Context(), token)

		end.how()
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
			t.Errorf("%s: the backend has not heard", name)
		}
		if _, status := h.refresh(rajs.Refresh); status != http.StatusBadRequest {
			t.Errorf("%s: what began there is renewed: %d", name, status)
		}
		if _, status := h.refresh(mias.Refresh); (status == http.StatusOK) == end.all {
			t.Errorf("%s: of somebody else: %d", name, status)
		}
		h.refreshed(own) // by a password, it rests on nothing else
	}
}

func TestAnAgentWhoUnlinksEndsWhatOutlivedTheirSessionsFromThere(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.connect(op.connection())
	op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true})
	old := h.throughLiar()
	h.forgetSessions("raj@acme.example")
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	here := h.arrives(b.link(b.get(h.offlineURL(verifier)), "connection-liar"), verifier)
	b.stop = ""
	if p := b.submit(b.link(b.get(h.issuer+"/account"), "remove-link-liar"), "confirm", nil); p.url.Path != "/account" {
		t.Fatalf("%d at %s: %s", p.status, p.url, p.body)
	}
	if _, status := h.refresh(old.Refresh); status != http.StatusBadRequest {
		t.Errorf("what began there is renewed: %d", status)
	}
	here = h.refreshed(here) // in the session in which they unlinked it
	h.forgetSessions("raj@acme.example")
	h.backchannel(op, map[string]any{"sub": "raj-7"})
	if _, status := h.refresh(here.Refresh); status != http.StatusBadRequest {
		t.Errorf("the provider's logout does not reach it without the link: %d", status)
	}
}

func TestALogoutOfAllOfASubjectsSAMLSessionsEndsWhatOutlivedThem(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	for name, indexes := range map[string][]string{"one session's": {"index-1"}, "all": nil} {
		b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
		b.stop = h.idp.SSO
		p := b.link(b.get(h.offlineURL(verifier)), "connection-corp")
		got := h.arrives(h.back(b, h.answer(readRequest(t, p.away), rajThere)), verifier)
		h.forgetSessions("raj@acme.example")
		over := saml.NameID{Value: rajThere.nameID, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}
		m, err := saml.NewLogoutRequest(saml.SP{EntityID: h.idp.EntityID}, h.issuer+"/federation/corp/slo", over, indexes, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		form, err := m.Post("", &saml.Signer{Key: h.idp.Key, Certificate: h.idp.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		values := url.Values{}
		for _, f := range form.Fields {
			values.Set(f[0], f[1])
		}
		if p := newBrowser(t, h.idp.SLO).post(h.issuer+"/federation/corp/slo", values); p.status >= 400 {
			t.Fatalf("%s: %d %s", name, p.status, p.body)
		}
		if _, status := h.refresh(got.Refresh); (status == http.StatusBadRequest) != (indexes == nil) {
			t.Errorf("%s: refresh %d", name, status)
		}
	}
}
