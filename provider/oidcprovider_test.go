package provider_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// nodeOP is npm oidc-provider as an OpenID provider.
type nodeOP struct{ base string }

const (
	oidcProviderPackage = "oidc-provider@9.13.3"
	// houseSecret has what is not the same in a header as it is in a form.
	houseSecret = "the house: a 100% odd+secret/with=signs & more:"
)

// nodeClient is how oidc-provider knows the house.
type nodeClient struct {
	alg, authMethod string
	withSID         bool // it names sessions, not only people
}

// withNodeOP starts the house and, beside it, oidc-provider, at which the connection
// upstream signs somebody in.
func withNodeOP(t *testing.T, on storetest.Engine, client nodeClient, change ...func(*store.Connection)) (*running, nodeOP) {
	t.Helper()
	h, sid := start(t, on, ""), "sub"
	if client.withSID {
		sid = "sid"
	}
	op := nodeOP{startPeer(t, "oidc-provider.mjs", oidcProviderPackage, h.issuer+"/federation/upstream", houseSecret, client.alg, client.authMethod, sid)}
	at := func(c *store.Connection) {
		c.OIDC = &store.OIDCConnection{Issuer: op.base, ClientID: "house", ClientSecret: h.sealed("upstream", houseSecret), AuthMethod: client.authMethod}
	}
	h.connect(h.upstream(&running{}, append([]func(*store.Connection){at}, change...)...))
	return h, op
}

// follow goes on through its login page and its question whether to sign out, up to
// where the browser stops.
func (p nodeOP) follow(b *browser, at page, user string) page {
	b.t.Helper()
	for range 8 {
		switch {
		case at.away != nil:
			return at
		case p.asks(at):
			at = b.submit(at, "", map[string]string{"username": user})
		case strings.HasPrefix(at.url.String(), p.base) && strings.Contains(at.body, "<form"):
			at = b.submit(at, "", nil)
		case at.header.Get("Refresh") != "":
			at = b.onward(at)
		default:
			return at
		}
	}
	b.t.Fatalf("it goes in circles: at %s: %s", at.url, at.body)
	return at
}

// asks reports whether the page is its login page.
func (p nodeOP) asks(at page) bool {
	return strings.HasPrefix(at.url.String(), p.base) && strings.Contains(at.body, `name="username"`)
}

func TestOIDCProviderSignsAnAgentInAndOut(t *testing.T) {
	storetest.OnBothEngines(t, testOIDCProviderSignsAnAgentInAndOut)
}

func testOIDCProviderSignsAnAgentInAndOut(t *testing.T, on storetest.Engine) {
	h, op := withNodeOP(t, on, nodeClient{"RS256", "client_secret_basic", true}, func(c *store.Connection) { c.Create = true })
	if looked := h.control("connections/check", map[string]any{"connection": "upstream"}, ""); looked["ok"] != true || !strings.Contains(fmt.Sprint(looked), "it refused only the made-up code") {
		t.Errorf("a look at the connection says %v", looked)
	}
	b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
	p := b.link(b.get(h.authorizeURL(verifier)), "connection-upstream")
	if !op.asks(p) {
		t.Fatalf("not asked who it is: %d at %s: %s", p.status, p.url, p.body)
	}
	got := h.arrives(op.follow(b, p, "raj"), verifier)
	if claims := readClaims(t, got.ID); claims.Sub != h.agent("raj@acme.example").ID || claims.String() != "aal1 by fed" {
		t.Errorf("the ID token says %+v", claims)
	}

	// Signed in there, nobody is asked again, unless a client wants it.
	there, err := url.Parse(op.base)
	if err != nil {
		t.Fatal(err)
	}
	again := func(more string) (*browser, page) {
		fresh := newBrowser(t, deskCallback)
		fresh.client.Jar.SetCookies(there, slices.DeleteFunc(b.client.Jar.Cookies(there), func(c *http.Cookie) bool { return !strings.HasPrefix(c.Name, "_session") }))
		return fresh, fresh.link(fresh.get(h.authorizeURL(verifier)+more), "connection-upstream")
	}
	if _, p := again(""); p.away == nil {
		t.Errorf("asked again: %d at %s", p.status, p.url)
	}
	for _, more := range []string{"&prompt=login", "&max_age=0"} {
		fresh, p := again(more)
		if !op.asks(p) {
			t.Errorf("%s: not asked although a client wants it: %d at %s", more, p.status, p.url)
			continue
		}
		asked := time.Now()
		if claims := readClaims(t, h.arrives(op.follow(fresh, p, "raj"), verifier).ID); claims.AuthTime < asked.Unix() {
			t.Errorf("%s: asked at %s, and auth_time is %d", more, asked, claims.AuthTime)
		}
	}

	// Signing out here signs out there.
	b.stop = "http://127.0.0.1:9999/"
	p = b.get(h.issuer + "/oauth/logout?" + url.Values{"id_token_hint": {got.ID}, "post_logout_redirect_uri": {"http://127.0.0.1:9999/"}}.Encode())
	if !strings.Contains(p.header.Get("Refresh"), "id_token_hint=ey") {
		t.Errorf("it leaves without a hint: %d %v", p.status, p.header)
	}
	p = op.follow(b, p, "")
	if p.away == nil || p.away.Path != "/" {
		t.Fatalf("the sign-out ended at %s (status %d): %s", p.url, p.status, p.body)
	}
	b.stop = deskCallback
	if p = b.link(b.get(h.authorizeURL(verifier)), "connection-upstream"); !op.asks(p) {
		t.Errorf("still signed in there: at %s (status %d)", p.url, p.status)
	}
	// An address that it does not call verified is nobody's.
	h.fails(op.follow(b, p, "eve"), http.StatusForbidden, "email_not_proven")
	h.fails(op.follow(b, b.link(b.get(h.authorizeURL(verifier)+"&prompt=login"), "connection-upstream"), "nobody"), http.StatusForbidden, "provider_refused")
}

