package policy

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"time"
)

// Ban keeps a visitor out. Every criterion that is set must fit; one at least is.
type Ban struct {
	ID          string
	VisitorID   string
	ExternalID  string
	Email       string // whatever its case and +tag
	EmailDomain string // and its subdomains, in ASCII
	Network     string // an address or a CIDR; one IPv6 address stands for its /64
	Reason      string // for those who read the list
	Until       time.Time
}

// BanFacts is what is known of a visitor. What is empty fits no criterion.
type BanFacts struct {
	VisitorIDs  []string // the id and its aliases
	ExternalIDs []string // one from each connection that knows them
	Emails      []string // canonical; likewise
	IP          netip.Addr
}

// BanError is a fault in one ban.
type BanError struct {
	Index int // from 0
	ID    string
	Err   error
}

// Error counts from 1, as people do.
func (e *BanError) Error() string { return fmt.Sprintf("ban %d: %v", e.Index+1, e.Err) }

// Unwrap returns the fault itself.
func (e *BanError) Unwrap() error { return e.Err }

// banned is who a ban is on, but for the networks: a key, so that a hundred
// thousand bans cost a few look-ups.
type banned struct{ visitor, external, email, domain string }

type banKey struct {
	who     banned
	network netip.Prefix // the zero Prefix: anywhere
}

// Bans is compiled bans: immutable and safe for concurrent use. A nil Bans bans
// nobody.
type Bans struct {
	bans map[banKey]Ban // of several on the same, the one that ends last
	// shapes are the sets of criteria in use; lengths the prefix lengths in use for
	// each who, IPv4's as they are and IPv6's with v6Length added, 0 for anywhere.
	shapes  map[banShape]bool
	lengths map[banned][]uint8
}

// CompileBans checks bans and compiles them. It reports all faults at once, each as
// a *BanError; the Bans that come with an error hold the others, so that one ban
// that cannot be read lets nobody in whom another keeps out.
func CompileBans(bans []Ban) (*Bans, error) {
	b := &Bans{map[banKey]Ban{}, map[banShape]bool{}, map[banned][]uint8{}}
	var faults []error
	for i, ban := range bans {
		key, err := ban.key()
		if err != nil {
			faults = append(faults, &BanError{i, ban.ID, err})
			continue
		}
		b.add(key, ban)
	}
	return b, errors.Join(faults...)
}

// Match returns the ban that keeps the visitor out now: of several, the one that
// ends last. One whose Until has come is over. An address that is not known, or has
// a zone, is in no network.
func (b *Bans) Match(facts BanFacts, now time.Time) (match Ban, found bool) {
	if b == nil {
		return Ban{}, false
	}
	addr := judged(facts.IP)
	for shape := range b.shapes {
		for who := range shape.of(facts) {
			for _, length := range b.lengths[who] {
				network, ok := networkOf(addr, length)
				if !ok {
					continue
				}
				ban, ok := b.bans[banKey{who, network}]
				if ok && ban.holds(now) && (!found || outlasts(ban, match)) {
					match, found = ban, true
				}
			}
		}
	}
	return match, found
}

// Judge refuses a banned visitor, until the ban's end; zero: it has none.
func (b *Bans) Judge(facts BanFacts, now time.Time) Decision {
	if ban, found := b.Match(facts, now); found {
		return Refuse(ReasonBanned, ban.Until)
	}
	return Decision{Allowed: true, Reason: ReasonAllowed}
}

// Preview is the positions of those whom a ban would keep out. A faulty ban keeps
// nobody out.
func Preview(ban Ban, visitors []BanFacts) []int {
	ban.Until = time.Time{}
	one, err := CompileBans([]Ban{ban})
	if err != nil {
		return nil
	}
	var hit []int
	for i, facts := range visitors {
		if _, found := one.Match(facts, time.Time{}); found {
			hit = append(hit, i)
		}
	}
	return hit
}

func (b Ban) holds(now time.Time) bool { return b.Until.IsZero() || now.Before(b.Until) }

// outlasts orders bans: no end before a later end before an earlier one, and then
// by id, so that the answer does not hang on a map's order.
func outlasts(a, b Ban) bool {
	if a.Until.Equal(b.Until) {
		return cmp.Less(a.ID, b.ID)
	}
	return a.Until.IsZero() || !b.Until.IsZero() && a.Until.After(b.Until)
}

// BanNetwork reads the network of a ban: an address or a CIDR, masked and unmapped, of
// IPv6 no narrower than its /64.
func BanNetwork(text string) (netip.Prefix, error) { return banNetwork(text) }
