package signin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	ana  = "ana@acme.example"
	good = "correct horse battery"
)

func TestTheRightPasswordStartsASessionAndLeadsBack(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		agent := h.agent(ana, good)
		b := h.browser()
		before := h.now()
		path := b.begin("client_id=desk")
		got := b.post(path, "email", "  Ana@ACME.example ", "password", good)
		if got.status != http.StatusSeeOther || got.to != "/oauth/authorize/"+strings.TrimPrefix(path, "/sign-in/") {
			t.Fatalf("%d %s %s", got.status, got.to, got.body)
		}
		all := h.sessions()
		if len(all) != 1 {
			t.Fatalf("%d sessions", len(all))
		}
		s := all[0]
		if s.AgentID != agent.ID || s.ACR != "aal1" || !slices.Equal(s.AMR, []string{"pwd"}) || s.AuthTime.Before(before.Truncate(time.Second)) || s.IP != "203.0.113.9" {
			t.Errorf("session %+v", s)
		}
		if n := h.audited(); n["sign_in.success"] != 1 {
			t.Errorf("audited %v", n)
		}
		for name, value := range b.cookies() {
			if strings.Contains(value, s.Hash) || strings.Contains(value, agent.ID) {
				t.Errorf("cookie %s tells what is in it", name)
			}
		}
		if got := b.get("/sign-in"); got.status != http.StatusSeeOther || got.to != "/" {
			t.Errorf("signed in and without a flow: %d %s", got.status, got.to)
		}
	})
}

// wrongs are the ways to be wrong that nobody may tell apart.
func (h *house) wrongs() map[string]string {
	h.agent(ana, good)
	h.agent("inactive@acme.example", good, func(a *store.Agent) { a.Inactive = true })
	h.agent("sso@acme.example", "")
	h.agent("locked@acme.example", good)
	h.agent("bcrypt@acme.example", "", func(a *store.Agent) {
		a.PasswordHash = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	})
	h.agent("gone@acme.example", "", func(a *store.Agent) {
		a.Inactive, a.PasswordHash = true, "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	})
	h.agent("broken@acme.example", "", func(a *store.Agent) { a.PasswordHash = "$argon2id$of another world" })
	until := h.now().Add(time.Hour)
	h.update(func(tx store.Tx) {
		must(h.t, store.AllAttempts.Put(tx, &store.Attempts{Key: store.AccountAttempts("locked@acme.example"), Count: 5, Until: until, Expires: until}))
	})
	return map[string]string{
		ana:                     "wrong",
		"unknown@acme.example":  good,
		"inactive@acme.example": good,
		"sso@acme.example":      good,
		"locked@acme.example":   good,
		"bcrypt@acme.example":   "wrong",
		"gone@acme.example":     "U*U",
		"broken@acme.example":   good,
		"no address at all":     good,
	}
}

var changing = regexp.MustCompile(`nonce-?"?=?"?[A-Za-z0-9_-]{22}"?|/(sign-in|oauth/authorize)/[A-Za-z0-9_.-]+`)

func TestEveryWayToBeWrongHasOneAnswer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var first answer
	wrongs := h.wrongs()
	for _, email := range slices.Sorted(maps.Keys(wrongs)) {
		b := h.browser()
		got := b.signIn(email, wrongs[email])
		got.body = changing.ReplaceAllString(strings.ReplaceAll(got.body, email, "…"), "…")
		for _, name := range []string{"Date", "X-Request-Id", "Content-Length"} {
			got.header.Del(name)
		}
		got.header.Set("Content-Security-Policy", changing.ReplaceAllString(got.header.Get("Content-Security-Policy"), "…"))
		if got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", email, got.status)
		}
		if first.status == 0 {
			first = got
		}
		if diff := cmp.Diff(first, got, cmp.AllowUnexported(answer{})); diff != "" {
			t.Errorf("%s is told apart: %s", email, diff)
		}
	}
	if n := len(h.sessions()); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

func TestEveryWayToBeWrongTakesTheSameWork(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*houseOptions){
		"throttled": func(o *houseOptions) { o.throttle = Throttle{PerAccount: 100, PerNetwork: 1000} },
		"all off":   func(o *houseOptions) { o.settings = func(s *store.Settings) { s.Password.LockAfter = 0 } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, change)
			wrongs := h.wrongs()
			b := h.browser()
			b.signIn("first@acme.example", "x") // makes the site's secrets
			for email, pw := range wrongs {
				if email == "locked@acme.example" && name == "all off" {
					continue // nothing locks there
				}
				path := b.begin("client_id=desk")
				commits, hashes, began := h.store.updates.Load(), h.hashes.Load(), time.Now()
				b.post(path, "email", email, "password", pw)
				if n := h.store.updates.Load() - commits; n != 1 {
					t.Errorf("%s: %d commits, want 1", email, n)
				}
				if n := h.hashes.Load() - hashes; n != 1 {
					t.Errorf("%s: %d hashes", email, n)
				}
				if took := time.Since(began); took < 10*time.Millisecond {
					t.Errorf("%s: answered after %v, before the deadline", email, took)
				}
			}
		})
	}
}

