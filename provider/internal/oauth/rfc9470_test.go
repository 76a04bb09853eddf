package oauth

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 9470 and OpenID Connect Core, sections 3.1.2.1 and 5.5.1.1: a stronger
// sign-in on demand; and the site's rules for credentials, held by what runs.

const (
	essentialAAL2 = `{"id_token":{"acr":{"essential":true,"values":["aal2","phr"]}}}`
	wishedAAL2    = `{"id_token":{"acr":{"values":["aal2"]}}}`
)

// signedInAs is alice's session, of that strength.
func (h *house) signedInAs(acr string, amr ...string) store.Session {
	h.t.Helper()
	return h.sessionWith(func(s *store.Session) { s.ACR, s.AMR = acr, amr })
}

func (h *house) sessionWith(change func(*store.Session)) store.Session {
	h.t.Helper()
	rec := h.session()
	change(&rec)
	h.update(func(tx store.Tx) error { return store.Sessions.Put(tx, &rec) })
	return rec
}

// begun is the sign-in that the answer sends to.
func (h *house) begun(a answer) store.SignIn {
	h.t.Helper()
	id, ok := strings.CutPrefix(a.Header().Get("Location"), "/sign-in/")
	if !ok {
		h.t.Fatalf("no sign-in: %d %s", a.Code, a.Header().Get("Location"))
	}
	r := httptest.NewRequest(http.MethodGet, testIssuer+"/", nil)
	for _, c := range a.Result().Cookies() {
		r.AddCookie(c)
	}
	var flow store.SignIn
	var err error
	h.handlerOf(func(w http.ResponseWriter, r *http.Request) { flow, err = h.o.Sessions.SignIn(r, h.site(), id) }).ServeHTTP(httptest.NewRecorder(), r)
	h.ok(err)
	return flow
}

// comeBack ends the sign-in that the answer sent to: the browser has a session of
// that strength now.
func (h *house) comeBack(a answer, acr string, amr ...string) answer {
	h.t.Helper()
	path := strings.TrimPrefix(a.Header().Get("Location"), "/sign-in/")
	h.pass(time.Second)
	h.signedInAs(acr, amr...)
	return h.visit("/oauth/authorize/"+path, a.Result().Cookies()...)
}

func (h *house) holds(kind string) {
	h.t.Helper()
	h.update(func(tx store.Tx) error {
		return store.Authenticators.Create(tx, &store.Authenticator{ID: "of-alice-" + kind, AgentID: "alice", Type: kind, Created: h.now()})
	})
}

func TestAnEssentialACRLeadsToAStrongerSignInOfTheSameAgent(t *testing.T) {
	storetest.OnBothEngines(t, testAnEssentialACRLeadsToAStrongerSignInOfTheSameAgent)
}

func testAnEssentialACRLeadsToAStrongerSignInOfTheSameAgent(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.signedInAs("aal1", "pwd")
	first := h.authorize(ask("RP", callback, "claims", essentialAAL2))
	if flow := h.begun(first); flow.ACR != "aal2" || flow.AgentHint != "alice" || !flow.Fresh {
		t.Errorf("the sign-in hears %+v", flow)
	}
	asked := h.now().Unix()
	code := h.comeBack(first, "aal2", "pwd", "otp", "mfa").back(t, callback).Get("code")
	a := h.redeem("RP", callback, code)
	for _, name := range []string{"access_token", "id_token"} {
		claims := payload(t, a.text(name))
		if claims["acr"] != "aal2" || !contains(claims["amr"], "otp") || int64(claims["auth_time"].(float64)) <= asked {
			t.Errorf("%s: %v", name, claims)
		}
	}
	if h.code(ask("RP", callback, "claims", essentialAAL2, "prompt", "none")) == "" {
		t.Error("now that the session is strong enough it is asked again")
	}
	second := h.signedInAs("phr", "hwk", "user", "mfa")
	strong := payload(t, h.redeem("RP", callback, h.code(ask("RP", callback, "acr_values", "aal2"))).text("id_token"))
	if strong["acr"] != second.ACR {
		t.Errorf("a stronger one is reported as %v", strong["acr"])
	}
}

