package account_test

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// owned is what furnish gives an agent, by id.
type owned struct{ passkey, device, session, grant string }

// furnish gives an agent one of everything: a passkey, recovery codes, a
// remembered browser elsewhere with a session of its own, and Reports, which may
// act for them.
func (h *house) furnish(email string) (o owned) {
	h.t.Helper()
	a := h.agent(email)
	o.passkey, o.grant = "passkey-of-"+a.ID, "grant-of-"+a.ID
	there := h.browser().signIn(email, "remember", "1")
	there.ip = "198.51.100.7"
	h.update(func(tx store.Tx) error {
		for _, put := range []func() error{
			func() error {
				return store.Authenticators.Put(tx, &store.Authenticator{ID: o.passkey, AgentID: a.ID, Type: store.FactorPasskey, Name: "Laptop", Created: h.now(), CredentialID: []byte(o.passkey)})
			},
			func() error {
				return store.RecoveryCodes.Put(tx, &store.RecoverySet{AgentID: a.ID, Hashes: [][]byte{[]byte("a"), []byte("b")}, Created: h.now()})
			},
			func() error {
				return store.Consents.Put(tx, &store.Consent{AgentID: a.ID, ClientID: "third", Scopes: []string{"openid", "email"}, Given: h.now()})
			},
			func() error {
				return store.Grants.Put(tx, &store.Grant{ID: o.grant, Authorization: store.Authorization{ClientID: "third", AgentID: a.ID, SID: "over"}, Created: h.now(), Expires: h.now().Add(time.Hour), End: h.now().Add(time.Hour)})
			},
		} {
			if err := put(); err != nil {
				return err
			}
		}
		return nil
	})
	for _, d := range list(h, &store.Devices, "agent", a.ID) {
		o.device = d.ID
	}
	for _, s := range list(h, &store.Sessions, "agent", a.ID) {
		o.session = s.SID
	}
	return o
}

// act is a change that somebody makes on their own pages.
type act struct {
	path   string
	fields func(b *browser, o owned) url.Values // but for csrf
	back   string                               // where a sign-in on the way leads; empty: path
	done   string                               // where it leads; empty: it answers with a page
	audit  string
	mail   string
}

func id(of func(owned) string) func(*browser, owned) url.Values {
	return func(_ *browser, o owned) url.Values { return form("id", of(o), "confirm", "yes") }
}

func none(*browser, owned) url.Values { return form("confirm", "yes") }

var acts = []act{
	{path: "/account/profile", done: "/account/profile", audit: "agent.update", mail: "profile_changed",
		fields: func(*browser, owned) url.Values { return form("name", "Benno", "given_name", "B", "family_name", "") }},
	{path: "/account/password", done: "/account", audit: "password.change changed", mail: "password_changed",
		fields: func(*browser, owned) url.Values {
			return form("password", good, "new_password", better, "confirm_password", better)
		}},
	{path: "/account/factors/rename", back: "/account/factors", done: "/account/factors", audit: "factor.rename", mail: "factor_renamed",
		fields: func(_ *browser, o owned) url.Values { return form("id", o.passkey, "name", "Old laptop") }},
	{path: "/account/factors/totp", done: "/account/factors", audit: "factor.add", mail: "factor_added", fields: scanned},
	{path: "/account/factors/remove", done: "/account/factors", audit: "factor.remove", mail: "factor_removed", fields: id(func(o owned) string { return o.passkey })},
	{path: "/account/factors/codes", audit: "recovery_codes.renew", mail: "codes_renewed", fields: none},
	{path: "/account/factors/forget", done: "/account/factors", audit: "device.forget", mail: "device_forgotten", fields: id(func(o owned) string { return o.device })},
	{path: "/account/factors/forget-all", done: "/account/factors", audit: "device.forget factors_or_password", mail: "devices_forgotten", fields: none},
	{path: "/account/sessions/end", done: "/account/sessions", audit: "session.end ended_by_agent", mail: "sessions_ended", fields: id(func(o owned) string { return o.session })},
	{path: "/account/sessions/end-others", done: "/account/sessions", audit: "session.end ended_by_agent", mail: "sessions_ended", fields: none},
	{path: "/account/apps/revoke", done: "/account/apps", audit: "consent.revoke", mail: "app_revoked", fields: id(func(owned) string { return "third" })},
}

var (
	enrolmentField = regexp.MustCompile(`name="enrolment" value="([^"]+)"`)
	seedField      = regexp.MustCompile(`id="seed"[^>]*>([A-Z2-7 ]+)<`)
)

// scanned begins an authenticator app and types what it shows.
func scanned(b *browser, _ owned) url.Values {
	b.h.t.Helper()
	return b.scan(b.get("/account/factors/totp"))
}

