package oauth

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 6749, the authorization code grant and the token endpoint; SECURITY's
// groups Authorize and Token.

func TestACodeBuysTokensOnce(t *testing.T) { storetest.OnBothEngines(t, testACodeBuysTokensOnce) }

func testACodeBuysTokensOnce(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback, "scope", "openid offline_access chat"))
	first := h.redeem("RP", callback, code)
	if first.Code != http.StatusOK || first.text("access_token") == "" || first.text("refresh_token") == "" || first.text("id_token") == "" || first.text("token_type") != "Bearer" {
		t.Fatalf("got %d %s", first.Code, first.Body)
	}
	if first.JSON["expires_in"] != 300.0 || first.text("scope") != "openid offline_access chat" || first.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("got %s %v", first.Body, first.Header())
	}
	h.wantActive("RP", first.text("access_token"), true)
	h.pass(30 * time.Second)
	h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.wantActive("RP", first.text("access_token"), false)
	h.refresh("RP", first.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestAReplayedCodeBurnsWhatItBoughtAlsoDaysLater(t *testing.T) {
	storetest.OnBothEngines(t, testAReplayedCodeBurnsWhatItBoughtAlsoDaysLater)
}

func testAReplayedCodeBurnsWhatItBoughtAlsoDaysLater(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback))
	tokens := h.redeem("RP", callback, code)
	for range 3 {
		h.pass(10 * time.Hour)
		h.session() // he is back at work
		tokens = h.refresh("RP", tokens.text("refresh_token"))
	}
	h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.refresh("RP", tokens.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}

// TestACodeCountsOnceHoweverShortWhatItBought: the family must be there as long as
// its code could be redeemed, or the code would buy another.
func TestACodeCountsOnceHoweverShortWhatItBought(t *testing.T) {
	storetest.OnBothEngines(t, testACodeCountsOnceHoweverShortWhatItBought)
}

func testACodeCountsOnceHoweverShortWhatItBought(t *testing.T, on storetest.Engine) {
	for _, scope := range []string{"openid", "openid offline_access"} {
		h := newFlows(t, on)
		h.changeSettings(func(s *store.Settings) {
			s.Lifetimes.Code, s.Lifetimes.AccessToken, s.Lifetimes.RefreshIdle, s.Lifetimes.RefreshAbsolute = 600, 60, 60, 60
		})
		code := h.code(ask("RP", callback, "scope", scope))
		if got := h.redeem("RP", callback, code); got.Code != http.StatusOK {
			t.Fatalf("%s: %s", scope, got.Body)
		}
		for range 3 {
			h.pass(4 * time.Minute)
			h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
		}
	}
}

func TestACodeIsIssuedWithoutACommit(t *testing.T) {
	storetest.OnBothEngines(t, testACodeIsIssuedWithoutACommit)
}

func testACodeIsIssuedWithoutACommit(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.code(ask("RP", callback))
	records := func() (all []string) {
		h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
			all = nil
			for _, table := range store.Tables() {
				for item, err := range tx.Scan(table.Name(), nil, nil) {
					if err != nil {
						return err
					}
					all = append(all, fmt.Sprintf("%s %q %x", table.Name(), item.Key, item.Value))
				}
			}
			return nil
		}))
		return all
	}
	before := records()
	if h.code(ask("RP", callback)) == "" {
		t.Fatal("no code")
	}
	if diff := cmp.Diff(before, records()); diff != "" || len(before) < 5 {
		t.Error(len(before), diff)
	}
}

func TestACodeIsItsClientsOnly(t *testing.T) { storetest.OnBothEngines(t, testACodeIsItsClientsOnly) }

