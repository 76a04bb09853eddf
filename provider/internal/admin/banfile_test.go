package admin

import (
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func (h *house) bannedNetworks() (all []string) {
	h.t.Helper()
	h.view(func(tx store.Tx) error {
		for b, err := range store.Bans.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, b.Network)
		}
		return nil
	})
	return all
}

func TestANetworkThatIsSpeltAnotherWayIsTheSameBan(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouseOn(t, on)
		for canonical, spellings := range map[string][]string{
			"2001:db8::/32":  {"cidr: 2001:0DB8::/32", "cidr: 2001:db8:0::/32", "cidr: 2001:db8::/32"},
			"203.0.113.0/24": {`cidr: "::ffff:203.0.113.0/120"`, "cidr: 203.0.113.0/24"},
			"2001:db9::/64":  {`cidr: "2001:db9::7/128"`, `ip: "2001:db9::7"`, "cidr: 2001:db9::/64"},
		} {
			for i, spelling := range spellings {
				file := oneSite("visitor_bans:\n  - " + spelling + "\n    reason: x")
				if lines := h.must("apply", "", file); i > 0 && len(lines) > 0 {
					t.Errorf("%s changes %q", spelling, lines)
				}
				if lines := h.must("apply", "", file); len(lines) > 0 {
					t.Errorf("%s again changes %q", spelling, lines)
				}
			}
			if all := strings.Join(h.bannedNetworks(), " "); strings.Count(all, canonical) != 1 {
				t.Errorf("%s is not once in %s", canonical, all)
			}
		}
		if all := h.bannedNetworks(); len(all) != 3 {
			t.Errorf("%q", all)
		}
	})
}

func TestABanIsLiftedWhenTheFileSaysThatItHasEnded(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouseOn(t, on)
		h.must("apply", "", oneSite("visitor_bans: [{cidr: 203.0.113.0/24, reason: x}]"))
		over := oneSite("visitor_bans: [{cidr: 203.0.113.0/24, reason: x, until: 2020-01-01}]")
		if lines := h.must("apply", "", over); len(lines) != 1 || lines[0] != "- ban network 203.0.113.0/24" {
			t.Errorf("%q", lines)
		}
		if all := h.bannedNetworks(); len(all) > 0 {
			t.Errorf("%q still stand", all)
		}
		if lines := h.must("apply", "", over); len(lines) > 0 {
			t.Errorf("again: %q", lines)
		}
	})
}

func TestTheEndOfABanComesBackFromAnExportToTheFraction(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", oneSite(`visitor_bans: [{email: e@evil.example, reason: x, until: "2099-01-31T12:00:00.5Z"}]`))
	if lines := h.must("apply", "", string(h.do("export", "", "").raw)); len(lines) > 0 {
		t.Errorf("its own export changes %q", lines)
	}
}
