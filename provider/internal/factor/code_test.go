package factor

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestACodeProvesTheAgentOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	code := h.code(seed, 0)
	p := h.check("ana", code)
	if !p.OK || p.AgentID != "ana" || p.ACR != policy.ACRTwoFactors || !cmp.Equal(p.AMR, []string{"otp", "mfa"}) || p.AuthenticatorID == "" {
		t.Errorf("%+v", p)
	}
	for what, again := range map[string]string{"again": code, "the one before": h.code(seed, -1)} {
		if p := h.check("ana", again); p.OK || p.Reason != ReasonCode {
			t.Errorf("%s: %+v", what, p)
		}
	}
	if p := h.check("ana", h.code(seed, 1)); !p.OK {
		t.Errorf("the next one: %+v", p)
	}
}

func TestTheCodeThatConfirmsDoesNotSignIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	if p := h.check("ana", h.code(seed, -1)); p.OK { // enrol lets a step pass
		t.Error("the code of the enrolment counts twice")
	}
}

func TestACodeMayHaveTheSpaceThatPhonesShowAndNoOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	code := h.code(seed, 0)
	for _, typed := range []string{" " + code, code + " ", code[:2] + " " + code[2:], code[:3] + "  " + code[3:], code[:3] + "\u00a0" + code[3:]} {
		if p := h.check("ana", typed); p.OK {
			t.Errorf("%q counts", typed)
		}
	}
	if p := h.check("ana", code[:3]+" "+code[3:]); !p.OK {
		t.Errorf("as the phone shows it: %+v", p)
	}
}

func TestEachOfSeveralAuthenticatorsHasItsOwnCodes(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	first, second := h.enrol("ana", "phone"), h.enrol("ana", "tablet")
	one, two := h.check("ana", h.code(first, 0)), h.check("ana", h.code(second, 0))
	if !one.OK || !two.OK || one.AuthenticatorID == two.AuthenticatorID {
		t.Errorf("%+v %+v", one, two)
	}
	if p := h.check("ben", h.code(first, 1)); p.OK {
		t.Error("ana's code is ben's")
	}
}

func TestOneStepIsUsedByOneOfAHundred(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		seed := h.enrol("ana", "phone")
		code := h.code(seed, 0)
		won := h.race(func() bool {
			ok, _ := h.try("ana", code)
			return ok
		})
		if won != 1 {
			t.Errorf("%d of 100 used the code", won)
		}
	})
}

// try is check where the engine may have too much to do.
func (h *house) try(id, typed string) (ok bool, err error) {
	err = h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		p, err := h.CheckCode(ctx, tx, s, h.agentIn(tx, id), typed)
		ok = p.OK
		return err
	})
	if err != nil && !errors.Is(err, store.ErrConflict) {
		h.t.Error(err)
	}
	return ok && err == nil, err
}

func TestOneRecoveryCodeIsUsedByOneOfAHundred(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.enrol("ana", "phone")
		codes := h.newCodes("ana")
		won := h.race(func() bool {
			ok, _ := h.try("ana", codes[3])
			return ok
		})
		if left := h.held("ana").Codes; won != 1 || left != 9 {
			t.Errorf("%d of 100 used the code, %d are left", won, left)
		}
	})
}

func TestTheBudgetHoldsInARace(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		seed := h.enrol("ana", "phone")
		h.race(func() bool {
			ok, _ := h.try("ana", "000000")
			return ok
		})
		for h.check("ana", "000000").Wait == 0 { // those that the engine had no time for
		}
		var tries store.FactorTries
		h.update(func(_ context.Context, tx store.Tx, _ *site.Site) (err error) {
			tries, err = store.AllFactorTries.Get(tx, "ana")
			return err
		})
		if len(tries.Wrong) != MaxWrongCodes {
			t.Errorf("%d wrong codes were judged", len(tries.Wrong))
		}
		if p := h.check("ana", h.code(seed, 0)); p.OK || p.Reason != ReasonWait {
			t.Errorf("a right one after that: %+v", p)
		}
	})
}

