package postgres

import "testing"

// Server gives the URL of a server for tests; set by TestMain, since storetest
// imports this package.
var Server func(testing.TB) string
