package oauth

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 6749, section 6, and RFC 9700, section 4.14; SECURITY's group Refresh tokens.

func TestARefreshTokenRotates(t *testing.T) { storetest.OnBothEngines(t, testARefreshTokenRotates) }

func testARefreshTokenRotates(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback)
	second := h.refresh("RP", first.text("refresh_token"))
	if second.Code != http.StatusOK || second.text("refresh_token") == first.text("refresh_token") || second.text("access_token") == first.text("access_token") {
		t.Fatalf("got %d %s", second.Code, second.Body)
	}
	h.wantActive("RP", second.text("access_token"), true)
	third := h.refresh("RP", second.text("refresh_token"))
	if third.Code != http.StatusOK {
		t.Errorf("got %d %s", third.Code, third.Body)
	}
}

func TestAFamilyOfWhichAllOfTheHashIsStoredGoesOn(t *testing.T) {
	storetest.OnBothEngines(t, testAFamilyOfWhichAllOfTheHashIsStoredGoesOn)
}

// Of older families the whole SHA-256 was stored.
func testAFamilyOfWhichAllOfTheHashIsStoredGoesOn(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback)
	token, ok := strings.CutPrefix(first.text("refresh_token"), refreshPrefix)
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || !ok {
		t.Fatal(ok, err)
	}
	sum := sha256.Sum256([]byte(first.text("refresh_token")))
	h.update(func(tx store.Tx) error {
		g, err := store.Grants.Get(tx, base64.RawURLEncoding.EncodeToString(raw[:familySize]))
		if err != nil || len(g.Current) != sumSize || !bytes.HasPrefix(sum[:], g.Current) {
			t.Fatalf("stored is %x, %v", g.Current, err)
		}
		g.Current = sum[:]
		return store.Grants.Put(tx, &g)
	})
	second := h.refresh("RP", first.text("refresh_token"))
	if second.Code != http.StatusOK {
		t.Fatalf("got %d %s", second.Code, second.Body)
	}
	if again := h.refresh("RP", first.text("refresh_token")); again.text("refresh_token") != second.text("refresh_token") {
		t.Errorf("repeated: %d %s", again.Code, again.Body)
	}
	h.pass(refreshGrace)
	h.refresh("RP", first.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestAReusedRefreshTokenEndsItsFamily(t *testing.T) {
	storetest.OnBothEngines(t, testAReusedRefreshTokenEndsItsFamily)
}

func testAReusedRefreshTokenEndsItsFamily(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback)
	second := h.refresh("RP", first.text("refresh_token"))
	h.pass(refreshGrace)
	h.refresh("RP", first.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.refresh("RP", second.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.wantActive("RP", second.text("access_token"), false)
	if n := h.grantsAlive(); n != 0 {
		t.Errorf("%d families live", n)
	}
}

func TestARepeatedRefreshGetsTheSameSuccessor(t *testing.T) {
	storetest.OnBothEngines(t, testARepeatedRefreshGetsTheSameSuccessor)
}

func testARepeatedRefreshGetsTheSameSuccessor(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback)
	second := h.refresh("RP", first.text("refresh_token"))
	h.pass(refreshGrace - time.Second)
	again := h.refresh("RP", first.text("refresh_token"))
	if again.text("refresh_token") != second.text("refresh_token") || again.text("access_token") == second.text("access_token") {
		t.Fatalf("got %d %s", again.Code, again.Body)
	}
	if a := h.refresh("RP", second.text("refresh_token")); a.Code != http.StatusOK {
		t.Fatalf("the successor does not work: %s", a.Body)
	}
	h.refresh("RP", first.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant") // its successor has been used
	if n := h.grantsAlive(); n != 0 {
		t.Errorf("%d families live", n)
	}
}

func TestAReuseOfAnyOlderTokenIsRecognised(t *testing.T) {
	storetest.OnBothEngines(t, testAReuseOfAnyOlderTokenIsRecognised)
}

func testAReuseOfAnyOlderTokenIsRecognised(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	old := []string{h.tokens("RP", callback).text("refresh_token")}
	for range 5 {
		old = append(old, h.refresh("RP", old[len(old)-1]).text("refresh_token"))
	}
	h.refresh("RP", old[1]).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.refresh("RP", old[5]).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestAForgedRefreshTokenTouchesNothing(t *testing.T) {
	storetest.OnBothEngines(t, testAForgedRefreshTokenTouchesNothing)
}

func testAForgedRefreshTokenTouchesNothing(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback).text("refresh_token")
	live := h.refresh("RP", first).text("refresh_token")
	h.pass(time.Minute)
	raw, err := base64.RawURLEncoding.DecodeString(strings.TrimPrefix(first, refreshPrefix))
	h.ok(err)
	forge := func(change func([]byte)) string {
		b := slices.Clone(raw)
		change(b)
		return refreshPrefix + base64.RawURLEncoding.EncodeToString(b)
	}
	for name, token := range map[string]string{
		"tag":          forge(func(b []byte) { b[len(b)-1] ^= 1 }),
		"secret":       forge(func(b []byte) { b[headSize] ^= 1 }),
		"generation":   forge(func(b []byte) { b[headSize-1]++ }),
		"family":       forge(func(b []byte) { b[0] ^= 1 }),
		"first half":   "AAAA." + first[len(first)/2:],
		"no prefix":    strings.TrimPrefix(first, refreshPrefix),
		"padding":      first + "=",
		"a line break": first[:20] + "\n" + first[20:],
		"empty":        "",
		"40 KB":        strings.Repeat("a", 40<<10),
	} {
		h.refresh("RP", token).wantError(t, http.StatusBadRequest, "invalid_grant")
		if h.grantsAlive() != 1 {
			t.Fatalf("%s: the family is dead", name)
		}
	}
	if a := h.refresh("RP", live); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestAnotherClientsAttemptTouchesNothing(t *testing.T) {
	storetest.OnBothEngines(t, testAnotherClientsAttemptTouchesNothing)
}

func testAnotherClientsAttemptTouchesNothing(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	first := h.tokens("RP", callback).text("refresh_token")
	live := h.refresh("RP", first).text("refresh_token")
	h.pass(time.Minute)
	for _, token := range []string{first, live} {
		h.refresh("MAL", token).wantError(t, http.StatusBadRequest, "invalid_grant")
		h.refresh("APP", token).wantError(t, http.StatusBadRequest, "invalid_grant")
	}
	if a := h.refresh("RP", live); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestAFamilySlidesAndHasAnAbsoluteEnd(t *testing.T) {
	storetest.OnBothEngines(t, testAFamilySlidesAndHasAnAbsoluteEnd)
}

func testAFamilySlidesAndHasAnAbsoluteEnd(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.changeSettings(func(s *store.Settings) { s.Lifetimes.RefreshIdle, s.Lifetimes.RefreshAbsolute = 3600, 4*3600 })
	token := h.tokens("RP", callback).text("refresh_token")
	for range 4 {
		h.pass(59 * time.Minute)
		a := h.refresh("RP", token)
		if a.Code != http.StatusOK {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
		token = a.text("refresh_token")
	}
	h.pass(5 * time.Minute)
	h.refresh("RP", token).wantError(t, http.StatusBadRequest, "invalid_grant")

	idle := h.tokens("RP", callback).text("refresh_token")
	h.pass(time.Hour)
	h.refresh("RP", idle).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestAConfidentialClientMayBeRegisteredWithoutRotation(t *testing.T) {
	storetest.OnBothEngines(t, testAConfidentialClientMayBeRegisteredWithoutRotation)
}

func testAConfidentialClientMayBeRegisteredWithoutRotation(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	for _, id := range []string{"RP", "APP"} {
		h.changeClient(id, func(c *store.Client) { c.RotateRefreshTokens = false })
	}
	first := h.tokens("RP", callback).text("refresh_token")
	for range 3 {
		h.pass(time.Hour)
		if a := h.refresh("RP", first); a.text("refresh_token") != first {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
	}
	public := h.tokens("APP", native).text("refresh_token")
	if a := h.refresh("APP", public); a.Code != http.StatusOK || a.text("refresh_token") == public {
		t.Errorf("a public client's does not rotate: %s", a.Body)
	}
}

func TestARefreshNarrowsScopesAndNeverWidensThem(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshNarrowsScopesAndNeverWidensThem)
}

func testARefreshNarrowsScopesAndNeverWidensThem(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	token := h.tokens("RP", callback, "scope", "openid email offline_access").text("refresh_token")
	h.refresh("RP", token, "scope", "openid chat").wantError(t, http.StatusBadRequest, "invalid_scope")
	narrow := h.refresh("RP", token, "scope", "email")
	if narrow.Code != http.StatusOK || narrow.text("scope") != "email" || payload(t, narrow.text("access_token"))["scope"] != "email" || narrow.JSON["id_token"] != nil {
		t.Fatalf("got %d %s", narrow.Code, narrow.Body)
	}
	if a := h.refresh("RP", narrow.text("refresh_token")); a.text("scope") != "openid email offline_access" {
		t.Errorf("got %s", a.Body)
	}
}

func TestARefreshSeesWhatHasChanged(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshSeesWhatHasChanged)
}

func testARefreshSeesWhatHasChanged(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	a := h.tokens("RP", callback, "scope", "offline_access chat")
	if got := payload(t, a.text("access_token"))["entitlements"]; !contains(got, "visitor.ban") {
		t.Fatalf("entitlements %v", got)
	}
	h.setRoles("agents")
	a = h.refresh("RP", a.text("refresh_token"))
	claims := payload(t, a.text("access_token"))
	if contains(claims["entitlements"], "visitor.ban") || contains(claims["roles"], "supervisors") {
		t.Errorf("the lost role is still there: %v", claims)
	}
	h.changeClient("RP", func(c *store.Client) { c.Scope = "openid chat" })
	h.refresh("RP", a.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func contains(list any, text string) bool {
	values, _ := list.([]any)
	return slices.Contains(values, any(text))
}

func TestARefreshedIDTokenSaysWhenTheAgentReallySignedIn(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshedIDTokenSaysWhenTheAgentReallySignedIn)
}

func testARefreshedIDTokenSaysWhenTheAgentReallySignedIn(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	a := h.tokens("RP", callback, "nonce", "N")
	before := payload(t, a.text("id_token"))
	h.pass(time.Hour)
	a = h.refresh("RP", a.text("refresh_token"))
	after := payload(t, a.text("id_token"))
	if after["auth_time"] != before["auth_time"] || after["acr"] != before["acr"] || after["sub"] != before["sub"] || after["nonce"] != nil || after["iat"] == before["iat"] {
		t.Errorf("before %v, after %v", before, after)
	}
	h.changeClient("RP", func(c *store.Client) { c.IDTokenOnRefresh = false })
	if a := h.refresh("RP", a.text("refresh_token")); a.JSON["id_token"] != nil {
		t.Error("an ID token that the client does not want")
	}
}

func TestARefreshFromAForbiddenNetworkIsRefusedAndLosesNothing(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshFromAForbiddenNetworkIsRefusedAndLosesNothing)
}

func testARefreshFromAForbiddenNetworkIsRefusedAndLosesNothing(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	public, desk := h.tokens("APP", native).text("refresh_token"), h.tokens("RP", callback).text("refresh_token")
	h.allowOnly("198.51.100.0/24")
	h.refresh("APP", public).wantError(t, http.StatusForbidden, "access_denied")
	h.refresh("RP", desk).wantError(t, http.StatusForbidden, "access_denied") // the session's browser is at 192.0.2.1
	h.allowOnly("192.0.2.0/24")
	if a := h.refresh("APP", public); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
	if a := h.refresh("RP", desk); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestAConfidentialClientsRefreshIsJudgedByTheBrowsersAddress(t *testing.T) {
	storetest.OnBothEngines(t, testAConfidentialClientsRefreshIsJudgedByTheBrowsersAddress)
}

func testAConfidentialClientsRefreshIsJudgedByTheBrowsersAddress(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	token := h.tokens("RP", callback).text("refresh_token")
	h.allowOnly("203.0.113.0/24") // not where the client's server is
	rec := h.onlySession()
	h.ok(h.o.Sessions.Touch(t.Context(), h.site(), rec, netip.MustParseAddr("203.0.113.9")))
	a := h.refresh("RP", token)
	if a.Code != http.StatusOK {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	h.pass(9 * time.Hour) // the session is over, the family is not
	if a = h.refresh("RP", a.text("refresh_token")); a.Code != http.StatusOK {
		t.Errorf("after the session: %d %s", a.Code, a.Body)
	}
}

func TestAClientThatIsTrustedToNamesTheAgentsAddress(t *testing.T) {
	storetest.OnBothEngines(t, testAClientThatIsTrustedToNamesTheAgentsAddress)
}

func testAClientThatIsTrustedToNamesTheAgentsAddress(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	token := h.tokens("RP", callback).text("refresh_token")
	h.allowOnly("203.0.113.0/24")
	h.refresh("RP", token, "agent_ip", "203.0.113.5").wantError(t, http.StatusForbidden, "access_denied") // it is not
	h.changeClient("RP", func(c *store.Client) { c.MayAssertIP = true })
	h.refresh("RP", token, "agent_ip", "198.51.100.1").wantError(t, http.StatusForbidden, "access_denied")
	h.refresh("RP", token, "agent_ip", "203.0.113.5%eth0").wantError(t, http.StatusBadRequest, "invalid_request")
	if a := h.refresh("RP", token, "agent_ip", "::ffff:203.0.113.5"); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func (h *house) onlySession() (rec store.Session) {
	h.t.Helper()
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for s, err := range store.Sessions.All(tx, "") {
			if rec = s; err != nil {
				return err
			}
		}
		return nil
	}))
	return rec
}

func TestAFamilyDiesWithItsAgentSessionOrSite(t *testing.T) {
	storetest.OnBothEngines(t, testAFamilyDiesWithItsAgentSessionOrSite)
}

func testAFamilyDiesWithItsAgentSessionOrSite(t *testing.T, on storetest.Engine) {
	for name, end := range map[string]func(*house){
		"sign-out": func(h *house) {
			rec := h.onlySession()
			h.update(func(tx store.Tx) error { return h.o.Sessions.End(t.Context(), tx, h.site(), rec, "sign_out") })
		},
		"all sessions ended": func(h *house) {
			h.pass(time.Second)
			h.update(func(tx store.Tx) error {
				_, err := h.o.Sessions.EndAll(t.Context(), tx, h.site(), "alice", "password_changed")
				return err
			})
		},
		"deactivated":    func(h *house) { h.changeAgent(func(a *store.Agent) { a.Inactive = true }) },
		"client cut off": func(h *house) { h.changeClient("RP", func(c *store.Client) { c.NotBefore = h.now().Add(time.Second) }) },
		"restored": func(h *house) {
			h.changeSettings(func(s *store.Settings) { s.NotBefore = h.now().Add(time.Second) })
		},
		"grant taken": func(h *house) { h.changeClient("RP", func(c *store.Client) { c.GrantTypes = []string{grantCode} }) },
		"disabled":    func(h *house) { h.changeClient("RP", func(c *store.Client) { c.Disabled = true }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFlows(t, on)
			token := h.tokens("RP", callback).text("refresh_token")
			end(h)
			if a := h.refresh("RP", token); a.Code < 400 || a.Code >= 500 || a.JSON["access_token"] != nil {
				t.Errorf("got %d %s", a.Code, a.Body)
			}
		})
	}
}

func TestWithoutOfflineAccessThereIsNoRefreshToken(t *testing.T) {
	storetest.OnBothEngines(t, testWithoutOfflineAccessThereIsNoRefreshToken)
}

func testWithoutOfflineAccessThereIsNoRefreshToken(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	if a := h.tokens("RP", callback, "scope", "openid"); a.JSON["refresh_token"] != nil {
		t.Errorf("got %s", a.Body)
	}
	h.changeClient("RP", func(c *store.Client) { c.GrantTypes = []string{grantCode} })
	if a := h.tokens("RP", callback); a.JSON["refresh_token"] != nil || strings.Contains(a.text("scope"), scopeOffline) {
		t.Errorf("got %s", a.Body)
	}
}