func TestASignInTakesOneCommit(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*houseOptions){
		"throttled": func(o *houseOptions) { o.throttle = Throttle{PerAccount: 5, PerNetwork: 50} },
		"all off":   func(o *houseOptions) { o.settings = func(s *store.Settings) { s.Password.LockAfter = 0 } },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, change)
			h.agent(ana, good)
			h.browser().signIn(ana, good) // makes the site's secrets
			b := h.browser()
			path := b.begin("client_id=desk")
			commits := h.store.updates.Load()
			if got := b.post(path, "email", ana, "password", good); got.status != http.StatusSeeOther {
				t.Fatal(got)
			}
			if n := h.store.updates.Load() - commits; n != 1 {
				t.Errorf("%d commits, want 1", n)
			}
		})
	}
}

func TestALockedAccountRefusesTheRightPasswordUntilTheLockEnds(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		h.agent(ana, good)
		b := h.browser()
		for range 5 {
			if got := b.signIn(ana, "wrong"); got.status != http.StatusUnprocessableEntity {
				t.Fatal(got.status)
			}
		}
		if got := b.signIn(ana, good); got.status != http.StatusUnprocessableEntity {
			t.Errorf("locked: %d", got.status)
		}
		if n := h.audited(); n["sign_in.locked"] != 1 || n["sign_in.failure wrong_password"] != 5 {
			t.Errorf("audited %v", n)
		}
		h.pass(30 * time.Minute)
		if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
			t.Errorf("after the lock: %d", got.status)
		}
		for range 4 {
			b.signIn(ana, "wrong")
		}
		if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
			t.Errorf("after four failures: %d", got.status)
		}
		for range 4 {
			b.signIn(ana, "wrong")
		}
		if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
			t.Errorf("success did not reset the count: %d", got.status)
		}
	})
}

func TestParallelGuessesAreJudgedNoMoreOftenThanTheLockAllows(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, func(o *houseOptions) { o.passwords.Queue = 100 })
		h.agent(ana, good)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if got := h.browser().signIn(ana, "wrong"); got.status != http.StatusUnprocessableEntity {
					t.Errorf("%d", got.status)
				}
			})
		}
		wg.Wait()
		if n := h.audited(); n["sign_in.failure wrong_password"] != 5 || n["sign_in.locked"] != 1 {
			t.Errorf("audited %v", n)
		}
		if got := h.browser().signIn(ana, good); got.status != http.StatusUnprocessableEntity {
			t.Errorf("the right password after that: %d", got.status)
		}
	})
}

