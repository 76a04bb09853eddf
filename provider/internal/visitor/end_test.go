package visitor

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestASignOutEndsWhatTheVisitorHasInThatBrowser(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		here := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		there := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		if a := h.postTo("/visitors/end", "https://evil.example", "192.0.2.1:1", `{"renew":"`+here.text("renew")+`"}`); a.Code != http.StatusForbidden {
			t.Errorf("from another origin: %d", a.Code)
		}
		if ok, why := h.judge(here, "192.0.2.1"); !ok {
			t.Fatal(why)
		}
		for range 2 { // the second time it is over already
			if a := h.postTo("/visitors/end", shop, "192.0.2.1:1", `{"renew":"`+here.text("renew")+`"}`); a.Code != http.StatusOK || a.Header().Get("Access-Control-Allow-Origin") != shop {
				t.Fatalf("%d %s", a.Code, a.Body)
			}
		}
		if ok, _ := h.judge(here, "192.0.2.1"); ok {
			t.Error("the token lives on")
		}
		h.start(map[string]any{"renew": here.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
		if a := h.start(map[string]any{"renew": there.text("renew")}); a.Code != http.StatusOK {
			t.Errorf("another browser is signed out too: %d", a.Code)
		}
		h.ok(h.audit.Seal(t.Context(), ""))
		if n := len(h.events(audit.VisitorSignOut)); n != 1 {
			t.Errorf("%d records of one sign-out", n)
		}
	})
}

func TestWhatIsOfNoUseIsNoErrorOfASignOut(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	anonymous := h.start(map[string]any{})
	before := h.entries()
	for _, renew := range []string{"", "x", anonymous.text("renew")} {
		if a := h.postTo("/visitors/end", shop, "192.0.2.1:1", `{"renew":"`+renew+`"}`); a.Code != http.StatusOK {
			t.Errorf("%q: %d %s", renew, a.Code, a.Body)
		}
	}
	if now := h.entries(); now != before {
		t.Errorf("%d records, %d before: an anonymous visitor's sign-out writes nothing", now, before)
	}
}

// events are the audit records of an action.
func (h *house) events(action string) (list []audit.Entry) {
	h.t.Helper()
	for at := (audit.Place{}); !at.Done; {
		found, next, err := h.audit.Search(h.t.Context(), "", audit.Filter{Action: action}, at)
		h.ok(err)
		at = next
		for _, e := range found {
			if e.Action == action {
				list = append(list, e)
			}
		}
	}
	return list
}

// entries is how many records of any kind there are.
func (h *house) entries() (n int) {
	h.t.Helper()
	h.ok(h.engine.Dump(h.t.Context(), func(store.Record) error { n++; return nil }))
	return n
}

// Each step of a visitor is one record of the audit log.
func TestEachStepOfAVisitorIsRecorded(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", customers(false))
	h.connect("club", customers(false))
	planted := h.start(map[string]any{})
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", map[string]any{"customer": "c-1"}), "renew": planted.text("renew")})
	b := h.start(map[string]any{"identity": h.jwt("club", "m1", map[string]any{"customer": "c-1"}), "renew": a.text("renew")}) // the same person
	c := h.start(map[string]any{"renew": b.text("renew")})
	h.later(time.Minute)
	h.start(map[string]any{"renew": c.text("renew")})
	h.start(map[string]any{"renew": b.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "") // a copy
	h.ok(h.audit.Seal(t.Context(), ""))
	id := b.text("visitor_id")
	for action, want := range map[string]int{audit.VisitorSignIn: 2, audit.VisitorUpgrade: 1, audit.VisitorMerge: 1, audit.VisitorRefused: 1} {
		list := h.events(action)
		if len(list) != want {
			t.Errorf("%s: %d records, want %d", action, len(list), want)
		}
		for _, e := range list {
			if e.ActorType != "visitor" || e.Object != "visitor" || e.ObjectID != id {
				t.Errorf("%s: by %s %s on %s %s", action, e.ActorType, e.ActorID, e.Object, e.ObjectID)
			}
		}
	}
	if up := h.events(audit.VisitorUpgrade); len(up) == 1 && (up[0].Changes[0].Field != "alias" || up[0].Changes[0].New != planted.text("visitor_id")) {
		t.Errorf("%+v", up[0].Changes)
	}
	h.ok(h.known.Erase(t.Context(), load(h), id, operator))
	h.ok(h.audit.Seal(t.Context(), ""))
	if n := len(h.events(audit.VisitorErase)); n != 1 {
		t.Errorf("%d records of an erasure", n)
	}
}

// between does something before the nth Update.
type between struct {
	store.Store
	n, at int32
	do    func()
}

func (b *between) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	if atomic.AddInt32(&b.n, 1) == b.at {
		b.do()
	}
	return b.Store.Update(ctx, site, fn)
}

