package signin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

const better = "Plum-Kettle-93 walks"

func TestAnExpiredPasswordIsChangedBeforeAnythingIsIssued(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		h.agent(ana, good, func(a *store.Agent) { a.PasswordChanged = h.now().AddDate(0, 0, -41) })
		b := h.browser()
		path := b.password(ana, good)
		if !strings.HasSuffix(path, "/password") || len(h.sessions()) != 0 {
			t.Fatalf("%s, %d sessions", path, len(h.sessions()))
		}
		if got := b.post(strings.TrimSuffix(path, "password") + "skip/new_password"); got.to != path {
			t.Fatalf("put off: %d %s", got.status, got.to)
		}
		for pw, why := range map[string]string{"short": "too short", good: "the old one", "Password1!": "common", "Silva-9-silva": "a name", "": "none"} {
			if got := b.post(path, "new_password", pw, "confirm_password", pw); got.status != http.StatusUnprocessableEntity {
				t.Errorf("%s: %d %s", why, got.status, got.to)
			}
		}
		if got := b.post(path, "new_password", better, "confirm_password", better+"x"); got.status != http.StatusUnprocessableEntity {
			t.Errorf("typed differently: %d", got.status)
		}
		if got := b.post(path, "new_password", better, "confirm_password", better); !strings.HasPrefix(got.to, "/oauth/authorize/") || len(h.sessions()) != 1 {
			t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		if got := h.browser().signIn(ana, good); got.status != http.StatusUnprocessableEntity {
			t.Errorf("the old one: %d", got.status)
		}
		if got := h.browser().signIn(ana, better); got.status != http.StatusSeeOther {
			t.Errorf("the new one: %d", got.status)
		}
		if n := h.audited(); n["password.change changed"] != 1 {
			t.Errorf("audited %v", n)
		}
	})
}

func TestAPasswordThatWillExpireMayWait(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good, func(a *store.Agent) { a.PasswordChanged = h.now().AddDate(0, 0, -38) })
	b := h.browser()
	path := b.password(ana, good)
	if got := b.post(strings.TrimSuffix(path, "password") + "skip/new_password"); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Errorf("put off: %d %s", got.status, got.to)
	}
}

func TestTheTicksAreTheServersOwnRules(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good, func(a *store.Agent) { a.MustChangePassword = true })
	b := h.browser()
	path := b.password(ana, good)
	var answer struct {
		Rules []struct {
			Rule string `json:"rule"`
			OK   bool   `json:"ok"`
		} `json:"rules"`
	}
	got := b.post(path+"/check", "new_password", "silva")
	must(t, json.Unmarshal([]byte(got.body), &answer))
	broken := map[string]bool{}
	for _, r := range answer.Rules {
		broken[r.Rule] = !r.OK
	}
	if !broken["length"] || !broken["names"] || !broken["kinds"] || got.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%+v %s", answer, got.header)
	}
}

// outbox is a Mail that keeps what it is given once the transaction commits.
type outbox struct {
	mu      sync.Mutex
	links   []string
	notices []string
	off     bool
}

func (o *outbox) Configured() bool { return !o.off }
func (o *outbox) Allow(tx store.Tx, kind, address string, now time.Time) (bool, error) {
	return true, store.AllAttempts.Put(tx, &store.Attempts{Key: "mail:" + kind + address, Last: now, Expires: now.Add(time.Hour)})
}

func (o *outbox) Link(_ context.Context, _ store.Tx, _ *site.Site, agent store.Agent, link string, _ bool, _ time.Duration) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.links = append(o.links, agent.Email+" "+link)
	return nil
}

func (o *outbox) Notice(_ context.Context, _ store.Tx, _ *site.Site, agent store.Agent, kind string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.notices = append(o.notices, agent.Email+" "+kind)
	return nil
}

// link is the path of the last one that was sent.
func (o *outbox) link(t testing.TB) string {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.links) == 0 {
		t.Fatal("no link was sent")
	}
	u, err := url.Parse(strings.Fields(o.links[len(o.links)-1])[1])
	must(t, err)
	return u.Path
}

func withMail(o *outbox) func(*houseOptions) { return func(h *houseOptions) { h.mail = o } }

