package oauth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// checkChallenge reads code_challenge and its method (RFC 7636). S256 is the
// only one; without a method the RFC means plain, which is refused.
func checkChallenge(c *store.Client, challenge string, given bool, method string, methodGiven bool) error {
	switch {
	case !given && !methodGiven && !c.RequirePKCE && !c.Public():
		return nil
	case !given:
		return web.Public(ErrInvalidRequest, "code_challenge is missing")
	case method != "S256":
		return web.Public(ErrInvalidRequest, "code_challenge_method must be S256")
	}
	sum, err := base64.RawURLEncoding.Strict().DecodeString(challenge)
	if err != nil || len(sum) != sha256.Size || len(challenge) != base64.RawURLEncoding.EncodedLen(sha256.Size) {
		return web.Public(ErrInvalidRequest, "code_challenge is not the base64url of a SHA-256")
	}
	return nil
}

// verifierOK: a flow that began with a challenge is redeemed with its verifier
// only, and one that began without is not redeemed with any (the challenge may
// have been stripped on the way).
func verifierOK(challenge, verifier string, given bool) bool {
	if challenge == "" {
		return !given
	}
	if len(verifier) < 43 || len(verifier) > 128 {
		return false
	}
	for _, c := range []byte(verifier) {
		unreserved := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' || c == '~'
		if !unreserved {
			return false
		}
	}
	sum := sha256.Sum256([]byte(verifier))
	return subtle.ConstantTimeCompare([]byte(base64.RawURLEncoding.EncodeToString(sum[:])), []byte(challenge)) == 1
}

// pkceHandler takes the place of fosite's, which forgets the challenge before it
// has seen the verifier.
type pkceHandler struct{}

// HandleTokenEndpointRequest compares the verifier with the code's challenge.
func (pkceHandler) HandleTokenEndpointRequest(ctx context.Context, _ fosite.AccessRequester) error {
	x := exchangeFrom(ctx)
	if !verifierOK(x.code.Challenge, x.form.Get("code_verifier"), x.form.Has("code_verifier")) {
		return web.Public(ErrInvalidGrant, "code_verifier does not match the code_challenge")
	}
	return nil
}

// PopulateTokenEndpointResponse adds nothing.
func (pkceHandler) PopulateTokenEndpointResponse(context.Context, fosite.AccessRequester, fosite.AccessResponder) error {
	return nil
}

// CanSkipClientAuth is always false.
func (pkceHandler) CanSkipClientAuth(context.Context, fosite.AccessRequester) bool { return false }

// CanHandleTokenEndpointRequest is true for codes.
func (pkceHandler) CanHandleTokenEndpointRequest(_ context.Context, r fosite.AccessRequester) bool {
	return r.GetGrantTypes().ExactOne(grantCode)
}
