package admin

import (
	"slices"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
)

func TestAnOperatorsPasswordIsHeldToEveryRuleAtOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	for op, in := range map[string]string{
		"agents/set-password": `{"email":"ana@acme.example","password":"p@ss-ana"}`,
		"agents/add":          `{"email":"ana@new.example","password":"p@ss-ana"}`,
	} {
		for _, say := range []string{"fewer than 3 of upper case", "a name of the agent"} {
			h.refused(op, in, "", "usage", say)
		}
	}
	for pw, say := range map[string]string{
		"": "fewer than 8", "Ab1-": "fewer than 8", "Ab1-" + strings.Repeat("é", 125): "more than 128", "Plum-tree \\u0000 lamp 42": "not text",
		"P@ssw0rd 2026": "many people use it", "Acme-support 17": "a name of the agent", "Plum-tree lamp 42": "last 5",
	} {
		h.refused("agents/set-password", `{"email":"ana@acme.example","password":"`+pw+`"}`, "", "usage", say)
	}
	if log := h.log(); slices.Contains(log, "password.change") {
		t.Errorf("audited: %v", log)
	}
}

func TestAFilesPasswordsAreHeldToTheRulesTheSiteWillHave(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	weak := strings.NewReplacer("Plum-tree lamp 42", "plum lamp").Replace(acme)
	h.refused("apply", "", weak, "usage", "agent ana@acme.example: the password breaks the site's rules: it mixes fewer than 3")
	h.refused("apply", `{"dry_run":true}`, weak, "usage", "it mixes fewer than 3")
	h.must("apply", "", strings.Replace(weak, "character_kinds: 3", "character_kinds: 0", 1))
	long := strings.Replace(acme, "min_length: 8", "min_length: 20", 1)
	h.must("apply", "", long) // ana has a password already, which the file's does not replace
}

func TestOnLoopbackAFilesWeakPasswordOnlyWarns(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.PublicURL = "http://localhost:8080"
	if a := h.do("apply", "", strings.Replace(acme, "Plum-tree lamp 42", "bench-password", 1)); a.failure != nil || !strings.Contains(string(a.result), "accepted on loopback only") {
		t.Errorf("%+v %s", a.failure, a.result)
	}
	h.refused("agents/add", `{"email":"bob@acme.example","password":"bench-password"}`, "", "usage", "fewer than 3 of upper case")
	h.refused("apply", "", `sites: [{path: "", agents: [{email: eve@acme.example, password: short}]}]`, "usage", "fewer than 8")
}

func TestANewPasswordUnlocksAndTheOldOneIsHistory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", acme)
	locked := store.Attempts{Key: store.AccountAttempts("ana@acme.example"), Count: 5, Expires: h.Now().AddDate(0, 0, 1)}
	err := h.Store.Update(t.Context(), "", func(tx store.Tx) error { return store.AllAttempts.Put(tx, &locked) })
	if err != nil {
		t.Fatal(err)
	}
	before := h.agent("ana@acme.example")
	if a := h.do("agents/set-password", `{"email":"ana@acme.example","password":"Copper kettle 91"}`, ""); a.failure != nil {
		t.Fatal(a.failure)
	}
	after := h.agent("ana@acme.example")
	if !slices.Equal(after.PasswordHistory, []string{before.PasswordHash}) || !after.PasswordChanged.After(before.PasswordChanged) || len(after.PasswordSelfChanges) > 0 {
		t.Errorf("%+v", after)
	}
	err = h.Store.View(t.Context(), "", func(tx store.Tx) error {
		found, err := store.AllAttempts.Has(tx, locked.Key)
		if found {
			t.Error("the account is locked still")
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	h.refused("agents/set-password", `{"email":"ana@acme.example","password":"Plum-tree lamp 42"}`, "", "usage", "last 5")
}
