package provider_test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// byPortal goes through the login page with what it says.
func (h *running) byPortal(says map[string]any) page {
	h.t.Helper()
	b := newBrowser(h.t, "")
	return b.post(h.toPortal(b, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {h.portalToken(says)}})
}

func TestAnEnforcedConnectionIsTheOnlyWayIn(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.connect(h.portal())
	if p := h.byPortal(nil); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	h.connect(corp(h.idp, func(c *store.Connection) { c.Enforce, c.Rehearsed = true, time.Now().Add(time.Minute) }))
	if p := h.byPortal(nil); h.in(p) {
		t.Error("in by a connection that is not the one that is enforced")
	}
	if p := h.through(rajThere); !h.in(p) {
		t.Errorf("the one that is enforced: %d %s", p.status, p.body)
	}
}

func TestNoOtherConnectionChangesAnythingInAnEnforcedDomain(t *testing.T) {
	storetest.OnBothEngines(t, testNoOtherConnectionChangesAnythingInAnEnforcedDomain)
}

func testNoOtherConnectionChangesAnythingInAnEnforcedDomain(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	h.apply(crew)
	portal := h.portal(func(c *store.Connection) {
		c.Create = true
		c.RoleMap = []store.Mapped{{Value: "boss", To: []string{"supervisors"}}}
	})
	h.connect(portal)
	if p := h.byPortal(map[string]any{"sub": "leo-1", "email": "leo@acme.example"}); !h.in(p) { // linked before
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p := h.through(person{"tom-1", "tom@acme.example", "Tom", nil}); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	h.unproven("tom@acme.example")
	h.connect(corp(h.idp, func(c *store.Connection) { c.Enforce, c.Rehearsed = true, time.Now().Add(time.Minute) }))
	before := h.agents()
	for name, email := range map[string]string{"leo-1": "leo@acme.example", "zoe-1": "zoe@acme.example", "tom-x": "tom@acme.example", "new-1": "new@acme.example", "ana-1": "ana@acme.example"} {
		p := h.byPortal(map[string]any{"sub": name, "email": email, "name": "Mallory", "roles": []string{"boss"}})
		h.refusedWith(p, "enforced_elsewhere")
		if p.status != http.StatusForbidden || strings.Contains(p.body, `id="continue"`) || !strings.Contains(p.body, `id="sign-in"`) {
			t.Errorf("%s is told %d %s", email, p.status, p.body)
		}
	}
	if n := h.agents() - before; n != 0 {
		t.Errorf("%d accounts were made", n)
	}
	for _, email := range []string{"leo@acme.example", "zoe@acme.example", "tom@acme.example"} {
		if got := h.agent(email); got.Name == "Mallory" || got.PasswordHash == "" || !slices.Equal(got.Roles, []string{"agents"}) {
			t.Errorf("a connection that lets nobody in has made %s %q with %v", email, got.Name, got.Roles)
		}
	}
	if p := h.through(person{"tom-1", "tom@acme.example", "Tom", nil}); !h.in(p) {
		t.Errorf("Tom, through the one that is enforced: %d %s", p.status, p.body)
	}
	h.control("break-glass/lift", map[string]any{"site": "", "control": "single_sign_on", "minutes": 1}, "")
	if p := h.byPortal(map[string]any{"sub": "leo-1", "email": "leo@acme.example"}); !h.in(p) {
		t.Errorf("while that is lifted: %d %s", p.status, p.body)
	}
}

func TestANetworkThatIsRefusedChangesNothing(t *testing.T) {
	storetest.OnBothEngines(t, testANetworkThatIsRefusedChangesNothing)
}

func testANetworkThatIsRefusedChangesNothing(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on, func(c *store.Connection) { c.Create = true })
	h.unproven("raj@acme.example")
	allowlist := func(rule string) {
		h.apply(`sites: [{path: "", ip_allowlist: {enabled: true, mobile: false, ` + rule + `}}]`)
		time.Sleep(600 * time.Millisecond)
	}
	allowlist("console: true, entries: [{cidr: 203.0.113.0/24}, {cidr: 127.0.0.0/8, roles: [supervisors]}]")
	before, was := h.agents(), h.agent("raj@acme.example")
	h.write(func(tx store.Tx) error { // and no supervisor, whom the list lets in
		was.Roles = []string{"agents"}
		return store.Agents.Put(tx, &was)
	})
	b := newBrowser(t, "")
	to := h.away(b, oauth2.GenerateVerifier())
	there := person{"raj-7", "raj@acme.example", "Mallory", nil}
	p := h.back(b, h.answer(to, there))
	if p.status != http.StatusForbidden || !strings.Contains(p.body, "127.0.0.1") || !strings.Contains(p.body, "/federation/corp/start?flow=") {
		t.Errorf("refused by %d %s", p.status, p.body)
	}
	again := p.url.String()
	if p := h.through(person{"new-1", "new@acme.example", "New", nil}); p.status != http.StatusForbidden || !strings.Contains(p.body, "127.0.0.1") {
		t.Errorf("somebody new: refused by %d %s", p.status, p.body)
	}
	if n := h.agents() - before; n != 0 {
		t.Errorf("%d accounts were made", n)
	}
	if got := h.agent("raj@acme.example"); got.Name != was.Name || got.PasswordHash != was.PasswordHash || got.EmailVerified {
		t.Errorf("changed to %+v", got)
	}
	h.links(nil)
	err := h.engine.View(t.Context(), "", func(tx store.Tx) error {
		var refused []string
		for a, err := range store.Activities.All(tx, "") {
			if err != nil {
				return err
			}
			if a.Action == "sign_in.refused" {
				id, _, _ := strings.Cut(a.Key, " ")
				refused = append(refused, id+" "+a.Reason)
			}
		}
		if !slices.Equal(refused, []string{was.ID + " ip_not_allowed"}) {
			t.Errorf("recorded %q", refused)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	// The roles that the provider gives are those that are judged; a native client goes by another list.
	if p := h.through(person{"new-2", "new2@acme.example", "New", []string{"cn=supervisors"}}); !h.in(p) {
		t.Errorf("a supervisor: %d %s", p.status, p.body)
	}
	// From where they are let in the same answer still counts.
	allowlist("console: true, entries: [{cidr: 203.0.113.0/24}, {cidr: 127.0.0.0/8}]")
	if p := b.get(again); !h.in(p) {
		t.Errorf("let in: %d %s", p.status, p.body)
	}
	allowlist("console: true, entries: [{cidr: 203.0.113.0/24}]")
	h.write(func(tx store.Tx) error {
		desk, err := store.Clients.Get(tx, "desk")
		if err != nil {
			return err
		}
		desk.ApplicationType = "native"
		return store.Clients.Put(tx, &desk)
	})
	if p := h.through(rajThere); !h.in(p) {
		t.Errorf("a native client, to which the list does not apply: %d %s", p.status, p.body)
	}
}

func TestWhatALiftedSingleSignOnLetInEndsWithIt(t *testing.T) {
	storetest.OnBothEngines(t, testWhatALiftedSingleSignOnLetInEndsWithIt)
}

func testWhatALiftedSingleSignOnLetInEndsWithIt(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	before, early := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
	h.connect(h.portal(), corp(h.idp, func(c *store.Connection) { c.Enforce, c.Rehearsed = true, time.Now().Add(time.Minute) }))
	h.control("break-glass/lift", map[string]any{"site": "", "control": "single_sign_on", "minutes": 1}, "")
	got, b := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
	other, _ := h.signIn("desk", deskSecret, "ana@acme.example", "openid offline_access chat")
	portal := newBrowser(t, deskCallback)
	if p := portal.post(h.toPortal(portal, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {h.portalToken(nil)}}); !h.in(p) {
		t.Fatalf("by another connection: %d at %s", p.status, p.url)
	}
	proper := newBrowser(t, "")
	if p := h.back(proper, h.answer(h.away(proper, oauth2.GenerateVerifier()), rajThere)); !h.in(p) {
		t.Fatalf("by the connection: %d at %s", p.status, p.url)
	}
	code := func(b *browser) bool {
		b.stop = deskCallback
		return h.in(b.get(h.authorizeURL(oauth2.GenerateVerifier())))
	}
	refresh := func(got *tokens) int {
		next, status := h.token("desk", deskSecret, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.Refresh}})
		if status == http.StatusOK {
			*got = next
		}
		return status
	}
	if !code(b) || !code(portal) || refresh(&got) != http.StatusOK {
		t.Fatal("while it is lifted nothing goes on")
	}

	h.control("break-glass/end", map[string]any{"site": ""}, "")
	time.Sleep(600 * time.Millisecond)
	for name, b := range map[string]*browser{"a password's": b, "another connection's": portal} {
		if code(b) {
			t.Errorf("%s session gets codes", name)
		}
		b.stop = ""
		if p := b.get(h.issuer + "/account"); !strings.HasPrefix(p.url.Path, "/sign-in/") {
			t.Errorf("%s session stands at %s", name, p.url)
		}
	}
	if refresh(&got) != http.StatusBadRequest || refresh(&other) != http.StatusBadRequest {
		t.Error("the refresh tokens go on")
	}
	// What it did not let in goes on: who came through the connection, and what was there before it was enforced.
	if !code(proper) || !code(early) || refresh(&before) != http.StatusOK {
		t.Error("and so does nothing else")
	}
	// Lifted again, or enforced no more, they are as good as their password.
	h.connect(corp(h.idp))
	if !code(b) || refresh(&got) != http.StatusOK {
		t.Error("not enforced any more, and they have ended")
	}
}

func TestAnAddressThatIsThePersonIsProvenEachTime(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal())
	verified := map[string]any{"sub": nil, "email_verified": true}
	if p := h.byPortal(verified); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	h.refusedWith(h.byPortal(map[string]any{"sub": nil, "email_verified": false}), "email_not_proven")
	h.write(func(tx store.Tx) error {
		s, err := store.GetSettings(tx)
		s.Domains = nil
		if err != nil {
			return err
		}
		return store.AllSettings.Put(tx, &s)
	})
	h.refusedWith(h.byPortal(verified), "email_not_proven")
}

