package account_test

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

var recoveryCode = regexp.MustCompile(`<li[^>]*>(?:<code[^>]*>)?([A-Z0-9-]{9,})<`)

func codesOn(got answer) (codes []string) {
	for _, m := range recoveryCode.FindAllStringSubmatch(got.body, -1) {
		codes = append(codes, m[1])
	}
	return codes
}

func TestTheFirstFactorBringsCodesThatAreShownOnce(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		elsewhere, b := h.browser().signIn(ana), h.browser().signIn(ana)
		old := h.cookie(b, "session")
		f := scanned(b, owned{})
		f.Set("csrf", b.csrf())
		right := f.Get("code")
		f.Set("code", "000000")
		f.Set("name", "Phone of Ana")
		again := b.post("/account/factors/totp", f)
		if again.status != http.StatusUnprocessableEntity || !again.says(`value="Phone of Ana"`) || !again.says(`value="`+f.Get("enrolment")) || !b.get("/account").says("Only your password protects") {
			t.Fatalf("a wrong code: %d %s", again.status, again.body)
		}
		f.Set("code", right)
		got := b.post("/account/factors/totp", f)
		codes := codesOn(got)
		if got.status != http.StatusOK || len(codes) != 10 || !strings.Contains(got.header.Get("Cache-Control"), "no-store") {
			t.Fatalf("%d, %d codes: %s", got.status, len(codes), got.body)
		}
		rec := list(h, &store.Sessions, "agent", h.agent(ana).ID)
		if len(rec) != 1 || rec[0].ACR != policy.ACRTwoFactors || h.cookie(b, "session") == old {
			t.Errorf("the session is as before: %+v", rec)
		}
		if got := elsewhere.get("/account"); !got.toSignIn() {
			t.Errorf("a session without the factor goes on: %d", got.status)
		}
		if got := b.post("/account/factors/totp", f); got.says(codes[0]) || got.status == http.StatusOK {
			t.Errorf("the codes are shown again: %d", got.status)
		}
		for _, page := range append(pages, "/account/factors/saved") {
			if got := b.get(page); got.says(codes[0]) || got.says(strings.ReplaceAll(codes[0], "-", "")) {
				t.Errorf("%s shows a code", page)
			}
		}
		if got := b.post("/account/factors/saved", form("csrf", b.csrf(), "saved", "yes")); got.to != "/account/factors" {
			t.Errorf("%d %s", got.status, got.to)
		}
		if got := b.post("/account/factors/saved", form("saved", "yes")); got.status != http.StatusForbidden {
			t.Errorf("a form from nowhere: %d", got.status)
		}
		if !slices.Equal(h.mailed(ana), []string{"factor_added"}) || count(h.audited(), "recovery_codes.renew") != 1 {
			t.Errorf("%v %v", h.mailed(ana), h.audited())
		}
		next := h.browser()
		step := next.post(next.get("/account").to, form("email", ana, "password", good)).to
		if got := next.post(step, form("code", codes[3])); got.to != "/account" {
			t.Errorf("a recovery code: %d %s", got.status, got.body)
		}
		if got := next.get("/account/factors"); !got.says("9 recovery codes left") {
			t.Errorf("%s", got.body)
		}
		if strings.Contains(h.log.String(), codes[0]) {
			t.Error("the log holds a code")
		}
	})
}

func TestNewCodesReplaceTheFormer(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	first := codesOn(b.post("/account/factors/codes", form("csrf", b.csrf(), "confirm", "yes")))
	if question := b.get("/account/factors/codes"); question.status != http.StatusOK || len(codesOn(question)) != 0 || !question.says("The 10 that you still have stop working") {
		t.Errorf("%d %s", question.status, question.body)
	}
	second := codesOn(b.post("/account/factors/codes", form("csrf", b.csrf(), "confirm", "yes")))
	if len(first) != 10 || len(second) != 10 || slices.ContainsFunc(first, func(c string) bool { return slices.Contains(second, c) }) {
		t.Fatalf("%v %v", first, second)
	}
	next := h.browser()
	step := next.post(next.get("/account").to, form("email", ben, "password", good)).to
	if got := next.post(step, form("code", first[0])); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a former code: %d", got.status)
	}
	if got := next.post(step, form("code", second[0])); got.to != "/account" {
		t.Errorf("a new code: %d", got.status)
	}
	bare := h.browser().signIn(ana)
	if got := bare.post("/account/factors/codes", form("csrf", bare.csrf(), "confirm", "yes")); got.to != "/account/factors" || len(codesOn(bare.get(got.to))) != 0 {
		t.Errorf("codes for a factor that is not there: %d %s", got.status, got.to)
	}
}