func TestAForgottenPasswordIsResetByALinkThatWorksOnce(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		mails := &outbox{}
		h := newHouse(t, engine, withMail(mails))
		agent := h.agent(ana, good)
		seed := h.app(agent)
		other := h.browser()
		other.post(other.password(ana, good), "code", h.code(seed))
		for range 6 {
			h.browser().signIn(ana, "guess") // locks
		}
		b := h.browser()
		if got := b.post("/forgot", "email", " Ana@Acme.example"); got.status != http.StatusOK {
			t.Fatal(got.status)
		}
		link := mails.link(t)
		for range 2 { // a scanner of mails opens it too
			if got := h.browser().get(link); got.status != http.StatusSeeOther || got.to != "/reset" {
				t.Fatalf("%d %s", got.status, got.to)
			}
		}
		if got := b.get(link); got.header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v", got.header)
		}
		if got := b.get("/reset"); got.status != http.StatusOK || strings.Contains(got.body, strings.TrimPrefix(link, "/reset/")) {
			t.Errorf("%d, or the secret is in the page", got.status)
		}
		if got := b.post("/reset", "new_password", "short", "confirm_password", "short"); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%d", got.status)
		}
		if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusOK || len(h.sessions()) != 0 {
			t.Fatalf("%d %s, %d sessions", got.status, got.body, len(h.sessions()))
		}
		for _, path := range []string{"/reset", link} {
			if got := b.get(path); got.status != http.StatusGone {
				t.Errorf("%s afterwards: %d", path, got.status)
			}
		}
		if got := b.signIn(ana, better); !strings.HasSuffix(got.to, "/factor") {
			t.Errorf("unlocked, and the second factor is asked for: %d %s", got.status, got.to)
		}
		if !h.stored(ana).EmailVerified {
			t.Error("the address is not proven")
		}
		if mails.notices[len(mails.notices)-1] != ana+" password_reset" {
			t.Errorf("%q", mails.notices)
		}
	})
}

func TestOfAHundredResetsOneWins(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		mails := &outbox{}
		h := newHouse(t, engine, withMail(mails))
		h.agent(ana, good)
		h.browser().post("/forgot", "email", ana)
		link := mails.link(t)
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 100 {
			wg.Go(func() {
				b := h.browser()
				b.get(link)
				pw := better + strings.Repeat("x", i)
				switch got := b.post("/reset", "new_password", pw, "confirm_password", pw); got.status {
				case http.StatusOK:
					won.Add(1)
				case http.StatusGone:
					lost.Add(1)
				default:
					t.Errorf("%d %s", got.status, got.body)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 || lost.Load() != 99 {
			t.Errorf("%d won, %d were told that it is spent", won.Load(), lost.Load())
		}
		if n := h.audited(); n["password.change reset"] != 1 {
			t.Errorf("audited %v", n)
		}
	})
}

func TestALinkIsVoidOnceSomethingElseCame(t *testing.T) {
	t.Parallel()
	const unknown = "This link no longer works"
	for name, c := range map[string]struct {
		void func(*house, *outbox)
		says string
	}{
		"a newer link":     {func(h *house, _ *outbox) { h.browser().post("/forgot", "email", ana) }, "There is a newer link"},
		"its time is over": {func(h *house, _ *outbox) { h.pass(30 * time.Minute) }, "This link has run out"},
		"it was used": {func(h *house, mails *outbox) {
			b := h.browser()
			b.get(mails.link(h.t))
			b.post("/reset", "new_password", better+"!", "confirm_password", better+"!")
			h.browser().signIn(ana, better+"!")
		}, "This link was used already"},
		"deactivated":     {func(h *house, _ *outbox) { h.change(func(a *store.Agent) { a.Inactive = true }) }, unknown},
		"another address": {func(h *house, _ *outbox) { h.change(func(a *store.Agent) { a.Email = "new@acme.example" }) }, unknown},
		"another password": {func(h *house, _ *outbox) {
			h.change(func(a *store.Agent) { a.PasswordChanged = h.now().Add(time.Second) })
		}, unknown},
		"a sign-in": {func(h *house, _ *outbox) { h.browser().signIn(ana, good) }, unknown},
		"the agent is deleted": {func(h *house, _ *outbox) {
			h.update(func(tx store.Tx) { must(h.t, store.Agents.Delete(tx, "id-of-"+ana)) })
		}, unknown},
		"it is forgotten why": {func(h *house, _ *outbox) { h.pass(31 * 24 * time.Hour) }, unknown},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mails := &outbox{}
			h := newHouse(t, withMail(mails))
			h.agent(ana, good)
			b := h.browser()
			b.post("/forgot", "email", ana)
			link := mails.link(t)
			b.get(link)
			c.void(h, mails)
			if got := b.post("/reset", "new_password", better, "confirm_password", better, "email", ana); got.status != http.StatusGone {
				t.Errorf("%d", got.status)
			}
			if got := h.browser().get(link); got.status != http.StatusGone || !strings.Contains(got.body, c.says) || !strings.Contains(got.body, `href="/forgot"`) {
				t.Errorf("%d %s", got.status, got.body)
			}
			if got := h.browser().get(link[:len(link)-3]); got.status != http.StatusGone || !strings.Contains(got.body, "This link isn’t whole") {
				t.Errorf("cut short: %d", got.status)
			}
		})
	}
}