func TestALinkThatAnAddressMadeIsNoAdministrators(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	out := h.control("agents/set-roles", map[string]any{"email": "raj@acme.example", "roles": []string{"administrators"}}, "")
	if said := fmt.Sprint(out["warnings"]); !strings.Contains(said, "rehearse corp") {
		t.Errorf("the operator is not told: %s", said)
	}
	h.refusedWith(h.through(rajThere), "not_linked_administrator")
}

func TestWhatAnAddressLetInIsNoAdministrators(t *testing.T) {
	storetest.OnBothEngines(t, testWhatAnAddressLetInIsNoAdministrators)
}

func testWhatAnAddressLetInIsNoAdministrators(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.connect(op.connection())
	got, raj := h.offline(op, rajSays())
	half, target := h.halfDone(op)
	// A role more ends nothing; this one ends all.
	h.control("agents/set-roles", map[string]any{"email": "raj@acme.example", "roles": []string{"agents", "supervisors"}}, "")
	if !h.signedIn(raj) {
		t.Fatal("a role more has ended the session")
	}
	h.control("agents/set-roles", map[string]any{"email": "raj@acme.example", "roles": []string{"agents", "administrators"}}, "")
	if h.signedIn(raj) {
		t.Error("a session that rests on an address is an administrator's")
	}
	if h.refreshes(got) {
		t.Error("a refresh token that rests on an address is an administrator's")
	}
	if p := half.get(target); h.in(p) {
		t.Error("a sign-in that rests on an address ends as an administrator's")
	}
	// Nor does a sign-in that a change has overlooked.
	h.control("agents/set-roles", map[string]any{"email": "raj@acme.example", "roles": []string{"agents"}}, "")
	half, target = h.halfDone(op)
	h.write(func(tx store.Tx) error {
		agent, err := store.Agents.Find(tx, "email", "raj@acme.example")
		if err != nil {
			return err
		}
		agent.Roles = []string{"administrators"}
		return store.Agents.Put(tx, &agent)
	})
	if p := half.get(target); h.in(p) {
		t.Error("a sign-in that was half done ends as an administrator's")
	}
}

