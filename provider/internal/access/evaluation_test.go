package access

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// OpenID AuthZEN Authorization API 1.0.

func (h *house) ask(client, body string) answered {
	h.t.Helper()
	return h.askAt("/access/v1/evaluation", client, body)
}

func (h *house) askAt(path, client, body string) answered {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if client != "" {
		r.SetBasicAuth(client, secretOf(client))
	}
	return h.do(r)
}

// wantAnswer checks decision and reason of a 200.
func (h *house) wantAnswer(client, body, reason string) {
	h.t.Helper()
	a := h.ask(client, body)
	want := map[string]any{"decision": reason == policy.ReasonAllowed, "context": map[string]any{"reason": reason, "expires_in": 5.0}}
	if diff := cmp.Diff(want, a.JSON); a.Code != http.StatusOK || diff != "" {
		h.t.Errorf("%s: %d %s", body, a.Code, diff)
	}
}

const byID = `{"subject":{"type":"agent","id":"alice"},"action":{"name":"visitor.ban"},"resource":{"type":"conversation","id":"7"}}`

func TestAVerdictByIDIsWhatTheAgentMayDoNow(t *testing.T) {
	storetest.OnBothEngines(t, testAVerdictByIDIsWhatTheAgentMayDoNow)
}

func testAVerdictByIDIsWhatTheAgentMayDoNow(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.wantAnswer("CHAT", byID, policy.ReasonAllowed)
	h.wantAnswer("CHAT", strings.Replace(byID, "visitor.ban", "site.manage", 1), policy.ReasonPermission)
	h.wantAnswer("CHAT", strings.Replace(byID, "alice", "nobody", 1), policy.ReasonSubjectInactive)
	h.wantAnswer("CHAT", strings.Replace(byID, `"agent"`, `"robot"`, 1), policy.ReasonSubjectInactive)
	h.changeAgent(func(a *store.Agent) { a.Roles = []string{"agents"} })
	h.wantAnswer("CHAT", byID, policy.ReasonPermission)
	h.changeAgent(func(a *store.Agent) { a.Inactive = true })
	h.wantAnswer("CHAT", byID, policy.ReasonSubjectInactive)
}

func TestAVerdictByTokenNeedsNoSubject(t *testing.T) {
	storetest.OnBothEngines(t, testAVerdictByTokenNeedsNoSubject)
}

func testAVerdictByTokenNeedsNoSubject(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g := h.grant("CONF")
	question := func(token string) string {
		return `{"action":{"name":"visitor.ban"},"context":{"token":"` + token + `"}}`
	}
	token := h.token(g)
	h.wantAnswer("CHAT", question(token), policy.ReasonAllowed)
	h.wantAnswer("CONF", question(token), policy.ReasonAllowed)
	h.wantAnswer("OTHER", question(token), policy.ReasonAudienceMismatch)
	h.wantAnswer("CHAT", question("junk"), reasonTokenInvalid)
	h.wantAnswer("CHAT", question("a.b.c"), reasonTokenInvalid)
	h.wantAnswer("CHAT", question(h.token(g, func(c map[string]any) { c["exp"] = h.now().Unix() - 1 })), policy.ReasonTokenExpired)
	h.wantAnswer("CHAT", question(h.token(g, func(c map[string]any) { c["entitlements"] = []string{"chat.monitor"} })), policy.ReasonPermission)
	h.wantAnswer("CHAT", strings.Replace(byID[:len(byID)-1], "alice", "bob", 1)+`,"context":{"token":"`+token+`"}}`, reasonSubjectMismatch)
	h.wantAnswer("CHAT", byID[:len(byID)-1]+`,"context":{"token":"`+token+`"}}`, policy.ReasonAllowed)
	h.changeAgent(func(a *store.Agent) { a.Roles = []string{"agents"} })
	h.wantAnswer("CHAT", question(token), policy.ReasonPermission)
	g.Revoked = true
	h.update(func(tx store.Tx) error { return store.Grants.Put(tx, &g) })
	h.wantAnswer("CHAT", question(token), policy.ReasonRevoked)
}

