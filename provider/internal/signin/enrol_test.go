package signin

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	enrolmentField = regexp.MustCompile(`name="enrolment" value="([^"]+)"`)
	seedURI        = regexp.MustCompile(`otpauth://[^"]*secret=([A-Z2-7]+)`)
)

// enrolling reads the page that shows a seed.
func (b *browser) enrolling(path string) (id string, seed []byte) {
	b.h.t.Helper()
	page := b.get(path)
	field, secret := enrolmentField.FindStringSubmatch(page.body), seedURI.FindStringSubmatch(page.body)
	if page.status != http.StatusOK || field == nil || secret == nil {
		b.h.t.Fatalf("%d %s", page.status, page.body)
	}
	seed, err := mfa.ParseSeed(secret[1])
	must(b.h.t, err)
	return field[1], seed
}

func TestARoleThatNeedsAFactorIsAskedToEnrolOneAndThenHasTo(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine)
		h.twoFactors(func(two *store.TwoFactor) { two.RequiredRoles, two.GraceDays = []string{policy.Agents}, 7 })
		h.agent(ana, good)
		b := h.browser()
		path := b.password(ana, good)
		if !strings.HasSuffix(path, "/enrol") {
			t.Fatal(path)
		}
		if got := b.post(strings.TrimSuffix(path, "enrol") + "skip/enrol"); !strings.HasPrefix(got.to, "/oauth/authorize/") || len(h.sessions()) != 1 {
			t.Fatalf("put off: %d %s", got.status, got.to)
		}
		h.pass(7*24*time.Hour + time.Second)
		b = h.browser()
		path = b.password(ana, good)
		if got := b.post(strings.TrimSuffix(path, "enrol") + "skip/enrol"); got.to != path {
			t.Fatalf("put off after the grace: %d %s", got.status, got.to)
		}
		id, seed := b.enrolling(path)
		if got := b.post(path, "enrolment", id, "code", "000000", "name", "Phone"); got.status != http.StatusUnprocessableEntity || !strings.Contains(got.body, id) {
			t.Fatalf("a wrong code: %d", got.status)
		}
		got := b.post(path, "enrolment", id, "code", h.code(seed), "name", "Phone")
		if got.status != http.StatusOK || got.header.Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %s", got.status, got.body)
		}
		on := regexp.MustCompile(`action="(/sign-in/[^"]+/on)"`).FindStringSubmatch(got.body)
		if on == nil {
			t.Fatalf("no way on: %s", got.body)
		}
		if got := b.post(on[1], "saved", "1"); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Errorf("on: %d %s", got.status, got.to)
		}
		strong := 0
		for _, s := range h.sessions() {
			if s.ACR == policy.ACRTwoFactors {
				strong++
			}
		}
		if strong != 1 {
			t.Errorf("%+v", h.sessions())
		}
		h.pass(time.Minute)
		b = h.browser()
		if got := b.post(b.password(ana, good), "code", h.code(seed)); got.status != http.StatusSeeOther {
			t.Errorf("the new app: %d %s", got.status, got.body)
		}
	})
}

func TestASeedIsConfirmedOnlyWhereItWasShown(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.twoFactors(func(two *store.TwoFactor) { two.RequiredRoles = []string{policy.Agents} })
	h.agent(ana, good)
	h.agent("mal@acme.example", good)
	mal, victim := h.browser(), h.browser()
	id, seed := mal.enrolling(mal.password("mal@acme.example", good))
	path := victim.password(ana, good)
	if got := victim.post(path, "enrolment", id, "code", h.code(seed)); got.status != http.StatusSeeOther || got.to != path {
		t.Errorf("somebody else's seed: %d %s", got.status, got.to)
	}
	if len(h.sessions()) != 0 {
		t.Error("there is a session")
	}
}
