package provider_test

import (
	"fmt"
	"net/http"
	"net/url"
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

// claimed is whom a provider says that it signs in.
type claimed struct {
	subject, email string
	verified       any // nil: it does not say
}

// way is a connection of one kind, and how somebody comes through it.
type way struct {
	kind  string
	id    string
	lay   func(h *running, change ...func(*store.Connection))         // writes the connection
	comes func(h *running, b *browser, who claimed, stop string) page // up to an address that begins with stop
}

// ways are connections of each kind, whose providers say what they are told to.
func ways(t *testing.T) []way {
	t.Helper()
	idp, op := samltest.New(idpBase, time.Now()), newLiar(t)
	var mu sync.Mutex
	return []way{
		{"SAML", "corp", func(h *running, change ...func(*store.Connection)) { h.connect(corp(idp, change...)) }, func(h *running, b *browser, who claimed, stop string) page {
			at := &federated{h, idp}
			form := at.answer(at.away(b, oauth2.GenerateVerifier()), person{who.subject, who.email, "Who", nil})
			b.stop = stop
			return b.post(h.issuer+"/federation/corp/acs", form)
		}},
		{"JWT", "portal", func(h *running, change ...func(*store.Connection)) { h.connect(h.portal(change...)) }, func(h *running, b *browser, who claimed, stop string) page {
			to := h.toPortal(b, oauth2.GenerateVerifier(), "return_to")
			b.stop = stop
			return b.post(to, url.Values{"jwt": {h.portalToken(map[string]any{"sub": who.subject, "email": who.email, "email_verified": who.verified})}})
		}},
		{"OpenID Connect", "liar", func(h *running, change ...func(*store.Connection)) { h.connect(op.connection(change...)) }, func(h *running, b *browser, who claimed, stop string) page {
			says := map[string]any{"sub": who.subject, "email": who.email, "email_verified": who.verified}
			if who.verified == nil {
				delete(says, "email_verified")
			}
			b.stop = op.URL
			p := b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-liar")
			if p.away == nil {
				h.t.Fatalf("not sent to the provider: %d %s", p.status, p.body)
			}
			b.stop = stop
			mu.Lock()
			defer mu.Unlock()
			op.next(says)
			return b.get(p.away.String())
		}},
	}
}

// in is the agent that a page signed in; "" for none.
func (h *running) in(p page) bool {
	return p.away != nil && strings.HasPrefix(p.away.String(), deskCallback) && p.away.Query().Get("code") != ""
}

func (h *running) refusedWith(p page, code string) {
	h.t.Helper()
	if h.in(p) || !strings.Contains(p.body, `id="fault">`+code+`<`) {
		h.t.Errorf("status %d, away to %v, want %s: %s", p.status, p.away, code, between(p.body, "<h1>", "</h1>"))
	}
}

// crew adds agents whom the rows of the table are about.
const crew = `sites:
  - path: ""
    agents:
      - {email: leo@acme.example, name: Leo, password: "` + agentPassword + `", roles: [agents]}
      - {email: mia@acme.example, name: Mia, password: "` + agentPassword + `", roles: [agents]}
      - {email: tom@acme.example, name: Tom, password: "` + agentPassword + `", roles: [agents]}
      - {email: zoe@acme.example, name: Zoe, password: "` + agentPassword + `", roles: [agents]}
      - {email: ira@unproven.example, name: Ira, password: "` + agentPassword + `", roles: [agents]}
`

func TestNobodyBecomesSomebodyElseThroughAConnection(t *testing.T) {
	storetest.OnBothEngines(t, testNobodyBecomesSomebodyElseThroughAConnection)
}

func testNobodyBecomesSomebodyElseThroughAConnection(t *testing.T, on storetest.Engine) {
	for _, w := range ways(t) {
		t.Run(w.kind, func(t *testing.T) {
			h := start(t, on, "")
			h.apply(crew)
			w.lay(h, func(c *store.Connection) { c.Domains = append(c.Domains, "unproven.example") })
			as := func(subject, email string, verified any) page {
				return w.comes(h, newBrowser(t, ""), claimed{subject, email, verified}, deskCallback)
			}
			for name, email := range map[string]string{"raj-7": "raj@acme.example", "leo-1": "leo@acme.example", "mia-1": "mia@acme.example", "tom-1": "tom@acme.example"} {
				if p := as(name, email, true); !h.in(p) {
					t.Fatalf("%s is not in: %d %s", name, p.status, p.body)
				}
			}
			h.control("agents/delete", map[string]any{"email": "leo@acme.example"}, "")
			h.control("agents/deactivate", map[string]any{"email": "mia@acme.example"}, "")
			h.control("agents/unlink", map[string]any{"email": "tom@acme.example", "connection": w.id}, "")
			rows := []struct {
				name, subject, email string
				verified             any
				code                 string
			}{
				{"an administrator's address", "ana-1", "ana@acme.example", true, "not_linked_administrator"},
				{"an administrator's address in capitals", "ana-1", "ANA@ACME.example", true, "not_linked_administrator"},
				{"an address that a colleague is linked by", "raj-8", "raj@acme.example", true, "linked_to_another"},
				{"the name and the address of one who was deleted", "leo-1", "leo@acme.example", true, "user_not_found"},
				{"the name of one who is inactive", "mia-1", "zoe@acme.example", true, "user_inactive"},
				{"another name with an inactive one's address", "mia-2", "mia@acme.example", true, "user_inactive"},
				{"the name of one who was unlinked, with an administrator's address", "tom-1", "ana@acme.example", true, "not_linked_administrator"},
				{"an address of a domain that the site has not proven", "ira-1", "ira@unproven.example", true, "email_not_proven"},
				{"an address of nobody's", "new-1", "new@acme.example", true, "user_not_found"},
			}
			if w.kind != "SAML" { // it has no word for it: a SAML provider answers for its domain
				rows = append(rows, struct {
					name, subject, email string
					verified             any
					code                 string
				}{"an address that the provider has not verified", "zoe-1", "zoe@acme.example", false, "email_not_proven"})
			}
			if w.kind == "OpenID Connect" {
				rows = append(rows, struct {
					name, subject, email string
					verified             any
					code                 string
				}{"an address of which it does not say so", "zoe-1", "zoe@acme.example", nil, "email_not_proven"})
			}
			for _, row := range rows {
				t.Run(row.name, func(t *testing.T) {
					h := &running{t: t, issuer: h.issuer}
					h.refusedWith(w.comes(h, newBrowser(t, ""), claimed{row.subject, row.email, row.verified}, deskCallback), row.code)
				})
			}
			// An address makes no link, moves none, and Zoe is nobody's.
			h.links(map[string]string{"raj": "raj@acme.example", "mia": "mia@acme.example"})
			// Whoever was unlinked is linked anew by their own address.
			if p := as("tom-2", "tom@acme.example", true); !h.in(p) {
				t.Errorf("Tom is not in: %d %s", p.status, p.body)
			}
		})
	}
}

// links fails unless these and no other living agents are linked, by the beginning of
// their subjects.
func (h *running) links(want map[string]string) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		for link, err := range store.Links.All(tx, "") {
			if err != nil {
				return err
			}
			agent, err := store.Agents.Get(tx, link.AgentID)
			if err != nil { // deleted
				continue
			}
			fits := false
			for who, email := range want {
				fits = fits || strings.Contains(link.Subject, who+"-") && agent.Email == email
			}
			if !fits {
				h.t.Errorf("%s is linked to %s", agent.Email, link.Subject)
			}
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestOfFiftyFirstSignInsOneMakesTheAccount(t *testing.T) {
	storetest.OnBothEngines(t, testOfFiftyFirstSignInsOneMakesTheAccount)
}

func testOfFiftyFirstSignInsOneMakesTheAccount(t *testing.T, on storetest.Engine) {
	for _, w := range ways(t) {
		t.Run(w.kind, func(t *testing.T) {
			h := start(t, on, "")
			w.lay(h, func(c *store.Connection) { c.Create = true })
			crowd := func(subject func(i int) string, email string) (arrived int) {
				var count atomic.Int32
				var wg sync.WaitGroup
				for i := range 50 {
					wg.Go(func() {
						if h.in(w.comes(h, newBrowser(t, ""), claimed{subject(i), email, true}, deskCallback)) {
							count.Add(1)
						}
					})
				}
				wg.Wait()
				return int(count.Load())
			}
			before := h.agents()
			if n := crowd(func(int) string { return "new-1" }, "new@acme.example"); n != 50 {
				t.Errorf("the same person comes in %d of 50 browsers", n)
			}
			if n := crowd(func(i int) string { return fmt.Sprint("other-", i) }, "other@acme.example"); n != 1 {
				t.Errorf("%d of 50 people with one address are in", n)
			}
			if n := h.agents() - before; n != 2 {
				t.Errorf("%d accounts were made", n)
			}
			if got := h.agent("new@acme.example"); !slices.Equal(got.Roles, []string{"agents"}) {
				t.Errorf("made with %v", got.Roles)
			}
		})
	}
}

func (h *running) agents() (n int) {
	h.t.Helper()
	err := h.engine.View(h.t.Context(), "", func(tx store.Tx) error {
		n = 0
		for _, err := range store.Agents.All(tx, "") {
			if err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

func TestWhatAConnectionProvedIsWorthNothingOnceItIsOver(t *testing.T) {
	t.Parallel()
	for _, w := range ways(t) {
		for name, change := range map[string]func(h *running){
			"disabled": func(h *running) { w.lay(h, func(c *store.Connection) { c.Disabled = true }) },
			"changed":  func(h *running) { w.lay(h, func(c *store.Connection) { c.Changed = time.Now() }) },
			"replaced": func(h *running) { w.lay(h, func(c *store.Connection) { c.Created = time.Now() }) },
			"removed": func(h *running) {
				h.write(func(tx store.Tx) error { return store.Connections.Delete(tx, w.id) })
			},
		} {
			if name == "changed" && w.kind == "OpenID Connect" {
				continue // nothing is judged before the code comes
			}
			t.Run(w.kind+" "+name, func(t *testing.T) {
				t.Parallel()
				h := start(t, storetest.Bolt, "")
				w.lay(h)
				b := newBrowser(t, "")
				// Up to where the proof waits for this browser, or, for OpenID Connect, its code.
				waits := h.issuer + "/federation/" + w.id + "/"
				p := w.comes(h, b, claimed{"raj-7", "raj@acme.example", true}, waits)
				if p.away == nil {
					t.Fatalf("nothing waits: %d %s", p.status, p.body)
				}
				change(h)
				b.stop = deskCallback
				if got := b.get(p.away.String()); h.in(got) {
					t.Errorf("signed in by it: %s", got.away)
				}
			})
		}
	}
}

func TestAnAnswerIsSpentAfterARestartToo(t *testing.T) {
	storetest.OnBothEngines(t, testAnAnswerIsSpentAfterARestartToo)
}

func testAnAnswerIsSpentAfterARestartToo(t *testing.T, on storetest.Engine) {
	h := newFederated(t, on)
	h.connect(h.portal())
	b := newBrowser(t, "")
	form := h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere)
	if p := h.back(b, form); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	token := h.portalToken(nil)
	c := newBrowser(t, "")
	if p := c.post(h.toPortal(c, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {token}}); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	h.restart()
	h.refusedWith(h.back(b, form), "token_replayed")
	d := newBrowser(t, "")
	h.refusedWith(d.post(h.toPortal(d, oauth2.GenerateVerifier(), "return_to"), url.Values{"jwt": {token}}), "token_replayed")
}

func TestASignOutAtAnOpenIDProviderEndsTheSessionHere(t *testing.T) {
	storetest.OnBothEngines(t, testASignOutAtAnOpenIDProviderEndsTheSessionHere)
}

func testASignOutAtAnOpenIDProviderEndsTheSessionHere(t *testing.T, on storetest.Engine) {
	h, op := start(t, on, ""), newLiar(t)
	h.connect(op.connection())
	backend := h.backend()
	say := func(typ string, claims map[string]any) int {
		resp, err := http.PostForm(h.issuer+"/federation/liar/backchannel", url.Values{"logout_token": {op.sign(typ, claims)}})
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	event := map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}
	for name, over := range map[string]map[string]any{"by sid": {"sid": "session-1"}, "by sub": {"sub": "raj-7"}, "by both": {"sid": "session-1", "sub": "raj-7"}} {
		op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true, "sid": "session-1"})
		b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
		got := h.arrives(b.link(b.get(h.authorizeURL(verifier)), "connection-liar"), verifier)
		token, err := backend.Token(t.Context(), got.Access)
		if err != nil {
			t.Fatal(err)
		}
		ended := backend.Watch(t.Context(), token)
		// Another's logout, and what is no logout token, end nothing.
		for _, other := range []map[string]any{{"sid": "session-2"}, {"sub": "raj-8"}} {
			other["jti"], other["events"] = randomID(), event
			if status := say("logout+jwt", other); status != http.StatusOK {
				t.Errorf("%s: another's logout: %d", name, status)
			}
		}
		for _, wrong := range []map[string]any{{"jti": randomID()}, {"jti": randomID(), "events": event, "nonce": "n"}, {"jti": randomID(), "events": event, "aud": "else"}, {"events": event}} {
			for k, v := range over {
				wrong[k] = v
			}
			if status := say("logout+jwt", wrong); status != http.StatusBadRequest {
				t.Errorf("%s: %v was taken: %d", name, wrong, status)
			}
		}
		if d := token.May("visitor.ban", office); !d.Allowed {
			t.Fatalf("%s: over already: %+v", name, d)
		}
		good := map[string]any{"jti": randomID(), "events": event}
		for k, v := range over {
			good[k] = v
		}
		begin := time.Now()
		if status := say("logout+jwt", good); status != http.StatusOK {
			t.Fatalf("%s: %d", name, status)
		}
		select {
		case <-ended:
			if took := time.Since(begin); took > time.Second {
				t.Errorf("%s: heard after %s", name, took)
			}
		case <-time.After(5 * time.Second):
			t.Fatalf("%s: the backend has not heard", name)
		}
		if status := say("logout+jwt", good); status != http.StatusBadRequest {
			t.Errorf("%s: taken twice: %d", name, status)
		}
	}
}