func TestAnEssentialACRThatTheSignInDidNotReachIsRefused(t *testing.T) {
	storetest.OnBothEngines(t, testAnEssentialACRThatTheSignInDidNotReachIsRefused)
}

func testAnEssentialACRThatTheSignInDidNotReachIsRefused(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.cookie = ""
	first := h.authorize(ask("RP", callback, "claims", essentialAAL2))
	if flow := h.begun(first); flow.ACR != "aal2" || !flow.Fresh {
		t.Errorf("the sign-in hears %+v", flow)
	}
	if got := h.comeBack(first, "aal1", "pwd").back(t, callback); got.Get("error") != "unmet_authentication_requirements" || got.Has("code") {
		t.Errorf("got %v", got)
	}
	h.sessionWith(func(s *store.Session) { s.ACR, s.AMR, s.Remembered = "aal1", []string{"pwd"}, true })
	h.begun(h.authorize(ask("RP", callback, "claims", essentialAAL2))) // a remembered device is no factor
}

func TestAWishForAnACRIsNotAskedOfWhoCannotAndNeverSilently(t *testing.T) {
	storetest.OnBothEngines(t, testAWishForAnACRIsNotAskedOfWhoCannotAndNeverSilently)
}

func testAWishForAnACRIsNotAskedOfWhoCannotAndNeverSilently(t *testing.T, on storetest.Engine) {
	for name, wish := range map[string][]string{"acr_values": {"acr_values", "phr unknown aal2"}, "claims": {"claims", wishedAAL2}} {
		t.Run(name, func(t *testing.T) {
			h := newFlows(t, on)
			h.signedInAs("aal1", "pwd")
			if h.code(ask("RP", callback, wish...)) == "" {
				t.Error("an agent without a factor gets no code")
			}
			h.holds(store.FactorTOTP)
			if h.code(ask("RP", callback, append(wish, "prompt", "none")...)) == "" {
				t.Error("a wish refuses where no page may be shown")
			}
			first := h.authorize(ask("RP", callback, wish...))
			if flow := h.begun(first); flow.ACR != "aal2" || flow.AgentHint != "alice" {
				t.Errorf("the sign-in hears %+v", flow)
			}
			if got := h.comeBack(first, "aal1", "pwd").back(t, callback); got.Get("code") == "" {
				t.Errorf("a wish that was not met: %v", got)
			}
			if h.code(ask("RP", callback, "acr_values", "phr")) == "" {
				t.Error("an agent without a passkey is asked for one")
			}
		})
	}
}

// ruled are the ways in which rules may come to demand more than a sign-in was.
var ruled = map[string]func(h *house){
	"a role demands a second factor": func(h *house) {
		h.changeSettings(func(s *store.Settings) { s.TwoFactor.RequiredRoles, s.TwoFactor.GraceDays = []string{"agents"}, 0 })
	},
	"grace is over": func(h *house) {
		h.changeSettings(func(s *store.Settings) { s.TwoFactor.RequiredRoles, s.TwoFactor.GraceDays = []string{"agents"}, 7 })
		h.changeAgent(func(a *store.Agent) { a.FactorGrace = h.now().AddDate(0, 0, -8) })
	},
	"the password expired": func(h *house) {
		h.changeSettings(func(s *store.Settings) { s.Password.MaxAgeDays = 40 })
		h.changeAgent(func(a *store.Agent) { a.PasswordHash, a.PasswordChanged = "x", h.now().AddDate(0, 0, -41) })
	},
	"the password must change": func(h *house) {
		h.changeAgent(func(a *store.Agent) { a.PasswordHash, a.MustChangePassword = "x", true })
	},
}

func TestWhatRunsIsHeldToTheRulesForCredentials(t *testing.T) {
	storetest.OnBothEngines(t, testWhatRunsIsHeldToTheRulesForCredentials)
}

