package provider_test

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// federated is a house with a customer's identity provider beside it.
type federated struct {
	*running
	idp *samltest.IdP
}

const idpBase = "http://127.0.0.1:9998/idp"

// newFederated starts the house with one SAML connection.
func newFederated(t *testing.T, on storetest.Engine, change ...func(*store.Connection)) *federated {
	t.Helper()
	h := &federated{running: start(t, on, ""), idp: samltest.New(idpBase, time.Now())}
	h.connect(corp(h.idp, change...))
	return h
}

// corp is the company's connection.
func corp(idp *samltest.IdP, change ...func(*store.Connection)) store.Connection {
	c := store.Connection{
		ID: "corp", Kind: store.ConnectionSAML, For: store.ForAgents, Name: "Acme SSO", Domains: []string{"acme.example"}, Created: time.Now(), Changed: time.Now(),
		Attributes: []store.Attribute{{Field: "email", From: []string{"mail"}}, {Field: "name", From: []string{"displayName"}}, {Field: "roles", From: []string{"memberOf"}}},
		RoleMap:    []store.Mapped{{Value: "cn=supervisors", To: []string{"supervisors"}}},
		SAML:       &store.SAMLConnection{},
	}
	if idp != nil {
		c.SAML.MetadataXML = idp.Metadata()
	}
	for _, f := range change {
		f(&c)
	}
	return c
}

// connect writes connections, and waits until the house knows them.
func (h *running) connect(all ...store.Connection) {
	h.t.Helper()
	h.write(func(tx store.Tx) error {
		for _, c := range all {
			if err := store.Connections.Put(tx, &c); err != nil {
				return err
			}
		}
		return nil
	})
}

// write changes the root site behind the house's back, and waits until it is known.
func (h *running) write(fn func(tx store.Tx) error) {
	h.t.Helper()
	h.writeUnseen(fn)
	time.Sleep(600 * time.Millisecond) // longer than a snapshot is kept without a look
}