func TestRecoveryCodesStandInOnceEach(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.enrol("ana", "phone")
	codes := h.newCodes("ana")
	p := h.check("ana", strings.ToLower(strings.ReplaceAll(codes[0], "-", " ")))
	if !p.OK || p.Type != Recovery || p.CodesLeft != 9 || p.ACR != policy.ACRTwoFactors || !cmp.Equal(p.AMR, []string{"mfa", "recovery"}) {
		t.Errorf("%+v", p)
	}
	if p := h.check("ana", codes[0]); p.OK {
		t.Error("a code counts twice")
	}
	renewed := h.newCodes("ana")
	if p := h.check("ana", codes[1]); p.OK {
		t.Error("an old code counts after the renewal")
	}
	if p := h.check("ben", renewed[0]); p.OK {
		t.Error("ana's code is ben's")
	}
	if p := h.check("ana", renewed[0]); !p.OK || p.CodesLeft != 9 {
		t.Errorf("a new one: %+v", p)
	}
	if n := h.audited()[audit.RecoveryCodesRenew]; n != 2 {
		t.Errorf("%d renewals are recorded", n)
	}
}

func TestRecoveryCodesAreForThoseWithAFactor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	err := h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		_, err := h.NewCodes(ctx, tx, s, h.agentIn(tx, "ana"))
		return err
	})
	if !errors.Is(err, ErrNoFactor) {
		t.Error(err)
	}
}

func TestTenWrongCodesInAQuarterOfAnHourAreAllThereAre(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	codes := h.newCodes("ana")
	for i := range MaxWrongCodes {
		guess := "000000"
		if i%2 == 1 { // of the other kind
			guess = fmt.Sprintf("AAAA-AAAA-AAAA-AAA%d", i%10)
		}
		if i == 7 {
			if p := h.check("ana", h.code(seed, 0)); !p.OK { // a right one gives nothing back
				t.Errorf("%+v", p)
			}
		}
		p := h.check("ana", guess)
		if p.OK || p.Wait != 0 || p.Alert != (i == MaxWrongCodes-1) {
			t.Errorf("wrong code %d: %+v", i+1, p)
		}
		h.pass(time.Minute)
	}
	for what, typed := range map[string]string{"wrong": "000000", "right": h.code(seed, 0), "recovery": codes[0]} {
		if p := h.check("ana", typed); p.OK || p.Reason != ReasonWait || p.Wait != 5*time.Minute || p.Alert {
			t.Errorf("%s: %+v", what, p)
		}
	}
	if left := h.held("ana").Codes; left != 10 {
		t.Errorf("%d recovery codes left", left)
	}
	if p := h.check("ben", "000000"); p.Wait != 0 {
		t.Error("ben waits for ana")
	}
	h.pass(5 * time.Minute) // the first is a quarter of an hour old
	if p := h.check("ana", "000000"); p.Reason != ReasonCode || p.Alert {
		t.Errorf("one more, and the agent was told already: %+v", p)
	}
	if p := h.check("ana", h.code(seed, 0)); p.Reason != ReasonWait {
		t.Errorf("eleven in a quarter of an hour: %+v", p)
	}
	h.pass(CodeWindow)
	if p := h.check("ana", h.code(seed, 0)); !p.OK {
		t.Errorf("afterwards: %+v", p)
	}
}

func TestAPasskeyWorksWhileTheBudgetIsSpent(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.enrol("ana", "phone")
	k := h.passkey("ana")
	for range MaxWrongCodes + 1 {
		h.check("ana", "000000")
	}
	if p := h.finishLogin("flow", "ana", h.get(k, h.request("flow", "ana"))); !p.OK {
		t.Errorf("%+v", p)
	}
}

