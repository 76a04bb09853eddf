package policy_test

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
)

var banNow = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func bans(t testing.TB, list ...policy.Ban) *policy.Bans {
	t.Helper()
	b, err := policy.CompileBans(list)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func at(addr string) policy.BanFacts { return policy.BanFacts{IP: netip.MustParseAddr(addr)} }

func mail(addr string) policy.BanFacts { return policy.BanFacts{Emails: []string{addr}} }

func TestEachCriterionOfABanFitsWhatItNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ban   policy.Ban
		facts policy.BanFacts
		want  bool
	}{
		{policy.Ban{VisitorID: "v1"}, policy.BanFacts{VisitorIDs: []string{"v0", "v1"}}, true},
		{policy.Ban{VisitorID: "v1"}, policy.BanFacts{VisitorIDs: []string{"V1", ""}}, false},
		{policy.Ban{VisitorID: "v1"}, policy.BanFacts{ExternalIDs: []string{"v1"}}, false},
		{policy.Ban{ExternalID: "42"}, policy.BanFacts{ExternalIDs: []string{"42"}}, true},
		{policy.Ban{ExternalID: "42"}, policy.BanFacts{ExternalIDs: []string{"420"}}, false},
		{policy.Ban{ExternalID: "42"}, policy.BanFacts{}, false},
		{policy.Ban{Email: "Eve+old@Shop.example"}, mail("eve@shop.example"), true},
		{policy.Ban{Email: "eve@shop.example"}, mail("EVE+1@shop.example"), true},
		{policy.Ban{Email: "eve@shop.example"}, mail("eve+a+b@shop.example"), true},
		{policy.Ban{Email: "ÉVE@shop.example"}, mail("éve@shop.example"), true},
		{policy.Ban{Email: "eve@shop.example"}, mail("steve@shop.example"), false},
		{policy.Ban{Email: "eve@shop.example"}, mail("eve@a.shop.example"), false},
		{policy.Ban{Email: "+a@shop.example"}, mail("+b@shop.example"), false},
		{policy.Ban{EmailDomain: "Shop.Example."}, mail("a@shop.example"), true},
		{policy.Ban{EmailDomain: "shop.example"}, mail("a@mail.EU.shop.example"), true},
		{policy.Ban{EmailDomain: "shop.example"}, mail("a@workshop.example"), false},
		{policy.Ban{EmailDomain: "shop.example"}, mail("shop.example@example"), false},
		{policy.Ban{EmailDomain: "shop.example"}, mail("shop.example"), false},
		{policy.Ban{Network: "203.0.113.9"}, at("203.0.113.9"), true},
		{policy.Ban{Network: "203.0.113.9"}, at("203.0.113.8"), false},
		{policy.Ban{Network: "203.0.113.9"}, at("::ffff:203.0.113.9"), true},
		{policy.Ban{Network: "::ffff:203.0.113.9"}, at("203.0.113.9"), true},
		{policy.Ban{Network: "::ffff:203.0.113.0/120"}, at("203.0.113.255"), true},
		{policy.Ban{Network: "203.0.113.0/24"}, at("203.0.114.0"), false},
		{policy.Ban{Network: "0.0.0.0/0"}, at("8.8.8.8"), true},
		{policy.Ban{Network: "0.0.0.0/0"}, at("2001:db8::1"), false},
		{policy.Ban{Network: "::/0"}, at("8.8.8.8"), false},
		{policy.Ban{Network: "2001:db8:1:2::7"}, at("2001:db8:1:2:ffff::1"), true},
		{policy.Ban{Network: "2001:db8:1:2::7/128"}, at("2001:db8:1:2:ffff::1"), true},
		{policy.Ban{Network: "2001:db8:1:2::7"}, at("2001:db8:1:3::7"), false},
		{policy.Ban{Network: "2001:db8::/32"}, at("2001:db8:ffff::1"), true},
		{policy.Ban{Network: "fe80::/10"}, at("fe80::1%eth0"), false},
		{policy.Ban{Network: "0.0.0.0/0"}, policy.BanFacts{}, false},
		{policy.Ban{ExternalID: "42"}, policy.BanFacts{ExternalIDs: []string{"", "41", "42"}}, true},
		{policy.Ban{Email: "b@y.example"}, policy.BanFacts{Emails: []string{"a@x.example", "b@y.example"}}, true},
		{policy.Ban{EmailDomain: "y.example"}, policy.BanFacts{Emails: []string{"a@x.example", "b@y.example"}}, true},
		{policy.Ban{Email: "a@x.example", EmailDomain: "y.example"}, policy.BanFacts{Emails: []string{"a@x.example", "b@y.example"}}, false},
	} {
		if got := !bans(t, c.ban).Judge(c.facts, banNow).Allowed; got != c.want {
			t.Errorf("%+v on %+v = %v, want %v", c.ban, c.facts, got, c.want)
		}
	}
}

