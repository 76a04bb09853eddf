package store

import "strings"

// GrantOf is the ID of the grant that an access token's jti names: what stands
// before its dot. ok is false for a token that belongs to none, as a client's
// own does.
func GrantOf(jti string) (grantID string, ok bool) {
	grantID, _, ok = strings.Cut(jti, ".")
	return grantID, ok
}
