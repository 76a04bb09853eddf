package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestAnAddressLeadsToItsCompanysLogin(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	verifier := oauth2.GenerateVerifier()
	b := newBrowser(t, "")
	p := b.submit(b.get(h.authorizeURL(verifier)), "continue", map[string]string{"email": "Raj@ACME.example", "password": ""})
	b.stop = h.idp.SSO
	if p = b.onward(p); p.away == nil {
		t.Fatalf("an address without a password: %d %s", p.status, p.body)
	}
	// With a password it is a sign-in like any other, where nothing is enforced.
	b = newBrowser(t, deskCallback)
	if p := b.signIn(h.authorizeURL(verifier), "raj@acme.example", agentPassword); p.away == nil {
		t.Errorf("with a password: %d", p.status)
	}
	// An address of another domain is asked for its password.
	b = newBrowser(t, "")
	p = b.submit(b.get(h.authorizeURL(verifier)), "continue", map[string]string{"email": "raj@elsewhere.example", "password": ""})
	if p.status != http.StatusUnprocessableEntity || p.header.Get("Refresh") != "" {
		t.Errorf("another domain: %d %v", p.status, p.header)
	}
}

func TestADefaultConnectionTakesTheSignInPagesPlace(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, func(c *store.Connection) { c.Default = true })
	b := newBrowser(t, h.idp.SSO)
	p := b.get(h.authorizeURL(oauth2.GenerateVerifier()))
	if p.away == nil {
		t.Fatalf("not led away: %d at %s", p.status, p.url)
	}
	// The way back is offered where it fails, and does not go round in circles.
	b.stop = ""
	p = h.back(b, h.answer(readRequest(t, p.away), person{"x", "x@acme.example", "X", nil}))
	h.fails(p, http.StatusForbidden, "user_not_found")
	if p = b.link(p, "sign-in"); p.status != http.StatusOK || !strings.Contains(p.body, `name="password"`) {
		t.Fatalf("no way to the password: %d at %s", p.status, p.url)
	}
	b.stop = deskCallback
	if p = b.submit(p, "continue", map[string]string{"email": "ana@acme.example", "password": agentPassword}); p.away == nil {
		t.Errorf("the password: %d %s", p.status, p.body)
	}
	// While break-glass lifts single sign-on the page stays.
	h.control("break-glass/lift", map[string]any{"site": "", "control": "single_sign_on", "minutes": 1}, "")
	if p := newBrowser(t, h.idp.SSO).get(h.authorizeURL(oauth2.GenerateVerifier())); p.away != nil {
		t.Error("led away although single sign-on is lifted")
	}
}

func TestAProvidersSecondFactorCountsWhereItIsTrusted(t *testing.T) {
	t.Parallel()
	mfa := func(a *samltest.Answer) { a.Context = "https://refeds.org/profile/mfa" }
	for want, trust := range map[string]bool{"aal1 by fed": false, "aal2 by fed+mfa": true} {
		h := newFederated(t, storetest.Bolt, func(c *store.Connection) { c.TrustSecondFactor = trust })
		b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
		got := h.arrives(h.back(b, h.answer(h.away(b, verifier), rajThere, mfa)), verifier)
		if claims := readClaims(t, got.ID); claims.String() != want {
			t.Errorf("with trust %v: %s", trust, claims)
		}
	}
}

func TestAClientsDemandOfARecentSignInReachesTheProvider(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	verifier := oauth2.GenerateVerifier()
	old := func(a *samltest.Answer) { a.AuthnInstant = a.Now.Add(-time.Hour) }
	b := newBrowser(t, "")
	got := h.arrives(h.back(b, h.answer(h.away(b, verifier), rajThere, old)), verifier)
	if claims := readClaims(t, got.ID); time.Since(time.Unix(claims.AuthTime, 0)) < 59*time.Minute {
		t.Errorf("auth_time is %v, and nobody was asked for an hour", time.Unix(claims.AuthTime, 0))
	}
	// The session is too old for this client now: the provider is told to ask.
	b.stop = h.idp.SSO
	p := b.link(b.get(h.authorizeURL(verifier)+"&max_age=60"), "connection-corp")
	to := readRequest(t, p.away)
	if !to.force {
		t.Error("the provider is not asked to ask")
	}
	h.fails(h.back(b, h.answer(to, rajThere, old)), http.StatusForbidden, "provider_refused")
}

func TestASignOutGoesOnToTheCompanysSignOutPage(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal())
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	got := h.arrives(b.post(h.toPortal(b, verifier, "return_to"), url.Values{"jwt": {h.portalToken(nil)}}), verifier)
	b.stop = "http://127.0.0.1:999"
	p := b.get(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}, "state": {"z"}}.Encode())
	to, err := url.Parse(strings.TrimPrefix(p.header.Get("Refresh"), "0;url="))
	if err != nil || to.Port() != "9997" || to.Query().Get("external_id") != "raj" {
		t.Fatalf("not sent to the company's sign-out page: %v %d", p.header, p.status)
	}
	if p = b.get(to.Query().Get("return_to")); p.away == nil || p.away.String() != "http://127.0.0.1:9999/?state=z" {
		t.Errorf("not back at the desk: %v %d", p.away, p.status)
	}
	// The address alone, without this browser's flow, leads home.
	if p := newBrowser(t, "").get(h.issuer + "/federation/portal/logout?state=" + strings.Repeat("A", 22)); p.url.Path != "/" {
		t.Errorf("it leads to %s", p.url)
	}
}

func TestWhoWasRefusedMayComeBackAsSomebodyElse(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	to := h.away(b, verifier)
	if to.force {
		t.Error("the first time they are asked anew")
	}
	p := h.back(b, h.answer(to, person{"zed-1", "zed@elsewhere.example", "Zed", nil}))
	h.fails(p, http.StatusForbidden, "email_not_proven")
	b.stop = h.idp.SSO
	if p = b.link(p, "continue"); p.away == nil || !readRequest(t, p.away).force {
		t.Fatalf("the provider is not told to ask anew: %d %v %s", p.status, p.away, p.body)
	}
	h.arrives(h.back(b, h.answer(readRequest(t, p.away), rajThere)), verifier)
}

func TestWhoIsSignedInByAConnectionShowsItToTheAgentAndCanEndIt(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	h.arrives(h.back(b, h.answer(h.away(b, verifier), rajThere)), verifier)
	b.stop = ""
	p := b.get(h.issuer + "/account")
	if !strings.Contains(p.body, "Acme SSO") {
		t.Fatalf("the account does not name the connection: %d %s", p.status, p.body)
	}
	if strings.Contains(p.body, "Only your password protects") {
		t.Errorf("the overview of who comes by single sign-on: %s", p.body)
	}
	if sessions := b.get(h.issuer + "/account/sessions"); !strings.Contains(sessions.body, "<dt>Proven by</dt><dd><bdi>Acme SSO</bdi></dd>") {
		t.Errorf("the sessions: %s", sessions.body)
	}
	if out := b.get(h.issuer + "/oauth/logout"); !strings.Contains(out.body, "You came in with <b><bdi>Acme SSO</bdi></b>") || !strings.Contains(out.body, `href="/account"`) {
		t.Errorf("the sign-out: %s", out.body)
	}
	p = b.link(p, "remove-link-corp")
	if p = b.submit(p, "confirm", nil); p.url.Path != "/account" || strings.Contains(p.body, `id="remove-link-corp"`) {
		t.Fatalf("still linked: %d at %s", p.status, p.url)
	}
	// The next sign-in links anew, by the address.
	if p := h.through(rajThere); p.away == nil {
		t.Errorf("%d %s", p.status, p.body)
	}
}
