package factor

import (
	"context"
	"encoding/base64"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/mfa/mfatest"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestARememberedBrowserIsKnownForAFortnight(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		b := &browser{h: h}
		if use := b.use("ana"); use.OK || use.Stolen {
			t.Errorf("before: %+v", use)
		}
		b.remember("ana")
		for day := range 14 {
			before := b.cookie
			if use := b.use("ana"); !use.OK || use.Cookie == before || use.Cookie == "" {
				t.Fatalf("day %d: %+v", day, use)
			}
			h.pass(24 * time.Hour)
		}
		if use := b.use("ana"); use.OK || use.Stolen {
			t.Errorf("after a fortnight: %+v", use)
		}
	})
}

func TestABrowserIsRememberedForItsAgentOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := &browser{h: h}
	b.remember("ana")
	if use := b.use("ben"); use.OK || use.Stolen {
		t.Errorf("%+v", use)
	}
	there := &browser{h: h, path: "acme", cookie: b.cookie}
	if use := there.use("ana"); use.OK || use.Stolen {
		t.Errorf("at another site: %+v", use)
	}
	if use := b.use("ana"); !use.OK {
		t.Error("somebody else's try has forgotten it")
	}
}

func TestAnOldCopyOfTheCookieIsATheft(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	owner := &browser{h: h}
	owner.remember("ana")
	thief := &browser{h: h, cookie: owner.cookie}
	if !thief.use("ana").OK { // the thief comes first
		t.Fatal("the copy is not good")
	}
	h.pass(deviceGrace)
	if use := owner.use("ana"); use.OK || !use.Stolen {
		t.Errorf("the owner: %+v", use)
	}
	if use := thief.use("ana"); use.OK || use.Stolen {
		t.Errorf("the thief afterwards: %+v", use)
	}
	if got := h.audited(); got[audit.DeviceStolen] != 1 || got[audit.DeviceRemember] != 1 {
		t.Errorf("%v", got)
	}
}

func TestTabsThatAreOpenedAtOnceAreNoThieves(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		b := &browser{h: h}
		b.remember("ana")
		other := &browser{h: h, cookie: b.cookie}
		first := *b
		if !b.use("ana").OK {
			t.Fatal("not known")
		}
		h.pass(deviceGrace - time.Second)
		if use := other.use("ana"); !use.OK || use.Cookie != "" {
			t.Errorf("the second tab: %+v", use)
		}
		if !b.use("ana").OK {
			t.Error("the first tab, again")
		}
		if use := first.use("ana"); use.OK || !use.Stolen { // two changes ago
			t.Errorf("the value before the one before: %+v", use)
		}
	})
}

func TestAForgedCookieForgetsNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := &browser{h: h}
	b.remember("ana")
	var id string
	h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
		list, err := h.Devices(tx, "ana", b.request())
		if err == nil && (len(list) != 1 || !list[0].This || list[0].IP != "203.0.113.7" || list[0].UserAgent != "Firefox") {
			t.Errorf("%+v", list)
		}
		id = list[0].ID
		return err
	})
	for _, value := range []string{
		"", "x", strings.Repeat("A", 64), b.cookie[:63], b.cookie + "A", b.cookie[:63] + "=", " " + b.cookie[1:],
		base64.RawURLEncoding.EncodeToString([]byte(id + strings.Repeat("x", 16))), // what pages show
	} {
		forger := &browser{h: h, cookie: value}
		if use := forger.use("ana"); use.OK || use.Stolen {
			t.Errorf("%q: %+v", value, use)
		}
	}
	if !b.use("ana").OK {
		t.Error("forgotten")
	}
}

