package account_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const glass = "/account/break-glass"

// lifted is what is lifted now; "" for nothing.
func (h *house) lifted() (control string) {
	for _, b := range list(h, &store.BreakGlasses, "", "") {
		if b.Live(h.now()) {
			control = b.Control
		}
	}
	return control
}

func TestASecondAdministratorLetsAColleagueIn(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b := h.browser().signIn(tess)
		if got := b.get("/account"); !got.says(glass) {
			t.Error("the overview does not lead there")
		}
		if got := b.post(glass, form("csrf", b.csrf(), "act", "lift", "control", "second_factor")); got.to != glass || h.lifted() != "second_factor" {
			t.Fatalf("%d %s, %q", got.status, got.to, h.lifted())
		}
		if got := b.get(glass); !got.says("Your colleague can sign in now") || !got.says("The second step of signing in") || got.says(`id="control"`) {
			t.Errorf("%s", got.body)
		}
		in := h.browser()
		if got := in.post(in.get("/account").to, form("email", ben, "password", good)); got.to != "/account" {
			t.Errorf("the colleague is not in: %d %s", got.status, got.to)
		}
		if got := b.post(glass, form("csrf", b.csrf(), "act", "lift", "control", "allowlist")); got.to != glass || h.lifted() != "second_factor" || !b.get(glass).says("only one thing can be at a time") {
			t.Errorf("two at once: %d %s", got.status, h.lifted())
		}
		if got := b.post(glass, form("csrf", b.csrf(), "act", "end")); got.to != glass || h.lifted() != "" {
			t.Errorf("%d %s", got.status, h.lifted())
		}
		if got := in.get("/account"); !got.toSignIn() {
			t.Errorf("what it let in goes on: %d", got.status)
		}
		if all := h.audited(); count(all, "break_glass.lift administrator") != 1 || count(all, "break_glass.end ended") != 1 {
			t.Errorf("%v", all)
		}
		if mailed := h.mailed(tess); !slices.Contains(mailed, "break_glass_lifted") || !slices.Contains(mailed, "break_glass_ended") {
			t.Errorf("%v", mailed)
		}
		if log := h.log.String(); !strings.Contains(log, "a control is lifted") || !strings.Contains(log, "the control holds again") {
			t.Errorf("%s", log)
		}
	})
}

func TestNobodyElseFindsTheGlass(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b := h.browser().signIn(ben)
		lift := form("csrf", b.csrf(), "act", "lift", "control", "second_factor")
		if got := b.get(glass); got.status != http.StatusNotFound || b.get("/account").says(glass) {
			t.Errorf("%d", got.status)
		}
		if got := b.post(glass, lift); got.status != http.StatusNotFound || h.lifted() != "" {
			t.Errorf("%d, %q", got.status, h.lifted())
		}
		if got := h.browser().get(glass); !got.toSignIn() {
			t.Errorf("a stranger: %d", got.status)
		}
	})
}

func TestTheGlassTakesAProofAndAFormOfThisSession(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		b := h.browser().signIn(tess)
		csrf := b.csrf()
		for what, f := range map[string]string{"none": "", "somebody else's": h.browser().signIn(ben).csrf()} {
			if got := b.post(glass, form("csrf", f, "act", "lift", "control", "allowlist")); got.status != http.StatusForbidden || h.lifted() != "" {
				t.Errorf("%s: %d", what, got.status)
			}
		}
		for _, control := range []string{"", "password", "second_factor,allowlist", strings.Repeat("x", 5000)} {
			if got := b.post(glass, form("csrf", csrf, "act", "lift", "control", control)); got.to != glass || h.lifted() != "" {
				t.Errorf("%.20q: %d", control, got.status)
			}
		}
		h.pass(6 * time.Minute)
		if got := b.get(glass); !got.toSignIn() {
			t.Errorf("an old proof: %d", got.status)
		}
		if got := b.post(glass, form("csrf", csrf, "act", "lift", "control", "allowlist")); !got.toSignIn() || h.lifted() != "" {
			t.Errorf("an old proof: %d", got.status)
		} else if to := b.through(got, tess, good); to != glass {
			t.Errorf("came back to %s", to)
		}
		var wg sync.WaitGroup
		for _, control := range store.Controls() {
			wg.Go(func() { b.post(glass, form("csrf", csrf, "act", "lift", "control", control)) })
		}
		wg.Wait()
		if all := h.audited(); count(all, "break_glass.lift administrator") != 1 || h.lifted() == "" {
			t.Errorf("%v", all)
		}
	})
}