func (h *running) writeUnseen(fn func(tx store.Tx) error) {
	h.t.Helper()
	err := h.engine.Update(h.t.Context(), "", func(tx store.Tx) error {
		if err := fn(tx); err != nil {
			return err
		}
		_, err := store.Next(tx, store.SiteVersion)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

// asked is what the house asked of the identity provider.
type asked struct {
	request, relayState string
	force               bool
}

var (
	requestID  = regexp.MustCompile(` ID="([^"]+)"`)
	forceAuthn = regexp.MustCompile(` ForceAuthn="true"`)
)

func readRequest(t testing.TB, away *url.URL) asked {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(away.Query().Get("SAMLRequest"))
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return asked{requestID.FindStringSubmatch(string(plain))[1], away.Query().Get("RelayState"), forceAuthn.Match(plain)}
}

// person is who the identity provider signs in.
type person struct {
	nameID, email, name string
	groups              []string
}

var rajThere = person{"raj-7", "raj@acme.example", "Raj Patel", nil}

func (h *federated) answer(to asked, who person, change ...func(*samltest.Answer)) url.Values {
	a := samltest.Answer{
		InResponseTo: to.request, ACS: h.issuer + "/federation/corp/acs", Audience: h.issuer + "/federation/corp", NameID: who.nameID, Now: time.Now(),
		Attributes: map[string][]string{"mail": {who.email}, "displayName": {who.name}, "memberOf": who.groups},
	}
	for _, c := range change {
		c(&a)
	}
	return url.Values{"SAMLResponse": {h.idp.Respond(a)}, "RelayState": {to.relayState}}
}

// post is a form that another site's page sends.
func (b *browser) post(target string, form url.Values) page {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Origin", "http://127.0.0.1:9998")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.read(resp)
}

// link follows the link with that id.
func (b *browser) link(p page, id string) page {
	b.t.Helper()
	m := regexp.MustCompile(`<a [^>]*id="` + regexp.QuoteMeta(id) + `"[^>]*href="([^"]+)"`).FindStringSubmatch(p.body)
	if m == nil {
		b.t.Fatalf("no link %s on %s (status %d): %s", id, p.url, p.status, p.body)
	}
	target, err := p.url.Parse(attributes(`href="` + m[1] + `"`)["href"])
	if err != nil {
		b.t.Fatal(err)
	}
	return b.get(target.String())
}

func (h *running) authorizeURL(verifier string) string {
	return h.issuer + "/oauth/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"desk"}, "redirect_uri": {deskCallback}, "scope": {"openid profile email chat"},
		"state": {"s"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"}}.Encode()
}

// away goes from the desk to the identity provider.
func (h *federated) away(b *browser, verifier string) asked {
	h.t.Helper()
	b.stop = h.idp.SSO
	p := b.link(b.get(h.authorizeURL(verifier)), "connection-corp")
	if p.away == nil {
		h.t.Fatalf("not sent to the identity provider: status %d at %s: %s", p.status, p.url, p.body)
	}
	return readRequest(h.t, p.away)
}

// back comes back from there, up to the desk.
func (h *federated) back(b *browser, form url.Values) page {
	h.t.Helper()
	b.stop = deskCallback
	return b.post(h.issuer+"/federation/corp/acs", form)
}

// arrives fails unless the browser was sent to the desk, and returns the tokens.
func (h *running) arrives(p page, verifier string) tokens {
	h.t.Helper()
	if p.away == nil || p.away.Query().Get("code") == "" {
		h.t.Fatalf("not sent to the desk: status %d at %s: %s", p.status, p.url, p.body)
	}
	got, status := h.token("desk", deskSecret, url.Values{"grant_type": {"authorization_code"}, "code": {p.away.Query().Get("code")}, "redirect_uri": {deskCallback}, "code_verifier": {verifier}})
	if status != http.StatusOK {
		h.t.Fatalf("token endpoint: %d %s", status, got.Error)
	}
	return got
}

// fails fails unless the page is that of the fault.
func (h *running) fails(p page, status int, words string) {
	h.t.Helper()
	if p.away != nil || p.status != status || !strings.Contains(p.body, words) {
		h.t.Fatalf("status %d, away to %v, want %d with %q: %s", p.status, p.away, status, words, p.body)
	}
}

func TestAnAgentSignsInThroughTheCompanysIdentityProvider(t *testing.T) {
	storetest.OnBothEngines(t, testAnAgentSignsInThroughTheCompanysIdentityProvider)
}

func testAnAgentSignsInThroughTheCompanysIdentityProvider(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	b, verifier := newBrowser(t, ""), oauth2.GenerateVerifier()
	got := h.arrives(h.back(b, h.answer(h.away(b, verifier), rajThere)), verifier)
	if claims := readClaims(t, got.ID); claims.Sub != h.agent(rajThere.email).ID || claims.String() != "aal1 by fed" {
		t.Errorf("the ID token says %+v", claims)
	}
}

// through goes the whole way with a browser of its own, and returns the page where
// it ended.
func (h *federated) through(who person, change ...func(*samltest.Answer)) page {
	h.t.Helper()
	b := newBrowser(h.t, "")
	return h.back(b, h.answer(h.away(b, oauth2.GenerateVerifier()), who, change...))
}

func (h *running) agent(email string) (agent store.Agent) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		agent, err = store.Agents.Find(tx, "email", email)
		return err
	})
	if err != nil {
		h.t.Fatalf("%s: %v", email, err)
	}
	return agent
}

func TestWhoMayComeInThroughAConnection(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	for _, c := range []struct {
		name  string
		who   person
		words string
	}{
		{"an administrator is not linked by an address", person{"ana-1", "ana@acme.example", "Ana", nil}, "administrator"},
		{"nobody is made where that is off", person{"new-1", "new@acme.example", "New", nil}, "no account"},
		{"an address of another domain proves nothing", person{"x-1", "raj@elsewhere.example", "Raj", nil}, "address"},
		{"without an address nobody is found", person{"x-2", "", "Raj", nil}, "address"},
		{"an address in another spelling is no address", person{"x-3", "raj@ａcme.example", "Raj", nil}, "address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &federated{running: &running{t: t, issuer: h.issuer}, idp: h.idp}
			h.fails(h.through(c.who), http.StatusForbidden, c.words)
		})
	}
	if p := h.through(rajThere); p.away == nil {
		t.Fatalf("Raj is not in: %d %s", p.status, p.body)
	}
	h.fails(h.through(person{"raj-8", "raj@acme.example", "Raj Patel", nil}), http.StatusForbidden, "another")
	// The link holds whatever the address becomes there.
	if p := h.through(person{"raj-7", "raj.patel@elsewhere.example", "Raj Patel", nil}); p.away == nil {
		t.Errorf("renamed there: %d %s", p.status, p.body)
	}
	if raj := h.agent("raj@acme.example"); raj.Email != "raj@acme.example" {
		t.Errorf("the address changed to %s", raj.Email)
	}
}

