package provider_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// tokens are what a client got.
type tokens struct {
	Access  string `json:"access_token"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
}

// signIn signs an agent in at a client by a fresh browser and redeems the code.
func (h *running) signIn(client, secret, email, scope string) (tokens, *browser) {
	h.t.Helper()
	verifier := oauth2.GenerateVerifier()
	query := url.Values{"response_type": {"code"}, "client_id": {client}, "redirect_uri": {deskCallback}, "scope": {scope},
		"state": {"s"}, "code_challenge": {oauth2.S256ChallengeFromVerifier(verifier)}, "code_challenge_method": {"S256"}}
	b := newBrowser(h.t, deskCallback)
	p := b.signIn(h.issuer+"/oauth/authorize?"+query.Encode(), email, agentPassword)
	if p.away == nil {
		h.t.Fatalf("not sent back to the client: status %d at %s: %s", p.status, p.url, p.body)
	}
	if p.away.Query().Get("state") != "s" || p.away.Query().Get("iss") != h.issuer {
		h.t.Fatalf("sent to %s", p.away)
	}
	got, status := h.token(client, secret, url.Values{"grant_type": {"authorization_code"}, "code": {p.away.Query().Get("code")}, "redirect_uri": {deskCallback}, "code_verifier": {verifier}})
	if status != http.StatusOK {
		h.t.Fatalf("token endpoint: status %d, %s", status, got.Error)
	}
	return got, b
}

func (h *running) token(client, secret string, form url.Values) (tokens, int) {
	h.t.Helper()
	if secret == "" {
		form.Set("client_id", client)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.issuer+"/oauth/token", strings.NewReader(form.Encode()))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		req.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret))
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var got tokens
	if err := json.Unmarshal(body, &got); err != nil {
		h.t.Fatalf("%v: %s", err, body)
	}
	return got, resp.StatusCode
}

func (h *running) backend() *verify.Client {
	h.t.Helper()
	c, err := verify.New(h.t.Context(), verify.Options{Issuer: h.issuer, Audience: chat, ClientID: "backend", ClientSecret: backendSecret})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { c.Close() })
	return c
}

var office = netip.MustParseAddr("127.0.0.1")

func TestABackendTrustsATokenAndHearsOfItsEndWithinASecond(t *testing.T) {
	storetest.OnBothEngines(t, testABackendTrustsATokenAndHearsOfItsEndWithinASecond)
}

func testABackendTrustsATokenAndHearsOfItsEndWithinASecond(t *testing.T, on storetest.Engine) {
	ends := map[string]func(h *running, b *browser, got tokens){
		"an administrator ends the sessions": func(h *running, _ *browser, _ tokens) {
			h.control("agents/end-sessions", map[string]any{"email": "raj@acme.example"}, "")
		},
		"the agent is deactivated": func(h *running, _ *browser, _ tokens) {
			h.control("agents/deactivate", map[string]any{"email": "raj@acme.example"}, "")
		},
		"a role is taken away": func(h *running, _ *browser, _ tokens) {
			h.control("agents/set-roles", map[string]any{"email": "raj@acme.example", "roles": []string{"agents"}}, "")
		},
		"the agent signs out": func(h *running, b *browser, _ tokens) {
			b.stop = ""
			b.submit(b.get(h.issuer+"/oauth/logout"), "confirm", nil)
		},
		"the client revokes its refresh token": func(h *running, _ *browser, got tokens) {
			req, _ := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.issuer+"/oauth/revoke", strings.NewReader(url.Values{"token": {got.Refresh}}.Encode()))
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.SetBasicAuth("desk", deskSecret)
			resp, err := http.DefaultClient.Do(req)
			if err != nil || resp.StatusCode != http.StatusOK {
				h.t.Fatalf("revoke: %v, %v", resp, err)
			}
			resp.Body.Close()
		},
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := start(t, on, "")
			backend := h.backend()
			got, b := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
			token, err := backend.Token(t.Context(), got.Access)
			if err != nil {
				t.Fatal(err)
			}
			if d := token.May("visitor.ban", office); !d.Allowed {
				t.Errorf("a supervisor may not ban: %+v", d)
			}
			if d := token.May("policy.manage", office); d.Allowed {
				t.Error("a supervisor may manage policies")
			}
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			ended := backend.Watch(ctx, token)
			begin := time.Now()
			end(h, b, got)
			<-ended
			if took := time.Since(begin); took > time.Second+200*time.Millisecond || ctx.Err() != nil {
				t.Errorf("the backend heard of it after %v", took)
			}
			if _, err := backend.Token(t.Context(), got.Access); err == nil {
				t.Error("the token is still good")
			}
		})
	}
}

func TestASignInRightAfterARevocationIsTrustedAtOnce(t *testing.T) {
	storetest.OnBothEngines(t, testASignInRightAfterARevocationIsTrustedAtOnce)
}

func testASignInRightAfterARevocationIsTrustedAtOnce(t *testing.T, on storetest.Engine) {
	h := start(t, on, "")
	backend := h.backend()
	for range 3 {
		before, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
		if _, err := backend.Token(t.Context(), before.Access); err != nil {
			t.Fatal(err)
		}
		h.control("agents/end-sessions", map[string]any{"email": "raj@acme.example"}, "")
		time.Sleep(2 * time.Millisecond) // the feed's times are milliseconds, rounded up
		after, _ := h.signIn("desk", deskSecret, "raj@acme.example", "openid offline_access chat")
		for deadline := time.Now().Add(2 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			if _, err := backend.Token(t.Context(), before.Access); err != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("the token from before is still good")
			}
		}
		if _, err := backend.Token(t.Context(), after.Access); err != nil {
			t.Errorf("the token from after: %v", err)
		}
	}
}
