package provider_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/store"
)

// liar is an OpenID provider that signs in everybody at once, as whomever it likes.
type liar struct {
	*httptest.Server
	key      *ecdsa.PrivateKey
	redeemed atomic.Int32 // how often its token endpoint was asked

	mu    sync.Mutex
	says  map[string]any            // of whom it signs in next
	codes map[string]map[string]any // claims by code
}

func newLiar(t testing.TB) *liar {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{key: key, codes: map[string]map[string]any{}}
	mux := http.NewServeMux()
	answer := func(w http.ResponseWriter, v any) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(v)
	}
	mux.HandleFunc("GET /.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, map[string]any{
			"issuer": l.URL, "authorization_endpoint": l.URL + "/authorize", "token_endpoint": l.URL + "/token", "jwks_uri": l.URL + "/jwks", "response_types_supported": []string{"code"},
			"subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
		})
	})
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		answer(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: l.key.Public(), KeyID: "k", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("GET /authorize", func(w http.ResponseWriter, r *http.Request) {
		query := r.URL.Query()
		code := randomID()
		l.mu.Lock()
		l.codes[code] = maps.Clone(l.says)
		l.codes[code]["nonce"] = query.Get("nonce")
		l.mu.Unlock()
		http.Redirect(w, r, query.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {query.Get("state")}}.Encode(), http.StatusSeeOther)
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		l.redeemed.Add(1)
		l.mu.Lock()
		claims := l.codes[r.FormValue("code")]
		delete(l.codes, r.FormValue("code"))
		l.mu.Unlock()
		if claims == nil {
			w.WriteHeader(http.StatusBadRequest)
			answer(w, map[string]any{"error": "invalid_grant"})
			return
		}
		answer(w, map[string]any{"access_token": randomID(), "token_type": "Bearer", "expires_in": 60, "id_token": l.sign("JWT", claims)})
	})
	l.Server = httptest.NewServer(mux)
	t.Cleanup(l.Close)
	return l
}

// sign signs claims for our client there; those given win, and nil takes one away.
func (l *liar) sign(typ string, claims map[string]any) string {
	now := time.Now()
	all := map[string]any{"iss": l.URL, "aud": "desk", "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "auth_time": now.Unix()}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	payload, _ := json.Marshal(all)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: l.key, KeyID: "k"}}, (&jose.SignerOptions{}).WithType(jose.ContentType(typ)))
	if err != nil {
		return ""
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return ""
	}
	text, _ := signed.CompactSerialize()
	return text
}

func (l *liar) next(claims map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.says = claims
}

// connection is ours to it.
func (l *liar) connection(change ...func(*store.Connection)) store.Connection {
	c := store.Connection{
		ID: "liar", Kind: store.ConnectionOIDC, For: store.ForAgents, Name: "Liar", Domains: []string{"acme.example"}, Created: time.Now(), Changed: time.Now(),
		OIDC: &store.OIDCConnection{Issuer: l.URL, ClientID: "desk", AuthMethod: "none"},
	}
	for _, f := range change {
		f(&c)
	}
	return c
}
