package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// Pathway is the way in that one switch of the allowlist covers.
type Pathway string

// The two ways in. A client with application_type native is Mobile; the
// console, the hosted pages and every other client are Console.
const (
	Console Pathway = "console"
	Mobile  Pathway = "mobile"
)

// MaxTokenNetworks is how many CIDRs a token carries in allowed_networks; with
// more it carries allowed_networks_check "remote" instead.
const MaxTokenNetworks = 50

// AllowlistRules is a site's IP allowlist as written.
type AllowlistRules struct {
	Enabled         bool
	Console, Mobile bool
	Entries         []AllowlistEntry
}

// AllowlistEntry allows one IP, range or CIDR; exactly one of the three is set.
type AllowlistEntry struct {
	IP    string
	Range string // "192.0.2.10-192.0.2.20", both ends included
	CIDR  string
	Note  string
	Roles []string // role keys; empty: for every agent
}

// EntryError is a fault in one entry of an allowlist.
type EntryError struct {
	Index int // from 0
	Err   error
}

// Error counts from 1, as people do.
func (e *EntryError) Error() string { return fmt.Sprintf("allowlist entry %d: %v", e.Index+1, e.Err) }

// Unwrap returns the fault itself.
func (e *EntryError) Unwrap() error { return e.Err }

// Normal is the entry's one normal spelling ("203.0.113.0/24"), empty if it is
// faulty.
func (e AllowlistEntry) Normal() string {
	r, err := e.parse()
	switch {
	case err != nil:
		return ""
	case e.IP != "":
		return r.from.String()
	case e.CIDR != "":
		p, _ := parseCIDR(e.CIDR)
		return p.String()
	}
	return r.from.String() + "-" + r.to.String()
}

func (e AllowlistEntry) parse() (addrRange, error) {
	set := 0
	for _, text := range []string{e.IP, e.Range, e.CIDR} {
		if text != "" {
			set++
		}
	}
	if set != 1 {
		return addrRange{}, errors.New("give exactly one of ip, range and cidr")
	}
	if slices.Contains(e.Roles, "") {
		return addrRange{}, errors.New("a role's key is empty")
	}
	switch {
	case e.IP != "":
		addr, err := parseAddr(e.IP)
		return addrRange{addr, addr}, err
	case e.Range != "":
		return parseRange(e.Range)
	}
	p, err := parseCIDR(e.CIDR)
	if err != nil {
		return addrRange{}, err
	}
	return rangeOf(p), nil
}

// Allowlist is compiled rules: immutable, safe for concurrent use, and quick
// with a hundred thousand entries. A nil Allowlist is one that is off.
type Allowlist struct {
	enabled  bool
	pathways []Pathway
	everyone rangeSet
	byRole   map[string]rangeSet
	networks []netip.Prefix // everyone's, cut once
	warnings []string
}

// CompileAllowlist checks the rules and compiles them. It reports all faults at
// once, each as an *EntryError.
func CompileAllowlist(rules AllowlistRules) (*Allowlist, error) {
	list := &Allowlist{enabled: rules.Enabled, byRole: map[string]rangeSet{}}
	if rules.Console {
		list.pathways = append(list.pathways, Console)
	}
	if rules.Mobile {
		list.pathways = append(list.pathways, Mobile)
	}
	var everyone []addrRange
	byRole := map[string][]addrRange{}
	var faults []error
	for i, entry := range rules.Entries {
		r, err := entry.parse()
		if err != nil {
			faults = append(faults, &EntryError{i, err})
			continue
		}
		list.warnWide(i, entry, r)
		if len(entry.Roles) == 0 {
			everyone = append(everyone, r)
		}
		for _, role := range entry.Roles {
			byRole[role] = append(byRole[role], r)
		}
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	list.everyone = newRangeSet(everyone)
	list.networks = list.everyone.prefixes()
	for role, ranges := range byRole {
		list.byRole[role] = newRangeSet(ranges)
	}
	list.warnUse(rules)
	return list, nil
}

// Enabled reports whether the list is on.
func (l *Allowlist) Enabled() bool { return l != nil && l.enabled }

// AppliesTo reports whether the list is on for this way in.
func (l *Allowlist) AppliesTo(way Pathway) bool {
	return l.Enabled() && slices.Contains(l.pathways, way)
}

// Allows reports whether an agent with these roles may come from addr. A list
// that is off allows everything; one that is on allows an unknown address (the
// zero Addr) and one with a zone to nobody. An IPv4-mapped address is judged as
// the IPv4 address.
func (l *Allowlist) Allows(addr netip.Addr, roles []string) bool {
	if !l.Enabled() {
		return true
	}
	addr = judged(addr)
	if !addr.IsValid() {
		return false
	}
	if l.everyone.contains(addr) {
		return true
	}
	for _, role := range roles {
		if l.byRole[role].contains(addr) {
			return true
		}
	}
	return false
}

// CIDRs are the networks that agents with these roles may come from: the fewest
// prefixes that cover them exactly, sorted, IPv4 first. It is nil when the list
// is off, and empty but not nil when it is on and allows nobody. The slice may
// be shared: do not change it.
func (l *Allowlist) CIDRs(roles []string) []netip.Prefix {
	if !l.Enabled() {
		return nil
	}
	var own []addrRange
	for _, role := range roles {
		own = append(own, l.byRole[role]...)
	}
	if len(own) == 0 {
		return l.networks
	}
	return newRangeSet(append(own, l.everyone...)).prefixes()
}

// Warnings are sentences about rules that are allowed and probably not meant.
func (l *Allowlist) Warnings() []string {
	if l == nil {
		return nil
	}
	return slices.Clone(l.warnings)
}

// Wider than these is warned about: more than one provider owns so much.
const (
	wideIPv4 = 8
	wideIPv6 = 20
)

func (l *Allowlist) warnWide(i int, entry AllowlistEntry, r addrRange) {
	limit := wideIPv6
	if r.from.Is4() {
		limit = wideIPv4
	}
	for _, p := range (rangeSet{r}).prefixes() {
		if p.Bits() < limit {
			l.warnings = append(l.warnings, fmt.Sprintf("allowlist entry %d: %s is wider than a /%d", i+1, entry.Normal(), limit))
			return
		}
	}
}

func (l *Allowlist) warnUse(rules AllowlistRules) {
	switch {
	case rules.Enabled && len(rules.Entries) == 0:
		l.warnings = append(l.warnings, "the allowlist is on and empty: nobody may come in but through break-glass")
	case rules.Enabled && len(l.pathways) == 0:
		l.warnings = append(l.warnings, "the allowlist is on for neither console nor mobile: it refuses nobody")
	}
}
