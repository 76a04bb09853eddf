//go:build !race

package saml

const slower = 1
