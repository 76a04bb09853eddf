package policy

import (
	"fmt"
	"net/netip"
	"strings"
)

// maxAddressText is longer than any spelling of a range of IPv6 addresses.
const maxAddressText = 128

// parseAddr reads one address in its one spelling. Leading zeros, short and hex
// forms ("010.0.0.1", "10.1", "0x7f.1"), zones and surrounding text are faults;
// an IPv4-mapped IPv6 address is the IPv4 address.
func parseAddr(text string) (netip.Addr, error) {
	if len(text) > maxAddressText {
		return netip.Addr{}, fmt.Errorf("an address of %d characters", len(text))
	}
	addr, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("%q is not an IP address", text)
	}
	if addr.Zone() != "" {
		return netip.Addr{}, fmt.Errorf("%q has a zone: a zone means something on one machine only", text)
	}
	return addr.Unmap(), nil
}

// parseCIDR reads a network. Host bits are a fault, because the person who wrote
// them meant either the network or the one address.
func parseCIDR(text string) (netip.Prefix, error) {
	if len(text) > maxAddressText {
		return netip.Prefix{}, fmt.Errorf("a network of %d characters", len(text))
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		if _, plain := parseAddr(text); plain == nil {
			return netip.Prefix{}, fmt.Errorf("%q has no /length: write it as ip, or add one", text)
		}
		return netip.Prefix{}, fmt.Errorf("%q is not a network like 203.0.113.0/24", text)
	}
	if prefix.Masked() != prefix {
		return netip.Prefix{}, fmt.Errorf("%q has bits set outside its network: write %s, or %s for the one address",
			text, unmapPrefix(prefix.Masked()), prefix.Addr().Unmap())
	}
	return unmapPrefix(prefix), nil
}

func unmapPrefix(p netip.Prefix) netip.Prefix {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		return netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p
}

// parseRange reads "first-last", both ends included.
func parseRange(text string) (addrRange, error) {
	if len(text) > maxAddressText {
		return addrRange{}, fmt.Errorf("a range of %d characters", len(text))
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return addrRange{}, fmt.Errorf("%q is not a range like 192.0.2.10-192.0.2.20", text)
	}
	from, err := parseAddr(strings.TrimSpace(first))
	if err != nil {
		return addrRange{}, err
	}
	to, err := parseAddr(strings.TrimSpace(last))
	switch {
	case err != nil:
		return addrRange{}, err
	case from.BitLen() != to.BitLen():
		return addrRange{}, fmt.Errorf("%q mixes IPv4 and IPv6", text)
	case to.Less(from):
		return addrRange{}, fmt.Errorf("%q ends before it starts", text)
	}
	return addrRange{from, to}, nil
}

// judged is the form in which an address is compared: unmapped, and the zero
// Addr for one that has a zone.
func judged(addr netip.Addr) netip.Addr {
	if addr.Zone() != "" {
		return netip.Addr{}
	}
	return addr.Unmap()
}

// InNetworks reports whether one of the prefixes holds the address. An unknown
// address (the zero Addr) and one with a zone are in none.
func InNetworks(addr netip.Addr, networks []netip.Prefix) bool {
	addr = judged(addr)
	for _, p := range networks {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