func TestABanNeedsAllItsCriteriaToFit(t *testing.T) {
	t.Parallel()
	list := bans(t, policy.Ban{ExternalID: "42", EmailDomain: "shop.example", Network: "203.0.113.0/24"})
	whole := policy.BanFacts{ExternalIDs: []string{"42"}, Emails: []string{"a@shop.example"}, IP: netip.MustParseAddr("203.0.113.1")}
	if list.Judge(whole, banNow).Allowed {
		t.Error("all fit, and the visitor came in")
	}
	for name, spoil := range map[string]func(*policy.BanFacts){
		"external id": func(f *policy.BanFacts) { f.ExternalIDs = []string{"43"} },
		"domain":      func(f *policy.BanFacts) { f.Emails = []string{"a@store.example"} },
		"network":     func(f *policy.BanFacts) { f.IP = netip.MustParseAddr("203.0.112.1") },
	} {
		facts := whole
		spoil(&facts)
		if !list.Judge(facts, banNow).Allowed {
			t.Errorf("kept out though the %s does not fit", name)
		}
	}
}

func TestABanEndsToTheSecond(t *testing.T) {
	t.Parallel()
	until := banNow.Add(time.Hour)
	list := bans(t, policy.Ban{VisitorID: "v", Until: until})
	facts := policy.BanFacts{VisitorIDs: []string{"v"}}
	got := list.Judge(facts, until.Add(-time.Second))
	if diff := cmp.Diff(policy.Decision{Reason: policy.ReasonBanned, Until: until}, got); diff != "" {
		t.Error(diff)
	}
	if got := list.Judge(facts, until); !got.Allowed || got.Reason != policy.ReasonAllowed {
		t.Errorf("at its end: %+v", got)
	}
}

func TestOfSeveralBansTheOneThatEndsLastIsTold(t *testing.T) {
	t.Parallel()
	list := bans(t,
		policy.Ban{ID: "over", VisitorID: "v", Until: banNow.Add(-time.Hour)},
		policy.Ban{ID: "short", VisitorID: "v", Until: banNow.Add(time.Hour)},
		policy.Ban{ID: "long", VisitorID: "v", Until: banNow.Add(2 * time.Hour)},
		policy.Ban{ID: "mail", Email: "a@shop.example", Until: banNow.Add(3 * time.Hour)},
		policy.Ban{ID: "ever", ExternalID: "42"}, policy.Ban{ID: "also", Network: "203.0.113.0/24"})
	facts := policy.BanFacts{VisitorIDs: []string{"v"}}
	for _, want := range []string{"long", "mail", "ever", "also"} {
		got, found := list.Match(facts, banNow)
		if !found || got.ID != want {
			t.Errorf("Match = %q, %v, want %q", got.ID, found, want)
		}
		switch want {
		case "long":
			facts.Emails = []string{"b@x.example", "a@shop.example"}
		case "mail":
			facts.ExternalIDs = []string{"41", "42"}
		case "ever":
			facts.IP = netip.MustParseAddr("203.0.113.1")
		}
	}
}

func TestFaultyBansAreToldAndTheOthersHold(t *testing.T) {
	t.Parallel()
	list, err := policy.CompileBans([]policy.Ban{
		{ID: "none", Reason: "spam"}, {Email: "eve"}, {Email: "@shop.example"}, {EmailDomain: "."}, {EmailDomain: "a..b"},
		{EmailDomain: "@shop.example"}, {EmailDomain: "bücher.example"}, {EmailDomain: "<b>.example"}, {Network: "203.0.113.9/24"},
		{Network: "203.0.113.20-203.0.113.10"}, {Network: "010.0.0.1"}, {Network: "fe80::1%eth0"}, {Network: "10.0.0.0/33"},
		{ExternalID: strings.Repeat("x", 1025)}, {VisitorID: "v"},
	})
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) || len(joined.Unwrap()) != 14 {
		t.Fatalf("faults: %v", err)
	}
	var first *policy.BanError
	if !errors.As(err, &first) || first.Index != 0 || first.ID != "none" {
		t.Errorf("first fault: %+v", first)
	}
	if list.Judge(policy.BanFacts{VisitorIDs: []string{"v"}}, banNow).Allowed {
		t.Error("a ban beside faulty ones does not hold")
	}
}

func TestNoBansKeepNobodyOut(t *testing.T) {
	t.Parallel()
	var none *policy.Bans
	if !none.Judge(at("203.0.113.1"), banNow).Allowed || !bans(t).Judge(policy.BanFacts{}, banNow).Allowed {
		t.Error("kept out by no ban")
	}
}
