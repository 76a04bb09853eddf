package store

import "time"

// AnyTable is a table of some kind of record, for what works on all of them:
// the sweep, backups and the resealing of secrets.
type AnyTable interface {
	// Name is the table's kind.
	Name() Kind
	// Expiring reports whether its records expire.
	Expiring() bool
	sweep(tx Tx, key string, now time.Time) error
	reseal(tx Tx, sealer *Sealer, after string) (last string, n int, err error)
}

// Name is the table's kind.
func (t Table[T]) Name() Kind { return t.Kind }

// Expiring reports whether its records expire.
func (t Table[T]) Expiring() bool { return t.Expires != nil }

// Tables lists every table; a test fails when one is missing.
func Tables() []AnyTable {
	return []AnyTable{
		Activities, Agents, AllAttempts, AllFactorTries, AllSettings, AllSpent, AuditEntries, AuditHeads, AuditPersonals, Authenticators, BreakGlassCodes, BreakGlasses, Clients, Codes, Consents, Counters,
		Departments, Devices, Enrolments, Grants, OpaqueTokens, Outbox, PasswordLinks, RecoveryCodes, Restorations, Revocations, Roles, Secrets, Sessions, SetUps, SignIns, SigningKeys, Sites, UnsealedAudits,
	}
}
