package signin

import (
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

func TestNextOrdersASignIn(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	office := allowlist(t, policy.AllowlistRules{Enabled: true, Console: true, Entries: []policy.AllowlistEntry{
		{CIDR: "203.0.113.0/24"}, {IP: "198.51.100.1", Roles: []string{"supervisors"}},
	}})
	ana := store.Agent{ID: "ana", Roles: []string{"agents"}, Created: now.AddDate(-1, 0, 0)}
	begun := store.SignIn{ID: "f", IP: "203.0.113.9", Started: now.Add(-time.Minute), Expires: now.Add(time.Hour)}
	proven := begun
	proven.AgentID, proven.AMR, proven.AuthTime = "ana", []string{"pwd"}, now

	for name, c := range map[string]struct {
		signIn store.SignIn
		agent  store.Agent
		rules  Rules
		want   Step
	}{
		"nothing proven":                   {begun, ana, Rules{}, Step{Name: StepPassword}},
		"nothing proven, nobody known":     {begun, store.Agent{}, Rules{}, Step{Name: StepPassword}},
		"the password proven":              {proven, ana, Rules{}, Step{Name: StepDone}},
		"a proof of somebody else":         {with(proven, func(s *store.SignIn) { s.AgentID = "bob" }), ana, Rules{}, Step{Name: StepPassword}},
		"a proof that names nobody":        {with(proven, func(s *store.SignIn) { s.AgentID = "" }), store.Agent{}, Rules{}, Step{Name: StepPassword}},
		"a proof of another kind":          {with(proven, func(s *store.SignIn) { s.AMR = []string{"otp"} }), ana, Rules{}, Step{Name: StepPassword}},
		"a proof without a time":           {with(proven, func(s *store.SignIn) { s.AuthTime = time.Time{} }), ana, Rules{}, Step{Name: StepPassword}},
		"a proof from the future":          {with(proven, func(s *store.SignIn) { s.AuthTime = now.Add(time.Second) }), ana, Rules{}, Step{Name: StepPassword}},
		"a sign-in that has run out":       {with(proven, func(s *store.SignIn) { s.Expires = now }), ana, Rules{}, Step{Name: StepPassword}},
		"deactivated since":                {proven, with(ana, func(a *store.Agent) { a.Inactive = true }), Rules{}, Step{Name: StepPassword}},
		"voided since":                     {proven, with(ana, func(a *store.Agent) { a.NotBefore = now.Add(time.Second) }), Rules{}, Step{Name: StepPassword}},
		"another password since":           {proven, with(ana, func(a *store.Agent) { a.PasswordChanged = now.Add(time.Second) }), Rules{}, Step{Name: StepPassword}},
		"from an allowed network":          {proven, ana, Rules{office, policy.Console}, Step{Name: StepDone}},
		"the mapped form of the address":   {with(proven, from("::ffff:203.0.113.9")), ana, Rules{office, policy.Console}, Step{Name: StepDone}},
		"from elsewhere":                   {with(proven, from("192.0.2.1")), ana, Rules{office, policy.Console}, Step{StepRefused, policy.ReasonIPNotAllowed}},
		"from nowhere":                     {with(proven, from("")), ana, Rules{office, policy.Console}, Step{StepRefused, policy.ReasonIPUnknown}},
		"from what is no address":          {with(proven, from("203.0.113.9 ")), ana, Rules{office, policy.Console}, Step{StepRefused, policy.ReasonIPUnknown}},
		"a list for others only":           {with(proven, from("192.0.2.1")), ana, Rules{office, policy.Mobile}, Step{Name: StepDone}},
		"a role's own network":             {with(proven, from("198.51.100.1")), with(ana, func(a *store.Agent) { a.Roles = []string{"supervisors"} }), Rules{office, policy.Console}, Step{Name: StepDone}},
		"a role's network without it":      {with(proven, from("198.51.100.1")), ana, Rules{office, policy.Console}, Step{StepRefused, policy.ReasonIPNotAllowed}},
		"the password comes first":         {with(begun, from("192.0.2.1")), ana, Rules{office, policy.Console}, Step{Name: StepPassword}},
		"a list that is on and empty":      {proven, ana, Rules{allowlist(t, policy.AllowlistRules{Enabled: true, Console: true}), policy.Console}, Step{StepRefused, policy.ReasonIPNotAllowed}},
		"inactive says nothing of network": {with(proven, from("192.0.2.1")), with(ana, func(a *store.Agent) { a.Inactive = true }), Rules{office, policy.Console}, Step{Name: StepPassword}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Next(c.signIn, c.agent, c.rules, now); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func with[T any](v T, change func(*T)) T {
	change(&v)
	return v
}

func from(ip string) func(*store.SignIn) { return func(s *store.SignIn) { s.IP = ip } }

func allowlist(t *testing.T, rules policy.AllowlistRules) *policy.Allowlist {
	t.Helper()
	list, err := policy.CompileAllowlist(rules)
	if err != nil {
		t.Fatal(err)
	}
	return list
}
