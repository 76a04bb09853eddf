package store

import (
	"strconv"
	"strings"
	"time"
)

// GrantTokens counts the access tokens of a family, so that those that may be
// alive can be named when it is revoked. Tokens themselves are not stored.
type GrantTokens struct {
	Count  uint32    `json:"n,omitempty"`     // access tokens issued so far
	Marked time.Time `json:"marked,omitzero"` // when Mark was set
	Mark   uint32    `json:"mark,omitempty"`  // Count at Marked
	Dead   uint32    `json:"dead,omitempty"`  // tokens before this one have expired
	Life   int       `json:"life,omitempty"`  // seconds that the youngest tokens live
}

// NextTokenID counts one more access token that lives so long and returns its
// jti: the grant's ID, a dot and a number.
func (g *Grant) NextTokenID(now time.Time, life time.Duration) string {
	t := &g.Tokens
	seconds := int((life + time.Second - 1) / time.Second)
	t.Life = max(t.Life, seconds)
	if since := now.Sub(t.Marked); since > time.Duration(t.Life)*time.Second {
		t.Dead, t.Mark, t.Marked, t.Life = t.Mark, t.Count, now, seconds
	}
	t.Count++
	return tokenID(g.ID, t.Count)
}

// LiveTokenIDs lists the jtis of the family's access tokens that may be alive,
// the youngest first, at most limit. all is false if there are more.
func (g *Grant) LiveTokenIDs(limit int) (ids []string, all bool) {
	for n := g.Tokens.Count; n > g.Tokens.Dead; n-- {
		if len(ids) == limit {
			return ids, false
		}
		ids = append(ids, tokenID(g.ID, n))
	}
	return ids, true
}

func tokenID(grantID string, n uint32) string {
	return grantID + "." + strconv.FormatUint(uint64(n), 36)
}

// GrantOf is the ID of the grant that an access token's jti names; ok is false
// for a token that belongs to none, as a client's own does.
func GrantOf(jti string) (grantID string, ok bool) {
	grantID, _, ok = strings.Cut(jti, ".")
	return grantID, ok
}