// change changes ana's record.
func (h *house) change(f func(*store.Agent)) {
	h.t.Helper()
	h.update(func(tx store.Tx) {
		a, err := store.Agents.Get(tx, "id-of-"+ana)
		must(h.t, err)
		f(&a)
		must(h.t, store.Agents.Put(tx, &a))
	})
}

func TestForgettingTellsNobodyWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	mails := &outbox{}
	h := newHouse(t, withMail(mails))
	h.wrongs()
	var first string
	for _, email := range []string{ana, "unknown@acme.example", "inactive@acme.example", "sso@acme.example", "locked@acme.example"} {
		began := time.Now()
		got := h.browser().post("/forgot", "email", email)
		if took := time.Since(began); took < forgotTime {
			t.Errorf("%s: answered after %v", email, took)
		}
		body := regexp.MustCompile(`nonce="[^"]+"`).ReplaceAllString(strings.ReplaceAll(got.body, email, "…"), "")
		if first == "" {
			first = body
		}
		if got.status != http.StatusOK || body != first {
			t.Errorf("%s is told apart: %d", email, got.status)
		}
	}
	if len(mails.links) != 2 { // ana and locked
		t.Errorf("%q", mails.links)
	}
	if !slices.Equal(mails.notices, []string{"sso@acme.example sso_only"}) {
		t.Errorf("%q", mails.notices)
	}
}

func TestALockIsToldToItsOwner(t *testing.T) {
	t.Parallel()
	mails := &outbox{}
	h := newHouse(t, withMail(mails))
	h.agent(ana, good)
	for range 7 {
		h.browser().signIn(ana, "guess")
	}
	if !slices.Equal(mails.notices, []string{ana + " locked"}) {
		t.Errorf("%q", mails.notices)
	}
}

func TestAnInvitationSetsTheFirstPassword(t *testing.T) {
	t.Parallel()
	mails := &outbox{}
	h := newHouse(t, withMail(mails))
	agent := h.agent(ana, "")
	s := h.site()
	var link string
	h.update(func(tx store.Tx) {
		var err error
		link, _, err = h.x.Invite(t.Context(), tx, s, agent, auditOperator)
		must(t, err)
	})
	u, err := url.Parse(link)
	must(t, err)
	b := h.browser()
	if got := b.get(u.Path); got.to != "/reset" {
		t.Fatalf("%d %s", got.status, got.to)
	}
	if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusOK {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if got := b.signIn(ana, better); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Errorf("%d %s", got.status, got.to)
	}
}

