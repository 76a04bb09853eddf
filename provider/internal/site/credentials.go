package site

import (
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

// CredentialRules is what the site asks of its agents' credentials now, which may
// be while break-glass has lifted the second factor.
func (s *Site) CredentialRules(now time.Time) policy.CredentialRules {
	two, pw := s.Settings.TwoFactor, s.Settings.Password
	return policy.CredentialRules{
		RequiredRoles: two.RequiredRoles, GraceDays: two.GraceDays, RememberDays: two.RememberDays,
		SecondFactorOff: s.Lifted(store.ControlSecondFactor, now),
		PasswordAgeDays: pw.MaxAgeDays, PasswordWarnDays: pw.WarnDays,
	}
}

// CredentialFacts is what an agent's record says. Whether the agent holds a
// factor, and how they signed in, is the caller's to add.
func CredentialFacts(agent *store.Agent) policy.CredentialFacts {
	return policy.CredentialFacts{
		Roles: agent.Roles, GraceStart: agent.FactorGrace,
		HasPassword: agent.PasswordHash != "", PasswordChanged: agent.PasswordChanged, MustChange: agent.MustChangePassword,
	}
}
