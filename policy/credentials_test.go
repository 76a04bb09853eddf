package policy

import (
	"testing"
	"time"
)

func TestAStrongerContextMeetsAWeakerAndAnUnknownNone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have, want string
		meets      bool
	}{
		{"aal1", "aal1", true}, {"aal2", "aal1", true}, {"phr", "aal2", true}, {"aal1", "aal2", false}, {"aal2", "phr", false},
		{"", "aal1", false}, {"aal1", "", false}, {"silver", "silver", false}, {"AAL2", "aal1", false},
	} {
		if got := ACRMeets(c.have, c.want); got != c.meets {
			t.Errorf("%q meets %q: %t", c.have, c.want, got)
		}
	}
}

// credentials are rules under which ben, an administrator, signs in by password.
func credentials() (CredentialRules, CredentialFacts, time.Time) {
	now := time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)
	rules := CredentialRules{RequiredRoles: []string{"administrators"}, GraceDays: 7, RememberDays: 14, PasswordAgeDays: 40, PasswordWarnDays: 3}
	ben := CredentialFacts{Roles: []string{"administrators"}, HasPassword: true, PasswordChanged: now.AddDate(0, 0, -1), ACR: ACRPassword, AMR: []string{"pwd"}}
	return rules, ben, now
}

func TestWhatIsDueOfASecondFactor(t *testing.T) {
	t.Parallel()
	type facts = CredentialFacts
	_, _, now := credentials()
	day := func(n int) time.Time { return now.AddDate(0, 0, n) }
	for name, c := range map[string]struct {
		rules func(*CredentialRules)
		who   func(*facts)
		want  CredentialDue
	}{
		"none held, grace begins":         {want: CredentialDue{Enrol: true, EnrolBy: day(7)}},
		"none held, a second of grace":    {who: func(f *facts) { f.GraceStart = day(-7).Add(time.Second) }, want: CredentialDue{Enrol: true, EnrolBy: now.Add(time.Second)}},
		"none held, grace is over":        {who: func(f *facts) { f.GraceStart = day(-7) }, want: CredentialDue{Enrol: true, EnrolBy: now, Blocks: true}},
		"no grace":                        {rules: func(r *CredentialRules) { r.GraceDays = 0 }, want: CredentialDue{Enrol: true, EnrolBy: now, Blocks: true}},
		"grace that begins in the future": {who: func(f *facts) { f.GraceStart = day(30) }, want: CredentialDue{Enrol: true, EnrolBy: day(7)}},
		"held and not shown":              {who: func(f *facts) { f.HasFactor, f.GraceStart = true, day(-8) }, want: CredentialDue{SecondFactor: true, EnrolBy: day(-1), Blocks: true}},
		"held, and no role demands it":    {who: func(f *facts) { f.HasFactor, f.Roles = true, []string{"agents"} }, want: CredentialDue{SecondFactor: true}},
		"no role demands it":              {who: func(f *facts) { f.Roles = nil }},
		"shown":                           {who: func(f *facts) { f.HasFactor, f.ACR, f.GraceStart = true, ACRTwoFactors, day(-8) }},
		"a passkey alone":                 {who: func(f *facts) { f.HasFactor, f.ACR, f.AMR = true, ACRPasskey, []string{"hwk"} }},
		"a remembered device":             {who: func(f *facts) { f.HasFactor, f.Remembered, f.GraceStart = true, true, day(-8) }},
		"devices are remembered no more":  {rules: func(r *CredentialRules) { r.RememberDays = 0 }, who: func(f *facts) { f.HasFactor, f.Remembered, f.GraceStart = true, true, day(-8) }, want: CredentialDue{SecondFactor: true, EnrolBy: day(-1), Blocks: true}},
		"lifted by break-glass":           {rules: func(r *CredentialRules) { r.SecondFactorOff = true }, who: func(f *facts) { f.GraceStart = day(-8) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, who, now := credentials()
			if c.rules != nil {
				c.rules(&rules)
			}
			if c.who != nil {
				c.who(&who)
			}
			if got := CredentialsDue(rules, who, now); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestWhatIsDueOfAPassword(t *testing.T) {
	t.Parallel()
	_, _, now := credentials()
	for name, c := range map[string]struct {
		who  func(*CredentialFacts)
		want CredentialDue
	}{
		"young":                         {},
		"four days left":                {who: func(f *CredentialFacts) { f.PasswordChanged = now.AddDate(0, 0, -36) }},
		"three days left":               {who: func(f *CredentialFacts) { f.PasswordChanged = now.AddDate(0, 0, -37) }, want: CredentialDue{WarnDays: 3}},
		"a second left":                 {who: func(f *CredentialFacts) { f.PasswordChanged = now.AddDate(0, 0, -40).Add(time.Second) }, want: CredentialDue{WarnDays: 1}},
		"forty days old":                {who: func(f *CredentialFacts) { f.PasswordChanged = now.AddDate(0, 0, -40) }, want: CredentialDue{Password: DueExpired, Blocks: true}},
		"of unknown age":                {who: func(f *CredentialFacts) { f.PasswordChanged = time.Time{} }},
		"must change":                   {who: func(f *CredentialFacts) { f.MustChange = true }, want: CredentialDue{Password: DueMustChange, Blocks: true}},
		"must change, and nobody knows": {who: func(f *CredentialFacts) { f.MustChange, f.AMR = true, nil }, want: CredentialDue{Password: DueMustChange, Blocks: true}},
		"not used for this sign-in":     {who: func(f *CredentialFacts) { f.MustChange, f.AMR, f.ACR = true, []string{"hwk", "user"}, ACRPasskey }},
		"none there is":                 {who: func(f *CredentialFacts) { f.MustChange, f.HasPassword = true, false }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rules, who, now := credentials()
			rules.RequiredRoles = nil
			if c.who != nil {
				c.who(&who)
			}
			if got := CredentialsDue(rules, who, now); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}
