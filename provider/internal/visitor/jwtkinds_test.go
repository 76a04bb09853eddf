package visitor

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// signed is a token of a library that is not ours.
func (h *house) signed(alg jose.SignatureAlgorithm, kid string, key any, claims map[string]any) string {
	h.t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, (&jose.SignerOptions{}).WithHeader("kid", kid))
	h.ok(err)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(claims)
	h.ok(err)
	signature, err := signer.Sign(payload)
	h.ok(err)
	raw, err := signature.CompactSerialize()
	h.ok(err)
	return raw
}

// whole are the claims of a visitor JWT, and more of them.
func (h *house) whole(connection, sub string, more map[string]any) map[string]any {
	c := map[string]any{"iss": "https://shop.example", "aud": testIssuer + "/federation/" + connection, "sub": sub, "iat": h.now().Unix(), "jti": random(12)}
	maps.Copy(c, more)
	return c
}

type ring struct {
	alg jose.SignatureAlgorithm
	key crypto.Signer
}

func rings(t *testing.T) map[string]ring {
	t.Helper()
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]ring{"RS256": {jose.RS256, rs}, "ES256": {jose.ES256, ec}, "EdDSA": {jose.EdDSA, ed}}
}

func publicPEM(t *testing.T, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

func TestAVisitorJWTIsVerifiedByAPublicKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	all := rings(t)
	for name, one := range all {
		h.connect(name, func(c *store.Connection) {
			c.JWT.Keys = []store.VerificationKey{{KID: "k1", PublicKey: publicPEM(t, one.key)}}
		})
	}
	for name, one := range all {
		a := h.start(map[string]any{"identity": h.signed(one.alg, "k1", one.key, h.whole(name, "u1", nil))})
		if a.Code != http.StatusOK || a.text("assurance") != Signed || a.claims(t)["external_id"] != "u1" {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		for wrong, other := range all {
			if wrong == name {
				continue
			}
			h.start(map[string]any{"identity": h.signed(other.alg, "k1", other.key, h.whole(name, "u1", nil))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
		}
		// The public key is nobody's secret.
		h.start(map[string]any{"identity": h.signed(jose.HS256, "k1", []byte(publicPEM(t, one.key)), h.whole(name, "u1", nil))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
		h.start(map[string]any{"identity": h.signed(one.alg, "k2", one.key, h.whole(name, "u1", nil))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	}
}

func TestAVisitorJWTIsVerifiedByAPublishedKeyOfItsKid(t *testing.T) {
	t.Parallel()
	all := rings(t)
	var set jose.JSONWebKeySet
	for name, one := range all {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: one.key.Public(), KeyID: "kid-" + name, Algorithm: string(one.alg), Use: "sig"})
	}
	published := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(set) }))
	t.Cleanup(published.Close)
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.Keys, c.JWT.JWKSURL = nil, published.URL })
	for name, one := range all {
		sign := func(kid string) string { return h.signed(one.alg, kid, one.key, h.whole("shop", "u-"+name, nil)) }
		if a := h.start(map[string]any{"identity": sign("kid-" + name)}); a.Code != http.StatusOK || a.claims(t)["external_id"] != "u-"+name {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		for wrong := range all {
			if wrong != name {
				h.start(map[string]any{"identity": sign("kid-" + wrong)}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
			}
		}
		h.start(map[string]any{"identity": sign("kid-of-nobody")}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	}
	published.Close()
	h.connect("away", func(c *store.Connection) { c.JWT.Keys, c.JWT.JWKSURL = nil, published.URL+"/other" })
	h.start(map[string]any{"identity": h.signed(jose.ES256, "kid-ES256", all["ES256"].key, h.whole("away", "u1", nil))}).want(t, http.StatusBadRequest, "invalid_grant", "provider_unavailable")
}

// As Zendesk's messaging widget has it: a kid, a scope and an external_id, and perhaps
// nothing else.
func TestAZendeskMessagingTokenIsAVisitorJWT(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("desk", func(c *store.Connection) { c.JWT.Dialect = jwt.Zendesk })
	secret := []byte(shopSecret + "desk")
	said := func(more map[string]any) map[string]any {
		c := map[string]any{"scope": "user", "external_id": "z-42", "name": "Ann", "email": "ann@buyers.example", "email_verified": true, "exp": h.now().Add(time.Hour).Unix()}
		maps.Copy(c, more)
		return c
	}
	raw := h.signed(jose.HS256, "s1", secret, said(nil))
	a := h.start(map[string]any{"identity": raw})
	if a.Code != http.StatusOK || a.text("assurance") != Signed || a.claims(t)["external_id"] != "z-42" || a.claims(t)["email"] != "ann@buyers.example" {
		t.Fatalf("%d %s", a.Code, a.Body)
	}
	h.start(map[string]any{"identity": raw}).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
	h.grant(raw).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
	if again := h.start(map[string]any{"identity": raw, "renew": a.text("renew")}); again.text("visitor_id") != a.text("visitor_id") {
		t.Errorf("the page loaded again: %d %s", again.Code, again.Body)
	}
	for name, bad := range map[string]string{
		"another scope": h.signed(jose.HS256, "s1", secret, said(map[string]any{"scope": "agent"})),
		"two scopes":    h.signed(jose.HS256, "s1", secret, said(map[string]any{"scope": "user agent"})),
		"another kid":   h.signed(jose.HS256, "s2", secret, said(nil)),
	} {
		b := h.start(map[string]any{"identity": bad})
		if b.Code != http.StatusBadRequest || b.text("reason") != jwt.CodeInvalid {
			t.Errorf("%s: %d %s", name, b.Code, b.Body)
		}
	}
	h.start(map[string]any{"identity": h.signed(jose.HS256, "s1", secret, said(map[string]any{"external_id": nil}))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeMissing)
	// In no dialect it is not enough.
	h.connect("desk", nil)
	h.start(map[string]any{"identity": h.signed(jose.HS256, "s1", secret, said(nil))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeMissing)
}

func TestAttributesOfAVisitorJWTStandUnderCustomInTheirTypes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) {
		c.Attributes = []store.Attribute{
			{Field: "custom.tier", From: []string{"x.tier"}}, {Field: "custom.orders", From: []string{"orders"}, Type: "number"}, {Field: "custom.vip", From: []string{"vip"}, Type: "boolean"},
			{Field: "custom.tags", From: []string{"tags"}, Type: "list"}, {Field: "custom.plan", Constant: "gold"}, {Field: "custom.none", From: []string{"none"}},
			{Field: "custom.sub", From: []string{"other"}}, {Field: "custom.__proto__", From: []string{"proto"}}, {Field: "custom.aud", Constant: "https://evil.example"},
			{Field: "phone_number", From: []string{"tel"}},
		}
	})
	says := map[string]any{
		"x": map[string]any{"tier": "first"}, "orders": "12.50", "vip": true, "tags": []any{"a", 7, true}, "other": "u2", "proto": "polluted", "tel": "+49 30 1", "exp": nil,
	}
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", says)})
	c := a.claims(t)
	want := map[string]any{
		"tier": "first", "orders": 12.5, "vip": true, "tags": []any{"a", "7", "true"}, "plan": "gold", "sub": "u2", "__proto__": "polluted", "aud": "https://evil.example",
	}
	if diff := cmp.Diff(want, c["custom"]); diff != "" {
		t.Error(diff)
	}
	if c["sub"] != a.text("visitor_id") || c["aud"] != backend || c["phone_number"] != "+49 30 1" {
		t.Errorf("%v", c)
	}
	if again := h.start(map[string]any{"renew": a.text("renew")}); !cmp.Equal(want, again.claims(t)["custom"]) {
		t.Errorf("renewed: %v", again.claims(t)["custom"])
	}
	if granted := h.grant(h.jwt("shop", "u1", says)); !cmp.Equal(want, granted.claims(t)["custom"]) {
		t.Errorf("granted: %v", granted.claims(t)["custom"])
	}
	for name, bad := range map[string]any{"orders": "twelve", "vip": "yes", "tags": []any{map[string]any{}}} {
		wrong := maps.Clone(says)
		wrong[name] = bad
		h.start(map[string]any{"identity": h.jwt("shop", "u1", wrong)}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeMissing)
	}
}

// What the house says of the token is its own word, whatever the customer's server
// puts in and maps.
func TestNoClaimOfAVisitorJWTIsOneOfTheTokensOwn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	names := strings.Fields("assurance acr amr site subject_type client_id sid scope roles groups entitlements department allowed_networks sub_id given_by_visitor iat_ms auth_time nbf act cnf aud iss custom")
	attributes := []store.Attribute{}
	for _, name := range append(names, "sub", "email_verified") {
		attributes = append(attributes, store.Attribute{Field: name, From: []string{"evil"}})
	}
	h.connect("plain", nil)
	h.connect("mapped", func(c *store.Connection) { c.Attributes = attributes })
	evil := map[string]any{"evil": "evil", "email_verified": "true"}
	for _, name := range names {
		if name != "aud" && name != "iss" {
			evil[name] = "evil"
		}
	}
	delete(evil, "nbf")
	for _, connection := range []string{"plain", "mapped"} {
		a := h.start(map[string]any{"identity": h.jwt(connection, "evil-sub", evil)})
		if a.Code != http.StatusOK {
			t.Fatalf("%s: %d %s", connection, a.Code, a.Body)
		}
		c := a.claims(t)
		for name, want := range map[string]any{
			"sub": a.text("visitor_id"), "iss": testIssuer, "aud": backend, "assurance": Signed, "acr": Signed, "site": "", "subject_type": "visitor", "client_id": "visitor", "email_verified": false,
		} {
			if c[name] != want {
				t.Errorf("%s: %s is %v", connection, name, c[name])
			}
		}
		for name, v := range c {
			if v == "evil" || v == "evil-sub" && name != "external_id" {
				t.Errorf("%s: %s is the customer's: %v", connection, name, v)
			}
		}
		for _, name := range []string{"roles", "groups", "entitlements", "allowed_networks", "custom", "scope", "amr", "sub_id", "given_by_visitor"} {
			if _, there := c[name]; there {
				t.Errorf("%s: the token has %s: %v", connection, name, c[name])
			}
		}
	}
}
