package oauth

import (
	"net/http"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// lift lifts one control for a quarter of an hour.
func (h *house) lift(control string) {
	h.t.Helper()
	now := h.now()
	h.update(func(tx store.Tx) error {
		err := store.BreakGlasses.Put(tx, &store.BreakGlass{
			Control: control, By: "operator:tess", How: "shell", Created: now, Until: now.Add(store.MaxBreakGlass), Expires: now.Add(24 * time.Hour),
		})
		if err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

func TestALiftedAllowlistLetsInOnEveryPathwayAndForAQuarterOfAnHour(t *testing.T) {
	storetest.OnBothEngines(t, testALiftedAllowlistLetsInOnEveryPathwayAndForAQuarterOfAnHour)
}

func testALiftedAllowlistLetsInOnEveryPathwayAndForAQuarterOfAnHour(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.signedInAs("aal1", "pwd")
	tokens := h.tokens("RP", callback)
	h.allowOnly("198.51.100.0/24")
	h.refresh("RP", tokens.text("refresh_token")).wantError(t, http.StatusForbidden, "access_denied")
	h.wantActive("RP", tokens.text("access_token"), false)

	h.lift(store.ControlAllowlist)
	h.wantActive("RP", tokens.text("access_token"), true)
	fresh := h.refresh("RP", tokens.text("refresh_token"))
	if fresh.Code != http.StatusOK {
		t.Fatalf("refresh: %d %s", fresh.Code, fresh.Body)
	}
	if h.code(ask("RP", callback)) == "" {
		t.Error("no code")
	}

	h.pass(store.MaxBreakGlass)
	h.refresh("RP", fresh.text("refresh_token")).wantError(t, http.StatusForbidden, "access_denied")
	if a := h.authorize(ask("RP", callback)); a.Code != http.StatusForbidden {
		t.Errorf("afterwards: %d %s", a.Code, a.Header().Get("Location"))
	}
}

func TestALiftedSecondFactorHoldsForAQuarterOfAnHourAndNothingElseIsLifted(t *testing.T) {
	storetest.OnBothEngines(t, testALiftedSecondFactorHoldsForAQuarterOfAnHourAndNothingElseIsLifted)
}

func testALiftedSecondFactorHoldsForAQuarterOfAnHourAndNothingElseIsLifted(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.signedInAs("aal1", "pwd")
	ruled["a role demands a second factor"](h)
	h.begun(h.authorize(ask("RP", callback)))
	h.lift(store.ControlSecondFactor)
	tokens := h.tokens("RP", callback)
	if acr := payload(t, tokens.text("access_token"))["acr"]; acr != "aal1" {
		t.Errorf("a lifted factor counts as shown: %v", acr)
	}
	h.changeAgent(func(a *store.Agent) { a.PasswordHash, a.MustChangePassword = "x", true })
	h.begun(h.authorize(ask("RP", callback)))
	h.changeAgent(func(a *store.Agent) { a.MustChangePassword = false })
	h.allowOnly("198.51.100.0/24")
	if a := h.authorize(ask("RP", callback)); a.Code != http.StatusForbidden {
		t.Errorf("the allowlist went with it: %d", a.Code)
	}
	h.allowOnly("0.0.0.0/0")
	h.pass(store.MaxBreakGlass)
	h.refresh("RP", tokens.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
}

func TestWhatALiftedSecondFactorLetInEndsWithIt(t *testing.T) {
	storetest.OnBothEngines(t, testWhatALiftedSecondFactorLetInEndsWithIt)
}

// Nobody's role demands a factor: it was due because the agent holds one.
func testWhatALiftedSecondFactorLetInEndsWithIt(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.lift(store.ControlSecondFactor)
	h.sessionWith(func(s *store.Session) { s.ACR, s.AMR, s.Lifted = "aal1", []string{"pwd"}, true })
	tokens := h.tokens("RP", callback)
	fresh := h.refresh("RP", tokens.text("refresh_token"))
	if fresh.Code != http.StatusOK {
		t.Fatalf("refresh: %d %s", fresh.Code, fresh.Body)
	}
	h.pass(store.MaxBreakGlass)
	h.refresh("RP", fresh.text("refresh_token")).wantError(t, http.StatusBadRequest, "invalid_grant")
	h.begun(h.authorize(ask("RP", callback)))
}
