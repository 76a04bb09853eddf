package signin

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa/mfatest"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

func named(o *houseOptions) { o.named = true }

// passkey gives the agent one.
func (h *house) passkey(agent store.Agent, flags byte) *mfatest.Passkey {
	h.t.Helper()
	key := mfatest.New()
	key.Flags |= flags
	s := h.site()
	h.update(func(tx store.Tx) {
		options, err := h.x.Factors.BeginPasskey(h.t.Context(), tx, s, agent, "test")
		must(h.t, err)
		answer, err := key.Create(options, h.url)
		must(h.t, err)
		added, err := h.x.Factors.FinishPasskey(h.t.Context(), tx, s, agent, "test", answer, "key")
		must(h.t, err)
		if !added.OK {
			h.t.Fatal(added.Reason)
		}
	})
	return key
}

// options are those that the page's script asks for.
func (b *browser) options(path string) []byte {
	b.h.t.Helper()
	got := b.post(path + "/options")
	if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
		b.h.t.Fatalf("options: %d %s", got.status, got.body)
	}
	return []byte(got.body)
}

// answer is the key's answer to fresh options of that page.
func (b *browser) answer(path string, key *mfatest.Passkey, change ...func(*mfatest.Ceremony)) string {
	b.h.t.Helper()
	answer, err := key.Get(b.options(path), b.h.url, change...)
	must(b.h.t, err)
	return string(answer)
}

func TestAPasskeyIsTheWholeSignInAlsoOfALockedAccount(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, named)
		key := h.passkey(h.agent(ana, good), 0)
		for range 6 {
			h.browser().signIn(ana, "guess")
		}
		b := h.browser()
		path := b.begin("client_id=desk")
		if got := b.post(path+"/passkey", "credential", b.answer(path+"/passkey", key)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		all := h.sessions()
		if len(all) != 1 || all[0].ACR != policy.ACRPasskey || !slices.Equal(all[0].AMR, []string{"hwk", "user", "mfa"}) {
			t.Errorf("%+v", all)
		}
	})
}

func TestAnAnswerOfAPasskeySignsOneBrowserInOnce(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, named)
		key := h.passkey(h.agent(ana, good), 0)
		b, thief := h.browser(), h.browser()
		path, theirs := b.begin("client_id=desk"), thief.begin("client_id=desk")
		answer := b.answer(path+"/passkey", key)
		if got := thief.post(theirs+"/passkey", "credential", answer); got.status != http.StatusUnprocessableEntity {
			t.Errorf("in another's sign-in: %d %s", got.status, got.to)
		}
		var in atomic.Int32
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if got := b.post(path+"/passkey", "credential", answer); strings.HasPrefix(got.to, "/oauth/authorize/") {
					in.Add(1)
				}
			})
		}
		wg.Wait()
		if in.Load() != 1 || len(h.sessions()) != 1 {
			t.Errorf("%d got in, %d sessions", in.Load(), len(h.sessions()))
		}
		path = b.begin("client_id=desk")
		answer = b.answer(path+"/passkey", key)
		h.pass(5*time.Minute + time.Second)
		if got := b.post(path+"/passkey", "credential", answer); got.status != http.StatusUnprocessableEntity {
			t.Errorf("after five minutes: %d %s", got.status, got.to)
		}
	})
}

func TestAPasskeyProvesNobodyElseAndNothingElse(t *testing.T) {
	t.Parallel()
	h := newHouse(t, named)
	alice, bob := h.agent(ana, good), h.agent("bob@acme.example", good)
	hers, his := h.passkey(alice, 0), h.passkey(bob, 0)
	b := h.browser()
	half := b.password(ana, good)
	page := strings.TrimSuffix(half, "/factor") + "/passkey"
	for name, answer := range map[string]string{
		"bob's":                  b.answer(page, his, func(*mfatest.Ceremony) {}),
		"bob's, as alice's":      b.answer(page, his, func(c *mfatest.Ceremony) { c.ID, c.Handle = hers.ID, hers.Handle }),
		"alice's as bob":         b.answer(page, hers, func(c *mfatest.Ceremony) { c.Handle = his.Handle }),
		"without a user":         b.answer(page, hers, func(c *mfatest.Ceremony) { c.Flags = mfatest.UserPresent }),
		"without presence":       b.answer(page, hers, func(c *mfatest.Ceremony) { c.Flags = mfatest.UserVerified }),
		"at another origin":      b.answer(page, hers, func(c *mfatest.Ceremony) { c.Origin = "https://evil.example" }),
		"in a frame":             b.answer(page, hers, func(c *mfatest.Ceremony) { c.CrossOrigin = true }),
		"for another host":       b.answer(page, hers, func(c *mfatest.Ceremony) { c.RPID = "evil.example" }),
		"a registration":         b.answer(page, hers, func(c *mfatest.Ceremony) { c.Type = "webauthn.create" }),
		"nothing":                "",
		"no JSON":                "{",
		"of nobody's sign-in":    h.anonymous(hers),
		"with no challenge":      b.answer(page, hers, func(c *mfatest.Ceremony) { c.Challenge = "" }),
		"with a challenge of 32": b.answer(page, hers, func(c *mfatest.Ceremony) { c.Challenge = strings.Repeat("A", 43) }),
	} {
		if got := b.post(page, "credential", answer); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d %s", name, got.status, got.to)
		}
	}
	if len(h.sessions()) != 0 {
		t.Fatal("there is a session")
	}
	path := b.wanted(store.SignIn{Return: "/account", AgentHint: bob.ID})
	if got := b.post(path+"/passkey", "credential", b.answer(path+"/passkey", hers)); got.status != http.StatusUnprocessableEntity {
		t.Errorf("alice's where bob has to sign in again: %d %s", got.status, got.to)
	}
	h.change(func(a *store.Agent) { a.Inactive = true })
	path = b.begin("client_id=desk")
	if got := b.post(path+"/passkey", "credential", b.answer(path+"/passkey", hers)); got.status != http.StatusUnprocessableEntity {
		t.Errorf("of an inactive agent: %d %s", got.status, got.to)
	}
	if len(h.sessions()) != 0 {
		t.Error("there is a session")
	}
}