func (b *browser) scan(got answer) url.Values {
	b.h.t.Helper()
	enrolment, seed := enrolmentField.FindStringSubmatch(got.body), seedField.FindStringSubmatch(got.body)
	if enrolment == nil || seed == nil {
		b.h.t.Fatalf("no seed: %d %s %s", got.status, got.to, got.body)
	}
	return form("enrolment", enrolment[1], "code", b.h.codeOf(seed[1]), "name", "Phone")
}

// with is the form as this session's page has it.
func (a act) with(b *browser, o owned) url.Values {
	b.h.t.Helper()
	f := a.fields(b, o)
	f.Set("csrf", b.csrf())
	return f
}

// comesBackTo is where a sign-in that came between leads.
func (a act) comesBackTo(f url.Values) string {
	back := a.back
	if back == "" {
		back = a.path
	}
	for _, field := range []string{"id", "enrolment"} {
		if f.Has(field) && a.back == "" {
			back += "?" + url.Values{field: {f.Get(field)}}.Encode()
		}
	}
	return back
}

// onEachAct runs a test for each act on both engines, each in a house of its own
// in which ben has one of everything and has just signed in.
func onEachAct(t *testing.T, test func(h *house, b *browser, a act, o owned)) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		for _, a := range acts {
			t.Run(strings.TrimPrefix(a.path, "/account/"), func(t *testing.T) {
				t.Parallel()
				h := newHouse(t, engine)
				o := h.furnish(ben)
				test(h, h.browser().signIn(ben), a, o)
			})
		}
	})
}

func TestEachChangeIsRecordedAndMailedAndHasAnEnd(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f, before := a.with(b, o), h.state(ben)
		audited, mailed := h.audited(), h.mailed(ben)
		got := b.post(a.path, f)
		if a.done != "" && (got.status != http.StatusSeeOther || got.to != a.done) || a.done == "" && got.status != http.StatusOK {
			h.t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		if h.state(ben) == before {
			h.t.Errorf("nothing is changed:\n%s", before)
		}
		if count(h.audited(), a.audit) == count(audited, a.audit) || count(h.mailed(ben), a.mail) != count(mailed, a.mail)+1 || len(h.mailed(ben)) != len(mailed)+1 {
			h.t.Errorf("audited %v, mailed %v", h.audited(), h.mailed(ben))
		}
		if next := b.get("/account/activity"); next.status != http.StatusOK {
			h.t.Errorf("this browser's session did not outlive it: %d %s", next.status, next.to)
		}
		if a.path == "/account/password" {
			return // the form is of the session before
		}
		before, mailed = h.state(ben), h.mailed(ben)
		if got := b.post(a.path, f); got.status >= 500 || h.state(ben) != before && a.done != "" || len(h.mailed(ben)) > len(mailed) && a.done != "" {
			h.t.Errorf("once more: %d %s, mailed %v\n%s\n%s", got.status, got.to, h.mailed(ben), before, h.state(ben))
		}
	})
}

func TestAChangeTakesAProofOfTheLastFiveMinutesWithTheFactorThatOneHolds(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f := a.with(b, o)
		h.pass(5 * time.Minute)
		before := h.state(ben)
		got := b.post(a.path, f)
		if !got.toSignIn() || h.state(ben) != before {
			h.t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		if page := b.get(got.to); !page.says(ben) {
			h.t.Errorf("the sign-in does not know who it is: %s", page.body)
		}
		half := b.post(got.to, form("email", ben, "password", good))
		if !strings.HasSuffix(half.to, "/factor") {
			h.t.Fatalf("no second factor is asked for: %d %s", half.status, half.to)
		}
		if again := b.post(a.path, f); !again.toSignIn() || h.state(ben) != before {
			h.t.Errorf("the password alone is enough: %d %s", again.status, again.to)
		}
		if back := b.post(half.to, form("code", h.code())).to; back != a.comesBackTo(f) {
			h.t.Errorf("came back to %s, not to %s", back, a.comesBackTo(f))
		} else if got := b.get(back); got.status != http.StatusOK {
			h.t.Errorf("%s: %d", back, got.status)
		} else if scanned := f.Get("enrolment"); scanned != "" { // the app has it already, and shows another code by now
			if f = b.scan(got); f.Get("enrolment") != scanned {
				h.t.Error("the app has to be scanned again")
			}
			f.Set("csrf", b.csrf())
		}
		if got := b.post(a.path, f); got.status >= 400 || got.toSignIn() || h.state(ben) == before {
			h.t.Errorf("after the sign-in: %d %s", got.status, got.to)
		}
	})
}

func TestARememberedBrowserIsNoProof(t *testing.T) {
	onEachAct(t, func(h *house, _ *browser, a act, o owned) {
		b := h.browser().signIn(ben, "remember", "1")
		f := a.with(b, o)
		h.update(func(tx store.Tx) error { // as if ben had signed in anew with the password and this cookie alone
			for _, rec := range list(h, &store.Sessions, "agent", h.agent(ben).ID) {
				rec.ACR, rec.AMR, rec.Remembered = policy.ACRPassword, []string{"pwd"}, true
				if err := store.Sessions.Put(tx, &rec); err != nil {
					return err
				}
			}
			return nil
		})
		before := h.state(ben)
		got := b.post(a.path, f)
		if !got.toSignIn() || h.state(ben) != before {
			h.t.Fatalf("%d %s", got.status, got.to)
		}
		if half := b.post(got.to, form("email", ben, "password", good)); !strings.HasSuffix(half.to, "/factor") {
			h.t.Errorf("the cookie stands in for the factor: %d %s", half.status, half.to)
		}
	})
}

