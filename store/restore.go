package store

import "errors"

// RestoreKind and RestoreKey are the place in House of the mark that stands
// while a restore is under way; an engine refuses to open a store that has it.
const (
	RestoreKind = Kind("restore")
	RestoreKey  = "unfinished"
)

// ErrHalfRestored says that a restore into this store did not finish.
var ErrHalfRestored = errors.New("a restore into this store did not finish: remove it and restore again")
