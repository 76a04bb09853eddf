package policy_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
)

func compile(t testing.TB, entries ...policy.AllowlistEntry) *policy.Allowlist {
	t.Helper()
	list, err := policy.CompileAllowlist(policy.AllowlistRules{Enabled: true, Console: true, Mobile: true, Entries: entries})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func cidr(text string, roles ...string) policy.AllowlistEntry {
	return policy.AllowlistEntry{CIDR: text, Roles: roles}
}

func ip(text string, roles ...string) policy.AllowlistEntry {
	return policy.AllowlistEntry{IP: text, Roles: roles}
}

func between(text string, roles ...string) policy.AllowlistEntry {
	return policy.AllowlistEntry{Range: text, Roles: roles}
}

func TestAllowlistMatchesExactlyWhatItNames(t *testing.T) {
	t.Parallel()
	list := compile(t, ip("198.51.100.7"), between("192.0.2.10-192.0.2.20"), cidr("203.0.113.0/24"),
		cidr("2001:db8::/32"), ip("::ffff:198.51.100.9"), cidr("::ffff:10.1.0.0/112"))
	for addr, want := range map[string]bool{
		"198.51.100.7": true, "198.51.100.6": false, "198.51.100.8": false,
		"192.0.2.9": false, "192.0.2.10": true, "192.0.2.15": true, "192.0.2.20": true, "192.0.2.21": false,
		"203.0.112.255": false, "203.0.113.0": true, "203.0.113.255": true, "203.0.114.0": false,
		"::ffff:203.0.113.5": true, "::203.0.113.5": false, "64:ff9b::203.0.113.5": false,
		"198.51.100.9": true, "10.1.255.255": true, "10.2.0.0": false,
		"2001:db8::1": true, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff": true, "2001:db9::": false,
		"2001:db8::1%eth0": false, "::ffff:203.0.113.5%eth0": false, "::": false, "0.0.0.0": false, "255.255.255.255": false,
	} {
		if got := list.Allows(netip.MustParseAddr(addr), nil); got != want {
			t.Errorf("Allows(%s) = %v, want %v", addr, got, want)
		}
	}
}

func TestUnknownAddressIsAllowedByNoListThatIsOn(t *testing.T) {
	t.Parallel()
	list := compile(t, cidr("0.0.0.0/0"), cidr("::/0"))
	if list.Allows(netip.Addr{}, []string{policy.Administrators}) {
		t.Error("the zero Addr came in")
	}
}

func TestAllowlistThatIsOnAndEmptyAllowsNobodyAndWarns(t *testing.T) {
	t.Parallel()
	list := compile(t)
	if list.Allows(netip.MustParseAddr("192.0.2.1"), nil) {
		t.Error("an empty list let somebody in")
	}
	if got := list.CIDRs(nil); got == nil || len(got) != 0 {
		t.Errorf("CIDRs = %#v, want empty and not nil", got)
	}
	if w := list.Warnings(); len(w) != 1 || !strings.Contains(w[0], "nobody") {
		t.Errorf("Warnings = %q", w)
	}
}

func TestAllowlistThatIsOffRefusesNobody(t *testing.T) {
	t.Parallel()
	off, err := policy.CompileAllowlist(policy.AllowlistRules{Console: true, Entries: []policy.AllowlistEntry{ip("192.0.2.1")}})
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range []*policy.Allowlist{off, nil} {
		if list.Enabled() || list.AppliesTo(policy.Console) || !list.Allows(netip.Addr{}, nil) || list.CIDRs(nil) != nil {
			t.Errorf("%v: a list that is off restricts", list)
		}
	}
}

func TestAllowlistAppliesToTheSwitchesThatAreOn(t *testing.T) {
	t.Parallel()
	list, err := policy.CompileAllowlist(policy.AllowlistRules{Enabled: true, Mobile: true})
	if err != nil {
		t.Fatal(err)
	}
	if list.AppliesTo(policy.Console) || !list.AppliesTo(policy.Mobile) || list.AppliesTo("other") {
		t.Error("only the mobile switch is on")
	}
}

func TestRoleEntriesOpenTheDoorForTheirRolesOnly(t *testing.T) {
	t.Parallel()
	list := compile(t, cidr("203.0.113.0/24"), ip("192.0.2.1", "supervisors", "auditors"))
	home := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		roles []string
		want  bool
	}{{nil, false}, {[]string{"agents"}, false}, {[]string{"agents", "supervisors"}, true}, {[]string{"auditors"}, true}, {[]string{""}, false}} {
		if got := list.Allows(home, c.roles); got != c.want {
			t.Errorf("roles %q: %v, want %v", c.roles, got, c.want)
		}
	}
	want := []netip.Prefix{netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("203.0.113.0/24")}
	if diff := cmp.Diff(want, list.CIDRs([]string{"supervisors"}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestFaultyEntriesAreAllReportedAtOnce(t *testing.T) {
	t.Parallel()
	_, err := policy.CompileAllowlist(policy.AllowlistRules{Entries: []policy.AllowlistEntry{
		ip("192.0.2.1"), ip("010.0.0.1"), cidr("203.0.113.77/24"), {}, between("192.0.2.9-192.0.2.1"),
	}})
	for _, want := range []string{"entry 2", "entry 3", "entry 4", "entry 5", "write 203.0.113.0/24, or 203.0.113.77"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing from: %v", want, err)
		}
	}
	if entry, ok := errors.AsType[*policy.EntryError](err); !ok || entry.Index != 1 {
		t.Errorf("the first fault is %v", entry)
	}
}

func TestSpellingsThatTwoProgramsReadDifferentlyAreRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"010.0.0.1", "10.1", "0x7f.1", "127.1", "2130706433", "1.2.3.4.5", "1.2.3", "256.0.0.1", " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n",
		"1.2.3.4x", "fe80::1%eth0", "::ffff:1.2.3.4%1", "[::1]", "::1]", "1.2.3.4:80", "localhost", "١.٢.٣.٤", "1.2.3.4\x00",
		"1.2.3.4/32", strings.Repeat("1", 10_000),
	} {
		refused(t, ip(text))
	}
	for _, text := range []string{
		"1.2.3.0/33", "::/129", "1.2.3.0/-1", "1.2.3.0/024", "1.2.3.0/", "1.2.3.0/24 ", "1.2.3.0", "1.2.3/24", "203.0.113.77/24",
		"2001:db8::1/32", "fe80::%eth0/64", "1.2.3.0/24x", "1.2.3.0/255.255.255.0", "::ffff:0:0/90",
	} {
		refused(t, cidr(text))
	}
	for _, text := range []string{
		"1.2.3.4", "1.2.3.9-1.2.3.4", "1.2.3.4-::1", "::1-1.2.3.4", "1.2.3.4-1.2.3.9-1.2.3.12", "1.2.3.4-9", "1.2.3.4-", "-1.2.3.4", "1.2.3.0/24-1.2.4.0/24",
	} {
		refused(t, between(text))
	}
	refused(t, policy.AllowlistEntry{IP: "1.2.3.4", CIDR: "1.2.3.0/24"})
	refused(t, ip("1.2.3.4", ""))
}

