// Package admin changes sites on an operator's word: the site file (apply and
// export), and the operations behind the commands for agents, clients, keys,
// the audit log and the store.
//
// Control answers them as JSON over HTTP, for provider.Server.Control: on the
// control socket while a server runs, in process otherwise. Whoever reaches it
// has the data folder, so it asks for no credential; it must never be routed on
// the public listener. Each operation is audited in the transaction that makes
// the change, and announced on the revocation feed where it takes rights away.
package admin

import (
	"errors"
)

// Sentinels of operations.
var (
	// ErrUsage is an operation that asks for something that cannot be.
	ErrUsage = errors.New("that cannot be done as asked")
	// ErrNotFound is an operation on something that is not there.
	ErrNotFound = errors.New("there is no such thing")

	errPasswordLength = errors.New("a password has 8 to 128 characters")
)