// halfDone goes as Raj through the OpenID provider up to where signing in goes on.
func (h *running) halfDone(op *liar) (b *browser, target string) {
	h.t.Helper()
	op.next(rajSays())
	b = newBrowser(h.t, "")
	p := b.get(h.authorizeURL(oauth2.GenerateVerifier()))
	b.stop = op.URL
	if p = b.link(p, "connection-liar"); p.away == nil {
		h.t.Fatalf("not sent to the provider: %d %s", p.status, p.body)
	}
	b.stop = h.issuer + "/sign-in/"
	if p = b.get(p.away.String()); p.away == nil {
		h.t.Fatalf("nothing is half done: %d %s", p.status, p.body)
	}
	b.stop = deskCallback
	return b, p.away.String()
}

func TestWhatWaitsIsVoidOnceTheSessionsWereEnded(t *testing.T) {
	t.Parallel()
	for name, linked := range map[string]bool{"of one who is linked": true, "of one whom the address would link": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFederated(t, storetest.Bolt)
			if linked {
				if p := h.through(rajThere); !h.in(p) {
					t.Fatalf("%d %s", p.status, p.body)
				}
			}
			b := newBrowser(t, "")
			form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
			b.stop = h.issuer + "/federation/corp/resume"
			waits := b.post(h.issuer+"/federation/corp/acs", form)
			h.control("agents/end-sessions", map[string]any{"email": "raj@acme.example"}, "")
			b.stop = deskCallback
			h.refusedWith(b.get(waits.away.String()), "answer_expired")
			if p := h.through(rajThere); !h.in(p) {
				t.Errorf("a new one: %d %s", p.status, p.body)
			}
		})
	}
}