func TestNobodyElseProvesItAndTheirSignInChangesNothing(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f := a.with(b, o)
		h.pass(6 * time.Minute)
		before, others := h.state(ben), h.state(ana)
		signIn := b.post(a.path, f).to
		if got := b.post(signIn, form("email", ana, "password", good)); got.status != http.StatusUnprocessableEntity {
			h.t.Errorf("ana signed in for ben: %d %s", got.status, got.to)
		}
		if got := b.post(a.path, f); !got.toSignIn() || h.state(ben) != before || h.state(ana) != others {
			h.t.Errorf("%d %s", got.status, got.to)
		}
		// And in the same browser, ana's own session is no way to ben's things.
		anas := b.get("/account/sessions")
		if anas.status != http.StatusOK || !anas.says(ben) {
			h.t.Errorf("ben's session is not ben's: %d", anas.status)
		}
	})
}

func TestAFormThatThisSessionDidNotShowDoesNothing(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f := a.with(b, o)
		other := h.browser().signIn(ben).csrf()
		stranger := h.browser().signIn(ana).csrf()
		before := h.state(ben)
		refused := func(what string, got answer) {
			h.t.Helper()
			if got.status != http.StatusForbidden && got.status != http.StatusNotFound && got.status != http.StatusMethodNotAllowed && got.status != http.StatusUnsupportedMediaType || h.state(ben) != before {
				h.t.Errorf("%s: %d %s\n%s", what, got.status, got.to, h.state(ben))
			}
		}
		for what, csrf := range map[string]string{"empty": "", "cut": f.Get("csrf")[:10], "of another session": other, "of somebody else": stranger, "longer": f.Get("csrf") + "A"} {
			forged := url.Values{}
			for k, v := range f {
				forged[k] = v
			}
			forged.Set("csrf", csrf)
			refused(what, b.post(a.path, forged))
			forged.Del("confirm")
			refused(what+", asking first", b.post(a.path, forged))
		}
		bare := url.Values{}
		for k, v := range f {
			if k != "csrf" {
				bare[k] = v
			}
		}
		refused("none", b.post(a.path, bare))
		refused("from another site", b.post(a.path, f, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }))
		refused("from another origin", b.post(a.path, f, func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") }))
		refused("from null", b.post(a.path, f, func(r *http.Request) { r.Header.Set("Origin", "null") }))
		refused("as text", b.post(a.path, f, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }))
		for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch, "TRACE"} {
			refused(method, b.do(method, a.path, f.Encode()))
		}
		if b.do(http.MethodGet, a.path+"?"+f.Encode(), ""); h.state(ben) != before {
			h.t.Error("a GET changes something")
		}
		for what, override := range map[string]string{"_method": "POST", "X-HTTP-Method-Override": "POST"} {
			if b.do(http.MethodGet, a.path+"?"+f.Encode()+"&"+what+"="+override, "", func(r *http.Request) { r.Header.Set(what, override) }); h.state(ben) != before {
				h.t.Errorf("a GET with %s changes something", what)
			}
		}
	})
}

func TestWithoutASessionAFormDoesNothing(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f, before := a.with(b, o), h.state(ben)
		if got := h.browser().post(a.path, f); !got.toSignIn() || h.state(ben) != before {
			h.t.Errorf("%d %s", got.status, got.to)
		}
	})
}

func TestWhichCallEverFailsNothingIsHalfDone(t *testing.T) {
	onEachAct(t, func(h *house, b *browser, a act, o owned) {
		f, before := a.with(b, o), h.state(ben)
		audited, mailed := len(h.audited()), len(h.mailed(ben))
		failed := 0
		for ; ; failed++ {
			h.store.FailAt(failed + 1)
			got := b.post(a.path, f)
			if got.status < 500 {
				break
			}
			if h.state(ben) != before || len(h.audited()) != audited || len(h.mailed(ben)) != mailed {
				h.t.Fatalf("call %d left something (%d):\n%s\n%s", failed+1, got.status, before, h.state(ben))
			}
			if failed > 400 {
				h.t.Fatal("it never works")
			}
		}
		h.store.FailAt(0)
		if failed < 5 || h.state(ben) == before || !slices.Contains(h.audited()[audited:], a.audit) || !slices.Contains(h.mailed(ben), a.mail) {
			h.t.Errorf("after %d failures: %v %v", failed, h.audited(), h.mailed(ben))
		}
	})
}
