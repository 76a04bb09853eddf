package provider_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// rajSays is what the OpenID provider says of Raj.
func rajSays() map[string]any {
	return map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true, "sid": "session-1"}
}

// offline goes from the desk through the OpenID provider, for a refresh token too.
func (h *running) offline(op *liar, says map[string]any) (tokens, *browser) {
	h.t.Helper()
	op.next(says)
	b, verifier := newBrowser(h.t, deskCallback), oauth2.GenerateVerifier()
	at := strings.Replace(h.authorizeURL(verifier), "scope=openid", "scope=openid+offline_access", 1)
	got := h.arrives(b.link(b.get(at), "connection-liar"), verifier)
	b.stop = ""
	return got, b
}

// signedIn reports whether the browser has a session here.
func (h *running) signedIn(b *browser) bool {
	h.t.Helper()
	b.stop = ""
	return b.get(h.issuer+"/account").url.Path == "/account"
}

// refreshes reports whether the desk gets new tokens.
func (h *running) refreshes(got tokens) bool {
	h.t.Helper()
	_, status := h.refresh(got.Refresh)
	return status == http.StatusOK
}

// backchannel is the OpenID provider's logout of those whom the claims name.
func (h *running) backchannel(op *liar, claims map[string]any) {
	h.t.Helper()
	claims["jti"], claims["events"] = randomID(), map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	resp, err := http.PostForm(h.issuer+"/federation/liar/backchannel", url.Values{"logout_token": {op.sign("logout+jwt", claims)}})
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		h.t.Fatalf("the logout: %d", resp.StatusCode)
	}
}

var seedShown = regexp.MustCompile(`id="seed"[^>]*>([^<]+)<`)

// addApp sets an authenticator app up at the account.
func (h *running) addApp(b *browser) {
	h.t.Helper()
	p := b.get(h.issuer + "/account/factors/totp")
	shown := seedShown.FindStringSubmatch(p.body)
	if shown == nil {
		h.t.Fatalf("no seed: %d at %s: %s", p.status, p.url, p.body)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(shown[1], " ", ""), time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	if p = b.submit(p, "continue", map[string]string{"code": code, "name": "Phone"}); p.status != http.StatusOK {
		h.t.Fatalf("the app is not added: %d %s", p.status, p.body)
	}
}

func TestASessionRestsOnItsConnectionAfterAChangeOfTheAccountToo(t *testing.T) {
	storetest.OnBothEngines(t, testASessionRestsOnItsConnectionAfterAChangeOfTheAccountToo)
}

func testASessionRestsOnItsConnectionAfterAChangeOfTheAccountToo(t *testing.T, on storetest.Engine) {
	const another = "Another-Horse-8-Battery"
	for name, end := range map[string]func(h *running, op *liar){
		"the provider's logout":        func(h *running, op *liar) { h.backchannel(op, map[string]any{"sid": "session-1"}) },
		"the provider's logout by sub": func(h *running, op *liar) { h.backchannel(op, map[string]any{"sub": "raj-7"}) },
		"the connection is disabled":   func(h *running, _ *liar) { h.apply(`sites: [{path: "", connections: [{id: liar, disabled: true}]}]`) },
		"an operator unlinks": func(h *running, _ *liar) {
			h.control("agents/unlink", map[string]any{"email": "raj@acme.example", "connection": "liar"}, "")
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, op := start(t, on, ""), newLiar(t)
			h.connect(op.connection())
			got, b := h.offline(op, rajSays())
			h.addApp(b)
			p := b.submit(b.get(h.issuer+"/account/password"), "continue", map[string]string{"password": agentPassword, "new_password": another, "confirm_password": another})
			if p.status != http.StatusOK || !h.signedIn(b) {
				t.Fatalf("not changed, or signed out by it: %d %s", p.status, p.body)
			}
			end(h, op)
			if h.signedIn(b) {
				t.Error("the session lives on")
			}
			if h.refreshes(got) {
				t.Error("the refresh token lives on")
			}
		})
	}
}

func TestALogoutBySubEndsASessionWhoseLinkIsGone(t *testing.T) {
	storetest.OnBothEngines(t, testALogoutBySubEndsASessionWhoseLinkIsGone)
}

func testALogoutBySubEndsASessionWhoseLinkIsGone(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.connect(op.connection())
	_, raj := h.offline(op, rajSays())
	h.apply(crew)
	_, leo := h.offline(op, map[string]any{"sub": "leo-1", "email": "leo@acme.example", "email_verified": true})
	p := raj.link(raj.get(h.issuer+"/account"), "remove-link-liar")
	if p = raj.submit(p, "confirm", nil); p.url.Path != "/account" {
		t.Fatalf("not unlinked: %d at %s", p.status, p.url)
	}
	h.backchannel(op, map[string]any{"sub": "raj-7"})
	if h.signedIn(raj) {
		t.Error("the session lives on")
	}
	if !h.signedIn(leo) {
		t.Error("a colleague's session has ended")
	}
}

func TestALogoutOfTheIdentityProviderCountsOnce(t *testing.T) {
	storetest.OnBothEngines(t, testALogoutOfTheIdentityProviderCountsOnce)
}

func testALogoutOfTheIdentityProviderCountsOnce(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	for relayState, echoed := range map[string]string{"": "", "r": "r", strings.Repeat("x", saml.MaxRelayState+1): ""} {
		logout := h.logoutForm("raj-7", relayState)
		raj := newBrowser(t, "")
		if p := h.back(raj, h.answer(h.away(raj, oauth2.GenerateVerifier()), rajThere)); !h.in(p) {
			t.Fatalf("%d %s", p.status, p.body)
		}
		raj.stop = ""
		p := newBrowser(t, h.idp.SLO).post(h.issuer+"/federation/corp/slo", logout)
		if p.away == nil || p.away.Query().Get("SAMLResponse") == "" || p.away.Query().Get("RelayState") != echoed {
			t.Errorf("RelayState %q: answered by %d, away to %v: %s", relayState, p.status, p.away, between(p.body, "<h1>", "</h1>"))
		}
		if h.signedIn(raj) {
			t.Errorf("RelayState %q: the session lives on", relayState)
		}
		if p := h.back(raj, h.answer(h.away(raj, oauth2.GenerateVerifier()), rajThere)); !h.in(p) {
			t.Fatalf("%d %s", p.status, p.body)
		}
		raj.stop = ""
		h.refusedWith(newBrowser(t, h.idp.SLO).post(h.issuer+"/federation/corp/slo", logout), "token_replayed")
		if !h.signedIn(raj) {
			t.Errorf("RelayState %q: it has ended another session, later", relayState)
		}
	}
}

// logoutForm is the identity provider's logout of a person, as it is posted.
func (h *federated) logoutForm(nameID, relayState string) url.Values {
	h.t.Helper()
	over := saml.NameID{Value: nameID, Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}
	m, err := saml.NewLogoutRequest(saml.SP{EntityID: h.idp.EntityID}, h.issuer+"/federation/corp/slo", over, nil, time.Now())
	if err != nil {
		h.t.Fatal(err)
	}
	form, err := m.Post("", &saml.Signer{Key: h.idp.Key, Certificate: h.idp.Certificate})
	if err != nil {
		h.t.Fatal(err)
	}
	values := url.Values{"RelayState": {relayState}}
	for _, f := range form.Fields {
		values.Set(f[0], f[1])
	}
	return values
}