func testWhatRunsIsHeldToTheRulesForCredentials(t *testing.T, on storetest.Engine) {
	for name, change := range ruled {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFlows(t, on)
			h.signedInAs("aal1", "pwd")
			family := h.tokens("RP", callback).text("refresh_token")
			code := h.code(ask("RP", callback))
			change(h)
			h.redeem("RP", callback, code).wantError(t, http.StatusBadRequest, "invalid_grant")
			h.refresh("RP", family).wantError(t, http.StatusBadRequest, "invalid_grant")
			if flow := h.begun(h.authorize(ask("RP", callback))); flow.AgentHint != "alice" {
				t.Errorf("the sign-in hears %+v", flow)
			}
			if got := h.authorize(ask("RP", callback, "prompt", "none")).back(t, callback); got.Get("error") != "login_required" {
				t.Errorf("silently: %v", got)
			}
		})
	}
}

func TestWhatMeetsTheRulesForCredentialsGoesOn(t *testing.T) {
	storetest.OnBothEngines(t, testWhatMeetsTheRulesForCredentialsGoesOn)
}

func testWhatMeetsTheRulesForCredentialsGoesOn(t *testing.T, on storetest.Engine) {
	for name, c := range map[string]struct {
		session func(*store.Session)
		rules   func(h *house)
	}{
		"two factors": {func(s *store.Session) { s.ACR, s.AMR = "aal2", []string{"pwd", "otp", "mfa"} }, ruled["a role demands a second factor"]},
		"a passkey":   {func(s *store.Session) { s.ACR, s.AMR = "phr", []string{"hwk", "user"} }, ruled["the password expired"]},
		"another's role": {func(s *store.Session) { s.ACR, s.AMR = "aal1", []string{"pwd"} }, func(h *house) {
			h.changeSettings(func(s *store.Settings) { s.TwoFactor.RequiredRoles = []string{"administrators"} })
		}},
		"within grace": {func(s *store.Session) { s.ACR, s.AMR = "aal1", []string{"pwd"} }, func(h *house) {
			h.changeSettings(func(s *store.Settings) { s.TwoFactor.RequiredRoles, s.TwoFactor.GraceDays = []string{"agents"}, 7 })
		}},
		"remembered devices": {func(s *store.Session) { s.ACR, s.AMR, s.Remembered = "aal1", []string{"pwd"}, true }, func(h *house) {
			h.changeSettings(func(s *store.Settings) {
				s.TwoFactor.RequiredRoles, s.TwoFactor.GraceDays, s.TwoFactor.RememberDays = []string{"agents"}, 0, 14
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newFlows(t, on)
			h.sessionWith(c.session)
			family := h.tokens("RP", callback).text("refresh_token")
			c.rules(h)
			if a := h.refresh("RP", family); a.Code != http.StatusOK {
				t.Errorf("refresh: %d %s", a.Code, a.Body)
			}
			if h.code(ask("RP", callback, "prompt", "none")) == "" {
				t.Error("no code")
			}
		})
	}
}

func TestARefreshNeverRaisesWhatASignInWas(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshNeverRaisesWhatASignInWas)
}

func testARefreshNeverRaisesWhatASignInWas(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	rec := h.signedInAs("aal1", "pwd")
	family := h.tokens("RP", callback).text("refresh_token")
	h.pass(time.Minute)
	h.update(func(tx store.Tx) error { // the session has become a stronger one
		rec.ACR, rec.AMR, rec.AuthTime = "phr", []string{"hwk", "mfa"}, h.now()
		return store.Sessions.Put(tx, &rec)
	})
	a := h.refresh("RP", family)
	for _, name := range []string{"access_token", "id_token"} {
		claims := payload(t, a.text(name))
		if claims["acr"] != "aal1" || !slices.Equal(claims["amr"].([]any), []any{"pwd"}) || int64(claims["auth_time"].(float64)) > h.now().Unix()-60 {
			t.Errorf("%s: %v", name, claims)
		}
	}
}
