package admin

import (
	"crypto/sha256"
	"crypto/x509"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
)

// ownSecrets: in a dialect a token need not name its audience, so that only its key
// tells the connections apart.
func (r connectionRules) ownSecrets(all map[string]*store.Connection) {
	mine := r.secretsOf(r.c)
	if len(mine.tokens)+len(mine.hashes) == 0 {
		return
	}
	if sharing(mine.hashes, mine.tokens) {
		r.fault("a secret with use: user_hash verifies nothing else")
	}
	for _, id := range sortedKeys(all) {
		other := all[id]
		theirs := r.secretsOf(other)
		switch {
		case sharing(mine.hashes, theirs.tokens) || sharing(mine.tokens, theirs.hashes):
			r.fault("shares a secret with connection %s, of which one has use: user_hash, and that verifies nothing else", id)
		case (inDialect(r.c) || inDialect(other)) && sharing(mine.tokens, theirs.tokens):
			r.fault("shares a key with connection %s; in a dialect a token need not say whom it is for, so that each connection has keys of its own", id)
		}
	}
}

// keySums are hashes of a connection's keys, to compare: of those that verify tokens,
// and of those that make user_hashes.
type keySums struct{ tokens, hashes map[[32]byte]bool }

func sharing(a, b map[[32]byte]bool) bool {
	for sum := range a {
		if b[sum] {
			return true
		}
	}
	return false
}

func inDialect(c *store.Connection) bool { return c.JWT != nil && c.JWT.Dialect != jwt.Strict }

// secretsOf are hashes of the keys, to compare. A client secret is one too: ID tokens
// may be signed with it.
func (r connectionRules) secretsOf(c *store.Connection) keySums {
	if known, ok := r.seen.secrets[c.ID]; ok {
		return known
	}
	sums := r.sumsOf(c)
	r.seen.secrets[c.ID] = sums
	return sums
}

// sumsOf are those hashes, of a set of keys its URL's.
func (p planner) sumsOf(c *store.Connection) keySums {
	sums := keySums{map[[32]byte]bool{}, map[[32]byte]bool{}}
	add := func(plain []byte) {
		if len(plain) > 0 {
			sums.tokens[sha256.Sum256(plain)] = true
		}
	}
	if c.OIDC != nil && len(c.OIDC.ClientSecret) > 0 {
		add(p.vault.open(c.ID, c.OIDC.ClientSecret))
	}
	for _, k := range deref(c.JWT).Keys {
		if k.Use == store.UseUserHash {
			sums.hashes[sha256.Sum256(p.vault.open(c.ID, k.Secret))] = true
			continue
		}
		if len(k.Secret) > 0 {
			add(p.vault.open(c.ID, k.Secret))
			continue
		}
		public, err := jwt.ParsePublicKey(k.PublicKey)
		if err != nil {
			continue // said elsewhere
		}
		der, err := x509.MarshalPKIXPublicKey(public)
		if err == nil {
			add(der)
		}
	}
	add([]byte(deref(c.JWT).JWKSURL))
	return sums
}
