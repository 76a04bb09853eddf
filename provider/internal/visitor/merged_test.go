package visitor

import (
	"bytes"
	"errors"
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
	from(second, "", map[string]any{"email": "vera@maiden.example"})
	for _, b := range []store.Ban{{Email: "vera@maiden.example", Network: "198.51.100.0/24"}, {Email: "vera@buyers.example", Network: "198.51.100.0/24"}, {ExternalID: "shop-subject-1", Network: "198.51.100.0/24"}, {ExternalID: "club-subject-7", Network: "198.51.100.0/24"}} {
		made := h.ban(b)
		h.ok(h.known.Unban(h.t.Context(), load(h), made.ID, operator)) // a ban in force stays
	}
	b := from(second, "", nil)
	both := from(first, b.text("renew"), nil)
	if both.Code != http.StatusOK || both.text("visitor_id") != a.text("visitor_id") || b.text("visitor_id") == a.text("visitor_id") {
		h.t.Fatalf("not merged into the older: %d %s", both.Code, both.Body)
	}
	return vera{[]string{a.text("visitor_id"), b.text("visitor_id"), stranger.text("visitor_id")}, both.text("renew")}
}

func TestAnErasureTakesAllOfAMergedVisitor(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		for _, by := range []int{0, 1, 2} { // whichever of her names is given
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
					if _, err := h.known.Find(tx, id); !errors.Is(err, store.ErrNotFound) {
						t.Errorf("%s is known: %v", id, err)
					}
					return nil
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

// Ten browsers of one person, who is two until now, show at the same moment that both
// are one, and renew besides.
func TestRacersMergeTwoVisitorsOnceAndLoseNoBrowser(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		h.connect("club", nil)
		sub := map[string]string{"shop": "u1", "club": "m7"}
		other := map[string]string{"shop": "club", "club": "shop"}
		bodies, moved, renewed := make([]map[string]any, maxSessions), make([]said, maxSessions), make([]said, maxSessions)
		ids := map[string]string{}
		for i := range bodies {
			connection := []string{"club", "shop"}[i%2]
			a := h.start(map[string]any{"identity": h.jwt(connection, sub[connection], nil)})
			ids[connection] = a.text("visitor_id")
			there := other[connection]
			bodies[i] = map[string]any{"identity": h.jwt(there, sub[there], nil), "renew": a.text("renew")}
		}
		h.stop(h.now().Add(time.Minute)) // so that no rate refuses the last by a millisecond
		var wg sync.WaitGroup
		for i, body := range bodies {
			wg.Go(func() { moved[i] = h.start(body) })
			wg.Go(func() { renewed[i] = h.start(map[string]any{"renew": body["renew"]}) })
		}
		wg.Wait()
		for i, a := range moved {
			if a.Code != http.StatusOK || a.text("visitor_id") != ids["club"] { // the older
				t.Fatalf("browser %d: %d %s", i, a.Code, a.Body)
			}
			if code := renewed[i].Code; code != http.StatusOK && code != http.StatusBadRequest { // the browser has another session by then
				t.Errorf("renewal %d: %d %s", i, code, renewed[i].Body)
			}
			if ok, why := h.judge(a, "192.0.2.1"); !ok {
				t.Errorf("the token of browser %d is %s", i, why)
			}
			if b := h.start(map[string]any{"renew": a.text("renew")}); b.Code != http.StatusOK || b.text("visitor_id") != ids["club"] {
				t.Errorf("browser %d is lost: %d %s", i, b.Code, b.Body)
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
