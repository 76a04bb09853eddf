package session

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
	"github.com/chatelaine-id/chatelaine/store/postgres"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// database is the PostgreSQL of the tests that run on both engines.
var database storetest.Shared

func TestMain(m *testing.M) { os.Exit(database.Run(m)) }

// house is two sites with two agents each, ana and ben; its clock stands.
type house struct {
	*Sessions
	t     *testing.T
	sites *site.Sites

	mu  sync.Mutex
	now time.Time
}

func (h *house) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *house) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// open is an empty store on that engine.
func (h *house) open(on storetest.Engine) store.Store {
	h.t.Helper()
	if on == storetest.PostgreSQL {
		engine, err := postgres.Open(h.t.Context(), postgres.Options{URL: database.URL(h.t), Now: h.clock, AllowAsync: true})
		h.ok(err)
		return engine
	}
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(h.t.TempDir(), "house.db"), Now: h.clock})
	h.ok(err)
	return engine
}

func (h *house) ok(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func newHouse(t *testing.T, on storetest.Engine) *house {
	t.Helper()
	h := &house{t: t, now: time.Date(2026, 3, 1, 12, 0, 0, 123, time.UTC)}
	engine := h.open(on)
	t.Cleanup(func() { engine.Close() })
	sealer, err := store.NewSealer(make([]byte, store.MasterKeySize))
	if err != nil {
		t.Fatal(err)
	}
	if h.sites, err = site.New(site.Options{Store: engine, PublicURL: "https://id.example", Now: h.clock}); err != nil {
		t.Fatal(err)
	}
	s := h.sites.Store()
	k := keys.New(keys.Options{Store: s, Sealer: sealer, Sites: h.sites, Now: h.clock})
	h.Sessions = New(Options{Store: s, Keys: k, Now: h.clock, Audit: audit.New(audit.Options{Store: s, Sites: h.sites, Keys: k, Now: h.clock})})
	for _, path := range []string{"", "acme"} {
		if err := site.Create(t.Context(), s, path, "", site.DefaultSettings("Acme"), h.now); err != nil {
			t.Fatal(err)
		}
		h.update(path, func(tx store.Tx) error {
			for _, name := range []string{"ana", "ben"} {
				if err := store.Agents.Create(tx, &store.Agent{ID: name, Email: name + "@acme.example", Roles: []string{"agents"}}); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return h
}

func (h *house) update(path string, fn func(store.Tx) error) {
	h.t.Helper()
	if err := h.Store.Update(h.t.Context(), path, fn); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) site(path string) *site.Site {
	h.t.Helper()
	s, err := h.sites.Load(h.t.Context(), path)
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// browser keeps cookies as one does.
type browser struct {
	h       *house
	path    string
	cookies map[string]*http.Cookie
}

func (h *house) browser(path string) *browser {
	return &browser{h, path, map[string]*http.Cookie{}}
}

func (b *browser) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "https://id.example/", nil)
	ctx := web.WithClient(b.h.t.Context(), netip.MustParseAddr("203.0.113.7"), "request", "Firefox")
	r = r.WithContext(site.With(ctx, b.h.site(b.path)))
	for _, c := range b.cookies {
		r.AddCookie(&http.Cookie{Name: c.Name, Value: c.Value})
	}
	return r
}

func (b *browser) take(w *httptest.ResponseRecorder) {
	for _, c := range w.Result().Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
			continue
		}
		b.cookies[c.Name] = c
	}
}

func (b *browser) signIn(agent string) store.Session {
	b.h.t.Helper()
	var rec store.Session
	var value string
	r := b.request()
	b.h.update(b.path, func(tx store.Tx) (err error) {
		rec, value, err = b.h.Start(r.Context(), tx, b.h.site(b.path), Start{AgentID: agent, AMR: []string{"pwd"}, ACR: "aal1", Replaces: Presented(r)})
		return err
	})
	w := httptest.NewRecorder()
	b.h.SetCookie(w, r, value, rec)
	b.take(w)
	return rec
}

func (b *browser) find() (rec store.Session, err error) {
	b.h.t.Helper()
	return b.h.find(b.request(), b.path)
}

func (h *house) find(r *http.Request, path string) (rec store.Session, err error) {
	h.t.Helper()
	if e := h.Store.View(h.t.Context(), path, func(tx store.Tx) error {
		rec, err = h.Find(tx, r, h.site(path))
		return nil
	}); e != nil {
		h.t.Fatal(e)
	}
	return rec, err
}

func (b *browser) wantSignedOut(why string) {
	b.h.t.Helper()
	if rec, err := b.find(); !errors.Is(err, ErrNone) {
		b.h.t.Errorf("%s: %v, %v", why, rec, err)
	}
}

func (b *browser) wantSignedIn(why string) store.Session {
	b.h.t.Helper()
	rec, err := b.find()
	if err != nil {
		b.h.t.Errorf("%s: %v", why, err)
	}
	return rec
}

func TestASessionIsFoundByItsCookieOnly(t *testing.T) {
	storetest.OnBothEngines(t, testASessionIsFoundByItsCookieOnly)
}

func testASessionIsFoundByItsCookieOnly(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	b.wantSignedOut("no cookie")
	rec := b.signIn("ana")
	got := b.wantSignedIn("signed in")
	if got.AgentID != "ana" || got.IP != "203.0.113.7" || got.UserAgent != "Firefox" || !got.AuthTime.Equal(h.now) {
		t.Errorf("%+v", got)
	}
	c := b.cookies["__Host-session"]
	if c == nil || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || len(c.Value) != 51 || c.MaxAge != 24*3600 {
		t.Fatalf("%+v", b.cookies)
	}
	if c.Value == rec.Hash || strings.Contains(rec.Hash, c.Value) {
		t.Error("the store holds the cookie's value")
	}
	swapped := "_"
	if c.Value[20] == '_' {
		swapped = "-"
	}
	for name, value := range map[string]string{
		"the stored hash": rec.Hash, "the sid": rec.SID, "cut": c.Value[:50], "longer": c.Value + "A", "another time": "B" + c.Value[1:], "changed": c.Value[:20] + swapped + c.Value[21:], "nothing": "", "1 MiB": strings.Repeat("A", 1<<20),
	} {
		r := h.browser("").request()
		r.Header.Set("Cookie", "__Host-session="+value)
		if _, err := h.find(r, ""); !errors.Is(err, ErrNone) && value != c.Value {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCookiesThatSayTwoThingsAreSignedOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	b := h.browser("")
	b.signIn("ana")
	value := b.cookies["__Host-session"].Value
	other := strings.Repeat("B", 43)
	for _, header := range []string{
		"__Host-session=" + value + "; __Host-session=" + other,
		"__Host-session=" + other + "; __Host-session=" + value,
		"__Host-session=" + value + "; __Host-session=" + value,
		`__Host-session="` + value + `"`,
		"session=" + value,
		"\u2000__Host-session=" + value,
		`$Version=1; __Host-session="` + value + `"; $Path=/`,
	} {
		r := h.browser("").request()
		r.Header.Set("Cookie", header)
		if _, err := h.find(r, ""); !errors.Is(err, ErrNone) {
			t.Errorf("%.40q: %v", header, err)
		}
	}
}

func TestSitesOnOneHostHaveCookiesApart(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	root := h.browser("")
	root.signIn("ana")
	acme := &browser{h, "acme", root.cookies}
	acme.wantSignedOut("another site's cookie")
	acme.signIn("ben")
	if got := root.wantSignedIn("the root's"); got.AgentID != "ana" {
		t.Error(got.AgentID)
	}
	if got := acme.wantSignedIn("acme's"); got.AgentID != "ben" {
		t.Error(got.AgentID)
	}
	acme.cookies["__Host-session.acme"].Value = root.cookies["__Host-session"].Value
	acme.wantSignedOut("the root's value under acme's name")
}

func TestSessionsEndIdleAndOld(t *testing.T) { storetest.OnBothEngines(t, testSessionsEndIdleAndOld) }

func testSessionsEndIdleAndOld(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	idle, busy := h.browser(""), h.browser("")
	idle.signIn("ana")
	busy.signIn("ana")
	for range 23 {
		h.pass(time.Hour)
		rec := busy.wantSignedIn("busy")
		if err := h.Touch(t.Context(), h.site(""), rec, netip.MustParseAddr("203.0.113.9")); err != nil {
			t.Fatal(err)
		}
		if h.now.Day() == 1 && h.now.Hour() == 19 {
			h.pass(time.Hour - time.Second)
			idle.wantSignedIn("just within the idle limit")
			h.pass(time.Second)
			idle.wantSignedOut("at the idle limit")
			h.pass(-time.Hour)
		}
	}
	h.pass(time.Hour - time.Second)
	if rec := busy.wantSignedIn("just within the absolute limit"); rec.IP != "203.0.113.9" {
		t.Error(rec.IP)
	}
	h.pass(time.Second)
	busy.wantSignedOut("at the absolute limit")
}

func TestTighterLimitsApplyToSessionsThatRun(t *testing.T) {
	storetest.OnBothEngines(t, testTighterLimitsApplyToSessionsThatRun)
}

func testTighterLimitsApplyToSessionsThatRun(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	b.signIn("ana")
	h.pass(20 * time.Minute)
	h.update("", func(tx store.Tx) error {
		settings, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		settings.Lifetimes.SessionIdle = 15 * 60
		return errors.Join(store.AllSettings.Put(tx, &settings), site.Changed(tx))
	})
	b.wantSignedOut("idle for 20 minutes where 15 are allowed")
}

func TestTouchWritesAtMostOnceAMinute(t *testing.T) {
	storetest.OnBothEngines(t, testTouchWritesAtMostOnceAMinute)
}

func testTouchWritesAtMostOnceAMinute(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	b.signIn("ana")
	seen := func() time.Time { return b.wantSignedIn("").Seen }
	first := seen()
	touch := func(ip string) {
		t.Helper()
		addr, _ := netip.ParseAddr(ip)
		if err := h.Touch(t.Context(), h.site(""), b.wantSignedIn(""), addr); err != nil {
			t.Fatal(err)
		}
	}
	h.pass(59 * time.Second)
	touch("203.0.113.7")
	touch("")
	if !seen().Equal(first) {
		t.Error("written within the minute")
	}
	touch("203.0.113.8")
	if seen().Equal(first) {
		t.Error("another address was not noted")
	}
	h.pass(time.Minute)
	stale := b.wantSignedIn("")
	h.update("", func(tx store.Tx) error { return h.End(t.Context(), tx, h.site(""), stale, "sign_out") })
	if err := h.Touch(t.Context(), h.site(""), stale, netip.Addr{}); err != nil {
		t.Fatal(err)
	}
	b.wantSignedOut("touched after it had ended")
}

func TestSigningInAgainMakesANewCookieAndTheOldOneDies(t *testing.T) {
	storetest.OnBothEngines(t, testSigningInAgainMakesANewCookieAndTheOldOneDies)
}

func testSigningInAgainMakesANewCookieAndTheOldOneDies(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	first := b.signIn("ana")
	old := &browser{h, "", map[string]*http.Cookie{"c": b.cookies["__Host-session"]}}
	h.grant("G", first, "desk")
	second := b.signIn("ana")
	old.wantSignedOut("the old cookie")
	if second.SID != first.SID || second.Hash == first.Hash || h.revoked("G") || len(h.feed("")) != 0 {
		t.Error("the same agent's grants went, or the cookie stayed")
	}
	old = &browser{h, "", map[string]*http.Cookie{"c": b.cookies["__Host-session"]}}
	third := b.signIn("ben")
	old.wantSignedOut("the other agent's cookie")
	if third.SID == first.SID || !h.revoked("G") {
		t.Error("another agent took the session over")
	}
	if feed := h.feed(""); len(feed) != 1 || feed[0].SID != first.SID || feed[0].Reason != "replaced" {
		t.Errorf("%+v", feed)
	}
}

func TestAPlantedSessionIsNotTakenOver(t *testing.T) {
	storetest.OnBothEngines(t, testAPlantedSessionIsNotTakenOver)
}

func testAPlantedSessionIsNotTakenOver(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	b.cookies["x"] = &http.Cookie{Name: "__Host-session", Value: strings.Repeat("A", 43)}
	rec := b.signIn("ana")
	if b.cookies["__Host-session"].Value == strings.Repeat("A", 43) || rec.Hash == hash(strings.Repeat("A", 43)) {
		t.Error("the planted value was kept")
	}
}

func (h *house) grant(id string, rec store.Session, client string) {
	h.t.Helper()
	h.update("", func(tx store.Tx) error {
		g := store.Grant{ID: id, Authorization: store.Authorization{ClientID: client, AgentID: rec.AgentID, SID: rec.SID}, Created: h.now, Expires: h.now.Add(time.Hour * 100)}
		return errors.Join(store.Grants.Create(tx, &g), store.OpaqueTokens.Create(tx, &store.OpaqueToken{Hash: "token of " + id, GrantID: id, Expires: h.now.Add(time.Hour)}))
	})
}

func (h *house) revoked(id string) (revoked bool) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), "", func(tx store.Tx) error {
		g, err := store.Grants.Get(tx, id)
		if err != nil {
			return err
		}
		token, err := store.OpaqueTokens.Has(tx, "token of "+id)
		if token == g.Revoked {
			h.t.Errorf("grant %s revoked %v, its opaque token lives %v", id, g.Revoked, token)
		}
		revoked = g.Revoked
		return err
	}); err != nil {
		h.t.Fatal(err)
	}
	return revoked
}

func (h *house) feed(path string) (all []store.Revocation) {
	h.t.Helper()
	if err := h.Store.View(h.t.Context(), path, func(tx store.Tx) error {
		for r, err := range store.Revocations.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	}); err != nil {
		h.t.Fatal(err)
	}
	return all
}

func (h *house) audited(action string) (n int) {
	h.t.Helper()
	found, _, err := h.Audit.Search(h.t.Context(), "", audit.Filter{Action: action}, audit.Place{})
	if err != nil {
		h.t.Fatal(err)
	}
	return len(found)
}

func TestEndingASessionTakesEverythingWithIt(t *testing.T) {
	storetest.OnBothEngines(t, testEndingASessionTakesEverythingWithIt)
}

func testEndingASessionTakesEverythingWithIt(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	one, two := h.browser(""), h.browser("")
	first, second := one.signIn("ana"), two.signIn("ana")
	h.grant("A", first, "desk")
	h.grant("B", first, "mobile")
	h.grant("C", second, "desk")
	h.update("", func(tx store.Tx) error { return h.End(t.Context(), tx, h.site(""), first, "sign_out") })
	one.wantSignedOut("ended")
	two.wantSignedIn("the other browser")
	if !h.revoked("A") || !h.revoked("B") || h.revoked("C") {
		t.Error("the wrong grants were revoked")
	}
	feed := h.feed("")
	if len(feed) != 1 || feed[0].SID != first.SID || feed[0].Sequence != 1 || !feed[0].Before.Equal(h.now) || feed[0].Expires.Sub(h.now) < 10*time.Minute {
		t.Errorf("%+v", feed)
	}
	if h.audited(audit.SessionEnd) != 1 {
		t.Error("not audited")
	}
	found := true
	h.update("", func(tx store.Tx) (err error) {
		found, err = h.EndSID(t.Context(), tx, h.site(""), "unknown", "x")
		return err
	})
	if found || len(h.feed("")) != 1 {
		t.Error("an unknown sid was ended")
	}
	h.update("", func(tx store.Tx) (err error) {
		found, err = h.EndSID(t.Context(), tx, h.site(""), second.SID, "revoked")
		return err
	})
	two.wantSignedOut("ended by sid")
	if !found || !h.revoked("C") {
		t.Error("not ended by sid")
	}
}

func TestEndingAllSessionsVoidsWhatIsUnderWay(t *testing.T) {
	storetest.OnBothEngines(t, testEndingAllSessionsVoidsWhatIsUnderWay)
}

func testEndingAllSessionsVoidsWhatIsUnderWay(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	one, two, other := h.browser(""), h.browser(""), h.browser("")
	first := one.signIn("ana")
	two.signIn("ana")
	other.signIn("ben")
	h.grant("A", first, "desk")
	h.grant("offline", store.Session{AgentID: "ana", SID: "long gone"}, "mobile")
	n := 0
	h.pass(time.Second)
	h.update("", func(tx store.Tx) (err error) {
		n, err = h.EndAll(t.Context(), tx, h.site(""), "ana", "password_changed")
		return err
	})
	if n != 2 || !h.revoked("A") || !h.revoked("offline") {
		t.Errorf("%d sessions ended", n)
	}
	one.wantSignedOut("first")
	two.wantSignedOut("second")
	other.wantSignedIn("somebody else")
	if feed := h.feed(""); len(feed) != 3 || feed[0].Subject != "ana" || feed[1].JTI+feed[2].JTI != "Aoffline" {
		t.Errorf("%+v", feed)
	}
	one.signIn("ana")
	one.wantSignedIn("signed in again at the same moment")
}

func TestAnAgentWhoMayNotHasNoSession(t *testing.T) {
	storetest.OnBothEngines(t, testAnAgentWhoMayNotHasNoSession)
}

func testAnAgentWhoMayNotHasNoSession(t *testing.T, on storetest.Engine) {
	for name, change := range map[string]func(tx store.Tx, h *house) error{
		"inactive": func(tx store.Tx, _ *house) error {
			return store.Agents.Put(tx, &store.Agent{ID: "ana", Email: "a", Inactive: true})
		},
		"deleted": func(tx store.Tx, _ *house) error { return store.Agents.Delete(tx, "ana") },
		"voided": func(tx store.Tx, h *house) error {
			return store.Agents.Put(tx, &store.Agent{ID: "ana", Email: "a", NotBefore: h.now.Add(1)})
		},
		"restored": func(tx store.Tx, h *house) error {
			settings, err := store.GetSettings(tx)
			settings.NotBefore = h.now.Add(time.Second)
			return errors.Join(err, store.AllSettings.Put(tx, &settings), site.Changed(tx))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			b := h.browser("")
			b.signIn("ana")
			h.update("", func(tx store.Tx) error { return change(tx, h) })
			b.wantSignedOut(name)
		})
	}
}