func refused(t *testing.T, entry policy.AllowlistEntry) {
	t.Helper()
	_, err := policy.CompileAllowlist(policy.AllowlistRules{Entries: []policy.AllowlistEntry{entry}})
	if err == nil || entry.Normal() != "" {
		t.Errorf("%+v was taken as %q", entry, entry.Normal())
	}
	if err != nil && len(err.Error()) > 400 {
		t.Errorf("an error of %d bytes", len(err.Error()))
	}
}

func TestNormalFormIsOneSpelling(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		entry policy.AllowlistEntry
		want  string
	}{
		{ip("2001:DB8:0:0::1"), "2001:db8::1"}, {ip("::ffff:192.0.2.1"), "192.0.2.1"}, {cidr("2001:0db8::/32"), "2001:db8::/32"},
		{cidr("::ffff:192.0.2.0/120"), "192.0.2.0/24"}, {between("192.0.2.1 - ::FFFF:192.0.2.9"), "192.0.2.1-192.0.2.9"}, {cidr("0.0.0.0/0"), "0.0.0.0/0"},
	} {
		if got := c.entry.Normal(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.entry, got, c.want)
		}
	}
}

func TestOverWideNetworksAreWarnedAbout(t *testing.T) {
	t.Parallel()
	for _, entry := range []policy.AllowlistEntry{cidr("0.0.0.0/0"), cidr("::/0"), cidr("8.0.0.0/7"), between("1.0.0.0-200.0.0.0"), cidr("2000::/3")} {
		if w := compile(t, entry).Warnings(); len(w) != 1 || !strings.Contains(w[0], "wider than") {
			t.Errorf("%+v: %q", entry, w)
		}
	}
	if w := compile(t, cidr("10.0.0.0/8"), cidr("2001:db8::/32")).Warnings(); len(w) != 0 {
		t.Errorf("%q", w)
	}
}

