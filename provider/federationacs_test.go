package provider_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// endless is a body of so many bytes that notes how many were taken.
type endless struct{ left, taken int64 }

func (e *endless) Read(p []byte) (int, error) {
	if e.left == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), e.left)
	for i := range p[:n] {
		p[i] = 'A'
	}
	e.left, e.taken = e.left-n, e.taken+n
	return int(n), nil
}

func TestAnAnswerOfFiftyMegabytesIsNotReadToItsEnd(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	h.connect(h.portal())
	for path, most := range map[string]int64{"/federation/corp/acs": 2 << 20, "/federation/corp/slo": 2 << 20, "/federation/portal/jwt": 128 << 10} {
		body := &endless{left: 50 << 20}
		r := httptest.NewRequest(http.MethodPost, h.issuer+path, body)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		w := httptest.NewRecorder()
		h.server.ServeHTTP(w, r)
		if w.Code != http.StatusRequestEntityTooLarge || body.taken > most {
			t.Errorf("%s: status %d after %d bytes", path, w.Code, body.taken)
		}
	}
}

// sisters are two sites of one house, with a connection of the same name at each.
type sisters struct {
	*federated
	other *federated
}

const otherSite = `sites:
  - path: other
    name: Other
    domains: [acme.example]
    agents: [{email: raj@acme.example, name: Raj of another company, password: "` + agentPassword + `", roles: [agents]}]
`

