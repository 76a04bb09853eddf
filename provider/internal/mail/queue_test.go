package mail

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
	"github.com/chatelaine-id/chatelaine/templates"
)

func TestAMailIsSentOnceItsActIsCommitted(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{}
		m := h.through(arrived.take)
		h.queue(m)
		if n := h.round(m); n != 1 {
			t.Fatalf("%d letters were sent", n)
		}
		l := arrived.come()[0]
		want := Letter{
			ID: l.ID, From: Address{"Acme", "no-reply@acme.example"}, To: Address{"Ana Silva", "ana@acme.example"},
			Subject: "Choose a new password for Acme", Text: l.Text, HTML: l.HTML, Locale: "en", Host: "id.example", Date: h.clock(),
		}
		if diff := cmp.Diff(want, l); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		for _, said := range []string{"https://id.example/reset/canary-token", "1 March 2026, 12:30 UTC", "203.0.113.7", "request-1", "Hello Ana Silva,"} {
			if !strings.Contains(l.Text, said) {
				t.Errorf("the text does not say %s:\n%s", said, l.Text)
			}
			if !strings.Contains(plainOf(l.HTML), said) {
				t.Errorf("the HTML does not say %s:\n%s", said, l.HTML)
			}
		}
		if left := h.waiting(); len(left) != 0 {
			t.Errorf("%d mails still wait", len(left))
		}
		if h.round(m) != 0 || len(h.audited()) != 0 || h.observed()["reset sent"] != 1 {
			t.Errorf("%v, %v", h.audited(), h.observed())
		}
	})
}

// plainOf is HTML without the elements around values.
func plainOf(page string) string { return strings.NewReplacer("<bdi>", "", "</bdi>", "").Replace(page) }

func TestAMailOfAnActThatFailedIsNeverSent(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h, arrived := newHouse(t, engine), &letters{}
		m := h.through(arrived.take)
		failed := errors.New("the act failed")
		err := h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
			if err := m.Notice(ctx, tx, s, ana, templates.NoticeLocked); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) || h.round(m) != 0 || len(arrived.come()) != 0 || len(h.waiting()) != 0 {
			t.Errorf("%v, %d letters", err, len(arrived.come()))
		}
	})
}

// What waits in the outbox must be of no use to who reads the disk.
func TestTheStoreShowsNeitherAddressNorLink(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		h.queue(h.through((&letters{}).take))
		secrets := []string{"ana@acme.example", "canary-token", "Ana Silva", "203.0.113.7"}
		var seen bytes.Buffer
		h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
			for _, kind := range []store.Kind{"outbox", "outbox/address", "outbox/due"} {
				for item, err := range tx.Scan(kind, nil, nil) {
					if err != nil {
						return err
					}
					seen.Write(item.Key)
					seen.Write(item.Value)
				}
			}
			return nil
		}))
		if h.file != "" {
			raw, err := os.ReadFile(h.file)
			h.ok(err)
			seen.Write(raw)
		}
		if seen.Len() == 0 {
			t.Fatal("nothing is stored")
		}
		for _, secret := range secrets {
			if bytes.Contains(seen.Bytes(), []byte(secret)) {
				t.Errorf("the store shows %s", secret)
			}
		}
	})
}

// A sealed body opens in its own place only.
func TestABodyMovedToAnotherMailIsNotSent(t *testing.T) {
	t.Parallel()
	h, arrived := newHouse(t), &letters{}
	m := h.through(arrived.take)
	h.queue(m)
	h.ok(h.update("", func(_ context.Context, tx store.Tx, _ *site.Site) error {
		rec, err := store.Outbox.Get(tx, h.waiting()[0].ID)
		h.ok(err)
		rec.ID = store.NewMailID(h.clock())
		return store.Outbox.Put(tx, &rec)
	}))
	h.round(m)
	if got := arrived.come(); len(got) != 1 {
		t.Errorf("%d letters arrived", len(got))
	}
	if left := h.waiting(); len(left) != 1 || !strings.Contains(left[0].Fault, "master key") {
		t.Errorf("%+v", left)
	}
}