func TestAChangedAgentIsAnnounced(t *testing.T) {
	storetest.OnBothEngines(t, testAChangedAgentIsAnnounced)
}

func testAChangedAgentIsAnnounced(t *testing.T, on storetest.Engine) {
	base := store.Agent{ID: "ana", Email: "ana@acme.example", Roles: []string{"agents", "supervisors"}, Departments: []string{"billing"}}
	for name, c := range map[string]struct {
		change func(*store.Agent)
		want   string
		out    bool
	}{
		"nothing":          {func(*store.Agent) {}, "", false},
		"a role more":      {func(a *store.Agent) { a.Roles = []string{"agents", "supervisors", "x"} }, "", false},
		"a role lost":      {func(a *store.Agent) { a.Roles = []string{"agents"} }, "roles_changed", false},
		"a role exchanged": {func(a *store.Agent) { a.Roles = []string{"agents", "x"} }, "roles_changed", false},
		"department lost":  {func(a *store.Agent) { a.Departments = nil }, "roles_changed", false},
		"deactivated":      {func(a *store.Agent) { a.Inactive = true }, "deactivated", true},
		"an administrator": {func(a *store.Agent) { a.Roles = []string{"administrators", "agents", "supervisors"} }, "became_administrator", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			h.update("", func(tx store.Tx) error { return store.Agents.Put(tx, &base) })
			b := h.browser("")
			b.signIn("ana")
			after := base
			c.change(&after)
			h.update("", func(tx store.Tx) error {
				return errors.Join(store.Agents.Put(tx, &after), h.AgentChanged(t.Context(), tx, h.site(""), base, after))
			})
			feed := h.feed("")
			if c.want == "" && len(feed) != 0 || c.want != "" && (len(feed) != 1 || feed[0].Subject != "ana" || feed[0].Reason != c.want) {
				t.Errorf("%+v", feed)
			}
			if c.out {
				b.wantSignedOut(name)
			} else {
				b.wantSignedIn(name)
			}
		})
	}
}