// TestWhatEndsTrustEndsRememberedBrowsers lists all that must make an agent show a
// factor again.
func TestWhatEndsTrustEndsRememberedBrowsers(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(h *house, b *browser){
		"a new password": func(h *house, _ *browser) {
			h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
				a := h.agentIn(tx, "ana")
				a.PasswordChanged = h.clock()
				return store.Agents.Put(tx, &a)
			})
		},
		"the end of all sessions": func(h *house, _ *browser) {
			h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
				a := h.agentIn(tx, "ana")
				a.NotBefore = h.clock()
				return store.Agents.Put(tx, &a)
			})
		},
		"a new app":     func(h *house, _ *browser) { h.enrol("ana", "tablet") },
		"a new passkey": func(h *house, _ *browser) { h.passkey("ana") },
		"new codes":     func(h *house, _ *browser) { h.newCodes("ana") },
		"an app less": func(h *house, _ *browser) {
			h.update(func(ctx context.Context, tx store.Tx, s *site.Site) error {
				list, err := h.List(tx, "ana")
				if err == nil {
					_, err = h.Remove(ctx, tx, s, "ana", list[0].ID)
				}
				return err
			})
		},
		"a reset": func(h *house, _ *browser) {
			h.update(func(ctx context.Context, tx store.Tx, s *site.Site) error {
				_, err := h.Reset(ctx, tx, s, "ana", audit.Ref{Type: "agent", ID: "ben"})
				return err
			})
		},
		"forgetting it": func(h *house, b *browser) {
			h.update(func(ctx context.Context, tx store.Tx, _ *site.Site) error {
				list, err := h.Devices(tx, "ana", b.request())
				if err != nil {
					return err
				}
				if err := h.Forget(ctx, tx, "ben", list[0].ID); !errors.Is(err, ErrNoFactor) {
					t.Errorf("by ben: %v", err)
				}
				return h.Forget(ctx, tx, "ana", list[0].ID)
			})
		},
		"a site that remembers shorter": func(h *house, _ *browser) {
			h.settings(func(s *store.Settings) { s.TwoFactor.RememberDays = 1 })
			h.pass(24 * time.Hour)
		},
		"a site that remembers nothing": func(h *house, _ *browser) {
			h.settings(func(s *store.Settings) { s.TwoFactor.RememberDays = 0 })
		},
		"a restored backup": func(h *house, _ *browser) { h.settings(func(s *store.Settings) { s.NotBefore = h.clock() }) },
	} {
		h := newHouse(t)
		h.enrol("ana", "phone")
		b := &browser{h: h}
		b.remember("ana")
		h.pass(time.Second)
		if !b.use("ana").OK {
			t.Fatalf("%s: not known before", what)
		}
		h.pass(time.Second)
		change(h, b)
		if use := b.use("ana"); use.OK || use.Stolen {
			t.Errorf("after %s: %+v", what, use)
		}
	}
}

func (h *house) settings(change func(*store.Settings)) {
	h.t.Helper()
	h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
		s, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		change(&s)
		if err := store.AllSettings.Put(tx, &s); err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

func TestASiteThatRemembersNothingSetsNoCookie(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.settings(func(s *store.Settings) { s.TwoFactor.RememberDays = 0 })
	b := &browser{h: h}
	b.remember("ana")
	w := httptest.NewRecorder()
	SetDevice(w, b.request(), h.site(""), b.cookie)
	if b.cookie != "" || len(w.Result().Cookies()) != 0 {
		t.Error("a cookie")
	}
}

func TestTheCookieIsOurHostsAndLastsAsLongAsTheDevice(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := &browser{h: h}
	b.remember("ana")
	w := httptest.NewRecorder()
	SetDevice(w, b.request(), h.site(""), b.cookie)
	c := w.Result().Cookies()[0]
	if c.Name != "__Host-device" || c.Value != b.cookie || !c.HttpOnly || !c.Secure || c.MaxAge != 14*24*3600 || c.Path != "/" {
		t.Errorf("%+v", c)
	}
	w = httptest.NewRecorder()
	ClearDevice(w, b.request())
	if w.Result().Cookies()[0].MaxAge >= 0 {
		t.Error("it stays")
	}
}

func TestABrowserHasOneRecordAndAnAgentTwenty(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	b := &browser{h: h}
	count := func() (n int) {
		h.update(func(_ context.Context, tx store.Tx, _ *site.Site) error {
			list, err := h.Devices(tx, "ana", b.request())
			n = len(list)
			return err
		})
		return n
	}
	b.remember("ana")
	b.remember("ana")
	if n := count(); n != 1 {
		t.Errorf("%d records of one browser", n)
	}
	for range MaxDevices + 3 {
		h.pass(time.Minute)
		(&browser{h: h}).remember("ana")
	}
	if n := count(); n != MaxDevices {
		t.Errorf("%d devices", n)
	}
	if b.use("ana").OK {
		t.Error("the oldest is still known")
	}
}

// TestAPasskeyNeedsNoRememberedBrowser keeps the two apart: a remembered browser
// proves nothing.
func TestARememberedBrowserProvesNothing(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	k := h.passkey("ana")
	b := &browser{h: h}
	b.remember("ana")
	if p := h.finishLogin("flow", "ana", h.get(k, h.request("flow", "ana"), func(c *mfatest.Ceremony) { c.Flags = mfatest.UserPresent })); p.OK {
		t.Errorf("%+v", p)
	}
}