func TestAnAgentIsMadeWithTheRolesOfTheMapAndNoOthers(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, func(c *store.Connection) {
		c.Create = true
		c.RoleMap = append(c.RoleMap, store.Mapped{Value: "cn=admins", To: []string{"administrators"}}) // as no site file may say
	})
	eve := person{"eve-1", "eve@acme.example", "Eve", []string{"cn=admins", "cn=supervisors", "administrators", "cn=else"}}
	if p := h.through(eve); p.away == nil {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if got := h.agent(eve.email); !slices.Equal(got.Roles, []string{"supervisors"}) || !got.EmailVerified || got.Name != "Eve" {
		t.Errorf("made %+v", got)
	}
	// What the map manages goes when the provider says so.
	eve.groups = []string{"cn=else"}
	if p := h.through(eve); p.away == nil {
		t.Fatalf("%d %s", p.status, p.body)
	}
	if got := h.agent(eve.email); !slices.Equal(got.Roles, []string{"agents"}) {
		t.Errorf("the roles are %v", got.Roles)
	}
}

func TestAnAnswerCountsOnceAndForTheBrowserThatAsked(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	b := newBrowser(t, "")
	form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	h.fails(h.back(newBrowser(t, ""), form), http.StatusBadRequest, "browser")
	// Brought to another browser it is spent: whoever holds it is not whom it was for.
	h.fails(h.back(b, form), http.StatusBadRequest, "used")

	b = newBrowser(t, "")
	form = h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	if p := h.back(b, form); p.away == nil {
		t.Fatalf("%d %s", p.status, p.body)
	}
	h.fails(h.back(b, form), http.StatusBadRequest, "used")
	// A second answer to the same request finds the flow over.
	asked := asked{request: "", relayState: form.Get("RelayState")}
	h.fails(h.back(b, h.answer(asked, rajThere)), http.StatusBadRequest, "")
}

func TestOfFiftyCopiesOfAnAnswerOneCounts(t *testing.T) {
	storetest.OnBothEngines(t, testOfFiftyCopiesOfAnAnswerOneCounts)
}

func testOfFiftyCopiesOfAnAnswerOneCounts(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	b := newBrowser(t, deskCallback)
	b.stop = h.idp.SSO
	form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	b.stop = h.issuer + "/federation/corp/resume"
	var handles sync.Map
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			if p := b.post(h.issuer+"/federation/corp/acs", form); p.away != nil && p.away.Query().Has("handle") {
				handles.Store(p.away.String(), true)
			}
		})
	}
	wg.Wait()
	var all []string
	handles.Range(func(k, _ any) bool { all = append(all, k.(string)); return true })
	if len(all) != 1 {
		t.Fatalf("%d copies were taken", len(all))
	}
	// And of fifty who come for it with the cookie, one is signed in.
	b.stop = deskCallback
	var arrived atomic.Int32
	for range 50 {
		wg.Go(func() {
			if p := b.get(all[0]); p.away != nil {
				arrived.Add(1)
			}
		})
	}
	wg.Wait()
	if arrived.Load() != 1 {
		t.Errorf("%d were signed in", arrived.Load())
	}
}

func TestAProviderBeginsOnlyWhereItMay(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	unasked := func(a *samltest.Answer) { a.InResponseTo = "" }
	b := newBrowser(t, "")
	p := h.back(b, h.answer(asked{}, rajThere, unasked))
	h.fails(p, http.StatusBadRequest, "not_asked")
	b.stop = h.idp.SSO // it leads to where it can begin
	if p = b.link(p, "continue"); p.away == nil {
		t.Fatalf("not sent to the provider: %d %s", p.status, p.body)
	}
	b.stop = ""
	if p = b.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, p.away), rajThere)); p.url.Path != "/account" || p.status != http.StatusOK {
		t.Fatalf("it ended at %s (status %d): %s", p.url, p.status, p.body)
	}

	h.connect(corp(h.idp, func(c *store.Connection) { c.IdPInitiated = true }))
	b = newBrowser(t, "")
	p = h.back(b, h.answer(asked{relayState: "https://evil.example/"}, rajThere, unasked))
	if p.status != http.StatusOK || !strings.Contains(p.body, rajThere.email) || p.away != nil {
		t.Fatalf("no question whether to go on: %d %s", p.status, p.body)
	}
	if p = b.submit(p, "continue", nil); p.url.Path != "/account" || p.status != http.StatusOK {
		t.Fatalf("it ended at %s (status %d): %s", p.url, p.status, p.body)
	}
	// An answer that was asked for is none that was not: it needs its own browser.
	form := h.answer(h.away(newBrowser(t, ""), oauth2.GenerateVerifier()), rajThere)
	h.fails(h.back(newBrowser(t, ""), form), http.StatusBadRequest, "")
}