func TestRevokingAGrantNamesItToTheVerifiers(t *testing.T) {
	storetest.OnBothEngines(t, testRevokingAGrantNamesItToTheVerifiers)
}

func testRevokingAGrantNamesItToTheVerifiers(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.browser("").signIn("ana")
	h.grant("A", rec, "desk")
	h.grant("B", rec, "mobile")
	revoke := func(tx store.Tx) error {
		g, err := store.Grants.Get(tx, "A")
		if err != nil {
			return err
		}
		return h.RevokeGrant(t.Context(), tx, h.site(""), g, "revoked")
	}
	h.update("", revoke)
	h.update("", revoke) // once is enough
	feed := h.feed("")
	if len(feed) != 1 || feed[0].JTI != "A" || !h.revoked("A") || h.revoked("B") {
		t.Errorf("%+v", feed)
	}
}

func TestAHundredRacersEndOneSessionOnce(t *testing.T) {
	storetest.OnBothEngines(t, testAHundredRacersEndOneSessionOnce)
}

func testAHundredRacersEndOneSessionOnce(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	b := h.browser("")
	rec := b.signIn("ana")
	h.grant("A", rec, "desk")
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			if err := h.Store.Update(t.Context(), "", func(tx store.Tx) error {
				_, err := h.EndSID(context.WithoutCancel(t.Context()), tx, h.site(""), rec.SID, "sign_out")
				return err
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	b.wantSignedOut("raced")
	feed := h.feed("")
	for i, r := range feed {
		if r.Sequence != uint64(i+1) {
			t.Errorf("the feed's entry %d has sequence %d", i, r.Sequence)
		}
	}
	if len(feed) != 1 || h.audited(audit.SessionEnd) != 1 {
		t.Errorf("%d announced, %d audited", len(feed), h.audited(audit.SessionEnd))
	}
}
