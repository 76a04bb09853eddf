package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// OpenID Connect Core 1.0, section 3.1; SECURITY's group Authorize, rows 4, 5, 7.

// signInAgain gives the browser a session that began now, as signin would.
func (h *house) signInAgain(agent string) {
	h.t.Helper()
	rec := h.session()
	if agent == rec.AgentID {
		return
	}
	rec.AgentID = agent
	h.update(func(tx store.Tx) error {
		if found, err := store.Agents.Has(tx, agent); err != nil || !found {
			if err := store.Agents.Put(tx, &store.Agent{ID: agent, Email: agent + "@acme.example", Roles: []string{"agents"}}); err != nil {
				return err
			}
		}
		return store.Sessions.Put(tx, &rec)
	})
}

// toSignIn expects the sign-in page, signs the agent in, and comes back.
func (h *house) toSignIn(first answer, agent string) answer {
	h.t.Helper()
	path, ok := strings.CutPrefix(first.Header().Get("Location"), "/sign-in/")
	if !ok {
		h.t.Fatalf("no sign-in: %d %s %.300s", first.Code, first.Header().Get("Location"), first.Body)
	}
	h.pass(time.Second)
	h.signInAgain(agent)
	return h.visit("/oauth/authorize/"+path, first.Result().Cookies()...)
}

func TestWithoutASessionTheAgentSignsInAndComesBack(t *testing.T) {
	storetest.OnBothEngines(t, testWithoutASessionTheAgentSignsInAndComesBack)
}

func testWithoutASessionTheAgentSignsInAndComesBack(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.cookie = ""
	a := h.toSignIn(h.authorize(ask("RP", callback, "state", "kept")), "alice")
	if got := a.back(t, callback); got.Get("code") == "" || got.Get("state") != "kept" || got.Get("iss") != testIssuer {
		t.Errorf("got %v", got)
	}
	for _, c := range a.Result().Cookies() {
		if strings.Contains(c.Name, "flow-") && c.MaxAge < 0 {
			return
		}
	}
	t.Error("the flow's cookie stays")
}

func TestAFlowBelongsToTheBrowserThatBeganIt(t *testing.T) {
	storetest.OnBothEngines(t, testAFlowBelongsToTheBrowserThatBeganIt)
}

func testAFlowBelongsToTheBrowserThatBeganIt(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	cookie := h.cookie
	h.cookie = ""
	first := h.authorize(ask("RP", callback))
	h.cookie = cookie
	path := strings.Replace(first.Header().Get("Location"), "/sign-in/", "/oauth/authorize/", 1)
	h.visit(path).wantPage(t) // another browser, and it is signed in
}

func TestALeftSignInIsAccessDenied(t *testing.T) {
	storetest.OnBothEngines(t, testALeftSignInIsAccessDenied)
}

func testALeftSignInIsAccessDenied(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.cookie = ""
	first := h.authorize(ask("RP", callback))
	path := strings.Replace(first.Header().Get("Location"), "/sign-in/", "/oauth/authorize/", 1)
	got := h.visit(path+"?cancel=1", first.Result().Cookies()...).back(t, callback)
	if got.Get("error") != "access_denied" || got.Get("state") != "s" || got.Get("iss") != testIssuer {
		t.Errorf("got %v", got)
	}
}

func TestPromptNoneAnswersWithoutAPage(t *testing.T) {
	storetest.OnBothEngines(t, testPromptNoneAnswersWithoutAPage)
}

func testPromptNoneAnswersWithoutAPage(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	if h.code(ask("RP", callback, "prompt", "none")) == "" {
		t.Error("no code")
	}
	silent := func(want string, change ...string) {
		t.Helper()
		a := h.authorize(ask("RP", callback, append(change, "prompt", "none")...))
		if got := a.back(t, callback); got.Get("error") != want || got.Has("code") || a.Body.Len() != 0 {
			t.Errorf("%v: got %v", change, got)
		}
	}
	hint := h.tokens("RP", callback).text("id_token")
	if h.code(ask("RP", callback, "prompt", "none", "id_token_hint", hint)) == "" {
		t.Error("no code for the agent's own hint")
	}
	silent("login_required", "max_age", "0")
	silent("login_required", "id_token_hint", "x.y.z")
	silent("login_required", "id_token_hint", unsigned(hint))
	silent("login_required", "id_token_hint", h.tokens("APP", native).text("id_token")) // another client's
	silent("login_required", "id_token_hint", h.tokens("RP", callback).text("access_token"))
	silent("login_required", "claims", `{"id_token":{"acr":{"essential":true,"values":["aal2"]}}}`)
	h.pass(11 * time.Minute)
	silent("login_required", "id_token_hint", hint) // expired
	h.signInAgain("bob")
	silent("login_required", "id_token_hint", h.idTokenOf("alice"))
	h.allowOnly("")
	silent("access_denied")
	h.cookie = ""
	silent("login_required")
}

