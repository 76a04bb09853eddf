package password

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/bolt"
)

func newRules(t testing.TB, change ...func(*RulesOptions)) *Rules {
	t.Helper()
	o := RulesOptions{Hasher: least()}
	for _, c := range change {
		c(&o)
	}
	r, err := NewRules(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func acme(rules policy.PasswordRules) *site.Site {
	return &site.Site{Settings: store.Settings{Name: "Acme", Password: PolicyOf(rules)}}
}

func broken(checks []policy.PasswordCheck) []string {
	said := []string{}
	for _, c := range policy.PasswordFailed(checks) {
		said = append(said, c.Rule)
	}
	return said
}

// house is an agent in a store.
type house struct {
	t     *testing.T
	rules *Rules
	store store.Store
	site  *site.Site
	now   time.Time
}

const email = "ana@acme.example"

func newHouse(t *testing.T, rules policy.PasswordRules) *house {
	t.Helper()
	engine, err := bolt.Open(bolt.Options{Path: filepath.Join(t.TempDir(), "test.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { engine.Close() })
	h := &house{t: t, store: engine, site: acme(rules), now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	h.rules = newRules(t, func(o *RulesOptions) { o.Now = func() time.Time { return h.now } })
	h.update(func(tx store.Tx) error {
		return store.Agents.Put(tx, &store.Agent{ID: "a1", Email: email, Name: "Ana Silva"})
	})
	return h
}

func (h *house) update(f func(store.Tx) error) {
	h.t.Helper()
	if err := h.store.Update(h.t.Context(), "", f); err != nil {
		h.t.Fatal(err)
	}
}

func (h *house) agent() (a store.Agent) {
	h.t.Helper()
	h.update(func(tx store.Tx) (err error) {
		a, err = store.Agents.Get(tx, "a1")
		return err
	})
	return a
}

// set changes the password as a handler does.
func (h *house) set(pw string, by By) ([]string, error) {
	h.t.Helper()
	agent := h.agent()
	prepared, checks, err := h.rules.Prepare(h.t.Context(), h.site, &agent, WhoIs(&agent, false), pw, by)
	if err != nil || len(broken(checks)) > 0 {
		return broken(checks), err
	}
	return nil, h.apply(prepared)
}

func (h *house) apply(prepared Prepared) error {
	return h.store.Update(h.t.Context(), "", func(tx store.Tx) error {
		agent, err := store.Agents.Get(tx, "a1")
		if err != nil {
			return err
		}
		if err := prepared.Apply(tx, &agent, h.now); err != nil {
			return err
		}
		return store.Agents.Put(tx, &agent)
	})
}

func (h *house) must(pw string, by By) {
	h.t.Helper()
	if said, err := h.set(pw, by); err != nil || len(said) > 0 {
		h.t.Fatalf("%q: %v, %v", pw, said, err)
	}
	h.now = h.now.Add(time.Minute)
}

func TestANewSiteHasTheGuidesPolicy(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(PolicyOf(policy.PasswordGuide()), site.DefaultSettings("").Password); diff != "" {
		t.Error(diff)
	}
	for _, rules := range []policy.PasswordRules{policy.PasswordGuide(), policy.PasswordNIST(), policy.PasswordPCI()} {
		if diff := cmp.Diff(rules, RulesOf(PolicyOf(rules))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestTheTicksAndTheServerAskTheSameRules(t *testing.T) {
	t.Parallel()
	r, s := newRules(t), acme(policy.PasswordGuide())
	who := Who{Name: "Ana Silva", Email: email}
	for _, pw := range []string{"", "short", "Password1!", "Silva-acme 26", "Velvet spoon 88", "pássword 2026", "P@ssw0rd 2026", strings.Repeat("x", 200), "a\x00b"} {
		live := r.Check(s, who, pw)
		_, checks, err := r.Prepare(t.Context(), s, &store.Agent{}, who, pw, Reset)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(broken(live), broken(checks)); diff != "" {
			t.Errorf("%q: %s", pw, diff)
		}
	}
	want := []string{"length", "kinds", "names", "common", "history"}
	var rules []string
	for _, c := range r.Check(s, who, "") {
		rules = append(rules, c.Rule)
		if c.Later != (c.Rule == policy.PasswordHistory) {
			t.Errorf("%+v", c)
		}
	}
	if diff := cmp.Diff(want, rules); diff != "" {
		t.Error(diff)
	}
}

func TestNoneOfTheLastFivePasswordsComesBack(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]By{"by the agent": Self, "by a reset": Reset, "by an operator": Administrator} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, policy.PasswordGuide())
			var used []string
			for _, word := range []string{"Kettle", "Spoon", "Basket", "Lantern", "Curtain", "Pillow"} {
				used = append(used, word+" velvet éa 7")
				h.must(used[len(used)-1], by)
				h.now = h.now.AddDate(0, 0, 1)
			}
			for _, pw := range used[1:] {
				for _, form := range []string{pw, strings.ReplaceAll(pw, "é", "e\u0301"), strings.ReplaceAll(pw, "7", "７"), strings.ReplaceAll(pw, "v", "v\u200b"), "\ufeff" + pw} {
					if said, err := h.set(form, by); err != nil || !slices.Equal(said, []string{policy.PasswordHistory}) {
						t.Errorf("%q: %v, %v", form, said, err)
					}
				}
			}
			if a := h.agent(); len(a.PasswordHistory) != 4 {
				t.Errorf("%d former passwords are kept", len(a.PasswordHistory))
			}
			h.must(used[0], by) // the sixth last
		})
	}
}

func TestWithoutHistoryAPasswordThatMustChangeStillDoes(t *testing.T) {
	t.Parallel()
	h := newHouse(t, policy.PasswordRules{MaxAgeDays: 40})
	h.must("velvet spoon", Administrator)
	h.must("velvet spoon", Self) // nobody minds
	if a := h.agent(); len(a.PasswordHistory) > 0 {
		t.Error("a former password is kept although no rule asks for it")
	}
	h.now = h.now.AddDate(0, 0, 40)
	if said, _ := h.set("velvet spoon", Self); !slices.Equal(said, []string{policy.PasswordHistory}) {
		t.Errorf("expired: %v", said)
	}
	h.must("velvet kettle", Self)
	h.update(func(tx store.Tx) error {
		a, err := store.Agents.Get(tx, "a1")
		a.MustChangePassword = true
		return errors.Join(err, store.Agents.Put(tx, &a))
	})
	if said, _ := h.set("velvet kettle", Self); !slices.Equal(said, []string{policy.PasswordHistory}) {
		t.Errorf("must change: %v", said)
	}
	h.must("velvet basket", Self)
	if h.agent().MustChangePassword {
		t.Error("it must be changed still")
	}
}

func TestTheFourthChangeInADayIsRefusedAndAResetDoesNotCount(t *testing.T) {
	t.Parallel()
	h := newHouse(t, policy.PasswordGuide())
	h.must("Velvet kettle 10", Administrator)
	h.must("Velvet kettle 11", Self)
	h.must("Velvet kettle 12", Reset)
	h.must("Velvet kettle 13", Self)
	h.must("Velvet kettle 14", Self)
	if said, err := h.set("Velvet kettle 15", Self); err != nil || !slices.Equal(said, []string{policy.PasswordRate}) {
		t.Errorf("the fourth: %v, %v", said, err)
	}
	h.now = h.now.Add(-12 * time.Hour)
	if said, _ := h.set("Velvet kettle 15", Self); !slices.Equal(said, []string{policy.PasswordRate}) {
		t.Errorf("with the clock set back: %v", said)
	}
	h.now = h.now.Add(12 * time.Hour)
	h.must("Velvet kettle 16", Reset)
	h.must("Velvet kettle 17", Administrator)
	h.now = h.now.AddDate(0, 0, 1)
	h.must("Velvet kettle 18", Self)
}

func TestChangesSideBySideAreNeverMoreThanTheDayAllows(t *testing.T) {
	t.Parallel()
	h := newHouse(t, policy.PasswordGuide())
	h.must("Velvet kettle 10", Administrator)
	h.now = h.now.Add(-time.Minute) // no clock moves while all of this goes on
	var done int
	for round := range 10 {
		var prepared []Prepared
		agent := h.agent()
		for i := range 4 {
			p, checks, err := h.rules.Prepare(t.Context(), h.site, &agent, Who{}, "Velvet spoon "+string(rune('a'+round))+string(rune('a'+i))+"1", Self)
			if err != nil {
				t.Fatal(err)
			}
			if len(broken(checks)) == 0 {
				prepared = append(prepared, p)
			}
		}
		for i, p := range prepared {
			err := h.apply(p)
			if (err == nil) != (i == 0) || err != nil && !errors.Is(err, ErrChanged) {
				t.Errorf("change %d of round %d: %v", i, round, err)
			}
			if err == nil {
				done++
			}
		}
	}
	if done != 3 {
		t.Errorf("%d changes", done)
	}
}

func TestOnlyOthersUnlockAnAccount(t *testing.T) {
	t.Parallel()
	for by, unlocks := range map[By]bool{Self: false, Reset: true, Administrator: true} {
		h := newHouse(t, policy.PasswordGuide())
		h.update(func(tx store.Tx) error {
			return store.AllAttempts.Put(tx, &store.Attempts{Key: store.AccountAttempts(email), Count: 5, Expires: time.Now().Add(time.Hour)})
		})
		h.must("Velvet kettle 10", by)
		h.update(func(tx store.Tx) error {
			locked, err := store.AllAttempts.Has(tx, store.AccountAttempts(email))
			if locked == unlocks {
				t.Errorf("%d: locked %v", by, locked)
			}
			return err
		})
	}
}

func TestAPasswordThatFailedCannotBeApplied(t *testing.T) {
	t.Parallel()
	h := newHouse(t, policy.PasswordGuide())
	agent := h.agent()
	for _, pw := range []string{"", "short", "Password1!", "a\x00", "\xff", strings.Repeat("x", 5000)} {
		p, checks, err := h.rules.Prepare(t.Context(), h.site, &agent, Who{}, pw, Reset)
		if err != nil || len(broken(checks)) == 0 {
			t.Errorf("%q: %v, %v", pw, checks, err)
		}
		if err := h.apply(p); err == nil {
			t.Errorf("%q was set", pw)
		}
	}
}

func TestPrepareIsBusyWhenTheHasherIs(t *testing.T) {
	t.Parallel()
	hasher := New(Options{MemoryKiB: 8, Time: 1, Concurrency: 1, Queue: 1, Wait: time.Millisecond})
	r := newRules(t, func(o *RulesOptions) { o.Hasher = hasher })
	slot, err := hasher.Slot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer slot.Release()
	if _, _, err := r.Prepare(t.Context(), acme(policy.PasswordGuide()), &store.Agent{}, Who{}, "Velvet kettle 10", Reset); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
}

func BenchmarkCheck(b *testing.B) {
	r, s := newRules(b), acme(policy.PasswordGuide())
	who := Who{Name: "Ana Maria Silva", GivenName: "Ana Maria", FamilyName: "Silva", Email: "ana.silva@support.acme.example"}
	for name, pw := range map[string]string{"usual": "Velvet kettle 10", "signs": "$0m3-v3lv3t-5p00n-2026!!!", "longest": strings.Repeat("0a1!b", 26)[:128]} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				r.Check(s, who, pw)
			}
		})
	}
}