func TestANetworkThatFailsTooOftenWaits(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) { o.throttle = Throttle{PerNetwork: 3} })
	h.agent(ana, good)
	b := h.browser()
	b.ip = "2001:db8:1:2::1"
	for _, email := range []string{"a@acme.example", "b@acme.example", "c@acme.example"} {
		b.signIn(email, "wrong")
	}
	b.ip = "2001:db8:1:2:ffff::7"
	hashes := h.hashes.Load()
	got := b.signIn(ana, good)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") != "30" || !strings.Contains(got.body, ana) {
		t.Errorf("%d, Retry-After %q", got.status, got.header.Get("Retry-After"))
	}
	if h.hashes.Load() != hashes {
		t.Error("a waiting network makes us hash")
	}
	b.ip = "2001:db8:1:3::1"
	if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
		t.Errorf("from the next network: %d", got.status)
	}
	b.ip = "2001:db8:1:2::1"
	h.pass(30 * time.Second)
	if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
		t.Errorf("after the wait: %d", got.status)
	}
}

func TestTheAllowlistRefusesAfterThePasswordAndStartsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) {
		o.settings = func(s *store.Settings) {
			s.Allowlist = store.Allowlist{Enabled: true, Console: true, Entries: []store.AllowlistEntry{{CIDR: "203.0.113.0/24"}}}
		}
	})
	h.agent(ana, good)
	b := h.browser()
	b.ip = "198.51.100.7"
	got := b.signIn(ana, good)
	if got.status != http.StatusForbidden || !strings.Contains(got.body, "198.51.100.7") {
		t.Errorf("%d %s", got.status, got.body)
	}
	if len(h.sessions()) != 0 {
		t.Error("a session was started")
	}
	if n := h.audited(); n["sign_in.refused ip_not_allowed"] != 1 {
		t.Errorf("audited %v", n)
	}
	if got := b.signIn(ana, "wrong"); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a wrong password: %d", got.status)
	}
	b.ip = "garbage"
	if got := b.signIn(ana, good); got.status != http.StatusForbidden {
		t.Errorf("from nowhere: %d", got.status)
	}
	b.ip = "198.51.100.7"
	for range 5 { // as many as would lock, had they been wrong
		b.signIn(ana, good)
	}
	if got := b.post(b.begin("client_id=app"), "email", ana, "password", good); got.status != http.StatusSeeOther {
		t.Errorf("a native client, to which the list does not apply: %d", got.status)
	}
	b = h.browser()
	if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
		t.Errorf("from the office: %d", got.status)
	}
}

func TestAnImportedHashIsReplacedAtTheFirstSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const imported = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // U*U
	changed := h.now().Add(-time.Hour).UTC()
	h.agent(ana, "", func(a *store.Agent) { a.PasswordHash, a.PasswordChanged = imported, changed })
	b := h.browser()
	b.signIn(ana, "wrong")
	if h.stored(ana).PasswordHash != imported {
		t.Fatal("a wrong password replaced it")
	}
	for range 2 {
		if got := b.signIn(ana, "U*U"); got.status != http.StatusSeeOther {
			t.Fatal(got.status)
		}
		after := h.stored(ana)
		if !strings.HasPrefix(after.PasswordHash, "$argon2id$v=19$m=8,t=1,p=1$") || !after.PasswordChanged.Equal(changed) {
			t.Errorf("%s, changed %v", after.PasswordHash, after.PasswordChanged)
		}
	}
}

func TestTwoSignInsMayReplaceOneOldHashAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	const imported = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW" // U*U
	seen := sighting{agent: h.agent(ana, "", func(a *store.Agent) { a.PasswordHash = imported }), proven: true}
	first := ""
	for range 2 {
		var err error
		seen.newHash, err = h.x.Passwords.Hash(t.Context(), "U*U")
		must(t, err)
		if out, err := h.conclude(seen); err != nil || out.step.Name != StepDone {
			t.Fatalf("%+v, %v", out.step, err)
		}
		if first == "" {
			first = seen.newHash
		}
		if h.stored(ana).PasswordHash != first {
			t.Error("replaced again")
		}
	}
}