func testACodeIsItsClientsOnly(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback))
	h.redeem("MAL", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.redeem("APP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.redeem("", callback, code).wantError(t, http.StatusUnauthorized, "invalid_client")
	got := h.redeem("RP", callback, code)
	if got.Code != http.StatusOK {
		t.Fatalf("others' attempts have used the code up: %s", got.Body)
	}
	h.redeem("MAL", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.wantActive("RP", got.text("access_token"), true) // nor do they revoke what it bought
}

func TestACodeNeedsTheRedirectURIItWasSentTo(t *testing.T) {
	storetest.OnBothEngines(t, testACodeNeedsTheRedirectURIItWasSentTo)
}

func testACodeNeedsTheRedirectURIItWasSentTo(t *testing.T, on storetest.Engine) {
	for _, other := range []string{"", "https://rp.example/cb/", "https://mal.example/cb"} {
		h := newFlows(t, on)
		code := h.code(ask("RP", callback))
		h.redeem("RP", callback, code, "redirect_uri", other).wantError(t, http.StatusBadRequest, "invalid_grant")
		h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant") // burnt
	}
}

func TestACodeLivesAMinute(t *testing.T) { storetest.OnBothEngines(t, testACodeLivesAMinute) }

func testACodeLivesAMinute(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback))
	h.pass(61 * time.Second)
	h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestACodeIsWorthNothingOnceItsSessionOrAgentHasEnded(t *testing.T) {
	storetest.OnBothEngines(t, testACodeIsWorthNothingOnceItsSessionOrAgentHasEnded)
}

func testACodeIsWorthNothingOnceItsSessionOrAgentHasEnded(t *testing.T, on storetest.Engine) {
	for name, end := range map[string]func(*house, store.Session){
		"sign-out": func(h *house, rec store.Session) {
			h.update(func(tx store.Tx) error { return h.o.Sessions.End(t.Context(), tx, h.site(), rec, "sign_out") })
		},
		"deactivated": func(h *house, _ store.Session) { h.changeAgent(func(a *store.Agent) { a.Inactive = true }) },
		"site cut off": func(h *house, _ store.Session) {
			h.changeSettings(func(s *store.Settings) { s.NotBefore = h.now().Add(time.Second) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFlows(t, on)
			rec := h.session()
			code := h.code(ask("RP", callback))
			end(h, rec)
			h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
		})
	}
}

func TestNothingIsSentToAnUnknownClientOrURI(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	h.addClient(store.Client{ID: "GONE", Disabled: true, RedirectURIs: []string{"https://gone.example/cb"}, GrantTypes: []string{grantCode}})
	for name, q := range map[string]url.Values{
		"unknown client":   ask("NOBODY", "https://evil.example/cb"),
		"no client":        ask("", "https://evil.example/cb"),
		"disabled client":  ask("GONE", "https://gone.example/cb"),
		"unregistered":     ask("RP", "https://evil.example/cb"),
		"no redirect_uri":  ask("RP", callback, "redirect_uri", ""),
		"with a response":  ask("RP", callback+"?code=attacker&state=x"),
		"another client's": ask("RP", "https://third.example/cb"),
	} {
		a := h.authorize(q)
		a.wantPage(t)
		body := a.Body.String()
		for _, bad := range []string{"evil.example", "http-equiv=\"refresh\"", "gone.example"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s: the page holds %s", name, bad)
			}
		}
	}
}

func TestAParameterGivenTwiceIsRefused(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, name := range []string{"client_id", "redirect_uri", "response_type", "scope", "state", "nonce", "code_challenge", "request_uri"} {
		good := ask("RP", callback, "nonce", "n").Encode()
		other := name + "=" + url.QueryEscape("https://evil.example/cb")
		for _, query := range []string{good + "&" + other + "&" + other, other + "&" + other + "&" + good} {
			h.visit("/oauth/authorize?" + query).wantPage(t)
		}
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/authorize?"+other, strings.NewReader(good+"&"+other))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		h.do(r).wantPage(t)
	}
	form := url.Values{"grant_type": {grantClient}}.Encode() + "&grant_type=authorization_code"
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("RP", secretOf("RP"))
	h.do(r).wantError(t, http.StatusBadRequest, "invalid_request")
}

func TestOnlyTheResponseTypeCodeIsAnswered(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, kind := range []string{"CODE", "code code", "code token", "token", "id_token", "none", " code"} {
		if got := h.authorize(ask("RP", callback, "response_type", kind)).back(t, callback); got.Get("error") != "unsupported_response_type" || got.Has("code") {
			t.Errorf("%q: %v", kind, got)
		}
	}
	if got := h.authorize(ask("RP", callback, "response_type", "")).back(t, callback); got.Get("error") != "invalid_request" {
		t.Errorf("none: %v", got)
	}
	for _, mode := range []string{"fragment", "query.jwt", "web_message", "QUERY"} {
		if got := h.authorize(ask("RP", callback, "response_mode", mode)).back(t, callback); got.Get("error") != "unsupported_response_mode" {
			t.Errorf("%q: %v", mode, got)
		}
	}
	if got := h.authorize(ask("APP", "com.acme.app:/cb", "response_mode", "form_post", "scope", "openid")).back(t, "com.acme.app:/cb"); got.Get("error") != "unsupported_response_mode" {
		t.Errorf("form_post to a private scheme: %v", got)
	}
}

func TestFormPostCarriesTheAnswerInTheBody(t *testing.T) {
	storetest.OnBothEngines(t, testFormPostCarriesTheAnswerInTheBody)
}

func testFormPostCarriesTheAnswerInTheBody(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	a := h.authorize(ask("RP", callback, "response_mode", "form_post", "state", `"><script>`))
	body := a.Body.String()
	if a.Code != http.StatusOK || !strings.Contains(body, `action="`+callback+`"`) || !strings.Contains(body, `name="iss" value="`+testIssuer+`"`) || strings.Contains(body, `"><script>`) {
		t.Errorf("got %d %s", a.Code, body)
	}
	if policy := a.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "form-action 'self' https://rp.example;") {
		t.Errorf("the policy is %s", policy)
	}
	if a.Header().Get("Cache-Control") != "no-store" || a.Header().Get("Referrer-Policy") != "no-referrer" {
		t.Errorf("headers %v", a.Header())
	}
}

