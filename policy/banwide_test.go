package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
)

func TestOverWideBansAreNamedAsSuch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ban  policy.Ban
		want string // in the sentence; empty: none
	}{
		{policy.Ban{Network: "0.0.0.0/0"}, "everybody"},
		{policy.Ban{Network: "::/0"}, "everybody"},
		{policy.Ban{Network: "128.0.0.0/1"}, "wider than a /8"},
		{policy.Ban{Network: "10.0.0.0/7"}, "wider than a /8"},
		{policy.Ban{Network: "10.0.0.0/8"}, ""},
		{policy.Ban{Network: "2001:db8::/31"}, "wider than a /32"},
		{policy.Ban{Network: "2001:db8::/32"}, ""},
		{policy.Ban{Network: "2000::/3"}, "wider than a /32"},
		{policy.Ban{EmailDomain: "GMail.com."}, "everybody"},
		{policy.Ban{EmailDomain: "com"}, "top-level"},
		{policy.Ban{EmailDomain: "shop.example"}, ""},
		{policy.Ban{Network: "0.0.0.0/0", EmailDomain: "gmail.com"}, ", and "},
		{policy.Ban{Network: "0.0.0.0/0", EmailDomain: "shop.example"}, ""},
		{policy.Ban{Network: "203.0.113.0/24", EmailDomain: "gmail.com"}, ""},
		{policy.Ban{Network: "0.0.0.0/0", VisitorID: "v"}, ""},
		{policy.Ban{EmailDomain: "gmail.com", Email: "eve@gmail.com"}, ""},
		{policy.Ban{}, ""},
	} {
		got := policy.Wide(c.ban)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("Wide(%+v) = %q, want %q", c.ban, got, c.want)
		}
	}
}

func TestPreviewCountsThoseWhomABanWouldHit(t *testing.T) {
	t.Parallel()
	visitors := []policy.BanFacts{at("203.0.113.1"), at("198.51.100.1"), at("::ffff:203.0.113.200"), {}}
	over := policy.Ban{Network: "203.0.113.0/24", Until: banNow.Add(-time.Hour)}
	if diff := cmp.Diff([]int{0, 2}, policy.Preview(over, visitors)); diff != "" {
		t.Error(diff)
	}
	if got := policy.Preview(policy.Ban{Network: "everywhere"}, visitors); got != nil {
		t.Errorf("a faulty ban hits %v", got)
	}
}

// crowd is bans of every combination of criteria over few values, so that many fit.
func crowd(r *rand.Rand, n int) (list []policy.Ban) {
	networks := []string{"203.0.113.7", "203.0.113.0/24", "203.0.0.0/16", "0.0.0.0/0", "2001:db8::1", "2001:db8::/32", "::/0"}
	for i := range n {
		b := policy.Ban{ID: fmt.Sprint(i), Until: banNow.Add(time.Duration(r.IntN(7200)-3600) * time.Second)}
		mask := 1 + r.IntN(31)
		set := func(bit int, into *string, values ...string) {
			if mask&bit != 0 {
				*into = values[r.IntN(len(values))]
			}
		}
		set(1, &b.VisitorID, "v1", "v2", "v3", "v4")
		set(2, &b.ExternalID, "1", "2", "3")
		set(4, &b.Email, "a@x.example", "B+t@x.example", "c@mail.x.example")
		set(8, &b.EmailDomain, "x.example", "mail.x.example", "example")
		set(16, &b.Network, networks...)
		list = append(list, b)
	}
	return list
}

func TestAllBansTogetherAnswerAsEachAlone(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	addrs := []netip.Addr{{}, netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("203.0.9.9"), netip.MustParseAddr("2001:db8::9")}
	for range 300 {
		list := crowd(r, 20)
		facts := policy.BanFacts{
			VisitorIDs: []string{"v1", "v2", "v5"}[:r.IntN(4)], ExternalIDs: []string{"1", "2"}[:r.IntN(3)],
			Emails: [][]string{nil, {""}, {"a@x.example"}, {"b@x.example", "c@mail.x.example"}}[r.IntN(4)], IP: addrs[r.IntN(4)],
		}
		want := slices.ContainsFunc(list, func(b policy.Ban) bool {
			return banNow.Before(b.Until) && len(policy.Preview(b, []policy.BanFacts{facts})) == 1
		})
		if got := !bans(t, list...).Judge(facts, banNow).Allowed; got != want {
			t.Fatalf("%+v on %+v: banned %v, want %v", list, facts, got, want)
		}
	}
}

func FuzzBansNeverPanicAndFoldAlike(f *testing.F) {
	f.Add("eve+1@shop.example", "shop.example", "203.0.113.0/24", "203.0.113.9")
	f.Add("@", "..", "::/0", "::ffff:1.2.3.4")
	f.Add("\"a+b\"@ſ", "K.example", "1.2.3.4/0", "fe80::1%a")
	f.Fuzz(func(t *testing.T, email, domain, network, addr string) {
		ip, _ := netip.ParseAddr(addr)
		for _, ban := range []policy.Ban{{Email: email}, {EmailDomain: domain}, {Network: network}, {Email: email, EmailDomain: domain, Network: network}} {
			policy.Wide(ban)
			list, err := policy.CompileBans([]policy.Ban{ban})
			got := list.Judge(policy.BanFacts{Emails: []string{strings.ToUpper(email)}, IP: ip}, banNow)
			if err != nil && !got.Allowed {
				t.Errorf("a ban that is faulty (%v) keeps somebody out", err)
			}
		}
		if list, err := policy.CompileBans([]policy.Ban{{Email: email}}); err == nil && list.Judge(mail(email), banNow).Allowed {
			t.Errorf("a ban of %q does not fit it", email)
		}
	})
}
