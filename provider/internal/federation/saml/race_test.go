//go:build race

package saml

// slower is what the race detector costs.
const slower = 8