func TestStateComesBackByteForByte(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, state := range []string{"", "s", "a b+c%&=é\u202e", strings.Repeat("x", 4000)} {
		q := ask("RP", callback)
		if q.Set("state", state); state == "" {
			q.Del("state")
		}
		if got := h.authorize(q).back(t, callback); got.Get("state") != state || got.Has("state") != (state != "") || got.Get("code") == "" {
			t.Errorf("%.20q came back as %.20q", state, got.Get("state"))
		}
	}
	if a := h.authorize(ask("RP", callback, "state", strings.Repeat("x", 1<<16))); a.Code != http.StatusRequestEntityTooLarge || a.Header().Get("Location") != "" {
		t.Errorf("64 KiB: %d", a.Code)
	}
}

func TestUnknownParametersAreIgnored(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	h.code(ask("RP", callback, "display", "page", "ui_locales", "xx-YY", "claims_locales", "de", "login_hint", "<b>", "acr_values", "9 8", "no_such_thing", "1"))
}

func TestAPostedRequestIsTheSameRequest(t *testing.T) {
	storetest.OnBothEngines(t, testAPostedRequestIsTheSameRequest)
}

func testAPostedRequestIsTheSameRequest(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/authorize", strings.NewReader(ask("RP", callback).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", "https://rp.example")
	a := h.do(r) // without cookies, as browsers post across sites
	if a.Code != http.StatusSeeOther || !strings.HasPrefix(a.Header().Get("Location"), "/oauth/authorize?") {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	if h.visit(a.Header().Get("Location")).back(t, callback).Get("code") == "" {
		t.Error("no code")
	}
}