func TestOIDCProviderThatDoesNotKnowOurSecret(t *testing.T) {
	t.Parallel()
	h, op := withNodeOP(t, storetest.Bolt, nodeClient{"RS256", "client_secret_basic", true})
	c := h.connection("upstream")
	c.OIDC.ClientSecret = h.sealed("upstream", houseSecret+"x")
	h.connect(c)
	looked := h.control("connections/check", map[string]any{"connection": "upstream"}, "")
	if text := fmt.Sprint(looked); looked["ok"] != false || !strings.Contains(text, "invalid_client") || strings.Contains(text, houseSecret) {
		t.Errorf("a look at the connection says %v", looked)
	}
	b := newBrowser(t, deskCallback)
	p := op.follow(b, b.link(b.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-upstream"), "raj")
	h.fails(p, http.StatusForbidden, "connection_misconfigured")
}

func TestOIDCProviderIsAskedWithPKCEAndANonce(t *testing.T) {
	t.Parallel()
	h, op := withNodeOP(t, storetest.Bolt, nodeClient{"RS256", "client_secret_post", true})
	for name, c := range map[string]struct {
		change func(url.Values)
		words  string
	}{
		"as it was":              {func(url.Values) {}, ""},
		"without a challenge":    {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "connection_misconfigured"},
		"with another challenge": {func(q url.Values) { q.Set("code_challenge", oauth2.S256ChallengeFromVerifier("another")) }, "provider_refused"},
		"with another nonce":     {func(q url.Values) { q.Set("nonce", "another") }, "token_invalid"},
		"without a nonce":        {func(q url.Values) { q.Del("nonce") }, "token_invalid"},
	} {
		b, verifier := newBrowser(t, op.base), oauth2.GenerateVerifier()
		p := b.link(b.get(h.authorizeURL(verifier)), "connection-upstream")
		if p.away == nil {
			t.Fatalf("not sent there: %d %s", p.status, p.body)
		}
		to := *p.away
		query := to.Query()
		c.change(query)
		to.RawQuery, b.stop = query.Encode(), deskCallback
		p = op.follow(b, b.get(to.String()), "raj")
		if c.words == "" {
			h.arrives(p, verifier)
		} else if p.away != nil || !strings.Contains(p.body, c.words) {
			t.Errorf("%s: %d, away to %v: %s", name, p.status, p.away, p.body)
		}
	}
}

func TestOIDCProviderSignsWithItsOwnAlgorithms(t *testing.T) {
	t.Parallel()
	for _, alg := range []string{"PS256", "ES256", "EdDSA"} {
		h, op := withNodeOP(t, storetest.Bolt, nodeClient{alg, "client_secret_post", false}, func(c *store.Connection) { c.TrustSecondFactor = true })
		b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
		got := h.arrives(op.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-upstream"), "raj"), verifier)
		if claims := readClaims(t, got.ID); claims.Sub != h.agent("raj@acme.example").ID || claims.String() != "aal2 by fed+mfa" {
			t.Errorf("%s: the ID token says %+v", alg, claims)
		}
	}
}

// leaves signs out at the provider, of its own accord.
func (p nodeOP) leaves(b *browser) {
	b.t.Helper()
	b.stop = ""
	if at := p.follow(b, b.get(p.base+"/session/end"), ""); at.url.Path != "/session/end/success" {
		b.t.Fatalf("the sign-out there ended at %s: %d %s", at.url, at.status, at.body)
	}
}

func TestALogoutTokenOfOIDCProvidersEndsTheSessionHere(t *testing.T) {
	for name, withSID := range map[string]bool{"of a session": true, "of a person": false} {
		t.Run(name, func(t *testing.T) {
			storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
				h, op := withNodeOP(t, on, nodeClient{"RS256", "client_secret_basic", withSID})
				backend := h.backend()
				through := func() (*browser, tokens) {
					b, verifier := newBrowser(t, deskCallback), oauth2.GenerateVerifier()
					got := h.arrives(op.follow(b, b.link(b.get(h.authorizeURL(verifier)), "connection-upstream"), "raj"), verifier)
					if _, err := backend.Token(t.Context(), got.Access); err != nil {
						t.Fatal(err)
					}
					return b, got
				}
				b, got := through()
				_, elsewhere := through()
				byPassword, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid chat")
				op.leaves(b)
				ends(t, backend, got.Access, "a logout at the provider")
				if withSID {
					if _, err := backend.Token(t.Context(), elsewhere.Access); err != nil {
						t.Errorf("the session in another browser: %v", err)
					}
				} else {
					ends(t, backend, elsewhere.Access, "a logout of the person everywhere")
				}
				if _, err := backend.Token(t.Context(), byPassword.Access); err != nil {
					t.Errorf("the session by password: %v", err)
				}
				if p := b.get(h.issuer + "/account"); p.url.Path == "/account" {
					t.Error("the session lives on")
				}
			})
		})
	}
}

func TestAVisitorSignsInAtOIDCProviderAndIsSignedOutFromThere(t *testing.T) {
	for name, withSID := range map[string]bool{"of a session": true, "of a person": false} {
		t.Run(name, func(t *testing.T) {
			storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
				testAVisitorSignsInAtOIDCProviderAndIsSignedOutFromThere(t, on, withSID)
			})
		})
	}
}

