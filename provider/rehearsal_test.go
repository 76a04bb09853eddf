package provider_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var evaThere = person{"eva-1", "eva@acme.example", "Eva Stein", nil}

// evaFile adds an administrator with a second factor, which a rehearsal takes.
const (
	evaSeed = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
	evaFile = `sites: [{path: "", agents: [{email: eva@acme.example, name: Eva Stein, password: "` + agentPassword + `", roles: [administrators], totp_secret: ` + evaSeed + `}]}]`
)

// evaCode is a code of Eva's app; later is one of a later step, since each counts once.
func evaCode(t testing.TB, later int) string {
	t.Helper()
	code, err := totp.GenerateCode(evaSeed, time.Now().Add(time.Duration(later-1)*30*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// rehearse goes as the administrator through a rehearsal up to the provider and back
// with who is there.
func (h *federated) rehearse(b *browser, email string, who person, change ...func(*samltest.Answer)) page {
	h.t.Helper()
	to, p := h.beginRehearsal(b, email, 0)
	if to.request == "" {
		return p
	}
	return b.post(h.issuer+"/federation/corp/acs", h.answer(to, who, change...))
}

// beginRehearsal goes up to the provider, or to the page that it ends at before; later
// is evaCode's.
func (h *federated) beginRehearsal(b *browser, email string, later int) (asked, page) {
	h.t.Helper()
	b.stop = h.idp.SSO
	p := b.get(h.issuer + "/federation/corp/rehearse")
	for range 2 { // a browser that is remembered is asked once more
		if !strings.HasPrefix(p.url.Path, "/sign-in/") {
			break
		}
		p = b.submit(p, "continue", map[string]string{"email": email, "password": agentPassword})
		if strings.HasSuffix(p.url.Path, "/factor") {
			p = b.submit(p, "continue", map[string]string{"code": evaCode(h.t, later)})
		}
	}
	if p.status != http.StatusOK || p.url.Path != "/federation/corp/rehearse" {
		return asked{}, p
	}
	p = b.submit(p, "continue", nil)
	target, err := url.Parse(strings.TrimPrefix(p.header.Get("Refresh"), "0;url="))
	if err != nil || !strings.HasPrefix(target.String(), h.idp.SSO) {
		h.t.Fatalf("not sent to the provider: %d %v %s", p.status, p.header, p.body)
	}
	to := readRequest(h.t, target)
	if !to.force {
		h.t.Error("a rehearsal does not ask anew")
	}
	b.stop = ""
	return to, p
}

func (h *running) connection(id string) (c store.Connection) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) (err error) {
		c, err = store.Connections.Get(tx, id)
		return err
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

func TestAnAdministratorRehearsesAndTheDomainIsEnforced(t *testing.T) {
	storetest.OnBothEngines(t, testAnAdministratorRehearsesAndTheDomainIsEnforced)
}

func testAnAdministratorRehearsesAndTheDomainIsEnforced(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on, func(c *store.Connection) {
		c.Enforce = true
		c.Attributes = append(c.Attributes, store.Attribute{Field: "departments", From: []string{"departments"}})
	})
	h.apply(evaFile)
	// Not rehearsed, it enforces nothing, whatever the record says.
	h.signIn("desk", deskSecret, "raj@acme.example", "openid chat")

	if p := h.rehearse(newBrowser(t, ""), "raj@acme.example", rajThere); p.status != http.StatusForbidden {
		t.Fatalf("an agent rehearses: %d %s", p.status, p.body)
	}
	eva := newBrowser(t, "")
	p := h.rehearse(eva, "eva@acme.example", evaThere)
	if p.status != http.StatusOK || !strings.Contains(p.body, "eva@acme.example") {
		t.Fatalf("the rehearsal: %d %s", p.status, p.body)
	}
	// It says what no group leads to, what comes next, and where the others rehearse.
	for _, words := range []string{
		`Attribute <bdi class="code">departments</bdi> <span class="state">not sent`, `<bdi class="code">roles</bdi></dt><dd><span class="soft">none`, h.issuer + "/federation/corp/rehearse</code>", "ana@acme.example",
	} {
		if !strings.Contains(p.body, words) {
			t.Errorf("the rehearsal does not say %q: %s", words, p.body)
		}
	}
	if n := strings.Count(p.body, "<p>Clock "); n != 1 || strings.Contains(p.body, `class="bad"`) {
		t.Errorf("%d lines about the clock, or something failed: %s", n, p.body)
	}
	if c := h.connection("corp"); !c.EnforceReady() || c.RehearsedBy != h.agent("eva@acme.example").ID {
		t.Fatalf("after the rehearsal %+v", c)
	}
	time.Sleep(600 * time.Millisecond)

	// Now the password leads to the provider, right or wrong, and is not looked at.
	b := newBrowser(t, "")
	p = b.signIn(h.authorizeURL(oauth2.GenerateVerifier()), "raj@acme.example", agentPassword)
	if p.away != nil || !strings.Contains(p.header.Get("Refresh"), "/federation/corp/start?") {
		t.Fatalf("a password still counts: %d %v %s", p.status, p.away, p.body)
	}
	b.stop = h.idp.SSO
	if p = b.onward(p); p.away == nil {
		t.Fatalf("the page leads nowhere: %d %s", p.status, p.body)
	}
	// Who is in by it reads so, and is offered nothing that would be refused.
	b = newBrowser(t, "")
	if p = h.back(b, h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)); p.away == nil {
		t.Fatalf("through the connection: %d %s", p.status, p.body)
	}
	b.stop = ""
	if p = b.get(h.issuer + "/account"); !strings.Contains(p.body, "Passwords are switched off for your address") || strings.Contains(p.body, "remove-link-corp") || strings.Contains(p.body, "Only your password protects") {
		t.Errorf("the account under enforcement: %s", p.body)
	}
	// The administrator gets in as well, through the link and the second factor.
	b = newBrowser(t, "")
	p = h.back(b, h.answer(h.away(b, oauth2.GenerateVerifier()), evaThere))
	if p.away != nil || !strings.HasSuffix(p.url.Path, "/factor") {
		t.Fatalf("the administrator: %d at %s: %s", p.status, p.url, p.body)
	}
	if p = b.submit(p, "continue", map[string]string{"code": evaCode(t, 1)}); !h.in(p) {
		t.Fatalf("the administrator: %d %s", p.status, p.body)
	}
	// Another subject that bears an administrator's address does not.
	h.fails(h.through(person{"eva-2", "eva@acme.example", "Eva Stein", nil}), http.StatusForbidden, "not_linked_administrator")

	// Nor does an administrator who has not rehearsed: with their password off, what helps is break-glass.
	p = h.through(person{"ana-1", "ana@acme.example", "Ana Silva", nil})
	if h.fails(p, http.StatusForbidden, "not_linked_administrator"); !strings.Contains(p.body, `href="/break-glass"`) || strings.Contains(p.body, `href="/sign-in/`) {
		t.Errorf("an administrator who is shut out is told %s", p.body)
	}

	// Break-glass lifts it.
	h.control("break-glass/lift", map[string]any{"site": "", "control": "single_sign_on", "minutes": 15}, "")
	h.signIn("desk", deskSecret, "raj@acme.example", "openid chat")
}

func TestARehearsalIsTheAdministratorsOwn(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.apply(evaFile)
	if p := h.through(rajThere); p.away == nil {
		t.Fatal(p.status)
	}
	// A password alone does not do: whoever has it would link whom they like.
	h.fails(h.rehearse(newBrowser(t, ""), "ana@acme.example", person{"mal", "mal@evil.example", "Mal", nil}), http.StatusForbidden, "second_factor_needed")
	eva := newBrowser(t, "")
	p := eva.get(h.issuer + "/federation/corp/rehearse")
	if !strings.Contains(p.body, "Sign in with your password to rehearse <b><bdi>Acme SSO</bdi></b>") || strings.Contains(p.body, "connection-corp") {
		t.Errorf("the sign-in for a rehearsal: %s", p.body)
	}
	p = h.rehearse(eva, "eva@acme.example", rajThere)
	if h.fails(p, http.StatusForbidden, "linked_to_another"); !strings.Contains(p.body, "chatelaine agent unlink raj@acme.example --connection corp") {
		t.Errorf("what parts them is not said: %s", p.body)
	}
	// Who comes back is not who left, or would be let in by no ordinary sign-in.
	for _, c := range []struct {
		there person
		code  string
		check string
	}{
		{person{"ana-1", "ana@acme.example", "Ana Silva", nil}, "linked_to_another", "E-mail address"},
		{person{"eva-9", "eva@other.example", "Eva Stein", nil}, "email_not_proven", "Domain of the e-mail address"},
		{person{"eva-9", "", "Eva Stein", nil}, "email_missing", "E-mail address"},
	} {
		p := h.rehearse(eva, "eva@acme.example", c.there)
		h.fails(p, http.StatusForbidden, c.code)
		for _, words := range []string{"The rehearsal didn’t work", c.check, `href="/federation/corp/rehearse"`} {
			if !strings.Contains(p.body, words) {
				t.Errorf("%s does not say %q: %s", c.code, words, p.body)
			}
		}
	}
	if c := h.connection("corp"); c.EnforceReady() {
		t.Error("a rehearsal that failed counts")
	}
	// A provider that did not ask anew has proven nothing about now.
	h.fails(h.rehearse(eva, "eva@acme.example", evaThere, func(a *samltest.Answer) { a.AuthnInstant = a.Now.Add(-time.Hour) }), http.StatusForbidden, "provider_refused")
	// What failed is shown to nobody but who rehearsed.
	p = eva.get(h.issuer + "/federation/corp/rehearse")
	p = eva.submit(p, "continue", nil)
	to, err := url.Parse(strings.TrimPrefix(p.header.Get("Refresh"), "0;url="))
	if err != nil {
		t.Fatal(err)
	}
	back := eva.forget(h.issuer, "session")
	p = eva.post(h.issuer+"/federation/corp/acs", h.answer(readRequest(t, to), rajThere))
	if h.fails(p, http.StatusBadRequest, "answer_expired"); strings.Contains(p.body, "raj@acme.example") || strings.Contains(p.body, "rehears") {
		t.Errorf("a stranger reads %s", p.body)
	}
	back()
	// Another address of the site's domain that nobody has here may be the same person's, and is told.
	p = h.rehearse(eva, "eva@acme.example", person{"eva-1", "e.stein@acme.example", "Eva Stein", []string{"cn=supervisors"}})
	if p.status != http.StatusOK || !strings.Contains(p.body, "e.stein@acme.example") || !strings.Contains(p.body, "connections: [{id: corp, enforce: true}]") || !strings.Contains(p.body, "<bdi>supervisors</bdi>") {
		t.Errorf("another address of hers: %d %s", p.status, p.body)
	}
	// Linked once, nobody else there is her.
	h.fails(h.rehearse(eva, "eva@acme.example", person{"eva-2", "eva@acme.example", "Eva Stein", nil}), http.StatusForbidden, "linked_to_another")
	// The form is bound to its session.
	p = eva.get(h.issuer + "/federation/corp/rehearse")
	p.body = strings.Replace(p.body, `name="csrf" value="`, `name="csrf" value="x`, 1)
	if p = eva.submit(p, "continue", nil); p.status != http.StatusForbidden {
		t.Errorf("a forged form: %d", p.status)
	}
}

func TestARehearsalEndsInTheSessionThatBeganIt(t *testing.T) {
	t.Parallel()
	const ada = `sites: [{path: "", agents: [{email: ada@acme.example, name: Ada, password: "` + agentPassword + `", roles: [administrators], totp_secret: ` + evaSeed + `}]}]`
	for name, other := range map[string]struct {
		email string
		later int
	}{"another session of hers": {"eva@acme.example", 1}, "another administrator's": {"ada@acme.example", 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFederated(t, storetest.Bolt)
			h.apply(evaFile)
			h.apply(ada)
			b := newBrowser(t, "")
			to, p := h.beginRehearsal(b, "eva@acme.example", 0)
			if to.request == "" {
				t.Fatalf("%d %s", p.status, p.body)
			}
			b.forget(h.issuer, "session")
			if again, p := h.beginRehearsal(b, other.email, other.later); again.request == "" {
				t.Fatalf("%d %s", p.status, p.body)
			}
			p = b.post(h.issuer+"/federation/corp/acs", h.answer(to, evaThere))
			h.fails(p, http.StatusBadRequest, "answer_expired")
			if strings.Contains(p.body, "eva-1") {
				t.Errorf("what the provider said is shown: %s", p.body)
			}
			h.links(nil)
			if c := h.connection("corp"); c.EnforceReady() {
				t.Error("a rehearsal that was not finished counts")
			}
		})
	}
}

func TestAttemptsLeaveATraceForAdministrators(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.through(rajThere, func(a *samltest.Answer) { a.Audience = "https://else.example" })
	h.through(rajThere)
	var results []string
	var checks []store.Check
	err := h.engine.View(t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.Traces.List(tx, "connection", "corp") {
			if err != nil {
				return err
			}
			if strings.Contains(string(rec.Sealed), "raj") {
				t.Error("a trace is not sealed")
			}
			found, err := readTrace(h.sealer, rec)
			if err != nil {
				return err
			}
			results = append(results, found.Result)
			checks = append(checks, found.Checks...)
		}
		return nil
	})
	if err != nil || strings.Join(results, " ") != "token_invalid success" {
		t.Fatalf("traced %v: %v", results, err)
	}
	found := false
	for _, c := range checks {
		found = found || c.Name == "audience" && !c.OK && c.Expected == h.issuer+"/federation/corp" && c.Got == "https://else.example"
	}
	if !found {
		t.Errorf("the mismatch is not named: %+v", checks)
	}
}