func TestTheTokenEndpointReadsFormsOnly(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	form := url.Values{"grant_type": {grantClient}}.Encode()
	send := func(method, query, contentType, body string) answer {
		r := httptest.NewRequest(method, testIssuer+"/oauth/token"+query, strings.NewReader(body))
		r.Header.Set("Content-Type", contentType)
		r.SetBasicAuth("RP", secretOf("RP"))
		return h.do(r)
	}
	const formType = "application/x-www-form-urlencoded"
	send("GET", "?"+form, formType, "").wantError(t, http.StatusMethodNotAllowed, "invalid_request")
	send("POST", "?"+form, formType, "").wantError(t, http.StatusBadRequest, "invalid_request")
	send("POST", "", "application/json", `{"grant_type":"client_credentials"}`).wantError(t, http.StatusUnsupportedMediaType, "invalid_request")
	send("POST", "", "text/plain", form).wantError(t, http.StatusUnsupportedMediaType, "invalid_request")
	send("POST", "", formType+"; charset=utf-16", form).wantError(t, http.StatusUnsupportedMediaType, "invalid_request")
	send("POST", "", formType, "grant_type=authorization_code+password").wantError(t, http.StatusBadRequest, "unsupported_grant_type")
	send("POST", "", formType, "x=y").wantError(t, http.StatusBadRequest, "invalid_request")
	if a := send("POST", "", formType+"; charset=UTF-8", form); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestGrantsAreThoseOfTheHouseAndTheClient(t *testing.T) {
	storetest.OnBothEngines(t, testGrantsAreThoseOfTheHouseAndTheClient)
}

func testGrantsAreThoseOfTheHouseAndTheClient(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for _, grant := range []string{"password", "implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:ietf:params:oauth:grant-type:token-exchange", "Client_Credentials"} {
		h.tokenPost("RP", url.Values{"grant_type": {grant}}).wantError(t, http.StatusBadRequest, "unsupported_grant_type")
	}
	h.tokenPost("OLD", url.Values{"grant_type": {grantClient}}).wantError(t, http.StatusBadRequest, "unauthorized_client")
	h.changeClient("APP", func(c *store.Client) { c.GrantTypes = append(c.GrantTypes, grantClient) })
	h.tokenPost("APP", url.Values{"grant_type": {grantClient}}).wantError(t, http.StatusBadRequest, "unauthorized_client")
}

func TestScopesAreComparedExactly(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, scope := range []string{"*", "chat.x", "CHAT", "chat\u00a0email", "chat\tchat", "cha", "openid", "agent.manage"} {
		h.tokenPost("RP", url.Values{"grant_type": {grantClient}, "scope": {scope}}).wantError(t, http.StatusBadRequest, "invalid_scope")
		if scope == "openid" {
			continue
		}
		if got := h.authorize(ask("RP", callback, "scope", scope)).back(t, callback); got.Get("error") != "invalid_scope" {
			t.Errorf("%q: %v", scope, got)
		}
	}
	if a := h.tokenPost("RP", url.Values{"grant_type": {grantClient}, "scope": {"chat"}}); a.Code != http.StatusOK || a.text("scope") != "chat" {
		t.Errorf("got %s", a.Body)
	}
}

func TestAStoreThatFailsIsAnswered503(t *testing.T) {
	storetest.OnBothEngines(t, testAStoreThatFailsIsAnswered503)
}

func testAStoreThatFailsIsAnswered503(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback))
	h.redeem("RP", callback, "ch_ac_warm-up")
	h.store.down.Store(true)
	a := h.redeem("RP", callback, code)
	a.wantError(t, http.StatusServiceUnavailable, "temporarily_unavailable")
	if a.Header().Get("Retry-After") == "" || strings.Contains(a.Body.String(), "store") {
		t.Errorf("got %v %s", a.Header(), a.Body)
	}
	h.store.down.Store(false)
	if a := h.redeem("RP", callback, code); a.Code != http.StatusOK {
		t.Errorf("the code is gone: %s", a.Body)
	}
}

func TestWhatIsIssuedAndRefusedIsRecorded(t *testing.T) {
	storetest.OnBothEngines(t, testWhatIsIssuedAndRefusedIsRecorded)
}

func testWhatIsIssuedAndRefusedIsRecorded(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("RP", callback))
	h.redeem("MAL", callback, code)
	tokens := h.redeem("RP", callback, code)
	h.refresh("RP", tokens.text("refresh_token"))
	h.redeem("RP", callback, code)
	want := []string{audit.TokenRefused, audit.TokenIssue, audit.TokenRefresh, audit.TokenReuse}
	var got []string
	h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			if err != nil {
				return err
			}
			for _, action := range want {
				if strings.Contains(string(rec.Body), `"a":"`+action+`"`) {
					got = append(got, action)
				}
			}
			if strings.Contains(string(rec.Body), code) || strings.Contains(string(rec.Body), tokens.text("refresh_token")) {
				t.Error("a secret is in the log")
			}
		}
		return nil
	}))
	for _, action := range want {
		if n := strings.Count(strings.Join(got, " ")+" ", action+" "); n != 1 {
			t.Errorf("%s is recorded %d times", action, n)
		}
	}
}