func TestWhatAnAnswerSaysIsHeldToTheConnection(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	other := samltest.Other(idpBase, time.Now())
	h.connect(corp(other, func(c *store.Connection) { c.ID = "other" }))
	for name, change := range map[string]func(*samltest.Answer){
		"another audience":             func(a *samltest.Answer) { a.Audience = h.issuer + "/federation/other" },
		"another recipient":            func(a *samltest.Answer) { a.ACS = h.issuer + "/federation/other/acs" },
		"too old":                      func(a *samltest.Answer) { a.Now = a.Now.Add(-7 * time.Minute) },
		"from the future":              func(a *samltest.Answer) { a.Now = a.Now.Add(7 * time.Minute) },
		"a NameID of the moment":       func(a *samltest.Answer) { a.Format = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient" },
		"a request that nobody made":   func(a *samltest.Answer) { a.InResponseTo = "_" + strings.Repeat("0", 40) },
		"an answer to nobody's asking": func(a *samltest.Answer) { a.InResponseTo = "" },
	} {
		t.Run(name, func(t *testing.T) {
			h := &federated{running: &running{t: t, issuer: h.issuer}, idp: h.idp}
			h.fails(h.through(rajThere, change), http.StatusBadRequest, "")
		})
	}
	t.Run("another connection's key", func(t *testing.T) {
		h := &federated{running: &running{t: t, issuer: h.issuer}, idp: h.idp}
		b := newBrowser(t, "")
		to := h.away(b, oauth2.GenerateVerifier())
		h.idp = other
		h.fails(h.back(b, h.answer(to, rajThere)), http.StatusBadRequest, "")
	})
}

func TestADisabledConnectionEndsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	b := newBrowser(t, "")
	form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	h.connect(corp(h.idp, func(c *store.Connection) { c.Disabled = true }))
	if p := h.back(b, form); p.away != nil || p.status != http.StatusNotFound {
		t.Errorf("status %d", p.status)
	}
}

func TestCredentialsOfBeforeAnAddressWasProvenAreGone(t *testing.T) {
	storetest.OnBothEngines(t, testCredentialsOfBeforeAnAddressWasProvenAreGone)
}

func testCredentialsOfBeforeAnAddressWasProvenAreGone(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	h.unproven("raj@acme.example") // somebody registered the address, and knows the password
	got, planted := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
	reports := h.issuer + "/oauth/authorize?" + url.Values{"response_type": {"code"}, "client_id": {"third"}, "redirect_uri": {deskCallback}, "scope": {"openid email"},
		"state": {"s"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())}, "code_challenge_method": {"S256"}}.Encode()
	if p := planted.submit(planted.get(reports), "allow", nil); !h.in(p) {
		t.Fatalf("no consent is given: %d %s", p.status, p.body)
	}
	planted.stop = ""
	h.addApp(planted)
	invitation, _ := h.control("agents/invite", map[string]any{"email": "raj@acme.example"}, "")["url"].(string)
	if p := newBrowser(t, "").get(invitation); !strings.Contains(p.body, `name="new_password"`) {
		t.Fatalf("no link to set a password: %d %s", p.status, p.body)
	}

	b := newBrowser(t, "")
	form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	b.stop = h.issuer + "/sign-in/"
	half := b.post(h.issuer+"/federation/corp/acs", form)
	if p := newBrowser(t, "").get(invitation); strings.Contains(p.body, `name="new_password"`) {
		t.Error("a link of before sets a password")
	}
	b.stop = deskCallback
	if half.away == nil || !h.in(b.get(half.away.String())) { // nor is the stranger's second factor asked for
		t.Fatalf("%d %v %s", half.status, half.away, half.body)
	}
	if raj := h.agent("raj@acme.example"); raj.PasswordHash != "" || !raj.EmailVerified {
		t.Error("the password of before is left")
	}
	if h.refreshes(got) {
		t.Error("a grant of before is left")
	}
	if h.signedIn(planted) {
		t.Error("a session of before is left")
	}
	if p := b.get(reports + "&prompt=none"); h.in(p) {
		t.Error("an application that a stranger has allowed gets Raj's tokens without a question")
	}
}

// unproven makes the agent's address one that nobody has proven.
func (h *running) unproven(email string) {
	h.t.Helper()
	h.write(func(tx store.Tx) error {
		agent, err := store.Agents.Find(tx, "email", email)
		if err != nil {
			return err
		}
		agent.EmailVerified = false
		return store.Agents.Put(tx, &agent)
	})
}

func readTrace(sealer *store.Sealer, rec store.Trace) (found store.TraceRecord, err error) {
	plain, err := sealer.Open("", store.Traces.Kind, rec.ID, rec.Sealed)
	if err == nil {
		err = json.Unmarshal(plain, &found)
	}
	return found, err
}
