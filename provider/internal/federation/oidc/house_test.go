package oidc_test

import (
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

const (
	clientID     = "desk"
	clientSecret = "a secret of the client's & more: 100%"
	redirectURI  = "https://id.shop.example/federation/upstream/callback"
	accessToken  = "an-access-token"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

type keyring struct {
	rsa     *rsa.PrivateKey
	other   *rsa.PrivateKey
	ec      *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

var ring = sync.OnceValue(func() (k keyring) {
	var errs [4]error
	k.rsa, errs[0] = rsa.GenerateKey(rand.Reader, 2048)
	k.other, errs[1] = rsa.GenerateKey(rand.Reader, 2048)
	k.ec, errs[2] = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	_, k.ed25519, errs[3] = ed25519.GenerateKey(rand.Reader)
	if err := errors.Join(errs[:]...); err != nil {
		panic(err)
	}
	return k
})

type object map[string]any

// with returns other members in place of these; nil takes one away.
func (o object) with(others ...object) object {
	o = maps.Clone(o)
	for _, other := range others {
		for name, v := range other {
			if o[name] = v; v == nil {
				delete(o, name)
			}
		}
	}
	return o
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func asJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func jwks(keys ...jose.JSONWebKey) string { return string(asJSON(jose.JSONWebKeySet{Keys: keys})) }

// hostile is an OpenID provider that does whatever a test wants.
type hostile struct {
	t      *testing.T
	issuer string
	*oidc.Provider

	mu       sync.Mutex
	now      time.Time
	document object
	keys     string
	idToken  string
	access   object // beside id_token in the token endpoint's answer
	userinfo string
	handlers map[string]http.HandlerFunc // in place of its own
	asked    map[string]int
	form     url.Values // of the last request to the token endpoint
	basic    [2]string
	fault    string // of the token endpoint, whatever it is asked
}

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := &hostile{
		t: t, now: noon, asked: map[string]int{}, handlers: map[string]http.HandlerFunc{},
		access: object{"access_token": accessToken, "token_type": "Bearer"},
		keys: jwks(
			jose.JSONWebKey{Key: &ring().rsa.PublicKey, KeyID: "r", Algorithm: "RS256", Use: "sig"},
			jose.JSONWebKey{Key: &ring().ec.PublicKey, KeyID: "e"},
			jose.JSONWebKey{Key: ring().ed25519.Public(), KeyID: "d"},
		),
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	h.issuer = server.URL
	h.document = object{
		"issuer": h.issuer, "authorization_endpoint": h.issuer + "/authorize?tenant=1", "token_endpoint": h.issuer + "/token", "jwks_uri": h.issuer + "/keys",
		"end_session_endpoint": h.issuer + "/end?tenant=1",
	}
	h.Provider = oidc.New(oidc.Options{Client: web.NewOutboundClient(true), Now: h.time})
	return h
}

func (h *hostile) time() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hostile) later(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.asked[r.URL.Path]++
	handle := h.handlers[r.URL.Path]
	h.mu.Unlock()
	if handle == nil {
		handle = h.answer
	}
	handle(w, r)
}

// answer is what it does by itself.
func (h *hostile) answer(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		w.Write(asJSON(h.document))
	case "/keys":
		w.Write([]byte(h.keys))
	case "/token":
		_ = r.ParseForm()
		h.form = r.PostForm
		h.basic[0], h.basic[1], _ = r.BasicAuth()
		if fault := cmp.Or(h.fault, map[bool]string{true: "invalid_grant"}[strings.Contains(h.form.Get("code"), "none")]); fault != "" {
			w.WriteHeader(http.StatusBadRequest)
			w.Write(asJSON(object{"error": fault}))
			return
		}
		answer := h.access
		if h.idToken != "" {
			answer = answer.with(object{"id_token": h.idToken})
		}
		w.Write(asJSON(answer))
	case "/userinfo":
		if r.Header.Get("Authorization") != "Bearer "+accessToken {
			w.WriteHeader(http.StatusUnauthorized)
		}
		w.Write([]byte(h.userinfo))
	default:
		h.t.Errorf("asked for %s", r.URL)
		w.WriteHeader(http.StatusNotFound)
	}
}

func (h *hostile) requests(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := h.asked[path]
	h.asked[path] = 0
	return n
}

func (h *hostile) handle(path string, f http.HandlerFunc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.handlers[path] = f
}

func (h *hostile) config() oidc.Config {
	return oidc.Config{Issuer: h.issuer, ClientID: clientID, ClientSecret: clientSecret, RedirectURI: redirectURI}
}

// begin starts a flow and returns what the browser was sent with.
func (h *hostile) begin(c oidc.Config) (oidc.Start, url.Values) {
	h.t.Helper()
	s, err := h.Begin(h.t.Context(), c, "the state")
	if err != nil {
		h.t.Fatal(err)
	}
	u, err := url.Parse(s.URL)
	if err != nil {
		h.t.Fatal(err)
	}
	return s, u.Query()
}

// claims are those of a good ID token for that flow.
func (h *hostile) claims(s oidc.Start) object {
	now := h.time()
	return object{
		"iss": h.issuer, "sub": "raj", "aud": clientID, "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(), "nonce": s.Nonce,
		"email": "raj@acme.example", "email_verified": true, "name": "Raj",
	}
}

func code() url.Values { return url.Values{"code": {"a code"}, "state": {"the state"}} }

// signed is a token with that header by the key that its alg is of.
func (h *hostile) signed(header object, claims any) string {
	payload, ok := claims.(string)
	if !ok {
		payload = string(asJSON(claims))
	}
	return h.sign(string(asJSON(header)), payload, header["alg"])
}

func (h *hostile) sign(header, payload string, alg any) string {
	input := encode([]byte(header)) + "." + encode([]byte(payload))
	sum := sha256.Sum256([]byte(input))
	var signature []byte
	var err error
	switch alg {
	case "RS256":
		signature, err = rsa.SignPKCS1v15(rand.Reader, ring().rsa, crypto.SHA256, sum[:])
	case "PS256":
		signature, err = rsa.SignPSS(rand.Reader, ring().rsa, crypto.SHA256, sum[:], &rsa.PSSOptions{SaltLength: 32})
	case "ES256":
		r, s, signErr := ecdsa.Sign(rand.Reader, ring().ec, sum[:])
		if err = signErr; err == nil {
			signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
		}
	case "EdDSA":
		signature = ed25519.Sign(ring().ed25519, []byte(input))
	case "HS256":
		mac := hmac.New(sha256.New, []byte(clientSecret))
		mac.Write([]byte(input))
		signature = mac.Sum(nil)
	}
	if err != nil {
		panic(err)
	}
	return input + "." + encode(signature)
}

// finish ends a flow with the ID token of those claims.
func (h *hostile) finish(c oidc.Config, change ...object) (oidc.Identity, []oidc.Check, error) {
	h.t.Helper()
	s, _ := h.begin(c)
	h.idToken = h.signed(object{"alg": "RS256", "kid": "r"}, h.claims(s).with(change...))
	return h.Finish(h.t.Context(), c, s, code())
}

// accepted is an identity that is taken.
func (h *hostile) accepted(name string, change ...object) oidc.Identity {
	h.t.Helper()
	id, checks, err := h.finish(h.config(), change...)
	if err != nil {
		h.t.Errorf("%s: %v %+v", name, err, checks)
	}
	told := map[string]bool{}
	for _, one := range checks { // what holds is not told in the words of what does not
		if one.OK && strings.Contains(one.Got, "another") {
			h.t.Errorf("%s: %+v", name, one)
		}
		if told[one.Name] {
			h.t.Errorf("%s: %s is told twice", name, one.Name)
		}
		told[one.Name] = true
	}
	return id
}

// refused checks the code and the check of a refusal.
func refused(t *testing.T, name string, id oidc.Identity, checks []oidc.Check, err error, code, check string) {
	t.Helper()
	var no *oidc.Refused
	switch {
	case !errors.As(err, &no):
		t.Errorf("%s: not refused: %v %+v", name, err, checks)
	case no.Code != code || no.Name != check:
		t.Errorf("%s: %s for %s (expected %q, got %q), want %s for %s", name, no.Code, no.Name, no.Expected, no.Got, code, check)
	case id.Subject != "" || id.Values != nil:
		t.Errorf("%s: who was refused: %+v", name, id)
	case !slices.Contains(checks, no.Check):
		t.Errorf("%s: the refusal is not among the checks: %+v", name, checks)
	case strings.Contains(no.Error(), "acme.example"):
		t.Errorf("%s: the error repeats the token: %v", name, no)
	}
	for _, c := range checks {
		if strings.Contains(c.Expected+c.Got, clientSecret) || len(c.Got) > 250 {
			t.Errorf("%s: a check says too much: %+v", name, c)
		}
	}
}

// hmacToken is signed with any secret.
func hmacToken(secret []byte, header, claims object) string {
	input := encode(asJSON(header)) + "." + encode(asJSON(claims))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(input))
	return input + "." + encode(mac.Sum(nil))
}

// otherToken is signed with an RSA key that is not the provider's.
func otherToken(t *testing.T, header, claims object) string {
	t.Helper()
	input := encode(asJSON(header)) + "." + encode(asJSON(claims))
	sum := sha256.Sum256([]byte(input))
	signature, err := rsa.SignPKCS1v15(rand.Reader, ring().other, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return input + "." + encode(signature)
}

// cutSignature leaves so many characters of it.
func cutSignature(raw string, leave int) string {
	return raw[:strings.LastIndexByte(raw, '.')+1+leave]
}
