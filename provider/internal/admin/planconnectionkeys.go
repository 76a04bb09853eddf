package admin

import (
	"crypto/subtle"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
)

// vault seals secrets of a site's connections, and opens them to compare.
type vault struct {
	sealer *store.Sealer
	path   string
}

// seal keeps what is stored if it opens to the same text, so that a second run
// finds nothing to change.
func (v vault) seal(connection string, stored []byte, text secret) ([]byte, error) {
	if len(stored) > 0 && subtle.ConstantTimeCompare(v.open(connection, stored), []byte(text.reveal())) == 1 {
		return stored, nil
	}
	return v.sealer.Seal(v.path, store.Connections.Kind, connection, []byte(text.reveal()))
}

// open is nil for what cannot be opened any more.
func (v vault) open(connection string, sealed []byte) []byte {
	plain, err := v.sealer.Open(v.path, store.Connections.Kind, connection, sealed)
	if err != nil {
		return nil
	}
	return plain
}

func (p planner) ontoJWT(f *fileConnection, before, after *store.Connection) {
	c := after.JWT
	set(&c.LoginURL, f.LoginURL)
	set(&c.LogoutURL, f.LogoutURL)
	set(&c.Issuer, f.Issuer)
	set(&c.Dialect, f.Dialect)
	set(&c.AllowGet, f.AllowGet)
	set(&c.JWKSURL, f.JWKSURL)
	set(&c.Required, f.Required)
	set(&c.UserHash, f.UserHash)
	if f.Keys == nil {
		return
	}
	c.Keys = nil
	for _, k := range f.Keys {
		var stored store.VerificationKey
		if before.JWT != nil {
			if i := slices.IndexFunc(before.JWT.Keys, func(s store.VerificationKey) bool { return s.KID == k.KID }); i >= 0 {
				stored = before.JWT.Keys[i]
			}
		}
		key := store.VerificationKey{KID: k.KID, Alg: deref(k.Alg), Use: deref(k.Use)}
		var err error
		switch {
		case k.Secret.given():
			key.Secret, err = p.vault.seal(f.ID, stored.Secret, k.Secret)
		case k.PublicKey != nil:
			key.PublicKey = *k.PublicKey
		case len(stored.Secret) > 0 || stored.PublicKey != "":
			key.Secret, key.PublicKey = stored.Secret, stored.PublicKey
			if k.Alg == nil {
				key.Alg = stored.Alg
			}
			if k.Use == nil {
				key.Use = stored.Use
			}
			p.keptAlg(k, f.ID, stored)
		default:
			p.faults.add(k.At, "connection %s: key %q is new and needs a secret or a public_key (an export holds no secrets)", f.ID, k.KID)
		}
		if err != nil {
			p.faults.add(k.At, "connection %s: key %q: %v", f.ID, k.KID, err)
		}
		c.Keys = append(c.Keys, key)
	}
}

// keptAlg refuses another alg than the key that the store has can do.
func (p planner) keptAlg(k fileKey, connection string, stored store.VerificationKey) {
	if k.Alg == nil || *k.Alg == stored.Alg {
		return
	}
	key := jwt.Key{Alg: *k.Alg}
	if len(stored.Secret) > 0 {
		key.Secret = stored.Secret // sealed; only its kind counts here
	} else if public, err := jwt.ParsePublicKey(stored.PublicKey); err == nil {
		key.Public = public
	}
	if len(key.Algorithms()) == 0 {
		p.faults.add(k.At, "connection %s: key %q: alg %s is not of the kind of key that is stored", connection, k.KID, *k.Alg)
	}
}
