package admin

import (
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/store"
)

// presets are whole password policies by their words in a site file.
func presets() map[string]policy.PasswordRules {
	return map[string]policy.PasswordRules{"guide": policy.PasswordGuide(), "nist": policy.PasswordNIST(), "pci": policy.PasswordPCI()}
}

func (c checker) passwordPolicy(p *filePasswordPolicy) {
	if p == nil {
		return
	}
	c.oneOf(p.At, "preset", p.Preset, sortedKeys(presets())...)
	c.number(p.At, "min_length", p.MinLength, policy.LeastPassword, policy.MostPassword)
	if deref(p.MinLengthWithFactor) != 0 {
		c.number(p.At, "min_length_with_factor", p.MinLengthWithFactor, policy.LeastPassword, policy.MostPassword)
	}
	c.number(p.At, "character_kinds", p.CharacterKinds, 0, 4)
	c.number(p.At, "history", p.History, 0, policy.MostHistory)
	c.number(p.At, "max_age_days", p.MaxAgeDays, 0, 3650)
	c.number(p.At, "warn_days", p.WarnDays, 0, 365)
	c.number(p.At, "max_changes_per_day", p.MaxChangesPerDay, 0, 1000)
	c.number(p.At, "lock_after", p.LockAfter, 0, 1000)
	c.number(p.At, "lock_minutes", p.LockMinutes, 0, 60*24*30)
}

// onto changes what the file names; a preset comes first.
func (f *filePasswordPolicy) onto(p *store.PasswordPolicy) {
	if rules, ok := presets()[deref(f.Preset)]; ok {
		*p = password.PolicyOf(rules)
	}
	set(&p.MinLength, f.MinLength)
	set(&p.MinLengthWithFactor, f.MinLengthWithFactor)
	set(&p.CharacterKinds, f.CharacterKinds)
	set(&p.RefuseNames, f.RefuseNames)
	set(&p.RefuseCommon, f.RefuseCommon)
	set(&p.CommonWhole, f.CommonWhole)
	set(&p.RefuseBreached, f.RefuseBreached)
	set(&p.History, f.History)
	set(&p.MaxAgeDays, f.MaxAgeDays)
	set(&p.WarnDays, f.WarnDays)
	set(&p.MaxChangesPerDay, f.MaxChangesPerDay)
	set(&p.LockAfter, f.LockAfter)
	set(&p.LockMinutes, f.LockMinutes)
}

func filePasswordPolicyOf(p *store.PasswordPolicy) *filePasswordPolicy {
	return &filePasswordPolicy{
		MinLength: &p.MinLength, MinLengthWithFactor: &p.MinLengthWithFactor, CharacterKinds: &p.CharacterKinds,
		RefuseNames: &p.RefuseNames, RefuseCommon: &p.RefuseCommon, CommonWhole: &p.CommonWhole, RefuseBreached: &p.RefuseBreached,
		History: &p.History, MaxAgeDays: &p.MaxAgeDays, WarnDays: &p.WarnDays, MaxChangesPerDay: &p.MaxChangesPerDay,
		LockAfter: &p.LockAfter, LockMinutes: &p.LockMinutes,
	}
}

func (c checker) twoFactor(t *fileTwoFactor) {
	if t == nil {
		return
	}
	c.number(t.At, "grace_days", t.GraceDays, 0, 365)
	c.number(t.At, "remember_days", t.RememberDays, 0, 365)
	t.RequiredRoles = sorted(t.RequiredRoles)
}

func (f *fileTwoFactor) onto(t *store.TwoFactor) {
	if f.RequiredRoles != nil {
		t.RequiredRoles = f.RequiredRoles
	}
	set(&t.GraceDays, f.GraceDays)
	set(&t.RememberDays, f.RememberDays)
}

// checkTwoFactor refuses to demand a second factor of a role that there is not,
// and says what a preset leaves to other settings.
func (p planner) checkTwoFactor(out *plan, roles map[string]bool) {
	at, after := p.file.At, out.settings.after
	if p.file.TwoFactor != nil {
		at = p.file.TwoFactor.At
	}
	for _, key := range after.TwoFactor.RequiredRoles {
		if !roles[key] {
			p.faults.add(at, "two_factor: there is no role %q", key)
		}
	}
	if p.file.PasswordPolicy == nil || deref(p.file.PasswordPolicy.Preset) != "pci" {
		return
	}
	if !slices.Contains(after.TwoFactor.RequiredRoles, policy.Administrators) {
		*p.warnings = append(*p.warnings, "password_policy: PCI DSS also wants a second factor: two_factor.required_roles")
	}
	const idle = 15 * 60
	if after.Lifetimes.OrDefault().SessionIdle > idle {
		*p.warnings = append(*p.warnings, "password_policy: PCI DSS also wants sessions to end after 15 idle minutes: lifetimes.session_idle")
	}
}

func (c checker) sessions(s *fileSessions) {
	if s != nil {
		c.number(s.At, "max_at_once", s.MaxAtOnce, 0, 1000)
	}
}

// leastSeed is what RFC 4226, section 4, asks of a seed, in bytes.
const leastSeed = 16

func (c checker) totpSecret(a *fileAgent) {
	if !a.TOTPSecret.given() {
		return
	}
	seed, err := mfa.ParseSeed(a.TOTPSecret.reveal())
	switch {
	case err != nil:
		c.faults.add(a.At, "agent %s: totp_secret is %v", a.Email, err)
	case len(seed) >= leastSeed && !fewLetters(strings.ToUpper(a.TOTPSecret.reveal())):
	case !c.loopback:
		c.faults.add(a.At, "agent %s: totp_secret has fewer than %d random bits", a.Email, leastSeed*8)
	default:
		*c.warnings = append(*c.warnings, "agent "+a.Email+": totp_secret has too few random bits: accepted on loopback only")
	}
}