// anonymous is a good answer to the options of a sign-in in which nobody is
// proven.
func (h *house) anonymous(key *mfatest.Passkey) string {
	b := h.browser()
	return b.answer(b.begin("client_id=desk")+"/passkey", key)
}

func TestTheOptionsTellNobodyWhoHasAPasskey(t *testing.T) {
	t.Parallel()
	h := newHouse(t, named)
	h.passkey(h.agent(ana, good), 0)
	shape := func(query string) string {
		b := h.browser()
		body := string(b.options(b.begin(query) + "/passkey"))
		i := strings.Index(body, `"challenge":"`) + len(`"challenge":"`)
		return body[:i] + body[i+strings.Index(body[i:], `"`):]
	}
	known, unknown := shape("client_id=desk&login_hint="+url.QueryEscape(ana)), shape("client_id=desk&login_hint=nobody@acme.example")
	if known != unknown || strings.Contains(known, "allowCredentials") {
		t.Errorf("%s\n%s", known, unknown)
	}
}

func TestAPasskeySetUpInASignInIsCalledWhatItIs(t *testing.T) {
	t.Parallel()
	for flags, kind := range map[byte]string{0: "hwk", mfatest.BackupEligible | mfatest.BackedUp: "swk"} {
		h := newHouse(t, named)
		h.twoFactors(func(two *store.TwoFactor) { two.RequiredRoles = []string{policy.Agents} })
		h.agent(ana, good)
		b := h.browser()
		path := b.password(ana, good) + "/passkey"
		key := mfatest.New()
		key.Flags |= flags
		answer, err := key.Create(b.options(path), h.url)
		must(t, err)
		if got := b.post(path, "credential", string(answer), "name", "key"); got.status != http.StatusOK {
			t.Fatalf("%d %s", got.status, got.body)
		}
		if all := h.sessions(); len(all) != 1 || all[0].ACR != policy.ACRPasskey || !slices.Contains(all[0].AMR, kind) {
			t.Errorf("%s: %+v", kind, all)
		}
	}
}

func TestPasskeysThatAreNobodysAreCountedAndNotRecordedOneByOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t, named)
	b := h.browser()
	path := b.begin("client_id=desk") + "/passkey"
	for range 5 {
		if got := b.post(path, "credential", b.answer(path, mfatest.New())); got.status != http.StatusUnprocessableEntity {
			t.Fatalf("%d", got.status)
		}
	}
	h.pass(2 * time.Minute)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	must(t, h.x.Audit.Run(ctx)) // writes what is counted as it ends
	found, _, err := h.x.Audit.Search(t.Context(), "", audit.Filter{Action: audit.SignInFailure}, audit.Place{})
	must(t, err)
	if len(found) != 1 || found[0].Reason != "wrong_passkey" {
		t.Errorf("%+v", found)
	}
}

func TestAFloodOfPasskeysLeavesNoTrailAndKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, named, func(o *houseOptions) { o.throttle.PerNetwork = 10 })
		key := h.passkey(h.agent(ana, good), 0)
		b := h.browser()
		path := b.begin("client_id=desk") + "/passkey"
		before := h.store.updates.Load()
		for range nobodysPasskeys + 20 {
			if got := b.post(path, "credential", b.answer(path, mfatest.New())); got.status != http.StatusUnprocessableEntity {
				t.Fatalf("%d", got.status)
			}
		}
		rows := 0
		h.view(func(tx store.Tx) {
			rows = 0
			for _, err := range store.AllSpent.All(tx, "") {
				must(t, err)
				rows++
			}
		})
		if rows > nobodysPasskeys+1 { // and the one of the setting up
			t.Errorf("%d challenges are kept, after %d commits", rows, h.store.updates.Load()-before)
		}
		if got := b.post(path, "credential", b.answer(path, key)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Errorf("the owner's, from the same network: %d", got.status)
		}
	})
}

// TestAWishForAPasskeyStrandsNobody: who lost it shows a code instead, and the
// application sees that.
func TestAWishForAPasskeyStrandsNobody(t *testing.T) {
	t.Parallel()
	h := newHouse(t, named)
	agent := h.agent(ana, good)
	h.passkey(agent, 0)
	seed := h.app(agent)
	b := h.browser()
	path := b.begin("client_id=desk&want_acr=phr")
	path = b.post(path, "email", ana, "password", good).to
	if got := b.post(path, "code", h.code(seed)); got.status != http.StatusUnprocessableEntity {
		t.Fatalf("a code where a passkey is wished for: %d %s", got.status, got.to)
	}
	if got := b.get(path); !strings.Contains(got.body, `id="skip"`) {
		t.Fatalf("no other way: %s", got.body)
	}
	path = b.post(strings.TrimSuffix(path, "factor") + "skip/factor").to
	if !strings.HasSuffix(path, "/factor") || len(h.sessions()) != 0 {
		t.Fatalf("the other way is no factor at all: %s", path)
	}
	if got := b.post(strings.TrimSuffix(path, "factor") + "skip/factor"); got.to != path {
		t.Fatalf("put off twice: %s", got.to)
	}
	if got := b.post(path, "code", h.code(seed)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
		t.Fatalf("%d %s", got.status, got.to)
	}
	if all := h.sessions(); len(all) != 1 || all[0].ACR != policy.ACRTwoFactors {
		t.Errorf("%+v", all)
	}
}
