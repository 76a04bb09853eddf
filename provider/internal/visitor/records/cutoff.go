package records

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// cutOff tells the verifiers which tokens the ban ends. Where it does not name few
// enough, it is all of the site's visitors: those who are not banned renew.
func (x *Records) cutOff(tx store.Tx, b *store.Ban) error {
	ids, few, err := x.hit(tx, b)
	if err != nil {
		return err
	}
	for _, id := range ids {
		if err := x.announce(tx, id, reasonBanned); err != nil {
			return err
		}
	}
	switch {
	case !few:
	case b.VisitorID != "" || b.ExternalID != "" || b.Email != "" || b.EmailDomain != "":
		return nil
	default:
		if few, err = x.cutOffNetwork(tx, b.Network); err != nil || few {
			return err
		}
	}
	return session.Announce(tx, x.Now(), store.Revocation{ClientID: ClientID, Reason: reasonBanned, Before: x.Now().UTC().Add(Heard)})
}

// hit are the visitors whom the ban names, wherever they are; few: these are all.
func (x *Records) hit(tx store.Tx, b *store.Ban) (ids []string, few bool, err error) {
	kind, text := "", ""
	switch {
	case b.VisitorID != "":
		rec, err := x.Find(tx, b.VisitorID)
		if err == nil {
			return []string{rec.ID}, true, nil
		}
		return []string{b.VisitorID}, true, absent(err) // an anonymous one
	case b.ExternalID != "":
		kind, text = "external", b.ExternalID
	case b.Email != "":
		kind, text = "email", plainEmail(b.Email)
	case b.EmailDomain != "":
		kind, text = "domain", b.EmailDomain
	default:
		return nil, true, nil
	}
	m, err := x.mark(tx, kind, text)
	if err != nil {
		return nil, false, err
	}
	for id, err := range store.Visitors.Keys(tx, "mark", m) {
		if err != nil {
			return nil, false, err
		}
		if ids = append(ids, id); len(ids) > maxNamed {
			return nil, false, nil
		}
	}
	return ids, true, nil
}

// A visitor's token has in its jti, as the name of a family, a MAC of the network
// that it was given to and of the minute. So a ban of a network ends the tokens of
// anonymous visitors there, of whom nothing is stored.

const slot = time.Minute

func family(secret []byte, network netip.Prefix, at time.Time) string {
	return sum(secret, "network", network.String(), strconv.FormatInt(at.Unix()/int64(slot/time.Second), 10))[:16]
}

// TokenID is a new jti for a visitor at that address.
func (x *Records) TokenID(ctx context.Context, path string, ip netip.Addr, now time.Time) (string, error) {
	secret, err := x.Keys.Secret(ctx, path, keys.SecretMark)
	if err != nil {
		return "", err
	}
	b := make([]byte, 12)
	rand.Read(b)
	return family(secret, web.Network(ip), now) + "." + base64.RawURLEncoding.EncodeToString(b), nil
}

// cutOffNetwork names the families of a network's last tokens; few is false if they
// are too many to name.
func (x *Records) cutOffNetwork(tx store.Tx, text string) (few bool, err error) {
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return false, nil
	}
	bits := 32
	if network.Addr().Is6() {
		bits = 64
	}
	settings, err := store.GetSettings(tx)
	if err != nil {
		return false, err
	}
	now := x.Now().Add(Heard)
	slots := settings.LongestLife(now)/int(slot/time.Second) + 3 // of any tokens: visitors' may have lived longer until lately
	if wide := bits - network.Bits(); wide > 10 || slots<<max(wide, 0) > maxNamed {
		return false, nil
	}
	secret, err := x.Keys.SecretIn(tx, keys.SecretMark)
	if err != nil {
		return false, err
	}
	for addr := network.Masked().Addr(); addr.IsValid() && network.Contains(addr); addr = next(addr) {
		for i := range slots {
			name := family(secret, web.Network(addr), now.Add(-time.Duration(i)*slot))
			if err := session.Announce(tx, x.Now(), store.Revocation{JTI: name, Reason: reasonBanned}); err != nil {
				return false, err
			}
		}
	}
	return true, nil
}

// next is the first address of the network after that of addr.
func next(addr netip.Addr) netip.Addr {
	if addr.Is4() {
		return addr.Next()
	}
	raw := addr.As16()
	for i := 7; i >= 0; i-- {
		if raw[i]++; raw[i] != 0 {
			break
		}
	}
	after := netip.AddrFrom16(raw)
	if after.Less(addr) {
		return netip.Addr{}
	}
	return after
}

// Life is how long the tokens of a site's visitors live.
func Life(s store.Settings) time.Duration {
	if m := s.Visitors.TokenMinutes; m > 0 {
		return time.Duration(m) * time.Minute
	}
	return time.Duration(s.Lifetimes.OrDefault().VisitorToken) * time.Second
}

// Preview are the ids of the known visitors whom a ban would keep out, at most a
// thousand; its network is left out of account, since nobody's is kept.
func (x *Records) Preview(ctx context.Context, path string, b store.Ban) (ids []string, all bool, err error) {
	b.Network = ""
	if _, err := policy.CompileBans([]policy.Ban{Policy(&b)}); err != nil {
		return nil, true, nil
	}
	err = x.Store.View(ctx, path, func(tx store.Tx) error {
		var found []string
		if found, all, err = x.hit(tx, &b); err != nil {
			return err
		}
		if ids, err = x.fitting(tx, path, &b, found); err != nil {
			return err
		}
		if b.VisitorID != "" && len(ids) == 1 { // an anonymous one's, or nobody's
			known, err := store.Visitors.Has(tx, ids[0])
			if !known {
				ids = nil
			}
			return err
		}
		return nil
	})
	return ids, all, err
}

// Addressed reports whether a connection says that very address of the visitor.
func (x *Records) Addressed(ctx context.Context, path, id, email string) (said bool, err error) {
	err = x.Store.View(ctx, path, func(tx store.Tx) error {
		rec, err := x.Find(tx, id)
		if err != nil {
			return err
		}
		person, err := x.Person(path, &rec)
		if err != nil {
			return err
		}
		_, emails := person.said()
		said = slices.Contains(emails, email)
		return nil
	})
	return said, err
}

// fitting are those whom all criteria fit: hit goes by one.
func (x *Records) fitting(tx store.Tx, path string, b *store.Ban, found []string) (ids []string, err error) {
	facts := make([]policy.BanFacts, 0, len(found))
	for _, id := range found {
		rec, err := x.Find(tx, id)
		if errors.Is(err, store.ErrNotFound) { // an anonymous one
			facts = append(facts, policy.BanFacts{VisitorIDs: []string{id}})
			continue
		}
		if err != nil {
			return nil, err
		}
		person, err := x.Person(path, &rec)
		if err != nil {
			return nil, err
		}
		one, err := x.Facts(tx, rec.ID, person)
		if err != nil {
			return nil, err
		}
		facts = append(facts, one)
	}
	for _, i := range policy.Preview(Policy(b), facts) {
		ids = append(ids, found[i])
	}
	return ids, nil
}
