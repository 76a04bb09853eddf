package visitor

import (
	"bytes"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// written is whether a text stands anywhere in the store, and in which kinds.
func (h *house) written(text string) (kinds []store.Kind) {
	h.t.Helper()
	h.ok(h.engine.Dump(h.t.Context(), func(r store.Record) error {
		if bytes.Contains(r.Key, []byte(text)) || bytes.Contains(r.Value, []byte(text)) {
			kinds = append(kinds, r.Kind)
		}
		return nil
	}))
	return kinds
}

// vera is one person to two connections, and there is something of hers in all that
// the house keeps.
type vera struct {
	ids     []string // hers, of before the merge
	renewal string
}

func (h *house) merged(first, second string) vera {
	h.t.Helper()
	for _, id := range []string{"shop", "club"} {
		h.connect(id, func(c *store.Connection) {
			c.Attributes = []store.Attribute{{Field: "custom.tier", From: []string{"tier"}}}
		})
	}
	says := map[string]any{"phone": "+49 30 4711", "tier": "platinum", "name": "Vera Shopper"}
	sub := map[string]string{"shop": "shop-subject-1", "club": "club-subject-7"}
	from := func(connection, renew string, more map[string]any) said {
		claims := map[string]any{}
		for _, m := range []map[string]any{says, more} {
			for k, v := range m {
				claims[k] = v
			}
		}
		return h.post(shop, "203.0.113.77:1", `{"identity":"`+h.jwt(connection, sub[connection], claims)+`","renew":"`+renew+`"}`)
	}
	stranger := h.start(map[string]any{"name": "Vera Typed", "email": "vera@typed.example"})
	a := from(first, stranger.text("renew"), nil)
	other := h.start(map[string]any{"name": "Vera Typed"})
	from(second, other.text("renew"), map[string]any{"email": "vera@maiden.example"})
	for _, b := range []store.Ban{{Email: "vera@maiden.example", Network: "198.51.100.0/24"}, {Email: "vera@buyers.example", Network: "198.51.100.0/24"}, {ExternalID: "shop-subject-1", Network: "198.51.100.0/24"}, {ExternalID: "club-subject-7", Network: "198.51.100.0/24"}} {
		made := h.ban(b)
		h.ok(h.known.Unban(h.t.Context(), load(h), made.ID, operator)) // a ban in force stays
	}
	b := from(second, "", nil)
	both := from(first, b.text("renew"), nil)
	if both.Code != http.StatusOK || both.text("visitor_id") != a.text("visitor_id") || b.text("visitor_id") == a.text("visitor_id") {
		h.t.Fatalf("not merged into the older: %d %s", both.Code, both.Body)
	}
	return vera{[]string{a.text("visitor_id"), b.text("visitor_id"), stranger.text("visitor_id"), other.text("visitor_id")}, both.text("renew")}
}

func TestAnErasureTakesAllOfAMergedVisitor(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		for by := range 4 { // whichever of her names is given
			h := newHouse(t, on)
			order := []string{"shop", "club"}
			if by == 1 {
				order = []string{"club", "shop"}
			}
			v := h.merged(order[0], order[1])
			h.ok(h.audit.Seal(t.Context(), ""))
			for _, text := range []string{"vera@maiden.example", "vera@buyers.example", "shop-subject-1", "club-subject-7", "203.0.113.77"} {
				if len(h.written(text)) == 0 {
					t.Errorf("%s stands nowhere before: this test looks in the wrong place", text)
				}
			}
			h.ok(h.known.Erase(t.Context(), load(h), v.ids[by], operator))
			h.ok(h.audit.Seal(t.Context(), ""))
			for _, text := range []string{"vera", "Vera", "maiden", "buyers", "shop-subject-1", "club-subject-7", "4711", "platinum", "203.0.113.77"} {
				if kinds := h.written(text); len(kinds) > 0 {
					t.Errorf("%s still stands in %v", text, kinds)
				}
			}
			for _, id := range v.ids {
				h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
					known, err := store.Visitors.Has(tx, id)
					if known {
						t.Errorf("%s is known", id)
					}
					return err
				}))
			}
			h.start(map[string]any{"renew": v.renewal}).want(t, http.StatusBadRequest, "invalid_grant", "")
			for _, connection := range order {
				again := h.start(map[string]any{"identity": h.jwt(connection, map[string]string{"shop": "shop-subject-1", "club": "club-subject-7"}[connection], nil)})
				for _, id := range v.ids {
					if again.text("visitor_id") == id || again.Code != http.StatusOK {
						t.Errorf("%s still knows her: %d %s", connection, again.Code, again.Body)
					}
				}
			}
			if _, err := h.audit.Verify(t.Context(), "", nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// Of ten browsers of one person, who is two until now, six show at the same moment that
// both are one, and all renew besides.
func TestRacersMergeTwoVisitorsOnceAndLoseNoBrowser(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		h.connect("club", nil)
		sub := map[string]string{"shop": "u1", "club": "m7"}
		other := map[string]string{"shop": "club", "club": "shop"}
		ids, renew := map[string]string{}, make([]string, maxSessions)
		var racers []map[string]any
		const moving = 6
		for i := range renew {
			connection := []string{"club", "shop"}[i%2]
			a := h.start(map[string]any{"identity": h.jwt(connection, sub[connection], nil)})
			ids[connection], renew[i] = a.text("visitor_id"), a.text("renew")
			there := other[connection]
			if i < moving {
				racers = append(racers, map[string]any{"identity": h.jwt(there, sub[there], nil), "renew": renew[i]})
			}
		}
		for i := range 20 - moving {
			racers = append(racers, map[string]any{"renew": renew[i%maxSessions]})
		}
		h.stop(h.now().Add(time.Minute)) // so that no rate refuses the last by a millisecond
		answers := make([]said, len(racers))
		var wg sync.WaitGroup
		for i, body := range racers {
			wg.Go(func() { answers[i] = h.start(body) })
		}
		wg.Wait()
		last := make([]said, maxSessions) // what each browser has in the end
		for i, a := range answers {
			browser := i
			if i >= moving {
				browser = (i - moving) % maxSessions
			}
			switch {
			case a.Code == http.StatusOK && (i < moving || browser >= moving):
				last[browser] = a
			case a.Code != http.StatusOK && a.Code != http.StatusBadRequest || i < moving || browser >= moving: // who moves has another session by then
				t.Errorf("browser %d: %d %s", browser, a.Code, a.Body)
			}
		}
		for i, a := range last {
			b := h.start(map[string]any{"renew": a.text("renew")})
			if b.Code != http.StatusOK || b.text("visitor_id") != ids["club"] || a.Code != http.StatusOK { // the older
				t.Errorf("browser %d is lost: %d %s", i, b.Code, b.Body)
				continue
			}
			if ok, why := h.judge(b, "192.0.2.1"); !ok {
				t.Errorf("the token of browser %d is %s", i, why)
			}
		}
		shown, err := h.known.Show(t.Context(), load(h), ids["shop"])
		if err != nil || shown.ID != ids["club"] || len(shown.Sessions) != maxSessions || len(shown.Person.Subjects) != 2 || len(shown.Aliases) != 1 {
			t.Errorf("%+v %v", shown, err)
		}
		records := 0
		h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
			records = 0
			for v, err := range store.Visitors.All(tx, "") {
				if err != nil {
					return err
				}
				if v.Alias == "" {
					records++
				}
			}
			return nil
		}))
		if records != 1 {
			t.Errorf("%d records of one person", records)
		}
		merges := 0
		h.ok(h.audit.Seal(t.Context(), ""))
		for _, e := range h.events(audit.VisitorMerge) {
			if e.ObjectID == ids["club"] {
				merges++
			}
		}
		if merges != 1 {
			t.Errorf("%d merges are recorded", merges)
		}
	})
}
