package oauth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 7523, section 2.2; SECURITY's group Client authentication, rows 3 to 5.

// pkj is a client that authenticates by its key.
type pkj struct {
	*house
	key *ecdsa.PrivateKey
}

func newPKJ(t *testing.T, on storetest.Engine) *pkj {
	t.Helper()
	h := newFlows(t, on)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	h.ok(err)
	h.addClient(store.Client{
		ID: "PKJ", FirstParty: true, RedirectURIs: []string{"https://pkj.example/cb"}, Scope: "openid offline_access chat", TokenEndpointAuthMethod: authKey,
		GrantTypes: []string{grantCode, grantRefresh, grantClient}, JWKS: publicKeys(t, jose.JSONWebKey{Key: key.Public(), KeyID: "k1", Use: "sig"}),
	})
	return &pkj{h, key}
}

func publicKeys(t *testing.T, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	raw, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func (p *pkj) goodClaims() map[string]any {
	now := p.now().Unix()
	return map[string]any{"iss": "PKJ", "sub": "PKJ", "aud": testIssuer, "jti": randomToken(16), "iat": now, "nbf": now - 1, "exp": now + 60}
}

func (p *pkj) assert(alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	p.t.Helper()
	options := (&jose.SignerOptions{}).WithType("JWT")
	if kid != "" {
		options = options.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, options)
	p.ok(err)
	payload, ok := claims.(string)
	if !ok {
		raw, err := json.Marshal(claims)
		p.ok(err)
		payload = string(raw)
	}
	signed, err := signer.Sign([]byte(payload))
	p.ok(err)
	text, err := signed.CompactSerialize()
	p.ok(err)
	return text
}

func (p *pkj) good() string { return p.assert(jose.ES256, p.key, "k1", p.goodClaims()) }

func (p *pkj) send(assertion string, change ...string) answer {
	p.t.Helper()
	form := url.Values{"client_assertion_type": {assertionType}, "client_assertion": {assertion}}
	for i := 0; i+1 < len(change); i += 2 {
		form.Set(change[i], change[i+1])
	}
	return p.raw("", form)
}

func TestAnAssertionAuthenticatesOnce(t *testing.T) {
	storetest.OnBothEngines(t, testAnAssertionAuthenticatesOnce)
}

func testAnAssertionAuthenticatesOnce(t *testing.T, on storetest.Engine) {
	p := newPKJ(t, on)
	for _, aud := range []string{testIssuer, testIssuer + "/oauth/token"} {
		claims := p.goodClaims()
		claims["aud"] = aud
		one := p.assert(jose.ES256, p.key, "k1", claims)
		if a := p.send(one); a.Code != http.StatusOK {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
		p.send(one).wantError(t, http.StatusUnauthorized, "invalid_client")
		if a := p.send(p.good(), "client_id", "PKJ"); a.Code != http.StatusOK {
			t.Errorf("with client_id: %d %s", a.Code, a.Body)
		}
	}
	if a := p.send(p.assert(jose.ES256, p.key, "", p.goodClaims())); a.Code != http.StatusOK {
		t.Errorf("without kid, with one key: %d %s", a.Code, a.Body)
	}
}

func TestFiftyRacersWithOneAssertionSucceedOnce(t *testing.T) {
	storetest.OnBothEngines(t, testFiftyRacersWithOneAssertionSucceedOnce)
}

func testFiftyRacersWithOneAssertionSucceedOnce(t *testing.T, on storetest.Engine) {
	p := newPKJ(t, on)
	one, won := p.good(), 0
	for _, a := range race(50, func() answer { return p.send(one) }) {
		if a.Code == http.StatusOK {
			won++
		} else if a.Code != http.StatusUnauthorized && a.Code != http.StatusTooManyRequests {
			t.Errorf("got %d %s", a.Code, a.Body)
		}
	}
	if won != 1 {
		t.Errorf("%d successes", won)
	}
}

func TestAFailedAssertionDoesNotUseItsJTIUp(t *testing.T) {
	storetest.OnBothEngines(t, testAFailedAssertionDoesNotUseItsJTIUp)
}

func testAFailedAssertionDoesNotUseItsJTIUp(t *testing.T, on storetest.Engine) {
	p := newPKJ(t, on)
	claims := p.goodClaims()
	claims["aud"] = "https://other.example"
	p.send(p.assert(jose.ES256, p.key, "k1", claims)).wantError(t, http.StatusUnauthorized, "invalid_client")
	claims["aud"] = testIssuer
	again := p.assert(jose.ES256, p.key, "k1", claims)
	p.send(again, "grant_type", "nonsense").wantError(t, http.StatusBadRequest, "unsupported_grant_type")
	p.send(again, "scope", "no-such").wantError(t, http.StatusBadRequest, "invalid_scope")
	if a := p.send(again); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestAnAssertionsClaimsAreExact(t *testing.T) {
	t.Parallel()
	p := newPKJ(t, storetest.Bolt)
	now := p.now().Unix()
	for name, change := range map[string]map[string]any{
		"no exp": {"exp": nil}, "exp in ten years": {"exp": now + 10*365*86400}, "expired": {"exp": now - 60}, "exp as text": {"exp": "soon"}, "exp in milliseconds": {"exp": (now + 60) * 1000},
		"nbf ahead": {"nbf": now + 300}, "a day old": {"iat": now - 86400}, "iat ahead": {"iat": now + 300}, "no jti": {"jti": nil}, "jti of 40 KiB": {"jti": strings.Repeat("j", 40<<10)}, "jti of 300 bytes": {"jti": strings.Repeat("j", 300)},
		"another iss": {"iss": "MAL"}, "another sub": {"sub": "MAL"}, "no sub": {"sub": nil}, "no iss": {"iss": nil}, "both another": {"iss": "RP", "sub": "RP"}, "unknown": {"iss": "NOBODY", "sub": "NOBODY"},
		"no aud": {"aud": nil}, "another server": {"aud": "https://other.example/oauth/token"}, "an array": {"aud": []string{testIssuer}}, "an array of two": {"aud": []string{testIssuer, "https://evil.example"}},
		"our PAR URL": {"aud": testIssuer + "/oauth/par"}, "a slash": {"aud": testIssuer + "/"}, "capitals": {"aud": strings.ToUpper(testIssuer)},
	} {
		claims := p.goodClaims()
		for k, v := range change {
			if claims[k] = v; v == nil {
				delete(claims, k)
			}
		}
		if a := p.send(p.assert(jose.ES256, p.key, "k1", claims)); a.Code != http.StatusUnauthorized && a.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		p.pass(3 * time.Second)
	}
	twice, _ := json.Marshal(p.goodClaims())
	p.send(p.assert(jose.ES256, p.key, "k1", `{"aud":"https://other.example",`+string(twice[1:]))).wantError(t, http.StatusUnauthorized, "invalid_client")
	p.send(p.good(), "client_id", "RP").wantError(t, http.StatusUnauthorized, "invalid_client")
	if a := p.send(p.good(), "client_assertion_type", "x"); a.Code != http.StatusUnauthorized {
		t.Errorf("got %d", a.Code)
	}
}

// TestAnAssertionFromBeforeARestoreIsNotTaken: it may have been used after the
// backup was made.
func TestAnAssertionFromBeforeARestoreIsNotTaken(t *testing.T) {
	t.Parallel()
	p := newPKJ(t, storetest.Bolt)
	before, undated := p.good(), p.goodClaims()
	undated["exp"] = undated["exp"].(int64) + 500
	delete(undated, "iat")
	delete(undated, "nbf")
	p.pass(2 * time.Second)
	p.changeSettings(func(s *store.Settings) { s.NotBefore = p.now() })
	for name, assertion := range map[string]string{"before": before, "undated": p.assert(jose.ES256, p.key, "k1", undated)} {
		if a := p.send(assertion); a.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		p.pass(3 * time.Second)
	}
	if a := p.send(p.good()); a.Code != http.StatusOK {
		t.Errorf("a new one: %d %s", a.Code, a.Body)
	}
	p.pass(20 * time.Minute)
	later := p.goodClaims()
	delete(later, "iat")
	if a := p.send(p.assert(jose.ES256, p.key, "k1", later)); a.Code != http.StatusOK {
		t.Errorf("undated, long after: %d %s", a.Code, a.Body)
	}
}

func TestAnAssertionsSignatureIsByTheRegisteredKey(t *testing.T) {
	t.Parallel()
	p := newPKJ(t, storetest.Bolt)
	other, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	curve, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(p.key.Public())
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	good := p.good()
	parts := strings.Split(good, ".")
	own := jose.JSONWebKey{Key: other.Public(), KeyID: "k1"}
	embedded, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: other}, (&jose.SignerOptions{}).WithHeader("kid", "k1").WithHeader("jwk", own))
	p.ok(err)
	claims, _ := json.Marshal(p.goodClaims())
	jws, err := embedded.Sign(claims)
	p.ok(err)
	withKey, _ := jws.CompactSerialize()
	for name, bad := range map[string]string{
		"alg none": "eyJhbGciOiJub25lIn0." + parts[1] + ".", "no signature": parts[0] + "." + parts[1] + ".", "another key": p.assert(jose.ES256, other, "k1", p.goodClaims()),
		"another curve": p.assert(jose.ES384, curve, "k1", p.goodClaims()), "HS256 with the public key": p.assert(jose.HS256, public, "k1", p.goodClaims()), "another kid": p.assert(jose.ES256, p.key, "k2", p.goodClaims()),
		"a key in the header": withKey, "dots": strings.Repeat(".", 1000), "junk": "x", "empty": "", "two parts": parts[0] + "." + parts[1], "long": strings.Repeat("a", 20<<10),
	} {
		if a := p.send(bad); a.Code != http.StatusUnauthorized && a.Code != http.StatusTooManyRequests {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
		p.pass(3 * time.Second)
	}
}

func TestAWeakOrPrivateClientKeyIsNotUsed(t *testing.T) {
	t.Parallel()
	p := newPKJ(t, storetest.Bolt)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	p.ok(err)
	for name, c := range map[string]struct {
		key jose.JSONWebKey
		alg jose.SignatureAlgorithm
		by  any
	}{
		"RSA of 1024 bits":   {jose.JSONWebKey{Key: weak.Public(), KeyID: "k1"}, jose.RS256, weak},
		"for encryption":     {jose.JSONWebKey{Key: p.key.Public(), KeyID: "k1", Use: "enc"}, jose.ES256, p.key},
		"of another alg":     {jose.JSONWebKey{Key: p.key.Public(), KeyID: "k1", Algorithm: "ES384"}, jose.ES256, p.key},
		"private":            {jose.JSONWebKey{Key: p.key, KeyID: "k1"}, jose.ES256, p.key},
		"a symmetric secret": {jose.JSONWebKey{Key: []byte(strings.Repeat("s", 32)), KeyID: "k1"}, jose.ES256, p.key},
	} {
		p.changeClient("PKJ", func(client *store.Client) { client.JWKS = publicKeys(t, c.key) })
		if a := p.send(p.assert(c.alg, c.by, "k1", p.goodClaims())); a.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

func TestAClientWithAKeyCannotUseASecret(t *testing.T) {
	storetest.OnBothEngines(t, testAClientWithAKeyCannotUseASecret)
}

func testAClientWithAKeyCannotUseASecret(t *testing.T, on storetest.Engine) {
	p := newPKJ(t, on)
	p.raw(basic("PKJ:x"), url.Values{}).wantError(t, http.StatusUnauthorized, "invalid_client")
	p.raw("", url.Values{"client_id": {"PKJ"}}).wantError(t, http.StatusUnauthorized, "invalid_client")
	p.raw("", url.Values{"client_id": {"PKJ"}, "client_secret": {"x"}, "client_assertion": {"e30.e30."}, "client_assertion_type": {assertionType}}).wantError(t, http.StatusBadRequest, "invalid_request")
	claims := p.goodClaims()
	claims["iss"], claims["sub"] = "RP", "RP"
	p.send(p.assert(jose.ES256, p.key, "k1", claims)).wantError(t, http.StatusUnauthorized, "invalid_client")
}

func TestAKeyFromAJWKSURIIsFetchedOnceAMinute(t *testing.T) {
	t.Parallel()
	p := newPKJ(t, storetest.Bolt)
	var fetched atomic.Int32
	var body atomic.Value
	body.Store(publicKeys(t, jose.JSONWebKey{Key: p.key.Public(), KeyID: "k1"}))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		w.Write(body.Load().([]byte))
	}))
	defer server.Close()
	p.o.Outbound = server.Client()
	p.changeClient("PKJ", func(c *store.Client) { c.JWKS, c.JWKSURI = nil, server.URL })
	for range 5 {
		if a := p.send(p.good()); a.Code != http.StatusOK {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
		p.send(p.assert(jose.ES256, p.key, "unknown", p.goodClaims())).wantError(t, http.StatusUnauthorized, "invalid_client")
	}
	if n := fetched.Load(); n != 1 {
		t.Errorf("fetched %d times", n)
	}
	body.Store([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`)) // a bad set: the last good one stays
	p.pass(11 * time.Minute)
	if a := p.send(p.good()); a.Code != http.StatusOK {
		t.Errorf("after a bad set: %d %s", a.Code, a.Body)
	}
}