func testAVisitorSignsInAtOIDCProviderAndIsSignedOutFromThere(t *testing.T, on storetest.Engine, withSID bool) {
	h, op := withNodeOP(t, on, nodeClient{"RS256", "client_secret_basic", withSID}, func(c *store.Connection) {
		c.For, c.Domains, c.OIDC.Scopes = store.ForVisitors, nil, []string{"openid", "profile", "email", "phone"}
		c.Attributes = []store.Attribute{{Field: "custom.groups", From: []string{"groups"}, Type: "list"}}
	})
	h.widgets()
	backend := h.backend()
	through := func(user, renew string) (*browser, visitor) {
		b, verifier := newBrowser(t, widgetOrigin), oauth2.GenerateVerifier()
		return b, h.proven(op.follow(b, b.get(h.widgetStart("upstream", verifier)), user), verifier, renew)
	}
	stranger := h.visit(map[string]string{})
	refused := newBrowser(t, widgetOrigin)
	if p := op.follow(refused, refused.get(h.widgetStart("upstream", oauth2.GenerateVerifier())), "nobody"); p.away == nil || p.away.Fragment != "chatelaine_error=provider_refused&chatelaine_state=w1" {
		t.Errorf("whom the provider refuses is not sent back to the widget: %v, %d %s", p.away, p.status, p.body)
	}
	b, known := through("raj", stranger.Renew)
	token, err := backend.Token(t.Context(), known.Token)
	if err != nil || token.Assurance != "federated" || token.Subject != known.VisitorID {
		t.Fatalf("%+v: %+v %v", known, token, err)
	}
	got, _ := token.Visitor()
	want := verify.Visitor{
		ExternalID: "raj-7", Name: "Raj Patel", Email: "raj@acme.example", EmailVerified: true, Phone: "+49 30 1", Locale: "de", Was: stranger.VisitorID,
		Custom: map[string]json.RawMessage{"groups": json.RawMessage(`["supervisors","staff"]`)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what the token says of the visitor: %s", diff)
	}
	ends(t, backend, stranger.Token, "the stranger became known")

	_, elsewhere := through("raj", "")
	_, eve := through("eve", "")
	if elsewhere.VisitorID != known.VisitorID || eve.VisitorID == known.VisitorID {
		t.Errorf("Raj is %s and %s, Eve %s", known.VisitorID, elsewhere.VisitorID, eve.VisitorID)
	}
	renewed := h.visit(map[string]string{"renew": known.Renew})
	if renewed.VisitorID != known.VisitorID {
		t.Fatalf("renewed: %+v", renewed)
	}
	op.leaves(b)
	ends(t, backend, renewed.Token, "a logout at the provider")
	if again := h.visit(map[string]string{"renew": renewed.Renew}); again.Error != "invalid_grant" {
		t.Errorf("renewed after a logout at the provider: %+v", again)
	}
	again := h.visit(map[string]string{"renew": elsewhere.Renew})
	if withSID && again.VisitorID != known.VisitorID || !withSID && again.Error != "invalid_grant" {
		t.Errorf("Raj in another browser, renewed: %+v", again)
	}
	if again := h.visit(map[string]string{"renew": eve.Renew}); again.VisitorID != eve.VisitorID {
		t.Errorf("Eve, renewed: %+v", again)
	}
}
