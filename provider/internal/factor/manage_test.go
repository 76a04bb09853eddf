package factor

import (
	"bytes"
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

func (h *house) list(id string) (list []Factor) {
	h.t.Helper()
	h.update(func(_ context.Context, tx store.Tx, _ *site.Site) (err error) {
		list, err = h.List(tx, id)
		return err
	})
	return list
}

func TestFactorsAreListedRenamedAndRemoved(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.enrol("ana", "  phone ")
	h.passkey("ana")
	h.newCodes("ana")
	list := h.list("ana")
	if len(list) != 2 || list[0].Name != "phone" || list[0].Type != store.FactorTOTP || list[1].Name != "laptop" || list[1].Type != store.FactorPasskey {
		t.Fatalf("%+v", list)
	}
	rename := func(agent, id, name string) error {
		return h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
			return h.Rename(ctx, tx, s, agent, id, name)
		})
	}
	h.ok(rename("ana", list[0].ID, "Pixel 👩‍💻"))
	for _, bad := range []string{strings.Repeat("x", MaxName+1), "a\nb", "a\x00b", "\xff", "a\u202eb"} {
		if err := rename("ana", list[0].ID, bad); !errors.Is(err, ErrName) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := rename("ben", list[0].ID, "mine"); !errors.Is(err, ErrNoFactor) {
		t.Errorf("by ben: %v", err)
	}
	if got := h.list("ana")[0].Name; got != "Pixel 👩‍💻" {
		t.Error(got)
	}
	remove := func(agent, id string) (held Held, err error) {
		err = h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
			held, err = h.Remove(ctx, tx, s, agent, id)
			return err
		})
		return held, err
	}
	if _, err := remove("ben", list[0].ID); !errors.Is(err, ErrNoFactor) {
		t.Errorf("by ben: %v", err)
	}
	if held, err := remove("ana", list[0].ID); err != nil || held != (Held{Passkeys: 1, Codes: 10}) {
		t.Errorf("%+v, %v", held, err)
	}
	if held, err := remove("ana", list[1].ID); err != nil || held != (Held{}) || h.held("ana") != (Held{}) {
		t.Errorf("the last one: %+v, %v", held, err)
	}
	if _, err := remove("ana", list[1].ID); !errors.Is(err, ErrNoFactor) {
		t.Errorf("twice: %v", err)
	}
	want := map[string]int{audit.FactorAdd: 2, audit.FactorRename: 1, audit.FactorRemove: 2, audit.RecoveryCodesRenew: 1}
	got := h.audited()
	delete(got, audit.KeyCreate)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnAgentHasTwentyFactorsAtMost(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	for range MaxAuthenticators {
		h.passkey("ana")
	}
	err := h.store.View(t.Context(), "", func(tx store.Tx) error {
		_, err := h.BeginPasskey(t.Context(), tx, h.site(""), h.agentIn(tx, "ana"), "session")
		return err
	})
	if !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
	err = h.tryUpdate("", func(ctx context.Context, tx store.Tx, _ *site.Site) error {
		_, err := h.ImportTOTP(ctx, tx, "ana", mfa.NewSeed())
		return err
	})
	if !errors.Is(err, ErrTooMany) {
		t.Error(err)
	}
}

func TestAResetTakesEverythingAndIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	h.passkey("ana")
	codes := h.newCodes("ana")
	bens := h.enrol("ben", "phone")
	for range MaxWrongCodes {
		h.check("ana", "000000")
	}
	var had Held
	h.update(func(ctx context.Context, tx store.Tx, s *site.Site) (err error) {
		had, err = h.Reset(ctx, tx, s, "ana", audit.Ref{Type: "agent", ID: "ben"})
		return err
	})
	if had != (Held{1, 1, 10}) || h.held("ana") != (Held{}) || h.held("ben").TOTP != 1 {
		t.Errorf("%+v %+v", had, h.held("ana"))
	}
	for _, typed := range []string{h.code(seed, 0), codes[0]} {
		if p := h.check("ana", typed); p.OK || p.Reason != ReasonCode {
			t.Errorf("%+v", p)
		}
	}
	if !h.check("ben", h.code(bens, 0)).OK {
		t.Error("ben's is gone too")
	}
	if n := h.audited()[audit.FactorReset]; n != 1 {
		t.Errorf("%d are recorded", n)
	}
}

// TestNoSecretIsReadableInTheStore looks for seeds, codes and cookies in the file
// and in the audit log.
func TestNoSecretIsReadableInTheStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	codes := h.newCodes("ana")
	b := &browser{h: h}
	b.remember("ana")
	b.use("ana")
	code := h.code(seed, 0)
	h.check("ana", code)
	h.check("ana", codes[0])
	file, err := os.ReadFile(h.file)
	h.ok(err)
	secrets := map[string][]byte{"seed": seed, "base32": []byte(base32.StdEncoding.EncodeToString(seed)), "code": []byte(code), "cookie": []byte(b.cookie)}
	for i, c := range codes {
		secrets["recovery "+string(rune('0'+i))] = []byte(c)
		secrets["recovery, plain "+string(rune('0'+i))] = []byte(strings.ReplaceAll(c, "-", ""))
	}
	h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.UnsealedAudits.All(tx, "") {
			if err != nil {
				return err
			}
			raw, err := json.Marshal(rec)
			if err != nil {
				return err
			}
			file = append(append(file, rec.Body...), raw...)
		}
		return nil
	}))
	for what, secret := range secrets {
		if bytes.Contains(file, secret) {
			t.Errorf("the %s is in the store", what)
		}
	}
}

func TestASeedIsBoundToItsRow(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	seed := h.enrol("ana", "phone")
	h.enrol("ben", "phone")
	h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
		anas, err := authenticators(tx, "ana")
		if err != nil {
			return err
		}
		bens, err := authenticators(tx, "ben")
		if err != nil {
			return err
		}
		bens[0].Seed = anas[0].Seed
		return store.Authenticators.Put(tx, &bens[0])
	})
	err := h.tryUpdate("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		p, err := h.CheckCode(ctx, tx, s, h.agentIn(tx, "ben"), h.code(seed, 0))
		if p.OK {
			t.Error("ana's seed serves ben")
		}
		return err
	})
	if !errors.Is(err, store.ErrSeal) {
		t.Error(err)
	}
}