func TestAVerdictJudgesTheAddressThatTheBackendNames(t *testing.T) {
	storetest.OnBothEngines(t, testAVerdictJudgesTheAddressThatTheBackendNames)
}

func testAVerdictJudgesTheAddressThatTheBackendNames(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF")) // its session came from 203.0.113.7
	h.changeSettings(func(s *store.Settings) {
		s.Allowlist = store.Allowlist{Enabled: true, Console: true, Mobile: true, Entries: []store.AllowlistEntry{{CIDR: "203.0.113.0/24"}}}
	})
	at := func(ip string) string { return byID[:len(byID)-1] + `,"context":{"ip":"` + ip + `"}}` }
	h.wantAnswer("CHAT", at("203.0.113.9"), policy.ReasonAllowed)
	h.wantAnswer("CHAT", at("::ffff:203.0.113.9"), policy.ReasonAllowed)
	h.wantAnswer("CHAT", at("198.51.100.1"), policy.ReasonIPNotAllowed)
	h.wantAnswer("CHAT", at(""), policy.ReasonIPUnknown)
	h.wantAnswer("CHAT", byID, policy.ReasonIPUnknown)
	by := `{"action":{"name":"visitor.ban"},"context":{"token":"` + token + `"`
	h.wantAnswer("CHAT", by+`}}`, policy.ReasonAllowed)
	h.wantAnswer("CHAT", by+`,"ip":"198.51.100.1"}}`, policy.ReasonIPNotAllowed)
	h.wantAnswer("CHAT", by+`,"ip":""}}`, policy.ReasonIPUnknown)
	if a := h.ask("CHAT", at("198.51.100.1, 203.0.113.9")); a.Code != http.StatusBadRequest {
		t.Errorf("garbage: %d %s", a.Code, a.Body)
	}
}

func TestALiftedAllowlistIsNotJudgedForAQuarterOfAnHour(t *testing.T) {
	storetest.OnBothEngines(t, testALiftedAllowlistIsNotJudgedForAQuarterOfAnHour)
}

func testALiftedAllowlistIsNotJudgedForAQuarterOfAnHour(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.changeSettings(func(s *store.Settings) { s.Allowlist = store.Allowlist{Enabled: true, Console: true, Mobile: true} })
	h.wantAnswer("CHAT", byID, policy.ReasonIPUnknown)
	now := h.now()
	h.update(func(tx store.Tx) error {
		err := store.BreakGlasses.Put(tx, &store.BreakGlass{Control: store.ControlAllowlist, By: "operator:tess", Created: now, Until: now.Add(store.MaxBreakGlass), Expires: now.Add(time.Hour)})
		if err != nil {
			return err
		}
		return site.Changed(tx)
	})
	h.wantAnswer("CHAT", byID, policy.ReasonAllowed)
	h.clock.Add(int64(store.MaxBreakGlass))
	h.wantAnswer("CHAT", byID, policy.ReasonIPUnknown)
}

func TestOnlyTheSitesOwnBackendsAreAnswered(t *testing.T) {
	storetest.OnBothEngines(t, testOnlyTheSitesOwnBackendsAreAnswered)
}