func TestAnErasureTakesWhatComesWhileItRuns(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	h.ok(h.audit.Seal(t.Context(), ""))
	came := false
	o := h.known.Options
	o.Store = &between{Store: h.store, at: 2, do: func() {
		came = h.post(shop, "203.0.113.77:1", `{"identity":"`+h.jwt("shop", "u1", nil)+`"}`).Code == http.StatusOK
	}}
	if err := records.New(o).Erase(t.Context(), load(h), a.text("visitor_id"), operator); err == nil || !came {
		t.Fatalf("it is said to be done: %v, came in %v", err, came)
	}
	h.ok(h.audit.Seal(t.Context(), ""))
	h.ok(h.known.Erase(t.Context(), load(h), a.text("visitor_id"), operator))
	h.ok(h.audit.Seal(t.Context(), ""))
	for _, e := range h.events(audit.VisitorSignIn) {
		if e.ObjectID == a.text("visitor_id") && (e.IP != "" || e.UserAgent != "") {
			t.Errorf("%s of the erased visitor has the address %s", e.Action, e.IP)
		}
	}
}

func TestAReloadOfTheOldestBrowserThrottlesNoOther(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	oldest := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	for range maxSessions - 1 {
		h.later(time.Hour)
		h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	}
	h.later(time.Hour)
	again := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": oldest.text("renew")})
	h.later(5 * time.Second)
	if a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := h.start(map[string]any{"renew": again.text("renew")}); a.Code != http.StatusOK {
		t.Errorf("the browser that was used last gave way: %d", a.Code)
	}
}

func TestOneVisitorCannotFillTheLogByEndingSessions(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	begun, began := 0, time.Now()
	for range 5 * maxSessions {
		a := h.hashed("shop", "u1")
		if a.Code != http.StatusOK {
			continue
		}
		begun++
		b := h.start(map[string]any{"renew": a.text("renew")})
		h.start(map[string]any{"renew": b.text("renew")})
		h.start(map[string]any{"renew": a.text("renew")}) // a copy, which ends it
	}
	if most := maxSessions + 1 + int(time.Since(began)/perVisitor.every); begun > most {
		t.Errorf("%d sessions, at most %d", begun, most)
	}
}

func TestRacersWithOnePlantedNameDoNotShareIt(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		planted := h.start(map[string]any{})
		const racers = 20
		answers, renewed, ids := make([]said, racers), make([]said, racers), make([]string, racers)
		for i := range ids {
			ids[i] = h.jwt("shop", fmt.Sprint("u", i), map[string]any{"email": fmt.Sprintf("u%d@buyers.example", i)})
		}
		var wg sync.WaitGroup
		for i := range racers {
			wg.Go(func() { answers[i] = h.start(map[string]any{"identity": ids[i], "renew": planted.text("renew")}) })
			wg.Go(func() { renewed[i] = h.start(map[string]any{"renew": planted.text("renew")}) })
		}
		wg.Wait()
		won := 0
		for _, a := range answers {
			if wasOf(a.claims(t)) != "" {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d have the name", won)
		}
		for _, a := range renewed {
			if a.Code != http.StatusOK {
				continue
			}
			if ok, _ := h.judge(a, ""); ok {
				t.Error("a renewed copy is live")
			}
			if b := h.start(map[string]any{"renew": a.text("renew")}); b.Code == http.StatusOK {
				t.Error("and renews")
			}
		}
	})
}

func TestTheTableOfNetworksIsBoundedAndRefillsNothing(t *testing.T) {
	t.Parallel()
	var x rates
	now := time.Unix(1_800_000_000, 0)
	spent := netip.MustParseAddr("192.0.2.1")
	for x.take("", spent, now) == 0 {
	}
	for i := range 3 * maxPlaces {
		a := netip.MustParseAddr("2001:db8::").As16()
		a[4], a[5], a[6], a[7] = byte(i>>24), byte(i>>16), byte(i>>8), byte(i)
		x.take("", netip.AddrFrom16(a), now)
	}
	if len(x.places) > maxPlaces {
		t.Errorf("%d places", len(x.places))
	}
	if x.take("", spent, now) == 0 {
		t.Error("its bucket was refilled")
	}
	if x.take("", netip.MustParseAddr("198.51.100.1"), now.Add(31*time.Second)) != 0 {
		t.Error("never whole again")
	}
}
