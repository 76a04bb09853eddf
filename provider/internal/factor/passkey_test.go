package factor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/mfa/mfatest"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestAPasskeyIsAFactorAndAWholeSignIn(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		k := h.passkey("ana", func(k *mfatest.Passkey) { k.Counter = 1 })
		p := h.finishLogin("flow", "ana", h.get(k, h.request("flow", "ana")))
		if !p.OK || p.AgentID != "ana" || p.ACR != policy.ACRPasskey || !cmp.Equal(p.AMR, []string{"hwk", "user", "mfa"}) {
			t.Errorf("as a factor: %+v", p)
		}
		p = h.finishLogin("flow", "", h.get(k, h.request("flow", "")))
		if !p.OK || p.AgentID != "ana" {
			t.Errorf("as the whole sign-in: %+v", p)
		}
	})
}

func TestASyncedPasskeyIsNoHardwareKey(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k := h.passkey("ana", func(k *mfatest.Passkey) { k.Flags |= mfatest.BackupEligible | mfatest.BackedUp })
	if p := h.finishLogin("flow", "", h.get(k, h.request("flow", ""))); !cmp.Equal(p.AMR, []string{"swk", "user", "mfa"}) {
		t.Errorf("%+v", p)
	}
}

func TestTheOptionsOfASignInTellNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.passkey("ana")
	shape := func(raw []byte) string {
		var o map[string]map[string]any
		h.ok(json.Unmarshal(raw, &o))
		delete(o["publicKey"], "challenge")
		text, err := json.Marshal(o)
		h.ok(err)
		return string(text)
	}
	if a, b := shape(h.request("one", "")), shape(h.request("another", "")); a != b || strings.Contains(a, "allowCredentials") {
		t.Errorf("%s %s", a, b)
	}
}

func TestTheHandleSaysNothingAndIsAnotherInEachSite(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	root, acme := handle(h.site(""), "ana"), handle(h.site("acme"), "ana")
	if bytes.Equal(root, acme) || bytes.Equal(root, handle(h.site(""), "ben")) || bytes.Contains(root, []byte("ana")) {
		t.Errorf("%x %x", root, acme)
	}
}

func TestAChallengeIsUsedOnceWhateverBecameOfIt(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		k := h.passkey("ana")
		options := h.request("flow", "ana")
		if p := h.finishLogin("flow", "ana", h.get(k, options)); !p.OK {
			t.Fatalf("%+v", p)
		}
		if p := h.finishLogin("flow", "ana", h.get(k, options)); p.OK || p.Reason != ReasonPasskey {
			t.Errorf("after a success: %+v", p)
		}
		options = h.request("flow", "ana")
		if p := h.finishLogin("flow", "ana", h.get(k, options, func(c *mfatest.Ceremony) { c.Flags = 0 })); p.OK {
			t.Error("a user who is not there is let in")
		}
		if p := h.finishLogin("flow", "ana", h.get(k, options)); p.OK {
			t.Errorf("after a failure: %+v", p)
		}
		creation := h.creation("ana", "session")
		other := mfatest.New()
		wrong, err := other.Create(creation, "https://evil.example")
		h.ok(err)
		right, err := other.Create(creation, origin)
		h.ok(err)
		if added := h.finishPasskey("ana", "session", wrong); added.OK || added.Reason != ReasonPasskey {
			t.Errorf("%+v", added)
		}
		if added := h.finishPasskey("ana", "session", right); added.OK {
			t.Errorf("registered after a failure: %+v", added)
		}
	})
}

func TestOneAnswerIsUsedByOneOfAHundred(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		k := h.passkey("ana")
		answer := h.get(k, h.request("flow", "ana"))
		won := h.race(func() bool {
			var p Proof
			err := h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
				p, err = h.FinishLogin(ctx, tx, s, "flow", "ana", answer)
				return err
			})
			if err != nil && !errors.Is(err, store.ErrConflict) {
				t.Error(err)
			}
			return err == nil && p.OK
		})
		if won != 1 {
			t.Errorf("%d of 100", won)
		}
	})
}

