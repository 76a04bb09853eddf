package store

// AnyTable is a table of some kind of record.
type AnyTable interface {
	// Name is the table's kind.
	Name() Kind
	// Expiring reports whether its records expire.
	Expiring() bool
}

// Tables lists every table; a test fails when one is missing.
func Tables() (all []AnyTable) {
	for _, t := range tables() {
		all = append(all, t)
	}
	return all
}

// tables is for what works on all of them: the sweep, restores and the resealing
// of secrets.
func tables() []rows {
	return []rows{
		&Activities, &Agents, &AllAttempts, &AllFactorTries, &AllFetched, &AllSettings, &AllSpent, &Answers, &AuditEntries, &AuditHeads, &AuditPersonals, &Authenticators, &Bans, &BreakGlassCodes, &BreakGlasses, &Clients, &ConnectionKeys, &Connections, &Consents, &Counters,
		&Departments, &Devices, &Enrolments, &Grants, &Links, &OpaqueTokens, &Outbox, &PasswordLinks, &RecoveryCodes, &Restorations, &Revocations, &Roles, &Secrets, &Sessions, &SetUps, &SignIns, &SigningKeys, &Sites, &Traces, &UnsealedAudits, &VisitorProofs, &Visitors,
	}
}
