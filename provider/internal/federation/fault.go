package federation

import (
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/store"
)

// Codes of faults, as pages and the audit log name them. Those of JWTs are
// PRODUCT's.
const (
	codeTokenInvalid   = "token_invalid"
	codeTokenExpired   = "token_expired"
	codeMissing        = "token_missing_attribute"
	codeReplayed       = "token_replayed"
	codeNoUser         = "user_not_found"
	codeInactive       = "user_inactive"
	codeAdministrator  = "not_linked_administrator"
	codeLinked         = "linked_to_another"
	codeEmailMissing   = "email_missing"
	codeEmailUnproven  = "email_not_proven"
	codeDisabled       = "connection_disabled"
	codeExpired        = "answer_expired"
	codeNotAsked       = "not_asked"
	codeProviderNo     = "provider_refused"
	codeProviderDown   = "provider_unavailable"
	codeNotForVisitors = "not_for_visitors"
	codeOrigin         = "origin_not_allowed"
	codeRehearsal      = "rehearsal_needed"
	codeFactorNeeded   = "second_factor_needed"
	codeElsewhere      = "enforced_elsewhere"

	codeNotAdministrator = "not_administrator"
	codeMisconfigured    = oidc.CodeConfig
)

// fault is why an attempt ended. Who tried learns the code; administrators read
// the reason and the checks.
type fault struct {
	code   string
	reason string // for administrators, nothing secret in it
}

func (f *fault) Error() string { return f.code + ": " + f.reason }

//go:noinline
func refuse(code, reason string, args ...any) error {
	return &fault{code, fmt.Sprintf(reason, args...)}
}

// faultOf is the fault in err; nil for what is none.
func faultOf(err error) *fault {
	var f *fault
	errors.As(err, &f)
	return f
}

// check is one of our own, besides those of the protocols. Inlined in each place, it
// makes the program larger for nothing.
//
//go:noinline
func (at *attempt) check(name string, ok bool, expected, got string) {
	at.checks = append(at.checks, store.Check{Name: name, OK: ok, Expected: cutTo(expected, maxShown), Got: cutTo(got, maxShown)})
}

const maxShown = 200

func cutTo(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 { // not in the middle of a character
		n--
	}
	return s[:n] + "…"
}