func unsigned(token string) string {
	return "eyJhbGciOiJub25lIn0." + strings.Split(token, ".")[1] + "."
}

func (h *house) idTokenOf(agent string) string {
	return h.sign(keys.RS256, idTokenType, map[string]any{"iss": testIssuer, "sub": agent, "aud": "RP", "exp": h.now().Add(time.Minute).Unix()})
}

func TestPromptLoginAndMaxAgeMakeANewSignIn(t *testing.T) {
	storetest.OnBothEngines(t, testPromptLoginAndMaxAgeMakeANewSignIn)
}

func testPromptLoginAndMaxAgeMakeANewSignIn(t *testing.T, on storetest.Engine) {
	for _, change := range [][]string{{"prompt", "login"}, {"prompt", "select_account"}, {"max_age", "0"}, {"max_age", "1"}} {
		h := newFlows(t, on)
		h.pass(2 * time.Second)
		before := h.onlySession().AuthTime
		a := h.toSignIn(h.authorize(ask("RP", callback, change...)), "alice")
		code := a.back(t, callback).Get("code")
		claims := payload(t, h.redeem("RP", callback, code).text("id_token"))
		if int64(claims["auth_time"].(float64)) <= before.Unix() {
			t.Errorf("%v: auth_time %v is not newer than %v", change, claims["auth_time"], before)
		}
	}
}

func TestAnOldSessionDoesNotSatisfyPromptLogin(t *testing.T) {
	storetest.OnBothEngines(t, testAnOldSessionDoesNotSatisfyPromptLogin)
}

func testAnOldSessionDoesNotSatisfyPromptLogin(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.authorize(ask("RP", callback, "prompt", "login"))
	path := strings.Replace(first.Header().Get("Location"), "/sign-in/", "/oauth/authorize/", 1)
	again := h.visit(path, first.Result().Cookies()...)
	if again.Header().Get("Location") != first.Header().Get("Location") {
		t.Errorf("got %d %s", again.Code, again.Header().Get("Location"))
	}
}

func TestMaxAgeIsANumberOfSeconds(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, junk := range []string{"-1", "abc", "1e3", "+1", "1.5", " 1", "99999999999999999999"} {
		if got := h.authorize(ask("RP", callback, "max_age", junk)).back(t, callback); got.Get("error") != "invalid_request" {
			t.Errorf("%q: %v", junk, got)
		}
	}
	h.code(ask("RP", callback, "max_age", "9223372036854775807"))
	zero := 0
	h.changeClient("RP", func(c *store.Client) { c.DefaultMaxAge = &zero })
	if a := h.authorize(ask("RP", callback)); !strings.HasPrefix(a.Header().Get("Location"), "/sign-in/") {
		t.Errorf("default_max_age: %d %s", a.Code, a.Header().Get("Location"))
	}
}

func TestAHintOrSubOfAnotherAgentNeverSwitchesSilently(t *testing.T) {
	storetest.OnBothEngines(t, testAHintOrSubOfAnotherAgentNeverSwitchesSilently)
}

func testAHintOrSubOfAnotherAgentNeverSwitchesSilently(t *testing.T, on storetest.Engine) {
	for name, change := range map[string]func(*house) []string{
		"hint":  func(h *house) []string { return []string{"id_token_hint", h.idTokenOf("bob")} },
		"claim": func(*house) []string { return []string{"claims", `{"id_token":{"sub":{"value":"bob"}}}`} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFlows(t, on)
			wrong := h.toSignIn(h.authorize(ask("RP", callback, change(h)...)), "alice")
			if got := wrong.back(t, callback); got.Get("error") != "login_required" {
				t.Errorf("alice signed in again: %v", got)
			}
			right := h.toSignIn(h.authorize(ask("RP", callback, change(h)...)), "bob")
			if got := right.back(t, callback); got.Get("code") == "" {
				t.Errorf("bob signed in: %v", got)
			}
		})
	}
	h := newFlows(t, on)
	if got := h.authorize(ask("RP", callback, "id_token_hint", "junk")).back(t, callback); got.Get("error") != "invalid_request" {
		t.Errorf("junk: %v", got)
	}
}

