package web

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// maxForwarded is how many X-Forwarded-For entries are read, from the right.
const maxForwarded = 32

// clientIP is the address that speaks to us, or, when that is a trusted proxy,
// the right-most address in X-Forwarded-For that is not one. Anything that is
// not an address there makes the client unknown: a guess could let someone in.
func clientIP(r *http.Request, trusted []netip.Prefix) netip.Addr {
	peer := parsePeer(r.RemoteAddr)
	if !peer.IsValid() || !within(trusted, peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if len(hops) == 1 && strings.TrimSpace(hops[0]) == "" {
		return peer
	}
	for i, hop := range slices.Backward(hops) {
		if len(hops)-i > maxForwarded {
			break
		}
		addr := parseHop(strings.TrimSpace(hop))
		if !addr.IsValid() || !within(trusted, addr) {
			return addr
		}
	}
	return netip.Addr{}
}

func parsePeer(remote string) netip.Addr {
	ap, err := netip.ParseAddrPort(remote)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// parseHop reads an address as proxies write it: bare, with a port, or in
// brackets. A zone is refused.
func parseHop(s string) netip.Addr {
	addr, err := netip.ParseAddr(s)
	if err != nil {
		if ap, err := netip.ParseAddrPort(s); err == nil {
			addr = ap.Addr()
		} else if in, ok := strings.CutPrefix(s, "["); ok && strings.HasSuffix(in, "]") {
			addr, _ = netip.ParseAddr(strings.TrimSuffix(in, "]"))
		}
	}
	if addr.Zone() != "" {
		return netip.Addr{}
	}
	return addr.Unmap()
}

func within(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}

// Network is the unit that throttling and bans count by: the IPv4 address
// itself, or the /64 of an IPv6 one. The zero Prefix for an unknown address.
func Network(addr netip.Addr) netip.Prefix {
	addr = addr.Unmap().WithZone("")
	bits := 64
	if addr.Is4() {
		bits = 32
	}
	p, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return p
}