func TestTheLastFactorOfARoleThatDemandsOneStays(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		h.settings(func(s *store.Settings) { s.TwoFactor.RequiredRoles = []string{policy.Agents} })
		o := h.furnish(ben)
		b := h.browser().signIn(ben)
		csrf := b.csrf()
		app := list(h, &store.Authenticators, "agent", h.agent(ben).ID)
		var ids []string
		for _, f := range app {
			ids = append(ids, f.ID)
		}
		if len(ids) != 2 || !slices.Contains(ids, o.passkey) {
			t.Fatal(ids)
		}
		var wg sync.WaitGroup
		for _, id := range ids { // in two tabs at once
			wg.Go(func() {
				if got := b.post("/account/factors/remove", form("csrf", csrf, "id", id, "confirm", "yes")); got.status >= 500 || got.status < 300 {
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		left := list(h, &store.Authenticators, "agent", h.agent(ben).ID)
		if len(left) != 1 {
			t.Fatalf("%d are left", len(left))
		}
		if left[0].Type == store.FactorPasskey { // a made up one, with which nobody signs in
			return
		}
		b = h.browser().signIn(ben)
		before := h.state(ben)
		got := b.post("/account/factors/remove", form("csrf", b.csrf(), "id", left[0].ID, "confirm", "yes"))
		if got.to != "/account/factors" || h.state(ben) != before {
			t.Fatalf("%d %s", got.status, got.to)
		}
		if got := b.get("/account/factors"); !got.says("Add another first") || !got.says("Your role requires one") {
			t.Errorf("it does not say why: %s", got.body)
		}
	})
}

func TestTheLastFactorOfAnybodyElseGoesWithItsCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	b.post("/account/factors/codes", form("csrf", b.csrf(), "confirm", "yes"))
	app := list(h, &store.Authenticators, "agent", h.agent(ben).ID)[0]
	if got := b.get("/account/factors/remove?id=" + app.ID); !got.says("only your password protects this account") {
		t.Errorf("it does not say what that means: %s", got.body)
	}
	if got := b.post("/account/factors/remove", form("csrf", b.csrf(), "id", app.ID, "confirm", "yes")); got.to != "/account/factors" {
		t.Fatal(got.status)
	}
	if got := b.get("/account"); !got.says("Only your password protects") || len(list(h, &store.RecoveryCodes, "", "")) != 0 {
		t.Error("something is left")
	}
}

func TestARoleThatComesToDemandAFactorIsHeardOnEveryPage(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ana)
	h.settings(func(s *store.Settings) {
		s.TwoFactor.RequiredRoles, s.TwoFactor.GraceDays = []string{policy.Agents}, 7
	})
	for _, page := range []string{"/account", "/account/profile", "/account/sessions", "/account/apps", "/account/activity", "/account/factors"} {
		if got := b.get(page); !got.says("You will need a second step to sign in from") {
			t.Errorf("%s does not say so: %d", page, got.status)
		}
	}
	h.settings(func(s *store.Settings) { s.TwoFactor.GraceDays = 0 })
	got := b.get("/account/profile")
	if !got.toSignIn() {
		t.Fatalf("the days of grace are over, and the session goes on: %d", got.status)
	}
	if got := b.post(got.to, form("email", ana, "password", good)); !strings.HasSuffix(got.to, "/enrol") {
		t.Errorf("the sign-in leads to %d %s", got.status, got.to)
	}
	if got := b.post("/account/profile", form("csrf", "x", "name", "x")); !got.toSignIn() {
		t.Errorf("a form does not: %d", got.status)
	}
}

func TestAPasskeyIsBegunByScriptOfTheOpenForm(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser().signIn(ben)
	csrf := b.csrf()
	options := b.post("/account/factors/passkey/options", form("csrf", csrf))
	if options.status != http.StatusOK || !strings.Contains(options.body, `"challenge"`) || !strings.Contains(options.body, `"id":"localhost"`) || strings.Contains(options.body, h.agent(ben).ID) {
		t.Errorf("%d %s", options.status, options.body)
	}
	before := h.state(ben)
	for what, credential := range map[string]string{"nothing": "", "junk": "{", "another thing": `{"type":"public-key"}`, "much": `"` + strings.Repeat("a", 50<<10) + `"`, "null": "null", "deep": strings.Repeat("[", 10000)} {
		got := b.post("/account/factors/passkey", form("csrf", csrf, "credential", credential, "name", "Key"))
		if got.status/100 != 4 || h.state(ben) != before {
			t.Errorf("%s: %d", what, got.status)
		}
		if got.status == http.StatusUnprocessableEntity && !got.says(`value="Key"`) {
			t.Errorf("%s: the name is lost", what)
		}
	}
	for _, post := range []answer{b.post("/account/factors/passkey/options", form("csrf", "")), h.browser().post("/account/factors/passkey/options", form("csrf", csrf))} {
		if post.status != http.StatusForbidden && post.status != http.StatusUnauthorized {
			t.Errorf("%d %s", post.status, post.to)
		}
	}
	h.pass(5 * time.Minute)
	if got := b.post("/account/factors/passkey/options", form("csrf", csrf)); got.status != http.StatusUnauthorized {
		t.Errorf("without a new proof: %d", got.status)
	}
	got := b.post("/account/factors/passkey", form("csrf", csrf, "credential", "{}", "name", "Key of Ben"))
	if to := b.through(got, ben, good); to != "/account/factors/passkey" || !b.get(to).says(`value="Key of Ben"`) {
		t.Errorf("the name is lost on the way: %s", to)
	}
}

func TestNamesOfFactorsAreText(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	o := h.furnish(ben)
	b := h.browser().signIn(ben)
	csrf, before := b.csrf(), h.state(ben)
	for _, name := range []string{strings.Repeat("x", 65), "a\u202eb", "a\nb"} {
		got := b.post("/account/factors/rename", form("csrf", csrf, "id", o.passkey, "name", name))
		if got.to != "/account/factors" || h.state(ben) != before || !b.get("/account/factors").says("in the name only") {
			t.Errorf("%.10q: %d %s", name, got.status, got.to)
		}
	}
	b.post("/account/factors/rename", form("csrf", csrf, "id", o.passkey, "name", "<i>Mine</i>"))
	if got := b.get("/account/factors"); strings.Contains(got.body, "<i>Mine") || !got.says("<i>Mine</i>") {
		t.Error("a name is markup")
	}
	mailed := len(h.mailed(ben))
	if b.post("/account/factors/rename", form("csrf", csrf, "id", o.passkey, "name", " <i>Mine</i> ")); len(h.mailed(ben)) != mailed {
		t.Error("the same name is told")
	}
}