func TestRequestObjectsAreRefusedByTheirOwnCodes(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, scope := range []string{"openid", "chat"} {
		for name, want := range map[string]string{"request": "request_not_supported", "request_uri": "request_uri_not_supported", "registration": "registration_not_supported"} {
			if got := h.authorize(ask("RP", callback, "scope", scope, name, "eyJhbGciOiJub25lIn0.e30.")).back(t, callback); got.Get("error") != want || got.Has("code") {
				t.Errorf("%s: %v", name, got)
			}
		}
	}
}

func TestPromptsAreTheFourAndNoneStandsAlone(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	for _, prompt := range []string{"none login", "LOGIN", "create"} {
		if got := h.authorize(ask("RP", callback, "prompt", prompt)).back(t, callback); got.Get("error") != "invalid_request" {
			t.Errorf("%q: %v", prompt, got)
		}
	}
}

func TestTheClaimsParameterAsksForClaims(t *testing.T) {
	storetest.OnBothEngines(t, testTheClaimsParameterAsksForClaims)
}

func testTheClaimsParameterAsksForClaims(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	a := h.tokens("RP", callback, "scope", "openid", "claims", `{"id_token":{"name":{"essential":true},"email":null,"phone_number":null},"userinfo":{"name":{"essential":true}}}`)
	claims := payload(t, a.text("id_token"))
	if claims["name"] != "Alice Adams" || claims["email"] != "alice@acme.example" || claims["phone_number"] != nil {
		t.Errorf("got %v", claims)
	}
	if info := h.get("/oauth/userinfo", "Authorization", "Bearer "+a.text("access_token")); info.text("name") != "Alice Adams" {
		t.Errorf("got %s", info.Body)
	}
	for _, junk := range []string{"x", "[]", `{"id_token":{"acr":1}}`, `{"id_token":{},"id_token":{}}`, "{}x", strings.Repeat(`{"a":`, 99), `{"id_token":{"sub":{"value":1}}}`} {
		if got := h.authorize(ask("RP", callback, "claims", junk)).back(t, callback); got.Get("error") != "invalid_request" {
			t.Errorf("%q: %v", junk, got)
		}
	}
}

func TestAnAssuranceThatCannotBeHadIsRefusedAndNeverOverstated(t *testing.T) {
	storetest.OnBothEngines(t, testAnAssuranceThatCannotBeHadIsRefusedAndNeverOverstated)
}

func testAnAssuranceThatCannotBeHadIsRefusedAndNeverOverstated(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.authorize(ask("RP", callback, "claims", `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`))
	if got := h.toSignIn(first, "alice").back(t, callback); got.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("got %v", got)
	}
	if got := h.authorize(ask("RP", callback, "claims", `{"id_token":{"acr":{"essential":true,"value":"silver"}}}`)).back(t, callback); got.Get("error") != "unmet_authentication_requirements" {
		t.Errorf("an unknown one: %v", got)
	}
	a := h.tokens("RP", callback, "acr_values", "phr aal2")
	if claims := payload(t, a.text("id_token")); claims["acr"] == "phr" || claims["acr"] == "aal2" {
		t.Errorf("got %v", claims)
	}
}

func TestAnIDTokenSaysWhoForWhomAndWhen(t *testing.T) {
	storetest.OnBothEngines(t, testAnIDTokenSaysWhoForWhomAndWhen)
}

func testAnIDTokenSaysWhoForWhomAndWhen(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	rec := h.onlySession()
	rec.ACR, rec.AMR = "aal1", []string{"pwd"}
	h.update(func(tx store.Tx) error { return store.Sessions.Put(tx, &rec) })
	for alg, want := range map[string]string{"": keys.RS256, keys.RS256: keys.RS256, keys.ES256: keys.ES256} {
		h.changeClient("RP", func(c *store.Client) { c.IDTokenAlg = alg })
		a := h.tokens("RP", callback, "nonce", "short", "scope", "openid roles")
		raw, used, err := h.keys.Verify(t.Context(), h.site(), a.text("id_token"), idTokenType)
		if err != nil || used != want || len(raw) == 0 {
			t.Fatalf("%q: %s, %v", alg, used, err)
		}
		c := payload(t, a.text("id_token"))
		if c["iss"] != testIssuer || c["sub"] != "alice" || c["aud"] != "RP" || c["nonce"] != "short" || c["sid"] != rec.SID || c["acr"] != "aal1" || c["azp"] != nil ||
			c["at_hash"] != keys.AtHash(want, a.text("access_token")) || c["auth_time"] != float64(rec.AuthTime.Unix()) || c["exp"].(float64)-c["iat"].(float64) != 600 || !contains(c["amr"], "pwd") || !contains(c["roles"], "agents") {
			t.Errorf("got %v", c)
		}
		if c["email"] != nil || c["name"] != nil {
			t.Errorf("personal claims that nobody asked to have here: %v", c)
		}
	}
	if a := h.tokens("RP", callback, "scope", "chat"); a.JSON["id_token"] != nil {
		t.Errorf("without openid: %s", a.Body)
	}
}

