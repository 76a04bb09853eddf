package policy_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
)

// manyBans has every combination of criteria and every length of a network, and one
// domain that a third of it is on.
func manyBans(n int) (list []policy.Ban) {
	r := rand.New(rand.NewPCG(3, 4))
	network := func() string {
		if r.IntN(2) == 0 {
			a := netip.AddrFrom4([4]byte{byte(r.IntN(224)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
			return netip.PrefixFrom(a, 1+r.IntN(32)).Masked().String()
		}
		a := netip.AddrFrom16([16]byte{0x20, 1, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, 3+r.IntN(62)).Masked().String()
	}
	for i := range n {
		b := policy.Ban{ID: fmt.Sprint(i), Until: banNow.Add(time.Hour)}
		mask := 1 + i%31
		if mask&1 != 0 {
			b.VisitorID = fmt.Sprint("v", r.IntN(n))
		}
		if mask&2 != 0 {
			b.ExternalID = fmt.Sprint(r.IntN(n))
		}
		if mask&4 != 0 {
			b.Email = fmt.Sprintf("u%d@mail.shop.example", r.IntN(n))
		}
		if mask&8 != 0 {
			b.EmailDomain = []string{"mail.shop.example", fmt.Sprintf("d%d.example", r.IntN(n))}[r.IntN(2)]
		}
		if mask&16 != 0 {
			b.Network = network()
		}
		list = append(list, b)
	}
	return list
}

func someFacts(r *rand.Rand) policy.BanFacts {
	ids := make([]string, 5)
	for i := range ids {
		ids[i] = fmt.Sprint("v", r.IntN(100_000))
	}
	ip := netip.AddrFrom16([16]byte{0x20, 1, byte(r.IntN(256)), 1, 2, 3, 15: 1})
	return policy.BanFacts{VisitorIDs: ids, ExternalIDs: []string{fmt.Sprint(r.IntN(100_000))}, Emails: []string{fmt.Sprintf("u%d@a.b.mail.shop.example", r.IntN(100_000))}, IP: ip}
}

func thousandFacts() []policy.BanFacts {
	r := rand.New(rand.NewPCG(5, 6))
	facts := make([]policy.BanFacts, 1000)
	for i := range facts {
		facts[i] = someFacts(r)
	}
	return facts
}

func BenchmarkJudgeOfAHundredThousandBans(b *testing.B) {
	list := bans(b, manyBans(100_000)...)
	facts := thousandFacts()
	took := make([]time.Duration, 0, 1<<20)
	for i := 0; b.Loop(); i++ {
		start := time.Now()
		list.Judge(facts[i%len(facts)], banNow)
		if took = append(took, time.Since(start)); len(took) == cap(took) {
			took = took[:0]
		}
	}
	if len(took) > 0 {
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
	}
}

func BenchmarkCompileOfAHundredThousandBans(b *testing.B) {
	list := manyBans(100_000)
	for b.Loop() {
		if _, err := policy.CompileBans(list); err != nil {
			b.Fatal(err)
		}
	}
}
