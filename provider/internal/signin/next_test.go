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
		"a proof from the future":          {with(proven, func(s *store.SignIn) { s.AuthTime = now.Add(6 * time.Second) }), ana, Rules{}, Step{Name: StepPassword}},
		"a sign-in that has run out":       {with(proven, func(s *store.SignIn) { s.Expires = now }), ana, Rules{}, Step{Name: StepPassword}},
		"deactivated since":                {proven, with(ana, func(a *store.Agent) { a.Inactive = true }), Rules{}, Step{Name: StepPassword}},
		"voided since":                     {proven, with(ana, func(a *store.Agent) { a.NotBefore = now.Add(time.Second) }), Rules{}, Step{Name: StepPassword}},
		"another password since":           {proven, with(ana, func(a *store.Agent) { a.PasswordChanged = now.Add(time.Second) }), Rules{}, Step{Name: StepPassword}},
		"from an allowed network":          {proven, ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepDone}},
		"the mapped form of the address":   {with(proven, from("::ffff:203.0.113.9")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepDone}},
		"from elsewhere":                   {with(proven, from("192.0.2.1")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepRefused, Reason: policy.ReasonIPNotAllowed}},
		"from nowhere":                     {with(proven, from("")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepRefused, Reason: policy.ReasonIPUnknown}},
		"from what is no address":          {with(proven, from("203.0.113.9 ")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepRefused, Reason: policy.ReasonIPUnknown}},
		"a list for others only":           {with(proven, from("192.0.2.1")), ana, Rules{Allowlist: office, Pathway: policy.Mobile}, Step{Name: StepDone}},
		"a role's own network":             {with(proven, from("198.51.100.1")), with(ana, func(a *store.Agent) { a.Roles = []string{"supervisors"} }), Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepDone}},
		"a role's network without it":      {with(proven, from("198.51.100.1")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepRefused, Reason: policy.ReasonIPNotAllowed}},
		"the password comes first":         {with(begun, from("192.0.2.1")), ana, Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepPassword}},
		"a list that is on and empty":      {proven, ana, Rules{Allowlist: allowlist(t, policy.AllowlistRules{Enabled: true, Console: true}), Pathway: policy.Console}, Step{Name: StepRefused, Reason: policy.ReasonIPNotAllowed}},
		"inactive says nothing of network": {with(proven, from("192.0.2.1")), with(ana, func(a *store.Agent) { a.Inactive = true }), Rules{Allowlist: office, Pathway: policy.Console}, Step{Name: StepPassword}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Next(c.signIn, c.agent, Facts{}, c.rules, now); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestNextOrdersWhatComesAfterThePassword(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	days := func(n int) time.Time { return now.AddDate(0, 0, n) }
	ana := store.Agent{ID: "ana", Roles: []string{"agents"}, Created: days(-365), PasswordHash: "$", PasswordChanged: days(-10)}
	admin := with(ana, func(a *store.Agent) { a.Roles = []string{"administrators"} })
	proven := store.SignIn{ID: "f", Expires: now.Add(time.Hour), AgentID: "ana", AMR: []string{"pwd"}, AuthTime: now}
	amr := func(methods ...string) func(*store.SignIn) { return func(s *store.SignIn) { s.AMR = methods } }
	skipped := func(step StepName) func(*store.SignIn) {
		return func(s *store.SignIn) { s.Skipped = []string{string(step)} }
	}
	required := Rules{Credentials: policy.CredentialRules{RequiredRoles: []string{"administrators"}, GraceDays: 7, RememberDays: 14}}
	ages := Rules{Credentials: policy.CredentialRules{PasswordAgeDays: 40, PasswordWarnDays: 3}}
	app, key := Facts{TOTPs: 1}, Facts{Passkeys: 1}
	aged := func(n int) store.Agent { return with(ana, func(a *store.Agent) { a.PasswordChanged = days(-n) }) }
	old := with(admin, func(a *store.Agent) { a.FactorGrace = days(-7) })

	for name, c := range map[string]struct {
		signIn store.SignIn
		agent  store.Agent
		facts  Facts
		rules  Rules
		want   Step
	}{
		"who holds a factor is asked for it":            {proven, ana, app, Rules{}, Step{Name: StepFactor}},
		"a code is a factor":                            {with(proven, amr("pwd", "otp", "mfa")), ana, app, Rules{}, Step{Name: StepDone}},
		"a passkey alone is everything":                 {with(proven, amr("hwk", "user", "mfa")), ana, key, required, Step{Name: StepDone}},
		"a passkey that did not verify its user is not": {with(proven, amr("hwk", "mfa")), ana, key, Rules{}, Step{Name: StepPassword}},
		"a code alone proves nobody":                    {with(proven, amr("otp", "mfa")), ana, app, Rules{}, Step{Name: StepPassword}},
		"a remembered device stands in":                 {with(proven, func(s *store.SignIn) { s.Remembered = true }), ana, app, required, Step{Name: StepDone}},
		"but not where the site remembers none":         {with(proven, func(s *store.SignIn) { s.Remembered = true }), ana, app, Rules{}, Step{Name: StepFactor}},
		"and not where somebody signs in again":         {with(proven, func(s *store.SignIn) { s.Remembered, s.Fresh = true, true }), ana, app, required, Step{Name: StepFactor}},
		"more is wanted than a remembered device":       {with(proven, func(s *store.SignIn) { s.Remembered, s.ACR = true, "aal2" }), ana, app, required, Step{Name: StepFactor}},
		"more is wanted than there is":                  {with(proven, func(s *store.SignIn) { s.ACR = "phr" }), ana, Facts{}, Rules{}, Step{Name: StepDone}},
		"a passkey is wanted":                           {with(proven, func(s *store.SignIn) { s.ACR, s.AMR = "phr", []string{"pwd", "otp", "mfa"} }), ana, key, Rules{}, Step{Name: StepFactor, Reason: "phr"}},
		"a passkey is wanted, and shown":                {with(proven, func(s *store.SignIn) { s.ACR, s.AMR = "phr", []string{"pwd", "swk", "user", "mfa"} }), ana, key, Rules{}, Step{Name: StepDone}},
		"the second factor lifted":                      {proven, admin, app, Rules{Credentials: policy.CredentialRules{RequiredRoles: []string{"administrators"}, SecondFactorOff: true}}, Step{Name: StepDone}},
		"a role that needs one, within its grace":       {proven, admin, Facts{}, required, Step{Name: StepEnrol, Until: days(7)}},
		"put off":                                       {with(proven, skipped(StepEnrol)), admin, Facts{}, required, Step{Name: StepDone}},
		"past its grace it cannot be put off":           {with(proven, skipped(StepEnrol)), old, Facts{}, required, Step{Name: StepEnrol}},
		"a role that needs none":                        {proven, ana, Facts{}, required, Step{Name: StepDone}},
		"a young password":                              {proven, ana, Facts{}, ages, Step{Name: StepDone}},
		"a password that will expire":                   {proven, aged(38), Facts{}, ages, Step{Name: StepNewPassword, Reason: "expired", Days: 2}},
		"told of it":                                    {with(proven, skipped(StepNewPassword)), aged(38), Facts{}, ages, Step{Name: StepDone}},
		"a password that has expired":                   {with(proven, skipped(StepNewPassword)), aged(40), Facts{}, ages, Step{Name: StepNewPassword, Reason: "expired"}},
		"a password that must be changed":               {proven, with(ana, func(a *store.Agent) { a.MustChangePassword = true }), Facts{}, Rules{}, Step{Name: StepNewPassword, Reason: "must_change"}},
		"the factor comes before the change":            {proven, aged(40), app, ages, Step{Name: StepFactor}},
		"a passkey does not age":                        {with(proven, amr("hwk", "user", "mfa")), aged(40), key, ages, Step{Name: StepDone}},
		"as many sessions as there may be":              {proven, ana, Facts{SessionsOver: 1}, Rules{}, Step{Name: StepSessions}},
		"said so":                                       {with(proven, skipped(StepSessions)), ana, Facts{SessionsOver: 1}, Rules{}, Step{Name: StepDone}},
		"somebody else signs in where one has to again": {with(proven, func(s *store.SignIn) { s.AgentHint = "bob" }), ana, Facts{}, Rules{}, Step{Name: StepPassword}},
		"the one who has to":                            {with(proven, func(s *store.SignIn) { s.AgentHint = "ana" }), ana, Facts{}, Rules{}, Step{Name: StepDone}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := Next(c.signIn, c.agent, c.facts, c.rules, now); got != c.want {
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