func TestNothingCountsBeforeItsCodeConfirmsIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	var e Enrolment
	begin := func(owner string) {
		h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
			e, err = h.BeginTOTP(ctx, tx, s, h.agentIn(tx, "ana"), owner)
			return err
		})
	}
	confirm := func(agent, owner, code string) (added Added, err error) {
		err = h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
			added, err = h.ConfirmTOTP(ctx, tx, s, h.agentIn(tx, agent), owner, e.ID, code, "phone")
			return err
		})
		return added, err
	}
	begin("session")
	seed, err := mfa.ParseSeed(e.Seed)
	h.ok(err)
	if !strings.HasPrefix(string(e.QR), "data:image/png;base64,") || !strings.Contains(e.URI, "Acme:ana%40acme.example") {
		t.Errorf("%+v", e)
	}
	if p := h.check("ana", h.code(seed, 0)); p.OK || h.held("ana").Any() {
		t.Error("it counts unconfirmed")
	}
	if added, err := confirm("ana", "session", "000000"); err != nil || added.OK || added.Reason != ReasonCode {
		t.Errorf("a wrong code: %+v, %v", added, err)
	}
	for _, other := range [][2]string{{"ana", "another session"}, {"ben", "session"}, {"ana", ""}} {
		if _, err := confirm(other[0], other[1], h.code(seed, 0)); !errors.Is(err, ErrNoEnrolment) {
			t.Errorf("by %v: %v", other, err)
		}
	}
	old := e
	begin("session")
	if e.Seed == old.Seed {
		t.Error("the same seed again")
	}
	swapped := e
	e = old
	if _, err := confirm("ana", "session", h.code(seed, 0)); !errors.Is(err, ErrNoEnrolment) {
		t.Errorf("one that was begun anew: %v", err)
	}
	e = swapped
	if added, err := confirm("ana", "session", h.code(seed, 0)); err != nil || added.OK {
		t.Errorf("the code of another seed: %+v %v", added, err)
	}
	seed, err = mfa.ParseSeed(e.Seed)
	h.ok(err)
	if added, err := confirm("ana", "session", h.code(seed, 0)); err != nil || !added.OK || !added.First {
		t.Errorf("%+v, %v", added, err)
	}
	if _, err := confirm("ana", "session", h.code(seed, 1)); !errors.Is(err, ErrNoEnrolment) {
		t.Errorf("confirmed twice: %v", err)
	}
	if n := h.audited()[audit.FactorAdd]; n != 1 || h.held("ana").TOTP != 1 {
		t.Errorf("%d are recorded, %d are held", n, h.held("ana").TOTP)
	}
}

func TestAnEnrolmentEndsByTimeAndByTries(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	show := func(id string) error {
		return h.tryUpdate("", func(_ context.Context, tx store.Tx, s *site.Site) error {
			e, err := h.Enrolling(tx, s, h.agentIn(tx, "ana"), "session", id)
			if err == nil && (e.Seed == "" || e.ID != id) {
				t.Errorf("%+v", e)
			}
			return err
		})
	}
	begin := func() (id string) {
		h.update(func(ctx context.Context, tx store.Tx, s *site.Site) error {
			e, err := h.BeginTOTP(ctx, tx, s, h.agentIn(tx, "ana"), "session")
			id = e.ID
			return err
		})
		return id
	}
	id := begin()
	h.ok(show(id))
	h.pass(EnrolmentTime)
	if err := show(id); !errors.Is(err, ErrNoEnrolment) {
		t.Errorf("after its time: %v", err)
	}
	id = begin()
	for range maxConfirmations {
		h.update(func(ctx context.Context, tx store.Tx, s *site.Site) error {
			_, err := h.ConfirmTOTP(ctx, tx, s, h.agentIn(tx, "ana"), "session", id, "000000", "")
			return err
		})
	}
	if err := show(id); !errors.Is(err, ErrNoEnrolment) {
		t.Errorf("after ten wrong codes: %v", err)
	}
}

func TestASeedFromASiteFileIsTakenOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	own := h.enrol("ana", "phone")
	first, second := mfa.NewSeed(), mfa.NewSeed()
	take := func(seed []byte) (changed bool) {
		h.update(func(ctx context.Context, tx store.Tx, _ *site.Site) (err error) {
			changed, err = h.ImportTOTP(ctx, tx, "ana", seed, audit.Ref{Type: "operator", ID: "apply"})
			return err
		})
		return changed
	}
	if !take(first) || take(first) || h.held("ana").TOTP != 2 {
		t.Errorf("%+v", h.held("ana"))
	}
	if p := h.check("ana", h.code(first, 0)); !p.OK {
		t.Errorf("%+v", p)
	}
	if !take(second) || h.held("ana").TOTP != 2 {
		t.Errorf("after a change: %+v", h.held("ana"))
	}
	if h.check("ana", h.code(first, 1)).OK || !h.check("ana", h.code(second, 0)).OK || !h.check("ana", h.code(own, 0)).OK {
		t.Error("the wrong one was replaced")
	}
}
