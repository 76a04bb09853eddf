package policy

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"unicode"
)

const (
	// maxBanText bounds each criterion, in bytes.
	maxBanText = 1024
	// banIPv6 is the longest prefix of IPv6 that a ban tells apart: a provider gives a
	// home that much, and a visitor takes another address of it whenever they like.
	banIPv6 = 64
	// Codes of prefix lengths: anywhere, IPv4's from v4Length, IPv6's from v6Length.
	anywhere = 0
	v4Length = 1
	v6Length = v4Length + 33
)

// key checks a ban and brings it into the form in which it is looked up.
func (b Ban) key() (banKey, error) {
	for _, text := range []string{b.VisitorID, b.ExternalID, b.Email, b.EmailDomain} {
		if len(text) > maxBanText {
			return banKey{}, fmt.Errorf("a criterion of %d bytes", len(text))
		}
	}
	key := banKey{who: banned{visitor: b.VisitorID, external: b.ExternalID}}
	var err error
	if b.Email != "" {
		if key.who.email = foldEmail(b.Email); key.who.email == "" {
			return banKey{}, fmt.Errorf("%q is not an e-mail address", b.Email)
		}
	}
	if b.EmailDomain != "" {
		if key.who.domain, err = banDomain(b.EmailDomain); err != nil {
			return banKey{}, err
		}
	}
	if b.Network != "" {
		if key.network, err = banNetwork(b.Network); err != nil {
			return banKey{}, err
		}
	}
	if key == (banKey{}) {
		return banKey{}, errors.New("it names nobody: give a visitor, an external id, an e-mail address or domain, or a network")
	}
	return key, nil
}

// banNetwork reads an address or a CIDR, an IPv6 one no narrower than its /64.
func banNetwork(text string) (netip.Prefix, error) {
	var p netip.Prefix
	var err error
	switch {
	case strings.Contains(text, "-"):
		return p, fmt.Errorf("%q is a range; a ban takes an address or a CIDR, such as 203.0.113.0/24", text)
	case strings.Contains(text, "/"):
		p, err = parseCIDR(text)
	default:
		var addr netip.Addr
		addr, err = parseAddr(text)
		p = netip.PrefixFrom(addr, addr.BitLen())
	}
	if err != nil {
		return netip.Prefix{}, err
	}
	if p.Addr().Is6() && p.Bits() > banIPv6 {
		p = netip.PrefixFrom(p.Addr(), banIPv6).Masked()
	}
	return p, nil
}

// banDomain reads a domain as canonical addresses have it.
func banDomain(text string) (string, error) {
	odd := func(r rune) bool {
		return r != '-' && r != '.' && r != '_' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}
	domain := strings.TrimSuffix(text, ".")
	switch {
	case domain == "" || strings.HasPrefix(domain, ".") || strings.HasSuffix(domain, ".") || strings.Contains(domain, ".."):
		return "", fmt.Errorf("%q is not a domain like example.com", text)
	case strings.ContainsFunc(domain, odd):
		return "", fmt.Errorf("%q is not a domain in ASCII, like example.com or xn--bcher-kva.example", text)
	}
	return fold(domain), nil
}

// foldEmail is the form in which addresses are compared: case folded and the +tag
// dropped; empty for what is no address.
func foldEmail(text string) string {
	at := strings.LastIndexByte(text, '@')
	if at <= 0 || at == len(text)-1 || len(text) > maxBanText {
		return ""
	}
	local := text[:at]
	if name, _, tagged := strings.Cut(local, "+"); tagged && name != "" && !strings.HasPrefix(local, `"`) {
		local = name
	}
	return fold(local + "@" + strings.TrimSuffix(text[at+1:], "."))
}

// fold maps what differs in case only to one text (Unicode's simple folding).
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return least
	}, s)
}

// add enters a ban. Of two on the same, the one that ends last stays.
func (b *Bans) add(key banKey, ban Ban) {
	if old, there := b.bans[key]; there && !outlasts(ban, old) {
		return
	}
	b.bans[key] = ban
	who := key.who
	b.shapes[banShape{who.visitor != "", who.external != "", who.email != "", who.domain != ""}] = true
	if length := lengthOf(key.network); !slices.Contains(b.lengths[who], length) {
		b.lengths[who] = append(b.lengths[who], length)
	}
}

func lengthOf(p netip.Prefix) uint8 {
	switch {
	case !p.IsValid():
		return anywhere
	case p.Addr().Is4():
		return v4Length + uint8(p.Bits())
	}
	return v6Length + uint8(p.Bits())
}

// networkOf is the network of that length that an address is in; false if there is
// none, because the length is the other family's.
func networkOf(addr netip.Addr, length uint8) (netip.Prefix, bool) {
	switch {
	case length == anywhere:
		return netip.Prefix{}, true
	case length < v6Length && addr.Is4():
		return netip.PrefixFrom(addr, int(length-v4Length)).Masked(), true
	case length >= v6Length && addr.Is6():
		return netip.PrefixFrom(addr, int(length-v6Length)).Masked(), true
	}
	return netip.Prefix{}, false
}

// banShape says which criteria a ban has.
type banShape struct{ visitor, external, email, domain bool }

// of yields each who that bans of the shape may have on the visitor.
func (s banShape) of(facts BanFacts) iter.Seq[banned] {
	visitors := wanted(s.visitor, facts.VisitorIDs)
	externals := wanted(s.external, facts.ExternalIDs)
	addresses := s.addresses(facts.Emails)
	return func(yield func(banned) bool) {
		for _, address := range addresses {
			for _, visitor := range visitors {
				for _, external := range externals {
					if !yield(banned{visitor, external, address.email, address.domain}) {
						return
					}
				}
			}
		}
	}
}

// addresses is what bans of the shape may have of each address: an address and a
// domain in one ban are of the same.
func (s banShape) addresses(all []string) (of []banned) {
	if !s.email && !s.domain {
		return []banned{{}}
	}
	for _, text := range all {
		email := foldEmail(text)
		for _, one := range wanted(s.email, []string{email}) {
			for _, domain := range wanted(s.domain, domainsOf(email)) {
				of = append(of, banned{email: one, domain: domain})
			}
		}
	}
	return of
}

// wanted is the values of a criterion: those that are not empty, or for one that a
// shape lacks only the empty one.
func wanted(has bool, values []string) []string {
	if !has {
		return []string{""}
	}
	return slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
}

// domainsOf is an address's domain and those above it.
func domainsOf(email string) []string {
	domain := email[strings.LastIndexByte(email, '@')+1:]
	var all []string
	for domain != "" {
		all = append(all, domain)
		_, domain, _ = strings.Cut(domain, ".")
	}
	return all
}