// newSisters lays the connection of the root site, and of the other site by that
// provider.
func newSisters(t *testing.T, theirs *samltest.IdP) sisters {
	t.Helper()
	h := newFederated(t, storetest.Bolt)
	h.apply(otherSite)
	there := *h.running
	there.issuer += "/other"
	err := h.engine.Update(t.Context(), "other", func(tx store.Tx) error {
		c := corp(theirs, func(c *store.Connection) { c.IdPInitiated = true })
		if err := store.Connections.Put(tx, &c); err != nil {
			return err
		}
		_, err := store.Next(tx, store.SiteVersion)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sisters{h, &federated{&there, theirs}}
}

// away goes from the other site's account to its provider.
func (s sisters) away(b *browser) asked {
	s.t.Helper()
	b.stop = s.other.idp.SSO
	p := b.get(s.other.issuer + "/federation/corp/start")
	if p.away == nil {
		s.t.Fatalf("not sent to the provider: %d %s", p.status, p.body)
	}
	return readRequest(s.t, p.away)
}

func TestAnotherSitesAnswerSignsNobodyIn(t *testing.T) {
	t.Parallel()
	// Both companies are customers of one provider, which signs for both by one key.
	shared := newSisters(t, samltest.New(idpBase, time.Now()))
	b := newBrowser(t, "")
	ours, theirs := shared.federated.away(b, oauth2.GenerateVerifier()), shared.away(b)
	here, there := shared.federated, shared.other
	for _, row := range []struct {
		name     string
		at, of   *federated // posted at one site's, made for the other's
		to       asked
		code     string
		audience bool // it names the site where it is posted
	}{
		{"theirs, here", here, there, theirs, "token_invalid", false},
		{"ours, there", there, here, ours, "token_invalid", false},
		{"made for us, to their request", here, here, asked{theirs.request, theirs.relayState, false}, "answer_expired", true},
		{"made for them, to our request", there, there, asked{ours.request, ours.relayState, false}, "answer_expired", true},
	} {
		b.stop = deskCallback
		p := b.post(row.at.issuer+"/federation/corp/acs", row.of.answer(row.to, rajThere))
		if row.at.refusedWith(p, row.code); p.url.Path == "/account" || p.url.Path == "/other/account" {
			t.Errorf("%s: at %s", row.name, p.url)
		}
	}
	// The two flows stand: each has its own answer.
	if p := here.back(b, here.answer(ours, rajThere)); !here.in(p) {
		t.Errorf("%d %s", p.status, p.body)
	}
	b.stop = ""
	if p := b.post(there.issuer+"/federation/corp/acs", there.answer(theirs, rajThere)); p.url.Path != "/other/account" {
		t.Errorf("%d at %s: %s", p.status, p.url, p.body)
	}
}

func TestAnotherSitesKeySignsForNobodysIssuerHere(t *testing.T) {
	t.Parallel()
	// Another company names a provider of its own by our provider's name.
	s := newSisters(t, samltest.Other(idpBase, time.Now()))
	b := newBrowser(t, "")
	forged := (&federated{s.running, s.other.idp}).answer(s.federated.away(b, oauth2.GenerateVerifier()), rajThere)
	s.refusedWith(s.back(b, forged), "token_invalid")
	b.stop = ""
	if p := b.post(s.other.issuer+"/federation/corp/acs", s.other.answer(s.away(b), rajThere)); p.url.Path != "/other/account" {
		t.Errorf("their own: %d at %s: %s", p.status, p.url, p.body)
	}
}

// encrypted puts that in the place of the assertion of an answer, encrypted to a key by
// RSA-OAEP and AES-256-GCM.
func encrypted(t *testing.T, form url.Values, to *rsa.PublicKey, change func(assertion string) string, harm func(sealed []byte)) url.Values {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(form.Get("SAMLResponse"))
	if err != nil {
		t.Fatal(err)
	}
	open := "<saml:Assertion " + between(string(raw), "<saml:Assertion ", "</saml:Assertion>") + "</saml:Assertion>"
	secret, nonce := make([]byte, 32), make([]byte, 12)
	rand.Read(secret)
	rand.Read(nonce)
	block, err := aes.NewCipher(secret)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	sealed := gcm.Seal(nonce, nonce, []byte(change(open)), nil)
	harm(sealed)
	key, err := rsa.EncryptOAEP(sha1.New(), rand.Reader, to, secret, nil)
	if err != nil {
		t.Fatal(err)
	}
	value := func(b []byte) string {
		return `<xenc:CipherData><xenc:CipherValue>` + base64.StdEncoding.EncodeToString(b) + `</xenc:CipherValue></xenc:CipherData>`
	}
	box := `<saml:EncryptedAssertion xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"><xenc:EncryptedData xmlns:xenc="http://www.w3.org/2001/04/xmlenc#">` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2009/xmlenc11#aes256-gcm"/><ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><xenc:EncryptedKey>` +
		`<xenc:EncryptionMethod Algorithm="http://www.w3.org/2001/04/xmlenc#rsa-oaep-mgf1p"/>` + value(key) + `</xenc:EncryptedKey></ds:KeyInfo>` + value(sealed) + `</xenc:EncryptedData></saml:EncryptedAssertion>`
	return url.Values{"SAMLResponse": {base64.StdEncoding.EncodeToString([]byte(strings.Replace(string(raw), open, box, 1)))}, "RelayState": form["RelayState"]}
}

var requestNumber = regexp.MustCompile(`<dd><bdi class="code">[0-9a-f]+<`)

func TestWhatIsWrongWithAnEncryptedAnswerIsNotTold(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	ours := h.ours("corp")[0].PublicKey.(*rsa.PublicKey)
	same := func(assertion string) string { return assertion }
	whole := func([]byte) {}
	pages, traces := map[string]string{}, map[string]string{}
	b := newBrowser(t, "")
	for name, c := range map[string]struct {
		to     *rsa.PublicKey
		change func(string) string
		harm   func([]byte)
	}{
		"another's key":   {&samltest.Other(idpBase, time.Now()).Key.PublicKey, same, whole},
		"damage":          {ours, same, func(sealed []byte) { sealed[len(sealed)-1] ^= 1 }},
		"no XML":          {ours, func(string) string { return "<a" }, whole},
		"a bad signature": {ours, func(s string) string { return strings.Replace(s, "raj@acme.example", "ana@acme.example", 1) }, whole},
	} {
		b.client.Jar = newBrowser(t, "").client.Jar
		form := encrypted(t, h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere), c.to, c.change, c.harm)
		b.stop = h.issuer + "/federation/corp/resume"
		first := b.post(h.issuer+"/federation/corp/acs", form)
		if first.away == nil {
			t.Fatalf("%s: %d %s", name, first.status, first.body)
		}
		b.stop = ""
		p := b.get(first.away.String())
		h.refusedWith(p, "token_invalid")
		pages[fmt.Sprint(first.status, requestNumber.ReplaceAllString(p.plain(), ""))] = name
		all := h.traces("corp")
		checks := all[len(all)-1].Checks
		traces[fmt.Sprint(checks[len(checks)-1])] = name
	}
	if len(pages) != 1 || len(traces) != 1 {
		t.Errorf("the four are told apart by %d pages and %d traces: %v %v", len(pages), len(traces), pages, traces)
	}
	b = newBrowser(t, "")
	if p := h.back(b, encrypted(t, h.answer(h.away(b, oauth2.GenerateVerifier()), rajThere), ours, same, whole)); !h.in(p) {
		t.Errorf("a good one: %d %s", p.status, p.body)
	}
}

func TestAnArtifactIsRefused(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt)
	artifact := url.Values{"SAMLart": {"AAQAAMh48/1oXIM+sDo7Dh2qMp1HM4IF5DaRNmDj6RdUmllwn9jJHyEgIi8="}, "RelayState": {"x"}}
	h.refusedWith(newBrowser(t, "").post(h.issuer+"/federation/corp/acs", artifact), "token_invalid")
	if p := newBrowser(t, "").get(h.issuer + "/federation/corp/acs?" + artifact.Encode()); p.status != http.StatusMethodNotAllowed && p.status != http.StatusNotFound {
		t.Errorf("by GET: %d %s", p.status, p.body)
	}
}

