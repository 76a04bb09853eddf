package oidc_test

import (
	"crypto/ed25519"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// publishing is a provider that has one key, for a fuzz target or a benchmark.
func publishing(tb testing.TB) (*oidc.Provider, oidc.Config) {
	tb.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	tb.Cleanup(server.Close)
	mux.HandleFunc(wellKnown, func(w http.ResponseWriter, _ *http.Request) {
		w.Write(asJSON(object{"issuer": server.URL, "authorization_endpoint": server.URL + "/a", "token_endpoint": server.URL + "/t", "jwks_uri": server.URL + "/keys"}))
	})
	mux.HandleFunc("/keys", func(w http.ResponseWriter, _ *http.Request) {
		w.Write([]byte(jwks(jose.JSONWebKey{Key: ring().ed25519.Public(), KeyID: "d"}, jose.JSONWebKey{Key: &ring().rsa.PublicKey, KeyID: "r"})))
	})
	p := oidc.New(oidc.Options{Client: web.NewOutboundClient(true), Now: func() time.Time { return noon }})
	return p, oidc.Config{Issuer: server.URL, ClientID: clientID}
}

func FuzzSignedTokensNeverPanicAndSayWhatTheyMust(f *testing.F) {
	p, c := publishing(f)
	good := object{"iss": c.Issuer, "aud": clientID, "iat": noon.Unix(), "exp": noon.Unix() + 60, "jti": "one", "sub": "raj", "events": object{event: object{}}}
	f.Add(`{"alg":"EdDSA"}`, string(asJSON(good)), true)
	f.Add(`{"alg":"EdDSA","kid":"d","typ":"logout+jwt"}`, string(asJSON(good.with(object{"sid": "s", "aud": []string{clientID}}))), true)
	f.Add(`{"alg":"none"}`, `{}`, true)
	f.Add(`{"alg":"RS256","crit":["b64"],"b64":false,"jwk":{}}`, `{"exp":1e400}`, false)
	f.Add(`[]`, `[[[[`, true)
	f.Fuzz(func(t *testing.T, header, payload string, sign bool) {
		input := encode([]byte(header)) + "." + encode([]byte(payload))
		signature := []byte("none")
		if sign {
			signature = ed25519.Sign(ring().ed25519, []byte(input))
		}
		got, checks, err := p.VerifyLogoutToken(t.Context(), c, input+"."+encode(signature))
		if err != nil {
			if got != (oidc.Logout{}) || len(checks) == 0 {
				t.Errorf("%+v %+v", got, checks)
			}
			return
		}
		var said map[string]any
		if err := json.Unmarshal([]byte(payload), &said); err != nil || !sign {
			t.Fatalf("taken: %s %s", header, payload)
		}
		if said["iss"] != c.Issuer || said["jti"] != got.JTI || got.Subject != "" && said["sub"] != got.Subject || got.SID != "" && said["sid"] != got.SID || got.Subject+got.SID == "" {
			t.Errorf("%+v of %s", got, payload)
		}
	})
}

// Of somebody's provider, as of a stranger: what one token costs us.
func BenchmarkVerifyLogoutToken(b *testing.B) {
	p, c := publishing(b)
	h := &hostile{}
	claims := object{"iss": c.Issuer, "aud": clientID, "iat": noon.Unix(), "exp": noon.Unix() + 60, "jti": "one", "sub": "raj", "events": object{event: object{}}}
	for name, header := range map[string]object{"RS256": {"alg": "RS256", "kid": "r"}, "EdDSA": {"alg": "EdDSA", "kid": "d"}} {
		raw := h.signed(header, claims)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := p.VerifyLogoutToken(b.Context(), c, raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