func TestWithoutAMailServerNothingIsKept(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.mail(func(o *Options) { o.From = "" })
	if m.Configured() {
		t.Error("it says that it is set up")
	}
	h.queue(m)
	if len(h.waiting()) != 0 {
		t.Error("a mail waits for ever")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := m.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestALinkLeadsToTheSitesOwnAddressOnly(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	m := h.through((&letters{}).take)
	for address, fine := range map[string]bool{
		origin + "/acme/reset/x":               true,
		origin + "/acme":                       true,
		"":                                     true,
		"https://evil.example/acme/reset/x":    false,
		origin + "/reset/x":                    false, // another site's
		origin + "/acmeevil/x":                 false,
		origin + ".evil.example/acme/x":        false,
		"https://id.example@evil.example/acme": false,
		"http://id.example/acme/x":             false,
		"/reset/x":                             false,
	} {
		err := h.update("acme", func(ctx context.Context, tx store.Tx, s *site.Site) error {
			return m.Queue(ctx, tx, s, Message{To: ana.Email, Page: templates.ResetMail{URL: address}})
		})
		if (err == nil) != fine {
			t.Errorf("a mail with a link to %q: %v", address, err)
		}
	}
}

func TestAtMostSoManyMailsWaitForOneAddress(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		m := h.through((&letters{}).take)
		for range maxWaiting + 2 {
			h.tell(m)
		}
		if n := len(h.waiting()); n != maxWaiting {
			t.Errorf("%d mails wait", n)
		}
		h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
			return m.Notice(ctx, tx, s, store.Agent{ID: "ben", Email: "ben@acme.example"}, templates.NoticeLocked)
		}))
		if n := len(h.waiting()); n != maxWaiting+1 {
			t.Errorf("somebody else's mail was dropped too: %d wait", n)
		}
		dropped := "mail.fail too_many_waiting|ana@acme.example"
		if diff := cmp.Diff([]string{dropped, dropped}, h.audited()); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
	})
}

func TestAnAddressGetsThreeMailsOfASortInAnyHour(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, engine storetest.Engine) {
		h := newHouse(t, engine)
		m := h.through((&letters{}).take)
		allowed := func(sort, address string) (may bool) {
			h.ok(h.store.Update(t.Context(), "", func(tx store.Tx) (err error) {
				may, err = m.Allow(tx, sort, address, h.clock())
				return err
			}))
			return may
		}
		if n := h.race(func(int) bool { return allowed("reset", ana.Email) }); n != perHour {
			t.Errorf("100 at once were allowed %d mails", n)
		}
		for _, other := range [][2]string{{"sso", ana.Email}, {"reset", "ben@acme.example"}} {
			if !allowed(other[0], other[1]) {
				t.Errorf("%v is counted with the others", other)
			}
		}
		h.pass(59 * time.Minute)
		if allowed("reset", ana.Email) {
			t.Error("a fourth within the hour")
		}
		h.pass(time.Minute)
		for i := range perHour {
			if !allowed("reset", ana.Email) {
				t.Errorf("after an hour, %d only", i)
			}
		}
		if allowed("reset", ana.Email) {
			t.Error("a fourth in the second hour")
		}
	})
}

func TestANetworkIsShownAsItsReaderMayKnowIt(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{"203.0.113.7": "203.0.113.7", "::ffff:203.0.113.7": "203.0.113.7", "2001:db8:1:2:3::4": "2001:db8:1:2::/64", "": ""} {
		var ip netip.Addr
		if address != "" {
			ip = netip.MustParseAddr(address)
		}
		if got := network(web.WithClient(t.Context(), ip, "", "")); got != want {
			t.Errorf("%s is shown as %q, want %q", address, got, want)
		}
	}
}

func TestNoticesLeadWhereTheirReaderCanDoSomething(t *testing.T) {
	t.Parallel()
	h, arrived := newHouse(t), &letters{}
	m := h.through(arrived.take)
	want := map[string]string{
		templates.NoticePasswordChanged: "/forgot", "password_expired": "/forgot", templates.NoticePasswordReset: "/forgot", templates.NoticeLocked: "/forgot",
		templates.NoticeTooManyCodes: "/forgot", templates.NoticeFactorAdded: "/account", templates.NoticeSSOOnly: "/", "brand_new": "/account",
	}
	for kind, path := range want {
		h.ok(h.update("acme", func(ctx context.Context, tx store.Tx, s *site.Site) error { return m.Notice(ctx, tx, s, ana, kind) }))
		h.round(m)
		all := arrived.come()
		if l := all[len(all)-1]; !strings.Contains(l.Text, fmt.Sprintf("\n%s/acme%s\n", origin, path)) {
			t.Errorf("%s does not lead to %s:\n%s", kind, path, l.Text)
		}
	}
	if n := len(arrived.come()); n != len(want) {
		t.Errorf("%d letters", n)
	}
}

func TestBreakGlassMailsNameTheControlInTheReadersLanguage(t *testing.T) {
	t.Parallel()
	h, arrived := newHouse(t), &letters{}
	m := h.through(arrived.take)
	reader := ana
	reader.Locale = "de"
	h.ok(h.update("", func(ctx context.Context, tx store.Tx, s *site.Site) error {
		return m.BreakGlass(ctx, tx, s, reader, templates.NoticeBreakGlassLifted, store.BreakGlass{Control: "second_factor", Until: h.clock().Add(15 * time.Minute)})
	}))
	h.round(m)
	l := arrived.come()[0]
	for _, said := range []string{"Der zweite Schritt der Anmeldung", "1. März 2026, 12:15 UTC"} {
		if !strings.Contains(l.Text, said) {
			t.Errorf("it does not say %q:\n%s", said, l.Text)
		}
	}
	if l.Locale != "de" || strings.Contains(l.Text, "http") {
		t.Errorf("%+v", l)
	}
}
