// Package mfa has the pure checks of second factors and passkeys: codes from an
// authenticator app (RFC 6238), recovery codes, and WebAuthn ceremonies.
//
// It remembers nothing and knows no store: whoever calls it hands in what was
// remembered (the last step, the hashes, the public key, the challenge), and has
// to keep what it answers in the same transaction, or a code counts twice. It
// must not import anything of ours, nor log what passes through it.
package mfa