func TestANetworkRefusalIsAPageOfOurs(t *testing.T) {
	storetest.OnBothEngines(t, testANetworkRefusalIsAPageOfOurs)
}

func testANetworkRefusalIsAPageOfOurs(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.allowOnly("203.0.113.0/24")
	a := h.authorize(ask("RP", callback))
	if a.Code != http.StatusForbidden || a.Header().Get("Location") != "" || !strings.Contains(a.Body.String(), "192.0.2.1") {
		t.Errorf("got %d %.300s", a.Code, a.Body)
	}
	h.changeSettings(func(s *store.Settings) { s.Allowlist.Console = false })
	h.code(ask("RP", callback)) // the list is for mobile clients only
	if a := h.authorize(ask("APP", native)); a.Code != http.StatusForbidden {
		t.Errorf("got %d", a.Code)
	}
}

func TestACodeFromAForbiddenNetworkIsRefusedAndNotUsedUp(t *testing.T) {
	storetest.OnBothEngines(t, testACodeFromAForbiddenNetworkIsRefusedAndNotUsedUp)
}

func testACodeFromAForbiddenNetworkIsRefusedAndNotUsedUp(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	code := h.code(ask("APP", native))
	h.allowOnly("203.0.113.0/24")
	h.redeem("APP", native, code).wantError(t, http.StatusForbidden, "access_denied")
	h.allowOnly("192.0.2.0/24")
	if a := h.redeem("APP", native, code); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestEveryAnswerNamesTheIssuer(t *testing.T) {
	storetest.OnBothEngines(t, testEveryAnswerNamesTheIssuer)
}

func testEveryAnswerNamesTheIssuer(t *testing.T, on storetest.Engine) { // RFC 9207
	h := newFlows(t, on)
	for _, change := range [][]string{nil, {"response_type", "token"}, {"prompt", "none", "max_age", "0"}} {
		a := h.authorize(ask("RP", callback, change...))
		if got := a.back(t, callback); got.Get("iss") != testIssuer || got.Get("state") != "s" {
			t.Errorf("%v: %v", change, got)
		}
		if a.Header().Get("Cache-Control") != "no-store" || a.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v: %v", change, a.Header())
		}
	}
}

// Consent: SECURITY's group Authorize, rows 4 and 6.

const third = "https://third.example/cb"

func TestAThirdPartyNeedsConsentOnce(t *testing.T) {
	storetest.OnBothEngines(t, testAThirdPartyNeedsConsentOnce)
}