func TestNoRelayStateLeadsAway(t *testing.T) {
	t.Parallel()
	h := newFederated(t, storetest.Bolt, func(c *store.Connection) { c.IdPInitiated = true })
	for _, state := range []string{
		"javascript:alert(1)", "https://evil.example/", "//evil.example/", `\\evil.example`, "/\t/evil.example", "/x\r\nLocation: https://evil.example/\r\n\r\n<p>", "?x=https://evil.example",
		strings.Repeat("evil.example", 10<<10/12),
	} {
		for way, request := range map[string]bool{"asked for": true, "begun there": false, "refused": true} {
			b := newBrowser(t, "")
			var to asked
			if request {
				to = h.away(b, oauth2.GenerateVerifier())
			}
			form := h.answer(to, rajThere, func(a *samltest.Answer) {
				if way == "refused" {
					a.Audience = "https://else.example"
				}
			})
			form.Set("RelayState", state)
			b.stop = ""
			b.client.CheckRedirect = func(r *http.Request, _ []*http.Request) error {
				if to := r.URL.String(); strings.HasPrefix(to, deskCallback) {
					return http.ErrUseLastResponse
				} else if !strings.HasPrefix(to, h.issuer+"/") || strings.Contains(to, "evil") {
					t.Errorf("%s, %.30q: led to %s", way, state, to)
					return http.ErrUseLastResponse
				}
				return nil
			}
			p := b.post(h.issuer+"/federation/corp/acs", form)
			if way == "begun there" {
				p = b.submit(p, "continue", nil)
			}
			if ok := map[string]bool{"asked for": h.in(p), "begun there": p.url.Path == "/account", "refused": p.status == http.StatusBadRequest}[way]; !ok {
				t.Errorf("%s, %.30q: %d at %s", way, state, p.status, p.url)
			}
			if strings.Contains(p.body, "evil.example") || strings.Contains(fmt.Sprint(p.header), "evil") {
				t.Errorf("%s, %.30q: the page repeats it: %v %s", way, state, p.header, p.body)
			}
		}
	}
}