// enforce makes the connection corp the only way in for addresses of acme.example.
func (h *house) enforce() {
	h.t.Helper()
	now := h.now().UTC()
	h.settings(func(s *store.Settings) { s.Domains = []string{"acme.example"} })
	h.update(func(tx store.Tx) {
		must(h.t, store.Connections.Put(tx, &store.Connection{
			ID: "corp", Kind: store.ConnectionSAML, For: store.ForAgents, Name: "Acme SSO", Domains: []string{"acme.example"}, Enforce: true,
			Created: now, Changed: now, Rehearsed: now, SAML: &store.SAMLConnection{},
		}))
		must(h.t, site.Changed(tx))
	})
	h.pass(2 * site.MaxAge) // a snapshot may be so old
}

func TestALinkToChooseAPasswordLeadsToTheConnectionThatIsEnforced(t *testing.T) {
	t.Parallel()
	for _, invites := range []bool{true, false} {
		for _, role := range []string{policy.Agents, policy.Administrators} {
			mails := &outbox{}
			h := newHouse(t, withMail(mails))
			agent := h.agent(ana, "", func(a *store.Agent) { a.Roles = []string{role} })
			s := h.site()
			var link string
			h.update(func(tx store.Tx) {
				var err error
				link, err = h.x.newLink(tx, s, agent, invites, true, "")
				must(t, err)
			})
			u, err := url.Parse(link)
			must(t, err)
			h.enforce()
			b := h.browser()
			if got := b.get(u.Path); got.to != "/reset" {
				t.Fatalf("%d %s", got.status, got.to)
			}
			got := b.get("/reset")
			if got.status != http.StatusOK || strings.Contains(got.body, "new_password") || !strings.Contains(got.body, "Acme SSO") {
				t.Errorf("%d %s", got.status, got.body)
			}
			leads := strings.Contains(got.body, `href="/federation/corp/start?login_hint=ana%40acme.example"`)
			if leads == (role == policy.Administrators) {
				t.Errorf("%s: it leads to the connection: %v", role, leads)
			}
			if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusForbidden || h.stored(ana).PasswordHash != "" {
				t.Errorf("a password is set: %d", got.status)
			}
			if got := b.post("/reset/check", "new_password", better); got.status != http.StatusGone {
				t.Errorf("the ticks: %d", got.status)
			}
			// While break-glass lifts it, the same link works.
			h.settings(func(s *store.Settings) { s.Domains = nil })
			h.pass(2 * site.MaxAge)
			if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusOK || h.stored(ana).PasswordHash == "" {
				t.Errorf("once it is lifted: %d %s", got.status, got.body)
			}
		}
	}
}

func TestSessionsBeyondTheLimitEndAndItIsSaid(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settings(func(s *store.Settings) { s.Sessions.MaxAtOnce = 1 })
	h.agent(ana, good)
	first := h.browser()
	first.signIn(ana, good)
	second := h.browser()
	path := second.password(ana, good)
	if got := second.get(path); got.status != http.StatusOK || len(h.sessions()) != 1 {
		t.Fatalf("%d", got.status)
	}
	if got := second.post(path); !strings.HasPrefix(got.to, "/oauth/authorize/") || len(h.sessions()) != 1 {
		t.Fatalf("%d %s, %d sessions", got.status, got.to, len(h.sessions()))
	}
	if got := first.get("/sign-in"); got.status == http.StatusSeeOther {
		t.Error("the first browser is signed in still")
	}
	if got := second.signIn(ana, good); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Errorf("its own session is in its way: %s", got.to)
	}
}

func TestPasswordsAreNotTriedOnWithoutEnd(t *testing.T) {
	t.Parallel()
	mails := &outbox{}
	h := newHouse(t, withMail(mails))
	h.agent(ana, good)
	b := h.browser()
	b.post("/forgot", "email", ana)
	b.get(mails.link(t))
	h.update(func(tx store.Tx) {
		must(t, store.AllAttempts.Put(tx, &store.Attempts{Key: "choices:id-of-" + ana, Count: maxChoices - 1, First: h.now(), Expires: h.now().Add(longest)}))
	})
	if got := b.post("/reset", "new_password", "short", "confirm_password", "short"); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("%d", got.status)
	}
	if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", got.status, got.header)
	}
	h.pass(longest)
	if got := b.post("/reset", "new_password", better, "confirm_password", better); got.status != http.StatusOK {
		t.Errorf("a quarter of an hour later: %d", got.status)
	}
}