func testAThirdPartyNeedsConsentOnce(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	q := ask("THIRD", third, "scope", "openid email chat.monitor")
	if got := h.authorize(ask("THIRD", third, "prompt", "none")).back(t, third); got.Get("error") != "consent_required" {
		t.Errorf("silent: %v", got)
	}
	page, submit := h.consent(q)
	for _, want := range []string{"Reports", "Otherwise Ltd", "Alice Adams", `id="allow"`, `id="deny"`, "Watch live chats"} {
		if !strings.Contains(page.Body.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	if policy := page.Header().Get("Content-Security-Policy"); !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "form-action 'self' https://third.example;") {
		t.Errorf("the policy is %s", policy)
	}
	got := submit("allow", "scope", "openid email chat.monitor offline_access agent.manage")
	a := h.redeem("THIRD", third, got.back(t, third).Get("code"))
	if a.text("scope") != "openid email chat.monitor" || a.JSON["refresh_token"] != nil {
		t.Errorf("the form has granted more than was shown: %s", a.Body)
	}
	h.code(q) // remembered
	h.code(ask("THIRD", third, "scope", "openid"))
	if a := h.authorize(ask("THIRD", third, "scope", "openid visitor.ban")); !strings.HasPrefix(a.Header().Get("Location"), "/consent/") {
		t.Errorf("more than was agreed to: %d %s", a.Code, a.Header().Get("Location"))
	}
	q.Set("prompt", "consent")
	_, submit = h.consent(q)
	if submit("allow").back(t, third).Get("code") == "" {
		t.Error("no code")
	}
}

func TestADeniedConsentIsAccessDeniedAndNotRemembered(t *testing.T) {
	storetest.OnBothEngines(t, testADeniedConsentIsAccessDeniedAndNotRemembered)
}

func testADeniedConsentIsAccessDeniedAndNotRemembered(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for range 2 {
		_, submit := h.consent(ask("THIRD", third))
		if got := submit("deny").back(t, third); got.Get("error") != "access_denied" || got.Has("code") || got.Get("state") != "s" {
			t.Errorf("got %v", got)
		}
	}
}

func TestAConsentFormIsTheFlowsOwn(t *testing.T) {
	storetest.OnBothEngines(t, testAConsentFormIsTheFlowsOwn)
}

func testAConsentFormIsTheFlowsOwn(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	_, other := h.consent(ask("THIRD", third, "scope", "openid"))
	_, submit := h.consent(ask("THIRD", third, "scope", "openid agent.manage"))
	if a := submit("allow", "csrf", ""); a.Code != http.StatusForbidden {
		t.Errorf("no csrf: %d", a.Code)
	}
	if a := submit("allow", "csrf", "x"); a.Code != http.StatusForbidden {
		t.Errorf("a foreign csrf: %d", a.Code)
	}
	first := h.authorize(ask("THIRD", third))
	for origin, site := range map[string]string{"https://evil.example": "cross-site", "null": "cross-site", "https://evil.example ": ""} {
		r := httptest.NewRequest(http.MethodPost, testIssuer+first.Header().Get("Location"), strings.NewReader(url.Values{"decision": {"allow"}}.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", strings.TrimSpace(origin))
		if site != "" {
			r.Header.Set("Sec-Fetch-Site", site)
		}
		h.addCookie(r)
		for _, c := range first.Result().Cookies() {
			r.AddCookie(c)
		}
		if a := h.do(r); a.Code != http.StatusForbidden {
			t.Errorf("from %s: %d", origin, a.Code)
		}
	}
	h.signInAgain("alice") // another session than the page was shown in
	if a := other("allow"); a.Code != http.StatusForbidden {
		t.Errorf("another session: %d", a.Code)
	}
	h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
		if found, err := store.Consents.Has(tx, store.ConsentKey("alice", "THIRD")); err != nil || found {
			t.Errorf("a refused form has granted something (%v)", err)
		}
		return nil
	}))
}

func TestACodeOfBeforeConsentWasWithdrawnBuysNothing(t *testing.T) {
	storetest.OnBothEngines(t, testACodeOfBeforeConsentWasWithdrawnBuysNothing)
}

func testACodeOfBeforeConsentWasWithdrawnBuysNothing(t *testing.T, on storetest.Engine) {
	for name, withdraw := range map[string]func(store.Tx) error{
		"all of it": func(tx store.Tx) error { return store.Consents.Delete(tx, store.ConsentKey("alice", "THIRD")) },
		"a part": func(tx store.Tx) error {
			c, err := store.Consents.Get(tx, store.ConsentKey("alice", "THIRD"))
			if err != nil {
				return err
			}
			c.Scopes = slices.DeleteFunc(c.Scopes, func(s string) bool { return s == "visitor.ban" })
			return store.Consents.Put(tx, &c)
		},
	} {
		h := newFlows(t, on)
		_, submit := h.consent(ask("THIRD", third, "scope", "openid offline_access chat.monitor visitor.ban"))
		code := submit("allow").back(t, third).Get("code")
		h.update(withdraw)
		if a := h.redeem("THIRD", third, code); a.Code != http.StatusBadRequest || a.text("error") != "invalid_grant" {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
}

func TestWithdrawnConsentEndsRefreshing(t *testing.T) {
	storetest.OnBothEngines(t, testWithdrawnConsentEndsRefreshing)
}

func testWithdrawnConsentEndsRefreshing(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	_, submit := h.consent(ask("THIRD", third, "scope", "openid offline_access chat.monitor visitor.ban"))
	a := h.redeem("THIRD", third, submit("allow").back(t, third).Get("code"))
	h.update(func(tx store.Tx) error {
		c, err := store.Consents.Get(tx, store.ConsentKey("alice", "THIRD"))
		if err != nil {
			return err
		}
		c.Scopes = slices.DeleteFunc(c.Scopes, func(s string) bool { return s == "visitor.ban" })
		return store.Consents.Put(tx, &c)
	})
	a = h.refresh("THIRD", a.text("refresh_token"))
	if got := payload(t, a.text("access_token"))["entitlements"]; contains(got, "visitor.ban") || !contains(got, "chat.monitor") {
		t.Errorf("entitlements %v", got)
	}
	h.update(func(tx store.Tx) error { return store.Consents.Delete(tx, store.ConsentKey("alice", "THIRD")) })
	h.refresh("THIRD", a.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}