func TestTheFlowOfASignOutSignsNobodyIn(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.connect(h.portal(func(c *store.Connection) { c.Create = true }))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	got := h.arrives(b.post(h.toPortal(b, verifier, "return_to"), url.Values{"jwt": {h.portalToken(nil)}}), verifier)
	b.stop = "http://127.0.0.1:999"
	p := b.get(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}, "state": {"z"}}.Encode())
	to, err := url.Parse(strings.TrimPrefix(p.header.Get("Refresh"), "0;url="))
	if err != nil {
		t.Fatal(err)
	}
	back, err := url.Parse(to.Query().Get("return_to"))
	if err != nil || back.Query().Get("state") == "" {
		t.Fatalf("no state in %s: %v", to, err)
	}
	b.stop = ""
	p = b.post(h.issuer+"/federation/portal/jwt?"+back.RawQuery, url.Values{"jwt": {h.portalToken(map[string]any{"sub": "mal", "email": "mal@acme.example"})}})
	h.refusedWith(p, "answer_expired")
}

func TestLinksOfBeforeAnAddressWasProvenAreGone(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.connect(h.portal(func(c *store.Connection) { c.Domains = nil }))
	h.unproven("raj@acme.example")
	h.write(func(tx store.Tx) error {
		raj, err := store.Agents.Find(tx, "email", "raj@acme.example")
		if err != nil {
			return err
		}
		return store.Links.Put(tx, &store.Link{Connection: "portal", Subject: "sub:mal", AgentID: raj.ID, Created: time.Now()})
	})
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if p := h.byPortal(map[string]any{"sub": "mal", "email": "mal@evil.example"}); h.in(p) {
		t.Error("a link that was planted signs in as Raj")
	}
}

func TestAHalfDoneSignInEndsWithTheProvidersSession(t *testing.T) {
	storetest.OnBothEngines(t, testAHalfDoneSignInEndsWithTheProvidersSession)
}

func testAHalfDoneSignInEndsWithTheProvidersSession(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	for index, ends := range map[string]bool{"s1": true, "": true, "s2": false} {
		b := newBrowser(t, "")
		form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere, func(a *samltest.Answer) { a.SessionIndex = "s1" })
		b.stop = h.issuer + "/sign-in/"
		half := b.post(h.issuer+"/federation/corp/acs", form)
		if half.away == nil {
			t.Fatalf("%d %s", half.status, half.body)
		}
		over := saml.NameID{Value: "raj-7", Format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"}
		indexes := slices.DeleteFunc([]string{index}, func(s string) bool { return s == "" })
		m, err := saml.NewLogoutRequest(saml.SP{EntityID: h.idp.EntityID}, h.issuer+"/federation/corp/slo", over, indexes, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		to, err := m.Redirect("", &saml.Signer{Key: h.idp.Key, Certificate: h.idp.Certificate})
		if err != nil {
			t.Fatal(err)
		}
		if p := newBrowser(t, h.idp.SLO).get(to); p.away == nil {
			t.Fatalf("the logout is not answered: %d %s", p.status, p.body)
		}
		b.stop = deskCallback
		if p := b.get(half.away.String()); h.in(p) == ends {
			t.Errorf("a logout of %q: signed in %v", index, h.in(p))
		}
	}
}

func TestThePageBeforeAProvidersOwnSignInNamesTheAccount(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, func(c *store.Connection) { c.IdPInitiated = true })
	if p := h.through(rajThere); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	unasked := func(a *samltest.Answer) { a.InResponseTo = "" }
	p := h.back(newBrowser(t, ""), h.answer(asked{}, person{"raj-7", "victim@acme.example", "Victim", nil}, unasked))
	if !strings.Contains(p.body, "raj@acme.example") || strings.Contains(p.body, "victim@acme.example") {
		t.Errorf("the page: %d %s", p.status, p.body)
	}
	// And whose session ends by it, unless it is their own.
	for current, named := range map[string]bool{"ana@acme.example": true, "raj@acme.example": false} {
		_, b := h.signIn("desk", deskSecret, current, "openid chat")
		p := h.back(b, h.answer(asked{}, rajThere, unasked))
		if p.status != http.StatusOK || strings.Contains(p.body, "You are signed in as") != named || named && !strings.Contains(p.body, current) {
			t.Errorf("signed in as %s: %d %s", current, p.status, p.body)
		}
	}
}

