package policy

import (
	"net/netip"
	"slices"
	"sort"
)

// addrRange is a run of addresses of one family, both ends included.
type addrRange struct{ from, to netip.Addr }

func rangeOf(p netip.Prefix) addrRange { return addrRange{p.Addr(), lastAddr(p)} }

// lastAddr is the highest address of a prefix.
func lastAddr(p netip.Prefix) netip.Addr {
	bytes := p.Addr().As16()
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	for i := bits; i < 128; i++ {
		bytes[i/8] |= 1 << (7 - i%8)
	}
	last := netip.AddrFrom16(bytes)
	if p.Addr().Is4() {
		return last.Unmap()
	}
	return last
}

// rangeSet is sorted, disjoint and not adjacent, IPv4 before IPv6 (netip.Addr
// compares that way), so that a search is binary and the CIDRs are fewest.
type rangeSet []addrRange

func newRangeSet(ranges []addrRange) rangeSet {
	sorted := slices.Clone(ranges)
	sort.Slice(sorted, func(i, j int) bool { return sorted[i].from.Less(sorted[j].from) }) // slices.SortFunc is 20 KiB of program
	var set rangeSet
	for _, r := range sorted {
		if n := len(set); n > 0 && touches(set[n-1], r) {
			if set[n-1].to.Less(r.to) {
				set[n-1].to = r.to
			}
			continue
		}
		set = append(set, r)
	}
	return set
}

// touches reports whether b, which starts no earlier than a, overlaps it or
// follows it without a gap.
func touches(a, b addrRange) bool {
	if a.to.BitLen() != b.from.BitLen() {
		return false
	}
	next := a.to.Next() // the zero Addr after the family's last
	return !a.to.Less(b.from) || next == b.from
}

// contains expects an address that has been through judged.
func (s rangeSet) contains(addr netip.Addr) bool {
	low, high := 0, len(s)
	for low < high {
		mid := int(uint(low+high) >> 1)
		if s[mid].to.Less(addr) {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low < len(s) && s[low].from.Compare(addr) <= 0
}

// prefixes cuts the set into the fewest CIDRs that cover it exactly.
func (s rangeSet) prefixes() []netip.Prefix {
	out := make([]netip.Prefix, 0, len(s))
	for _, r := range s {
		for from := r.from; from.IsValid() && !r.to.Less(from); {
			p := widest(from, r.to)
			out = append(out, p)
			from = lastAddr(p).Next()
		}
	}
	return out
}

// widest is the largest network that starts at from and does not pass to.
func widest(from, to netip.Addr) netip.Prefix {
	best := netip.PrefixFrom(from, from.BitLen())
	for bits := from.BitLen() - 1; bits >= 0; bits-- {
		wider := netip.PrefixFrom(from, bits)
		if wider.Masked() != wider || to.Less(lastAddr(wider)) {
			break
		}
		best = wider
	}
	return best
}