func TestAChallengeIsGoodForWhatItWasMadeFor(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ana, ben := h.passkey("ana"), h.passkey("ben")
	for what, try := range map[string]func() Proof{
		"another sign-in":         func() Proof { return h.finishLogin("other", "ana", h.get(ana, h.request("flow", "ana"))) },
		"another agent":           func() Proof { return h.finishLogin("flow", "ben", h.get(ben, h.request("flow", "ana"), nothing)) },
		"nobody's, as somebody's": func() Proof { return h.finishLogin("flow", "ana", h.get(ana, h.request("flow", ""))) },
		"somebody's, as nobody's": func() Proof { return h.finishLogin("flow", "", h.get(ana, h.request("flow", "ana"))) },
		"no owner":                func() Proof { return h.finishLogin("", "ana", h.get(ana, h.request("", "ana"))) },
		"one of a registration": func() Proof {
			return h.finishLogin("session", "ana", h.get(ana, h.creation("ana", "session"), func(c *mfatest.Ceremony) { c.RPID = "id.example" }))
		},
		"too late": func() Proof {
			answer := h.get(ana, h.request("flow", "ana"))
			h.pass(mfa.ChallengeTime)
			return h.finishLogin("flow", "ana", answer)
		},
		"of somebody's making": func() Proof {
			return h.finishLogin("flow", "ana", h.get(ana, h.request("flow", "ana"), func(c *mfatest.Ceremony) { c.Challenge = strings.Repeat("A", len(c.Challenge)) }))
		},
		"with a later end": func() Proof {
			return h.finishLogin("flow", "ana", h.get(ana, h.request("flow", "ana"), func(c *mfatest.Ceremony) {
				c.Challenge = c.Challenge[:24] + "B" + c.Challenge[25:]
			}))
		},
	} {
		if p := try(); p.OK || p.Reason != ReasonPasskey || p.AgentID != "" {
			t.Errorf("%s: %+v", what, p)
		}
	}
	options := h.request("flow", "ana")
	h.finishLogin("other", "ana", h.get(ana, options)) // a stranger's try leaves it
	if p := h.finishLogin("flow", "ana", h.get(ana, options)); !p.OK {
		t.Errorf("after a stranger's try: %+v", p)
	}
	h.pass(mfa.ChallengeTime - time.Second)
	if p := h.finishLogin("flow", "ana", h.get(ana, h.request("flow", "ana"))); !p.OK {
		t.Errorf("just made: %+v", p)
	}
}

func nothing(*mfatest.Ceremony) {}

func TestASiteOfTheSameHostKnowsNothingOfAnothersPasskeys(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k := h.passkey("ana")
	s := h.site("acme")
	var options []byte
	h.ok(h.store.View(t.Context(), "acme", func(tx store.Tx) (err error) {
		options, err = h.BeginLogin(t.Context(), tx, s, "flow", "")
		return err
	}))
	var p Proof
	h.ok(h.tryUpdate("acme", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		p, err = h.FinishLogin(ctx, tx, s, "flow", "", h.get(k, options))
		return err
	}))
	if p.OK {
		t.Errorf("%+v", p)
	}
	if p := h.finishLogin("flow", "", h.get(k, options)); p.OK {
		t.Errorf("acme's challenge at the root: %+v", p)
	}
}

func TestSomebodyElsesPasskeyIsRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	ana, ben := h.passkey("ana"), h.passkey("ben")
	for what, try := range map[string]func() Proof{
		"ben's for ana": func() Proof { return h.finishLogin("flow", "ana", h.get(ben, h.request("flow", "ana"), nothing)) },
		"ben's with ana's handle": func() Proof {
			return h.finishLogin("flow", "", h.get(ben, h.request("flow", ""), func(c *mfatest.Ceremony) { c.Handle = ana.Handle }))
		},
		"ana's signed by ben": func() Proof {
			return h.finishLogin("flow", "ana", h.get(ana, h.request("flow", "ana"), func(c *mfatest.Ceremony) { c.SignWith = ben }))
		},
		"nobody's": func() Proof { return h.finishLogin("flow", "", h.get(mfatest.New(), h.request("flow", ""))) },
		"no handle where it has to say whose it is": func() Proof {
			return h.finishLogin("flow", "", h.get(ana, h.request("flow", ""), func(c *mfatest.Ceremony) { c.Handle = nil }))
		},
		"junk": func() Proof { return h.finishLogin("flow", "", []byte(`{"id":"AAAA"}`)) },
	} {
		if p := try(); p.OK || p.Reason != ReasonPasskey {
			t.Errorf("%s: %+v", what, p)
		}
	}
}

func TestACounterThatGoesBackIsRefusedAndRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k := h.passkey("ana", func(k *mfatest.Passkey) { k.Counter = 5 })
	for _, counter := range []uint32{0, 4, 5} {
		p := h.finishLogin("flow", "ana", h.get(k, h.request("flow", "ana"), func(c *mfatest.Ceremony) { c.Counter = counter }))
		if p.OK || p.Reason != ReasonCounter || !p.Alert {
			t.Errorf("from 5 to %d: %+v", counter, p)
		}
	}
	if n := h.audited()[audit.FactorClone]; n != 3 {
		t.Errorf("%d are recorded", n)
	}
	if p := h.finishLogin("flow", "ana", h.get(k, h.request("flow", "ana"))); !p.OK {
		t.Errorf("the next one: %+v", p)
	}
}

func TestACredentialIsRegisteredOnce(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k := h.passkey("ana")
	if _, err := k.Create(h.creation("ana", "session"), origin); !errors.Is(err, mfatest.ErrNotAllowed) {
		t.Error("the options do not name those that ana has")
	}
	for _, agent := range []string{"ana", "ben"} {
		other := mfatest.New()
		other.ID = k.ID
		options := bytes.ReplaceAll(h.creation(agent, "session"), []byte("excludeCredentials"), []byte("ignored"))
		answer, err := other.Create(options, origin)
		h.ok(err)
		if added := h.finishPasskey(agent, "session", answer); added.OK || added.Reason != ReasonExists {
			t.Errorf("by %s: %+v", agent, added)
		}
	}
	if p := h.finishLogin("flow", "", h.get(k, h.request("flow", ""))); !p.OK || p.AgentID != "ana" {
		t.Errorf("%+v", p)
	}
}

func TestTheSecondPasskeyIsNotTheFirst(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for i, want := range []bool{true, false} {
		answer, err := mfatest.New().Create(h.creation("ana", "session"), origin)
		h.ok(err)
		if added := h.finishPasskey("ana", "session", answer); !added.OK || added.First != want {
			t.Errorf("%d: %+v", i, added)
		}
	}
	if h.held("ana").Passkeys != 2 {
		t.Errorf("%+v", h.held("ana"))
	}
}

func TestAPasskeyIsAskedOfThoseWhoHaveOne(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	err := h.store.View(t.Context(), "", func(tx store.Tx) error {
		_, err := h.BeginLogin(t.Context(), tx, h.site(""), "flow", "ana")
		return err
	})
	if !errors.Is(err, ErrNoFactor) {
		t.Error(err)
	}
}

func TestSitesWithoutAHostNameHaveNoPasskeys(t *testing.T) {
	t.Parallel()
	s := &site.Site{Issuer: "http://127.0.0.1:8080"}
	if PasskeysPossible(s) || PasskeysPossible(&site.Site{Issuer: "http://id.example"}) || !PasskeysPossible(&site.Site{Issuer: "http://localhost:8080"}) {
		t.Error("the wrong sites")
	}
	h := newHouse(t)
	err := h.store.View(t.Context(), "", func(tx store.Tx) error {
		_, err := h.BeginPasskey(t.Context(), tx, s, h.agentIn(tx, "ana"), "session")
		return err
	})
	if !errors.Is(err, ErrNoPasskeys) {
		t.Error(err)
	}
}