func testOnlyTheSitesOwnBackendsAreAnswered(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	for name, c := range map[string]struct {
		got  answered
		code int
	}{
		"nobody":         {h.ask("", byID), http.StatusUnauthorized},
		"public":         {h.ask("PUB", byID), http.StatusUnauthorized},
		"unknown client": {h.ask("NOBODY", byID), http.StatusUnauthorized},
		"third party":    {h.ask("EVIL", byID), http.StatusForbidden},
		"agent's token":  {h.askBearer(h.token(h.grant("CONF")), byID), http.StatusUnauthorized},
		"for a resource": {h.askBearer(h.clientToken("CHAT", testResource), byID), http.StatusUnauthorized},
		"for the issuer": {h.askBearer(h.clientToken("CHAT", testIssuer), byID), http.StatusOK},
		"evil's token":   {h.askBearer(h.clientToken("EVIL", testIssuer), byID), http.StatusForbidden},
		"junk":           {h.askBearer("x", byID), http.StatusUnauthorized},
	} {
		if c.got.Code != c.code {
			t.Errorf("%s: %d %s", name, c.got.Code, c.got.Body)
		}
		if c.code == http.StatusUnauthorized && c.got.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
		if c.code != http.StatusOK && c.got.JSON["decision"] != nil {
			t.Errorf("%s: a decision: %s", name, c.got.Body)
		}
	}
}

func (h *house) askBearer(token, body string) answered {
	h.t.Helper()
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/access/v1/evaluation", strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+token)
	return h.do(r)
}

func TestTheRequestIDComesBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	for sent, back := range map[string]bool{"bfe9eb29-ab87-4ca3-be83-a1d5d8305716": true, "a b": false, strings.Repeat("x", 200): false} {
		r := httptest.NewRequest(http.MethodPost, testIssuer+"/access/v1/evaluation", strings.NewReader(byID))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-ID", sent)
		r.SetBasicAuth("CHAT", secretOf("CHAT"))
		if got := h.do(r).Header().Get("X-Request-ID"); (got == sent) != back {
			t.Errorf("sent %q, got %q", sent, got)
		}
	}
}

func TestABatchTakesWhatItsItemsLeaveOutFromTheTop(t *testing.T) {
	storetest.OnBothEngines(t, testABatchTakesWhatItsItemsLeaveOutFromTheTop)
}

func testABatchTakesWhatItsItemsLeaveOutFromTheTop(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	body := `{"subject":{"type":"agent","id":"alice"},"resource":{"type":"conversation","id":"7"},"evaluations":[{"action":{"name":"visitor.ban"}},{"action":{"name":"site.manage"}},{"action":{"name":"chat.monitor"},"subject":{"type":"agent","id":"nobody"}}]`
	for options, want := range map[string]int{`}`: 3, `,"options":{"evaluations_semantic":"deny_on_first_deny"}}`: 2, `,"options":{"evaluations_semantic":"permit_on_first_permit"}}`: 1} {
		a := h.askAt("/access/v1/evaluations", "CHAT", body+options)
		items, _ := a.JSON["evaluations"].([]any)
		if a.Code != http.StatusOK || len(items) != want {
			t.Errorf("%s: %d %s", options, a.Code, a.Body)
		}
	}
	if a := h.askAt("/access/v1/evaluations", "CHAT", byID); a.JSON["decision"] != true {
		t.Errorf("a single one: %s", a.Body)
	}
}

func TestAStoreThatFailsIsNoDecision(t *testing.T) {
	storetest.OnBothEngines(t, testAStoreThatFailsIsNoDecision)
}

func testAStoreThatFailsIsNoDecision(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	h.wantAnswer("CHAT", byID, policy.ReasonAllowed)
	h.store.down.Store(true)
	if a := h.ask("CHAT", byID); a.Code != http.StatusServiceUnavailable || a.JSON["decision"] != nil {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestTheConfigurationNamesTheEndpoints(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	a := h.do(httptest.NewRequest(http.MethodGet, testIssuer+"/.well-known/authzen-configuration", nil))
	if a.JSON["policy_decision_point"] != testIssuer || a.JSON["access_evaluation_endpoint"] != testIssuer+"/access/v1/evaluation" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func BenchmarkEvaluation(b *testing.B) {
	h := newHouse(b, storetest.Bolt)
	body := `{"action":{"name":"visitor.ban"},"context":{"ip":"203.0.113.9","token":"` + h.token(h.grant("CONF")) + `"}}`
	for b.Loop() {
		h.ask("CHAT", body)
	}
}
