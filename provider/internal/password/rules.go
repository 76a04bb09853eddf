package password

import (
	"context"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Rules holds passwords to their site's policy. It is safe for concurrent use.
type Rules struct {
	hasher   *Hasher
	common   commonPasswords
	breached breached
	failed   func(error)
	now      func() time.Time
}

// RulesOptions is what Rules need.
type RulesOptions struct {
	Hasher *Hasher
	// BreachedFile is a file of the SHA-1 hashes of breached passwords, in hex, one
	// a line and sorted; BreachedURL a range service. Empty: none.
	BreachedFile string
	BreachedURL  string
	Now          func() time.Time // nil: time.Now
	// Failed is told why a source of breached passwords did not answer. Such a
	// password passes.
	Failed func(error)
}

// NewRules returns Rules. A file that cannot be what it should be is an error.
func NewRules(o RulesOptions) (*Rules, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	list, err := readCommon(commonList)
	if err != nil {
		return nil, err
	}
	sources, err := newBreached(o)
	if err != nil {
		return nil, err
	}
	return &Rules{hasher: o.Hasher, common: list, breached: sources, failed: o.Failed, now: o.Now}, nil
}

// Who is an agent as far as the rules look at one.
type Who struct {
	Name, GivenName, FamilyName, Nickname, Email string

	HasFactor bool // holds a second factor
}

// WhoIs is the Who of an agent's record.
func WhoIs(a *store.Agent, hasFactor bool) Who {
	return Who{Name: a.Name, GivenName: a.GivenName, FamilyName: a.FamilyName, Nickname: a.Nickname, Email: a.Email, HasFactor: hasFactor}
}

// By says who changes a password, which decides what counts against the agent.
type By int

// The ways to change a password.
const (
	Self          By = iota // by the agent, who typed the old one
	Reset                   // by a link in a mail: a forgotten password, an invitation
	Administrator           // by somebody else, an operator or a set-up among them
)

// RulesOf are the rules of a site's settings.
func RulesOf(p store.PasswordPolicy) policy.PasswordRules {
	return policy.PasswordRules{
		MinLength: p.MinLength, MinLengthWithFactor: p.MinLengthWithFactor, CharacterKinds: p.CharacterKinds,
		RefuseNames: p.RefuseNames, RefuseCommon: p.RefuseCommon, CommonWhole: p.CommonWhole, RefuseBreached: p.RefuseBreached,
		History: p.History, MaxAgeDays: p.MaxAgeDays, WarnDays: p.WarnDays, MaxChangesPerDay: p.MaxChangesPerDay,
		LockAfter: p.LockAfter, LockMinutes: p.LockMinutes,
	}
}

// PolicyOf is RulesOf the other way round, for a preset.
func PolicyOf(r policy.PasswordRules) store.PasswordPolicy {
	return store.PasswordPolicy{
		MinLength: r.MinLength, MinLengthWithFactor: r.MinLengthWithFactor, CharacterKinds: r.CharacterKinds,
		RefuseNames: r.RefuseNames, RefuseCommon: r.RefuseCommon, CommonWhole: r.CommonWhole, RefuseBreached: r.RefuseBreached,
		History: r.History, MaxAgeDays: r.MaxAgeDays, WarnDays: r.WarnDays, MaxChangesPerDay: r.MaxChangesPerDay,
		LockAfter: r.LockAfter, LockMinutes: r.LockMinutes,
	}
}

// Check holds what is being typed to the rules, for the ticks of a page: every
// rule that is on, in the page's order. It sends nothing anywhere and hashes
// nothing; what only Prepare can answer is Later.
func (r *Rules) Check(s *site.Site, who Who, typed string) []policy.PasswordCheck {
	rules := RulesOf(s.Settings.Password)
	checks := policy.CheckPassword(rules, r.facts(s, who, r.breached.here(r.failed)), typed)
	if rules.RefuseBreached && r.breached.elsewhere() {
		checks = append(checks, policy.PasswordCheck{Rule: policy.PasswordBreached, OK: true, Later: true})
	}
	if rules.History > 0 {
		checks = append(checks, policy.PasswordCheck{Rule: policy.PasswordHistory, OK: true, Later: true, Wanted: rules.History})
	}
	return checks
}

// Judge holds a password that is about to be set, of an agent who has none yet,
// to the rules. It may ask a service, and hashes nothing.
func (r *Rules) Judge(ctx context.Context, s *site.Site, who Who, typed string) []policy.PasswordCheck {
	return policy.CheckPassword(RulesOf(s.Settings.Password), r.facts(s, who, r.breached.ask(ctx, r.failed)), typed)
}

func (r *Rules) facts(s *site.Site, who Who, known func(string) bool) policy.PasswordFacts {
	return policy.PasswordFacts{
		Names: []string{who.Name, who.GivenName, who.FamilyName, who.Nickname}, Addresses: []string{who.Email},
		Site: s.Settings.Name, HasFactor: who.HasFactor, Common: r.common.has, Breached: known,
	}
}