func TestATokenForAnEmbeddedWidgetIsNoSignIn(t *testing.T) {
	t.Parallel()
	h := start(t, storetest.Bolt, "")
	h.widgets()
	p := newBrowser(t, widgetOrigin).get(h.widgetStart("shop", oauth2.GenerateVerifier()))
	if p.away == nil || !strings.Contains(p.away.Fragment, "chatelaine_error=provider_unavailable") {
		t.Errorf("begun at a connection without a login page: %d, away to %v", p.status, p.away)
	}
}

func TestStrangersDoNotQueueForMetadataThatHangs(t *testing.T) {
	t.Parallel()
	hangs, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hangs.Close() })
	go func() {
		for {
			c, err := hangs.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
		}
	}()
	h := start(t, storetest.Bolt, "")
	h.connect(corp(nil, func(c *store.Connection) { c.SAML.MetadataURL = "http://" + hangs.Addr().String() + "/m" }))
	began := time.Now()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			resp, err := http.PostForm(h.issuer+"/federation/corp/acs", url.Values{"SAMLResponse": {"PGEvPg=="}})
			if err == nil {
				resp.Body.Close()
			}
		})
	}
	wg.Wait()
	if took := time.Since(began); took > 9*time.Second {
		t.Errorf("eight were answered after %s: one fetch may take 5 s", took)
	}
}

func TestOnlyItsOwnPageBeginsAVisitorsRedirect(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, forVisitors)
	h.widgets()
	for referer, want := range map[string]bool{
		widgetOrigin + "/cart": true, widgetOrigin: true, "https://evil.example/": false, widgetOrigin + ".evil.example/": false, "about:blank": false, " ": false,
	} {
		b := newBrowser(t, h.idp.SSO)
		b.referer = referer
		p := b.get(h.widgetStart("corp", oauth2.GenerateVerifier()))
		if begun := p.away != nil; begun != want {
			t.Errorf("from %q: begun %v, %d %s", referer, begun, p.status, between(p.body, "<h1>", "</h1>"))
		}
	}
	// Nor does another page reach the page where a visitor chooses, and who chose there goes on.
	h.connect(h.portal(func(c *store.Connection) { c.For, c.Domains = store.ForVisitors, nil }))
	choose := strings.Replace(h.widgetStart("corp", oauth2.GenerateVerifier()), "/corp/start", "/start", 1)
	b := newBrowser(t, h.idp.SSO)
	b.referer = "https://evil.example/"
	if p := b.get(choose); p.status != http.StatusForbidden {
		t.Errorf("from elsewhere: %d %s", p.status, p.body)
	}
	b.referer = ""
	p := b.get(choose)
	if got := p.header.Get("Referrer-Policy"); p.status != http.StatusOK || got != "same-origin" {
		t.Fatalf("%d, Referrer-Policy %s: %s", p.status, got, p.body)
	}
	b.referer = choose
	if p = b.link(p, "connection-corp"); p.away == nil {
		t.Errorf("who has chosen does not go on: %d %s", p.status, p.body)
	}
	b.referer = h.issuer + "/federation/corp/metadata?/federation/start"
	if p := b.get(h.widgetStart("corp", oauth2.GenerateVerifier())); p.away != nil {
		t.Error("begun from another page of ours")
	}
}