func TestCIDRsAreTheFewestThatCoverTheRangesExactly(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		entries []policy.AllowlistEntry
		want    string
	}{
		{[]policy.AllowlistEntry{between("192.0.2.10-192.0.2.20")}, "192.0.2.10/31 192.0.2.12/30 192.0.2.16/30 192.0.2.20/32"},
		{[]policy.AllowlistEntry{cidr("10.0.1.0/24"), cidr("10.0.0.0/24"), ip("10.0.0.77")}, "10.0.0.0/23"},
		{[]policy.AllowlistEntry{between("0.0.0.0-255.255.255.255")}, "0.0.0.0/0"},
		{[]policy.AllowlistEntry{between("::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), ip("255.255.255.255")}, "255.255.255.255/32 ::/0"},
		{[]policy.AllowlistEntry{between("255.255.255.254-255.255.255.255"), ip("::")}, "255.255.255.254/31 ::/128"},
	} {
		if got := strings.Trim(fmt.Sprint(compile(t, c.entries...).CIDRs(nil)), "[]"); got != c.want {
			t.Errorf("%v: %s, want %s", c.entries, got, c.want)
		}
	}
}

// FuzzAllowlistEntry holds what must be true of any text: no panic, a normal
// form that is its own normal form, and CIDRs that agree with Allows.
func FuzzAllowlistEntry(f *testing.F) {
	for _, seed := range []string{"192.0.2.1", "192.0.2.0/24", "192.0.2.10-192.0.2.20", "::ffff:1.2.3.4", "2001:db8::/32", "010.0.0.1", "1.2.3.4%1", "::-::1"} {
		f.Add(seed, uint32(0xC0000201))
	}
	f.Fuzz(func(t *testing.T, text string, probe uint32) {
		for _, entry := range []policy.AllowlistEntry{ip(text), cidr(text), between(text)} {
			list, err := policy.CompileAllowlist(policy.AllowlistRules{Enabled: true, Entries: []policy.AllowlistEntry{entry}})
			if err != nil {
				continue
			}
			again := entry
			for _, field := range []*string{&again.IP, &again.CIDR, &again.Range} {
				if *field != "" {
					*field = entry.Normal()
				}
			}
			if again.Normal() != entry.Normal() {
				t.Fatalf("%q: normal form %q becomes %q", text, entry.Normal(), again.Normal())
			}
			for _, addr := range probes(list, probe) {
				if list.Allows(addr, nil) != policy.InNetworks(addr, list.CIDRs(nil)) {
					t.Fatalf("%q: %s is judged differently by range and by CIDR", text, addr)
				}
			}
		}
	})
}

// probes are addresses at and beside the edges, where mistakes are.
func probes(list *policy.Allowlist, n uint32) []netip.Addr {
	var four [4]byte
	binary.BigEndian.PutUint32(four[:], n)
	out := []netip.Addr{netip.AddrFrom4(four), {}}
	for _, p := range list.CIDRs(nil) {
		for _, addr := range []netip.Addr{p.Addr(), p.Addr().Prev(), p.Addr().Next()} {
			out = append(out, addr)
			if addr.Is4() {
				out = append(out, netip.AddrFrom16(addr.As16()))
			}
		}
	}
	return out
}

func manyEntries(n int) []policy.AllowlistEntry {
	entries := make([]policy.AllowlistEntry, n)
	for i := range entries {
		entries[i] = ip(netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(i << 1)}).String())
	}
	return entries
}

func BenchmarkAllowsAmongHundredThousandEntries(b *testing.B) {
	list := compile(b, manyEntries(100_000)...)
	addr, roles := netip.MustParseAddr("::ffff:10.1.2.4"), []string{"agents", "supervisors"}
	b.ReportAllocs()
	for b.Loop() {
		if !list.Allows(addr, roles) {
			b.Fatal("refused")
		}
	}
}

func BenchmarkCompileHundredThousandEntries(b *testing.B) {
	entries := manyEntries(100_000)
	for b.Loop() {
		compile(b, entries...)
	}
}