func TestTheKindsInUseAreThoseOfTheAgentsThereAre(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	hash := func(s string) func(*store.Agent) { return func(a *store.Agent) { a.PasswordHash = s } }
	for i := range 20 {
		h.agent(fmt.Sprintf("own%d@acme.example", i), good)
	}
	h.agent(ana, "", hash("$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"))
	h.agent("b@acme.example", "", hash("$pbkdf2-sha256$1212$4vjV83LKPjQzk31VI4E0Vw$hsYF68OiOUPdDZ1Fg.fJPeq1h/gXXY7acBp9/6c.tmQ"))
	h.agent("none@acme.example", "")
	check := func(want ...string) {
		t.Helper()
		h.view(func(tx store.Tx) {
			got, err := store.PasswordKinds(tx)
			must(t, err)
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	const own = "$argon2id$v=19$m=8,t=1,p=1"
	check("$2a$05", own, "$pbkdf2-sha256$1212")
	h.browser().signIn(ana, "U*U")
	h.update(func(tx store.Tx) { must(t, store.Agents.Delete(tx, "id-of-b@acme.example")) })
	check(own)
}

func TestRefusalsWaitForTheSlowestKindOfHashInUse(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, "", func(a *store.Agent) {
		a.PasswordHash = "$2a$08$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
	})
	b := h.browser()
	shortest := time.Hour
	for range 3 {
		path := b.begin("client_id=desk")
		began := time.Now()
		b.post(path, "email", "unknown@acme.example", "password", good)
		shortest = min(shortest, time.Since(began))
	}
	quickest := time.Hour
	for range 3 {
		began := time.Now()
		_, _, err := h.x.Passwords.Verify(t.Context(), h.stored(ana).PasswordHash, good)
		must(t, err)
		quickest = min(quickest, time.Since(began))
	}
	if shortest < quickest {
		t.Errorf("an unknown account is refused after %v, one with an imported hash takes %v", shortest, quickest)
	}
}

func TestWhatChangedWhileTheHashRanCounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for name, change := range map[string]func(*store.Agent){
		"deactivated":      func(a *store.Agent) { a.Inactive = true },
		"another password": func(a *store.Agent) { a.PasswordHash += "x" },
		"voided":           func(a *store.Agent) { a.NotBefore = h.now().Add(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			agent := h.agent(strings.ReplaceAll(name, " ", "")+"@acme.example", good)
			seen := sighting{agent: agent, proven: true}
			change(&agent)
			h.update(func(tx store.Tx) { must(t, store.Agents.Put(tx, &agent)) })
			out, err := h.conclude(seen)
			if err != nil || out.step.Name != StepPassword {
				t.Errorf("%+v, %v", out.step, err)
			}
		})
	}
	t.Run("another password where a new hash was due", func(t *testing.T) {
		agent := h.agent("due@acme.example", good)
		seen := sighting{agent: agent, proven: true, newHash: agent.PasswordHash}
		agent.PasswordHash, agent.PasswordChanged = agent.PasswordHash+"x", h.now().Add(-time.Second)
		h.update(func(tx store.Tx) { must(t, store.Agents.Put(tx, &agent)) })
		if out, err := h.conclude(seen); err != nil || out.step.Name != StepPassword {
			t.Errorf("%+v, %v", out.step, err)
		}
	})
	t.Run("deleted", func(t *testing.T) {
		out, err := h.conclude(sighting{agent: store.Agent{ID: "gone"}, proven: true})
		if err != nil || out.step.Name != StepPassword {
			t.Errorf("%+v, %v", out.step, err)
		}
	})
}

// conclude runs the second transaction alone.
func (h *house) conclude(seen sighting) (outcome, error) {
	ctx := web.WithClient(h.t.Context(), netip.MustParseAddr("203.0.113.9"), "q", "test")
	s, err := h.x.Sites.Load(ctx, "")
	must(h.t, err)
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.url+"/sign-in/f", nil)
	must(h.t, err)
	f := flow{SignIn: store.SignIn{ID: "f", Started: h.now(), Expires: h.now().Add(time.Hour)}}
	return h.x.conclude(r, s, f, limits{}, seen)
}

func TestANewSignInReplacesTheBrowsersSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	h.agent("bob@acme.example", good)
	b := h.browser()
	seen := map[string]bool{}
	for _, email := range []string{ana, ana, "bob@acme.example"} {
		if got := b.signIn(email, good); got.status != http.StatusSeeOther {
			t.Fatal(got.status)
		}
		all := h.sessions()
		if len(all) != 1 {
			t.Fatalf("after %s: %d sessions", email, len(all))
		}
		if seen[all[0].Hash] {
			t.Error("the session's secret is an old one")
		}
		seen[all[0].Hash] = true
	}
	other := h.browser()
	other.signIn(ana, good)
	if n := len(h.sessions()); n != 2 {
		t.Errorf("another browser's session ended: %d", n)
	}
}

func TestOverloadIsRefusedBeforeAnythingIsWritten(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) {
		o.passwords.Concurrency, o.passwords.Queue, o.passwords.Wait = 1, 1, 20*time.Millisecond
	})
	h.agent(ana, good)
	b := h.browser()
	path := b.begin("client_id=desk")
	slot, err := h.x.Passwords.Slot(t.Context())
	must(t, err)
	waiting, err := h.x.Passwords.Enter()
	must(t, err)
	commits := h.store.updates.Load()
	got := b.post(path, "email", ana, "password", good)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" || !strings.Contains(got.body, ana) {
		t.Errorf("queue full: %d", got.status)
	}
	if h.store.updates.Load() != commits {
		t.Error("something was written")
	}
	waiting.Release()
	for range 6 { // more than would lock
		if got := b.post(path, "email", ana, "password", good); got.status != http.StatusServiceUnavailable {
			t.Errorf("waited too long: %d", got.status)
		}
	}
	slot.Release()
	if got := b.post(path, "email", ana, "password", good); got.status != http.StatusSeeOther {
		t.Errorf("an overload locked the account: %d", got.status)
	}
}

func TestAHundredAtOnceAllGetInOrAreToldToComeBack(t *testing.T) {
	t.Parallel()
	h := newHouse(t, func(o *houseOptions) { o.passwords = password.Options{MemoryKiB: 1024, Time: 1, Queue: 10} })
	h.agent(ana, good)
	var wg sync.WaitGroup
	var mu sync.Mutex
	n := map[int]int{}
	for range 100 {
		wg.Go(func() {
			got := h.browser().signIn(ana, good)
			mu.Lock()
			defer mu.Unlock()
			n[got.status]++
		})
	}
	wg.Wait()
	if n[http.StatusSeeOther]+n[http.StatusServiceUnavailable]+n[http.StatusUnprocessableEntity] != 100 || n[http.StatusSeeOther] == 0 {
		t.Errorf("answers by status: %v", n)
	}
}

func TestAGuessOfSomebodyWhoHangsUpIsCounted(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	b := h.browser()
	path := b.begin("client_id=desk")
	b.hangUp(path, url.Values{"email": {ana}, "password": {"wrong"}})
	for range 4 {
		b.post(path, "email", ana, "password", "wrong")
	}
	if got := b.post(path, "email", ana, "password", good); got.status != http.StatusUnprocessableEntity {
		t.Errorf("a guess that was not waited for was free: %d", got.status)
	}
}

func TestAStoreThatFailsLetsNobodyIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	h.browser().signIn(ana, good) // makes the site's secrets
	b := h.browser()
	path := b.begin("client_id=desk")
	before := len(h.sessions())
	h.store.failing.Store(h.store.updates.Load() + 1)
	got := b.post(path, "email", ana, "password", good)
	if got.status != http.StatusServiceUnavailable || got.header.Get("Retry-After") == "" {
		t.Errorf("the commit failed: %d", got.status)
	}
	if _, ok := b.cookies()["session"]; ok || len(h.sessions()) != before {
		t.Error("the commit failed, and there is a session")
	}
	if got := b.post(path, "email", ana, "password", good); got.status != http.StatusSeeOther {
		t.Errorf("after that: %d", got.status)
	}
}

func TestNothingSecretIsInTheStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	b := h.browser()
	b.signIn(ana, "wr0ng-and-secret")
	b.signIn("nobody@acme.example", "typed-by-nobody")
	b.signIn(ana, good)
	raw, err := os.ReadFile(h.file)
	must(t, err)
	h.view(func(tx store.Tx) { // records may be packed in the file
		raw = append(raw, dump(t, store.Agents.All(tx, ""))...)
		raw = append(raw, dump(t, store.Sessions.All(tx, ""))...)
		raw = append(raw, dump(t, store.AllAttempts.All(tx, ""))...)
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			must(t, err)
			raw = append(raw, rec.Body...)
			raw = fmt.Append(raw, rec.Personal)
		}
	})
	for _, secret := range []string{good, "wr0ng-and-secret", "typed-by-nobody", "nobody@acme.example", b.cookies()["session"]} {
		if secret == "" || bytes.Contains(raw, []byte(secret)) {
			t.Errorf("the store holds %q", secret)
		}
	}
}

func dump[T any](t *testing.T, records func(func(T, error) bool)) (all []byte) {
	for rec, err := range records {
		must(t, err)
		raw, err := json.Marshal(rec)
		must(t, err)
		all = append(all, raw...)
	}
	return all
}

func TestSitesBelowAPathKeepToThemselves(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.agent(ana, good)
	must(t, site.Create(t.Context(), h.store, "acme", "", site.DefaultSettings("Acme"), h.now()))
	must(t, h.store.Update(t.Context(), "acme", func(tx store.Tx) error {
		return store.Clients.Put(tx, &store.Client{ID: "desk", Name: "Their Desk"})
	}))
	b := h.browser()
	begun := b.get("/acme/begin?client_id=desk").to
	if page := b.get(begun); !strings.Contains(page.body, `action="`+begun+`"`) || !strings.Contains(page.body, "Their Desk") ||
		!strings.Contains(page.body, `href="/acme/oauth/authorize/`) {
		t.Error(page.body)
	}
	if got := b.post(strings.TrimPrefix(begun, "/acme"), "email", ana, "password", good); got.status != http.StatusBadRequest {
		t.Errorf("a sign-in of one site finished on another: %d", got.status)
	}
	if got := b.post(begun, "email", ana, "password", good); got.status != http.StatusUnprocessableEntity {
		t.Errorf("an agent of another site: %d", got.status)
	}
	agent := h.stored(ana)
	must(t, h.store.Update(t.Context(), "acme", func(tx store.Tx) error { return store.Agents.Put(tx, &agent) }))
	if got := b.post(begun, "email", ana, "password", good); got.to != "/acme/oauth/authorize/"+strings.TrimPrefix(begun, "/acme/sign-in/") {
		t.Errorf("%d to %s", got.status, got.to)
	}
}

func TestEveryErrorHasARow(t *testing.T) {
	t.Parallel()
	table := web.Web{Options: web.Options{Rows: Errors}}
	for _, err := range []error{ErrLinkSpent} {
		if _, ok := table.Row(err); !ok {
			t.Errorf("%v has none", err)
		}
	}
}

func BenchmarkSignInWithTheLeastHash(b *testing.B) {
	h := newHouse(b)
	h.agent(ana, good)
	person := h.browser()
	path := person.begin("client_id=desk")
	for b.Loop() {
		if got := person.post(path, "email", ana, "password", good); got.status != http.StatusSeeOther {
			b.Fatal(got.status)
		}
	}
}
