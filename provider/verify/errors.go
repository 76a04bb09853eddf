package verify

import "errors"

// Why a token is refused; errors.Is finds these in what Token returns, and the
// text around them says what was expected and what was there.
var (
	ErrMalformed   = errors.New("verify: not a JWT in strict compact form")
	ErrType        = errors.New("verify: not an access token (typ at+jwt)")
	ErrAlgorithm   = errors.New("verify: algorithm not accepted")
	ErrUnknownKey  = errors.New("verify: signed by an unknown key")
	ErrSignature   = errors.New("verify: wrong signature")
	ErrClaims      = errors.New("verify: claim missing or of the wrong form")
	ErrIssuer      = errors.New("verify: token of another issuer")
	ErrAudience    = errors.New("verify: token for another audience")
	ErrExpired     = errors.New("verify: token expired")
	ErrNotYetValid = errors.New("verify: token not valid yet")
	ErrRevoked     = errors.New("verify: token revoked")
)

// What is wrong with the surroundings rather than with the token.
var (
	// ErrStale says that the revocation feed is silent, so that no token can be
	// called live.
	ErrStale = errors.New("verify: the revocation feed is silent")
	// ErrUnavailable says that the server cannot be reached or cannot answer.
	ErrUnavailable = errors.New("verify: the identity provider is unavailable")
	// ErrClientRefused says that the server does not accept this backend's
	// client credentials.
	ErrClientRefused = errors.New("verify: the identity provider refused this client")
	// ErrOptions says that the options given to New are wrong.
	ErrOptions = errors.New("verify: options")
	// ErrDiscovery says that the discovery document is not this issuer's.
	ErrDiscovery = errors.New("verify: discovery")
	// ErrKeys says that a key set was refused; the last good one is kept.
	ErrKeys = errors.New("verify: key set")
)
