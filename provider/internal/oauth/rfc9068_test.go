package oauth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 9068 (access tokens) and RFC 8707 (resources); DESIGN's claims.

func TestAnAccessTokenSaysWhoWhatAndWhereFrom(t *testing.T) {
	storetest.OnBothEngines(t, testAnAccessTokenSaysWhoWhatAndWhereFrom)
}

func testAnAccessTokenSaysWhoWhatAndWhereFrom(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.changeClient("RP", func(c *store.Client) { c.DefaultResource = testResource })
	a := h.tokens("RP", callback, "scope", "openid chat")
	head, err := base64.RawURLEncoding.DecodeString(strings.Split(a.text("access_token"), ".")[0])
	h.ok(err)
	var header map[string]string
	h.ok(json.Unmarshal(head, &header))
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" || header["kid"] == "" {
		t.Errorf("header %s", head)
	}
	c := payload(t, a.text("access_token"))
	rec := h.onlySession()
	grant, _, _ := strings.Cut(c["jti"].(string), ".")
	for name, want := range map[string]any{
		"iss": testIssuer, "sub": "alice", "aud": testResource, "client_id": "RP", "scope": "openid chat", "sid": rec.SID, "site": "", "subject_type": "agent",
		"roles": []any{"agents", "supervisors"}, "groups": []any{"billing"}, "auth_time": float64(rec.AuthTime.Unix()),
	} {
		if diff := cmp.Diff(want, c[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if c["exp"].(float64)-c["iat"].(float64) != 300 || len(grant) != 22 || !contains(c["entitlements"], "visitor.ban") || c["allowed_networks"] != nil {
		t.Errorf("got %v", c)
	}
}

func TestAuthorityIsWhatAgentScopesAndClientHaveInCommon(t *testing.T) {
	storetest.OnBothEngines(t, testAuthorityIsWhatAgentScopesAndClientHaveInCommon)
}

func testAuthorityIsWhatAgentScopesAndClientHaveInCommon(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	_, submit := h.consent(ask("THIRD", third, "scope", "openid chat.monitor agent.manage"))
	a := h.redeem("THIRD", third, submit("allow").back(t, third).Get("code"))
	c := payload(t, a.text("access_token"))
	if diff := cmp.Diff([]any{"chat.monitor"}, c["entitlements"]); diff != "" { // alice may not manage agents
		t.Error(diff)
	}
	if c["roles"] != nil || c["groups"] != nil {
		t.Errorf("roles that were not asked for: %v", c)
	}
	if got := h.authorize(ask("THIRD", third, "scope", "chat")).back(t, third); got.Get("error") != "invalid_scope" {
		t.Errorf("chat for a third party: %v", got)
	}
	h.changeClient("THIRD", func(c *store.Client) { c.Scope += " chat" }) // however it came to be there
	if got := h.authorize(ask("THIRD", third, "scope", "chat")).back(t, third); got.Get("error") != "invalid_scope" {
		t.Errorf("chat for a third party: %v", got)
	}
	h.setRoles(policy.Administrators)
	if got := payload(t, h.tokens("RP", callback, "scope", "chat").text("access_token"))["entitlements"].([]any); len(got) != len(policy.AllPermissions()) {
		t.Errorf("an administrator has %d permissions", len(got))
	}
}

func TestAResourceThatLooksGetsTheNetworks(t *testing.T) {
	storetest.OnBothEngines(t, testAResourceThatLooksGetsTheNetworks)
}

func testAResourceThatLooksGetsTheNetworks(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	claims := func(resource string) map[string]any {
		return payload(t, h.tokens("RP", callback, "scope", "chat", "resource", resource).text("access_token"))
	}
	h.allowOnly("192.0.2.0/24")
	if diff := cmp.Diff([]any{"192.0.2.0/24"}, claims(testResource)["allowed_networks"]); diff != "" {
		t.Error(diff)
	}
	if c := claims(""); c["aud"] != testIssuer || c["allowed_networks"] != nil {
		t.Errorf("a resource that does not look: %v", c)
	}
	h.changeSettings(func(s *store.Settings) {
		for i := range policy.MaxTokenNetworks {
			s.Allowlist.Entries = append(s.Allowlist.Entries, store.AllowlistEntry{IP: fmt.Sprintf("10.0.%d.1", i)})
		}
	})
	if c := claims(testResource); c["allowed_networks"] != nil || c["allowed_networks_check"] != "remote" {
		t.Errorf("too many networks: %v", c)
	}
	h.changeSettings(func(s *store.Settings) { s.Allowlist.Enabled = false })
	if c := claims(testResource); c["allowed_networks"] != nil || c["allowed_networks_check"] != nil {
		t.Errorf("the list is off: %v", c)
	}
}

func TestAResourceIsOneOfTheSitesAndTheClients(t *testing.T) {
	storetest.OnBothEngines(t, testAResourceIsOneOfTheSitesAndTheClients)
}

func testAResourceIsOneOfTheSitesAndTheClients(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for _, bad := range []string{"https://other.example", testResource + "/", testResource + "/x", strings.ToUpper(testResource), "*", "chat"} {
		if got := h.authorize(ask("RP", callback, "resource", bad)).back(t, callback); got.Get("error") != "invalid_target" {
			t.Errorf("%s: %v", bad, got)
		}
		h.tokenPost("RP", url.Values{"grant_type": {grantClient}, "resource": {bad}}).wantError(t, http.StatusBadRequest, "invalid_target")
	}
	code := h.code(ask("RP", callback, "resource", testResource))
	h.redeem("RP", callback, code, "resource", testIssuer).wantError(t, http.StatusBadRequest, "invalid_target")
	a := h.redeem("RP", callback, code, "resource", testResource)
	if payload(t, a.text("access_token"))["aud"] != testResource {
		t.Errorf("got %s", a.Body)
	}
	h.refresh("RP", a.text("refresh_token"), "resource", testIssuer).wantError(t, http.StatusBadRequest, "invalid_target")
	h.changeClient("RP", func(c *store.Client) { c.Resources = []string{"https://elsewhere.example"} })
	h.refresh("RP", a.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_target")
	if a := h.tokens("RP", callback); payload(t, a.text("access_token"))["aud"] != testIssuer {
		t.Errorf("without resource and default: %s", a.Body)
	}
	h.changeClient("RP", func(c *store.Client) { c.DefaultResource = "https://gone.example" })
	h.tokenPost("RP", url.Values{"grant_type": {grantClient}}).wantError(t, http.StatusBadRequest, "invalid_target")
}

func TestAnOpaqueTokenIsStoredByItsHashAndDiesWithItsFamily(t *testing.T) {
	storetest.OnBothEngines(t, testAnOpaqueTokenIsStoredByItsHashAndDiesWithItsFamily)
}

func testAnOpaqueTokenIsStoredByItsHashAndDiesWithItsFamily(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.changeSettings(func(s *store.Settings) { s.Resources[0].AccessTokenFormat = "opaque" })
	h.changeClient("RP", func(c *store.Client) { c.DefaultResource = testResource })
	a := h.tokens("RP", callback, "scope", "openid offline_access chat")
	for _, token := range []string{a.text("access_token"), h.tokenPost("RP", url.Values{"grant_type": {grantClient}}).text("access_token"), h.refresh("RP", a.text("refresh_token")).text("access_token")} {
		if !strings.HasPrefix(token, accessPrefix) || strings.Contains(token, ".") {
			t.Errorf("got %s", token)
		}
		h.wantActive("RP", token, true)
	}
	h.pass(refreshGrace)
	h.refresh("RP", a.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.wantActive("RP", a.text("access_token"), false)
}

func TestAClientsOwnTokenIsItsOwn(t *testing.T) {
	storetest.OnBothEngines(t, testAClientsOwnTokenIsItsOwn)
}

func testAClientsOwnTokenIsItsOwn(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	a := h.tokenPost("THIRD", url.Values{"grant_type": {grantClient}, "scope": {"chat.monitor"}})
	c := payload(t, a.text("access_token"))
	if a.JSON["refresh_token"] != nil || a.JSON["id_token"] != nil || c["sub"] != "THIRD" || c["subject_type"] != "client" || c["sid"] != nil || c["auth_time"] != nil || c["aud"] != testIssuer {
		t.Errorf("got %s: %v", a.Body, c)
	}
	if diff := cmp.Diff([]any{"chat.monitor"}, c["entitlements"]); diff != "" {
		t.Error(diff)
	}
	all := h.tokenPost("THIRD", url.Values{"grant_type": {grantClient}})
	if all.text("scope") != "chat.monitor visitor.ban agent.manage" {
		t.Errorf("without scope: %s", all.Body)
	}
}

func TestReservedClaimsAreNeverAnAgentsToChoose(t *testing.T) {
	storetest.OnBothEngines(t, testReservedClaimsAreNeverAnAgentsToChoose)
}

func testReservedClaimsAreNeverAnAgentsToChoose(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.changeAgent(func(a *store.Agent) { a.Name, a.Locale = `","sub":"root","roles":["administrators"]`, "__proto__" })
	a := h.tokens("RP", callback, "scope", "openid profile chat", "claims", `{"id_token":{"sub":null,"iss":null,"aud":null,"name":null,"__proto__":null}}`)
	for _, token := range []string{a.text("access_token"), a.text("id_token")} {
		if c := payload(t, token); c["sub"] != "alice" || c["iss"] != testIssuer || contains(c["roles"], "administrators") {
			t.Errorf("got %v", c)
		}
	}
}
