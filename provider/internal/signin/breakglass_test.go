package signin

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

var auditOperator = audit.Ref{Type: "operator", ID: "test"}

func TestAnOfflineCodeLiftsOneControlOfAShutOutAdministrator(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settings(func(s *store.Settings) { s.Allowlist = store.Allowlist{Enabled: true, Console: true} }) // nobody
	admin := func(a *store.Agent) { a.Roles = []string{policy.Administrators} }
	h.agent(ana, good, admin)
	h.agent("bob@acme.example", good)
	s := h.site()
	var codes []string
	h.update(func(tx store.Tx) {
		var err error
		codes, err = h.x.Glass.NewCodes(t.Context(), tx, s, auditOperator)
		must(t, err)
	})
	b := h.browser()
	if got := b.signIn(ana, good); got.status != http.StatusForbidden {
		t.Fatalf("not shut out: %d", got.status)
	}
	lift := func(fields ...string) int { return b.post("/break-glass", fields...).status }
	for name, fields := range map[string][]string{
		"a wrong code":       {"email", ana, "password", good, "code", "00000-00000-00000-00000", "control", "allowlist"},
		"a wrong password":   {"email", ana, "password", "wrong", "code", codes[0], "control", "allowlist"},
		"no administrator":   {"email", "bob@acme.example", "password", good, "code", codes[0], "control", "allowlist"},
		"no such control":    {"email", ana, "password", good, "code", codes[0], "control", "password"},
		"nobody":             {"email", "nobody@acme.example", "password", good, "code", codes[0], "control", "allowlist"},
		"nothing of a code":  {"email", ana, "password", good, "control", "allowlist"},
		"nothing of control": {"email", ana, "password", good, "code", codes[0]},
	} {
		if got := lift(fields...); got != http.StatusUnprocessableEntity {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := b.get("/break-glass"); got.status != http.StatusOK {
		t.Fatal(got.status)
	}
	if got := lift("email", ana, "password", good, "code", strings.ToLower(codes[0]), "control", "allowlist"); got != http.StatusOK {
		t.Fatalf("%d", got)
	}
	if got := b.signIn(ana, good); got.status != http.StatusSeeOther {
		t.Errorf("lifted: %d", got.status)
	}
	if got := lift("email", ana, "password", good, "code", codes[1], "control", "second_factor"); got != http.StatusConflict {
		t.Errorf("a second control: %d", got)
	}
	h.pass(15*time.Minute + time.Second)
	if got := h.browser().signIn(ana, good); got.status != http.StatusForbidden {
		t.Errorf("after a quarter of an hour: %d", got.status)
	}
	if got := lift("email", ana, "password", good, "code", codes[0], "control", "allowlist"); got != http.StatusUnprocessableEntity {
		t.Errorf("the code again: %d", got)
	}
}
