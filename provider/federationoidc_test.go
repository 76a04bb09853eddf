package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// upstream makes h a client of another house, at which somebody signs in for it.
func (h *running) upstream(op *running, change ...func(*store.Connection)) store.Connection {
	h.t.Helper()
	c := store.Connection{
		ID: "upstream", Kind: store.ConnectionOIDC, For: store.ForAgents, Name: "Head office", Domains: []string{"acme.example"}, Created: time.Now(), Changed: time.Now(),
		OIDC: &store.OIDCConnection{Issuer: op.issuer, ClientID: "desk", ClientSecret: h.sealed("upstream", deskSecret)},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

func TestOneHouseSignsInAtAnother(t *testing.T) {
	storetest.OnBothEngines(t, testOneHouseSignsInAtAnother)
}

func testOneHouseSignsInAtAnother(t *testing.T, on storetest.Engine) {
	h := start(t, on, "")
	op := start(t, storetest.Bolt, h.issuer+"/federation/upstream/callback")
	h.connect(h.upstream(op))
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	p := b.link(b.get(h.authorizeURL(verifier)), "connection-upstream")
	if !strings.HasPrefix(p.url.String(), op.issuer+"/sign-in/") {
		t.Fatalf("not at the other house's sign-in: %s %s", p.url, p.body)
	}
	p = b.submit(p, "continue", map[string]string{"email": "raj@acme.example", "password": agentPassword})
	got := h.arrives(p, verifier)
	if claims := readClaims(t, got.ID); claims.Sub != h.agent("raj@acme.example").ID || claims.Sub == op.agent("raj@acme.example").ID || claims.String() != "aal1 by fed" {
		t.Errorf("the ID token says %+v", claims)
	}
	// Signed out here, they are signed out there without a question: the hint says who.
	b.stop = op.issuer + "/oauth/logout"
	leave := url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}
	p = b.get(h.issuer + "/oauth/logout?" + leave.Encode())
	there, err := url.Parse(strings.TrimPrefix(p.header.Get("Refresh"), "0;url="))
	if err != nil || !strings.HasPrefix(there.String(), op.issuer+"/oauth/logout?") {
		t.Fatalf("not sent to the other house's sign-out: %v %d %s", p.header, p.status, p.body)
	}
	if hint := readClaims(t, there.Query().Get("id_token_hint")); hint.Sub != op.agent("raj@acme.example").ID || there.Query().Get("client_id") != "desk" {
		t.Errorf("the hint is about %q: %s", hint.Sub, there)
	}
	// An administrator there is nobody here by that.
	b = newBrowser(t, deskCallback)
	p = b.submit(b.link(b.get(h.authorizeURL(verifier)), "connection-upstream"), "continue", map[string]string{"email": "ana@acme.example", "password": agentPassword})
	if h.fails(p, http.StatusForbidden, "not_linked_administrator"); !strings.Contains(p.body, `href="/federation/upstream/rehearse"`) || !strings.Contains(p.body, `href="/sign-in/`) {
		t.Errorf("an administrator is told %s", p.body)
	}
}

func TestAnOpenIDAnswerIsForTheBrowserThatAsked(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	op := start(t, storetest.Bolt, h.issuer+"/federation/upstream/callback")
	h.connect(h.upstream(op))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	p := b.link(b.get(h.authorizeURL(verifier)), "connection-upstream")
	b.stop = h.issuer + "/federation/upstream/callback"
	p = b.submit(p, "continue", map[string]string{"email": "raj@acme.example", "password": agentPassword})
	if p.away == nil {
		t.Fatalf("no answer: %d %s", p.status, p.body)
	}
	answer := p.away.String()
	h.fails(newBrowser(t, deskCallback).get(answer), http.StatusBadRequest, "answer_expired")

	b.stop = deskCallback
	mixed, _ := url.Parse(answer)
	query := mixed.Query()
	query.Set("iss", "https://evil.example")
	mixed.RawQuery = query.Encode()
	h.fails(b.get(mixed.String()), http.StatusBadRequest, "token_invalid")
	if p := b.get(answer); p.away == nil {
		t.Fatalf("status %d: %s", p.status, p.body)
	}
	h.fails(b.get(answer), http.StatusBadRequest, "answer_expired")
}

func TestAFlowHasOneCodeTriedWithOurSecret(t *testing.T) {
	storetest.OnBothEngines(t, testAFlowHasOneCodeTriedWithOurSecret)
}

func testAFlowHasOneCodeTriedWithOurSecret(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.connect(op.connection())
	op.next(rajSays())
	// begin is an answer to a browser that has asked.
	begin := func() (b *browser, answer *url.URL) {
		b = newBrowser(t, "")
		p := b.get(h.authorizeURL(oauth2.GenerateVerifier()))
		b.stop = op.URL
		p = b.link(p, "connection-liar")
		b.stop = h.issuer
		if p = b.get(p.away.String()); p.away == nil {
			t.Fatalf("no answer: %d %s", p.status, p.body)
		}
		b.stop = deskCallback
		return b, p.away
	}
	b, answer := begin()
	wrong := *answer
	wrong.RawQuery = url.Values{"state": {answer.Query().Get("state")}, "code": {randomID()}}.Encode()
	h.fails(b.get(wrong.String()), http.StatusForbidden, "provider_refused")
	for range 9 {
		h.refusedWith(b.get(wrong.String()), "token_replayed")
	}
	h.refusedWith(b.get(answer.String()), "token_replayed")
	if n := op.redeemed.Load(); n != 1 {
		t.Errorf("one flow had %d codes tried", n)
	}
	// What is no code spends nothing, and of fifty at once one counts.
	op.redeemed.Store(0)
	b, answer = begin()
	none := *answer
	none.RawQuery = url.Values{"state": {answer.Query().Get("state")}, "error": {"access_denied"}}.Encode()
	h.fails(b.get(none.String()), http.StatusForbidden, "provider_refused")
	var arrived atomic.Int32
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if h.in(b.get(answer.String())) {
				arrived.Add(1)
			}
		})
	}
	wg.Wait()
	if n := op.redeemed.Load(); n != 1 || arrived.Load() != 1 {
		t.Errorf("the code was tried %d times, and %d are in", n, arrived.Load())
	}
}
