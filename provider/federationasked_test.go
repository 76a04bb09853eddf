package provider_test

import (
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// unasked is what a provider says of somebody whose browser it knows, without a word
// of when it asked them.
func unasked(sub, email string, more ...string) map[string]any {
	return map[string]any{"sub": sub, "email": email, "email_verified": true, "auth_time": nil, "amr": more}
}

// goes goes from the desk to the liar, with more to the query, and back.
func (h *running) goes(b *browser, verifier, more string) page {
	h.t.Helper()
	b.stop = deskCallback
	return b.link(b.get(h.authorizeURL(verifier)+more), "connection-liar")
}

// seedIn is the key that a page shows to whoever may set up an authenticator app.
var seedIn = regexp.MustCompile(`id="seed"[^>]*>([^<]+)<`)

// maySetUpAnApp reports whether the account can be changed in this browser now.
func (h *running) maySetUpAnApp(b *browser) bool {
	h.t.Helper()
	b.stop = ""
	return seedIn.MatchString(b.get(h.issuer + "/account/factors/totp").body)
}

func TestAProviderThatDoesNotSayWhenItAskedProvesNobodyOfNow(t *testing.T) {
	storetest.OnBothEngines(t, testAProviderThatDoesNotSayWhenItAskedProvesNobodyOfNow)
}

func testAProviderThatDoesNotSayWhenItAskedProvesNobodyOfNow(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.connect(op.connection())
	op.next(unasked("raj-7", "raj@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	got := h.arrives(h.goes(b, verifier, ""), verifier)
	for name, token := range map[string]string{"ID token": got.ID, "access token": got.Access} {
		if claims := readClaims(t, token); claims.AuthTime != 0 || claims.Sub != h.agent("raj@acme.example").ID {
			t.Errorf("the %s says %+v", name, claims)
		}
	}
	b.stop = deskCallback
	if p := b.get(h.authorizeURL(verifier)); !h.in(p) {
		t.Fatalf("who demands nothing gets no code: %d at %s", p.status, p.url)
	}
	if p := b.get(h.authorizeURL(verifier) + "&prompt=none&max_age=240"); p.away == nil || p.away.Query().Get("error") != "login_required" {
		t.Errorf("silently with max_age: %d, away to %v", p.status, p.away)
	}
	essential := "&claims=" + url.QueryEscape(`{"id_token":{"auth_time":{"essential":true}}}`)
	for _, demand := range []string{"&prompt=login", "&max_age=240", essential} {
		p := b.get(h.authorizeURL(verifier) + demand)
		if h.in(p) {
			t.Errorf("%s is content with a sign-in of nobody knows when", demand)
			continue
		}
		// The provider, asked to ask, says no more than before: the page names another way in.
		p = b.link(p, "connection-liar")
		if h.refusedWith(p, "provider_refused"); !strings.Contains(p.body, "sign in anew") || !strings.Contains(p.body, `id="sign-in"`) {
			t.Errorf("%s is told %s", demand, p.body)
		}
	}
	if h.maySetUpAnApp(b) {
		t.Error("a second factor may be set up although nobody was asked for anything")
	}

	// Where it does say, all is as it should be.
	op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true})
	got = h.arrives(h.goes(b, verifier, "&max_age=240"), verifier)
	if claims := readClaims(t, got.ID); time.Since(time.Unix(claims.AuthTime, 0)) > time.Minute {
		t.Errorf("the ID token says %+v", claims)
	}
	if !h.maySetUpAnApp(b) {
		t.Error("nor may it be when the provider says that it has just asked")
	}
}

func TestAPasswordAfterSuchASignInIsAProofOfNow(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.connect(op.connection())
	op.next(unasked("raj-7", "raj@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	h.arrives(h.goes(b, verifier, ""), verifier)
	b.stop = ""
	p := b.get(h.issuer + "/account/factors/totp")
	if p = b.submit(p, "continue", map[string]string{"password": agentPassword}); !seedIn.MatchString(p.body) {
		t.Errorf("after the password: %d at %s: %s", p.status, p.url, p.body)
	}
}

func TestAssumeFreshTakesAnAnswerForOneOfNow(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.connect(op.connection(func(c *store.Connection) { c.OIDC.AssumeFresh = true }))
	op.next(unasked("raj-7", "raj@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	got := h.arrives(h.goes(b, verifier, "&max_age=240"), verifier)
	if claims := readClaims(t, got.ID); claims.AuthTime == 0 || !h.maySetUpAnApp(b) {
		t.Errorf("the ID token says %+v, and the account may not be changed", claims)
	}
}

// A client's own default has the provider asked, as max_age in the request has: or the
// browser would go there and back for ever.
func TestAClientsDefaultMaxAgeReachesTheProvider(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.apply(`sites: [{path: "", clients: [{client_id: desk, default_max_age: 300}]}]`)
	b := newBrowser(t, "")
	to := h.away(b, oauth2.GenerateVerifier())
	if !to.force {
		t.Error("the provider is not asked to ask")
	}
	h.fails(h.back(b, h.answer(to, rajThere, func(a *samltest.Answer) { a.AuthnInstant = a.Now.Add(-time.Hour) })), 403, "provider_refused")
}

func TestAClientThatRequiresAuthTimeHasTheProviderAskedForIt(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.connect(op.connection())
	h.apply(`sites: [{path: "", clients: [{client_id: desk, require_auth_time: true}]}]`)
	op.next(unasked("raj-7", "raj@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	p := h.goes(b, verifier, "")
	if h.in(p) {
		t.Fatal("it gets an ID token that does not say auth_time")
	}
	// The sign-in is asked for again, and a provider that can says it where max_age asks.
	op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true})
	if claims := readClaims(t, h.arrives(b.link(p, "connection-liar"), verifier).ID); claims.AuthTime == 0 {
		t.Errorf("the ID token says %+v", claims)
	}
}

const (
	timSeed = "KRSXG5CTMVRXEZLUKRSXG5CTMVRXEZLU"
	timFile = `sites: [{path: "", agents: [{email: tim@acme.example, name: Tim, password: "` + agentPassword + `", roles: [agents], totp_secret: ` + timSeed + `}]}]`
)

// timCode is a code of Tim's app.
func timCode(t testing.TB) string {
	t.Helper()
	code, err := totp.GenerateCode(timSeed, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return code
}

func TestASecondFactorThatIsAskedHereShowsAPersonOfNow(t *testing.T) {
	storetest.OnBothEngines(t, testASecondFactorThatIsAskedHereShowsAPersonOfNow)
}

func testASecondFactorThatIsAskedHereShowsAPersonOfNow(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.apply(timFile)
	h.connect(op.connection())
	op.next(unasked("tim-1", "tim@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	p := b.submit(h.goes(b, verifier, ""), "continue", map[string]string{"code": timCode(t)})
	if claims := readClaims(t, h.arrives(p, verifier).ID); time.Since(time.Unix(claims.AuthTime, 0)) > time.Minute || claims.String() != "aal2 by fed+mfa+otp" {
		t.Errorf("the ID token says %+v", claims)
	}
	if p = b.get(h.authorizeURL(verifier) + "&max_age=240"); !h.in(p) {
		t.Errorf("max_age: %d at %s", p.status, p.url)
	}
	if !h.maySetUpAnApp(b) {
		t.Error("the account may not be changed")
	}
}

// What the provider says of a second factor is of the same unknown time as the rest.
func TestASecondFactorOfTheProvidersIsOfNoKnownTimeEither(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.apply(evaFile)
	h.connect(op.connection(func(c *store.Connection) { c.TrustSecondFactor = true }))
	h.write(func(tx store.Tx) error {
		return store.Links.Create(tx, &store.Link{Connection: "liar", Subject: "eva-1", AgentID: h.agent("eva@acme.example").ID, Rehearsed: true, Created: time.Now()})
	})
	op.next(unasked("eva-1", "eva@acme.example", "mfa"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	if claims := readClaims(t, h.arrives(h.goes(b, verifier, ""), verifier).ID); claims.String() != "aal2 by fed+mfa" || claims.AuthTime != 0 {
		t.Fatalf("the ID token says %+v", claims)
	}
	if h.maySetUpAnApp(b) {
		t.Error("the account may be changed")
	}
	p := b.get(h.issuer + "/federation/liar/rehearse")
	if !strings.HasPrefix(p.url.Path, "/sign-in/") {
		t.Fatalf("a rehearsal begins at %s", p.url)
	}
	// The password and a code of now do.
	p = b.submit(p, "continue", map[string]string{"password": agentPassword})
	if p = b.submit(p, "continue", map[string]string{"code": evaCode(t, 0)}); p.url.Path != "/federation/liar/rehearse" {
		t.Errorf("after password and code: %d at %s: %s", p.status, p.url, p.body)
	}
}

// Whoever is at a browser that the provider knows could set one up.
func TestAFactorThatIsSetUpOnTheWayInShowsNobodyOfNow(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.apply(`sites: [{path: "", two_factor: {required_roles: [supervisors], grace_days: 0}}]`)
	h.connect(op.connection())
	op.next(unasked("raj-7", "raj@acme.example"))
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	p := h.goes(b, verifier, "")
	seed := seedIn.FindStringSubmatch(p.body)
	if seed == nil {
		t.Fatalf("%d at %s: %s", p.status, p.url, p.body)
	}
	code, err := totp.GenerateCode(strings.ReplaceAll(seed[1], " ", ""), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	p = b.submit(p, "continue", map[string]string{"code": code, "name": "Phone"})
	got := h.arrives(b.submit(p, "continue", nil), verifier)
	if claims := readClaims(t, got.ID); claims.AuthTime != 0 || h.maySetUpAnApp(b) {
		t.Errorf("the ID token says %+v, or the account may be changed", claims)
	}
}

func TestAVisitorsTokenSaysOnlyATimeThatIsKnown(t *testing.T) {
	t.Parallel()
	h, op := start(t, storetest.Bolt, ""), newLiar(t)
	h.widgets()
	h.connect(op.connection(func(c *store.Connection) { c.For = store.ForVisitors }))
	for name, c := range map[string]struct {
		says  map[string]any
		known bool
	}{
		"not said": {unasked("sue-1", "sue@buyers.example"), false},
		"said":     {map[string]any{"sub": "sue-2", "email": "sue@buyers.example"}, true},
	} {
		op.next(c.says)
		b, verifier := newBrowser(t, widgetOrigin), oauth2.GenerateVerifier()
		v := h.proven(b.get(h.widgetStart("liar", verifier)), verifier, "")
		if claims := readClaims(t, v.Token); v.Assurance != "federated" || claims.AuthTime != 0 != c.known {
			t.Errorf("%s: %s, %+v", name, v.Assurance, claims)
		}
	}
}
