package visitor

import (
	"bytes"
	"net/http"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// holds reports whether a text stands in the raw bytes of the audit log's personal
// values, where bans keep what they name.
func (h *house) auditHolds(text string) (found bool) {
	h.t.Helper()
	h.ok(h.engine.Dump(h.t.Context(), func(r store.Record) error {
		if r.Kind == store.AuditPersonals.Kind && bytes.Contains(r.Value, []byte(text)) {
			found = true
		}
		return nil
	}))
	return found
}

func TestAnErasureTakesTheVisitorsNamesFromRecordsOfBans(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		a := h.start(map[string]any{"identity": h.jwt("shop", "u1", map[string]any{"email": "vera@buyers.example"})})
		h.ban(store.Ban{Email: "Vera+shop@buyers.example"})
		h.ban(store.Ban{ExternalID: "u1", Network: "192.0.2.0/24"})
		h.ban(store.Ban{Email: "otto@buyers.example"})
		h.ok(h.audit.Seal(t.Context(), ""))
		if !h.auditHolds("vera+shop@buyers.example") {
			t.Fatal("this test looks in the wrong place")
		}
		h.ok(h.known.Erase(t.Context(), load(h), a.text("visitor_id"), operator))
		h.ok(h.audit.Seal(t.Context(), ""))
		if h.auditHolds("vera+shop@buyers.example") || !h.auditHolds("otto@buyers.example") || !h.auditHolds("192.0.2.0/24") {
			t.Error("the visitor's address is still there, or what is not theirs is gone")
		}
		if _, err := h.audit.Verify(t.Context(), "", nil); err != nil {
			t.Error(err)
		}
	})
}

func TestNobodyComesBackByTheNameOfOneWhoWasErased(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	stranger := h.start(map[string]any{})
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": stranger.text("renew")})
	h.ok(h.audit.Seal(t.Context(), ""))
	h.ok(h.known.Erase(t.Context(), load(h), a.text("visitor_id"), operator))
	h.start(map[string]any{"renew": stranger.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	b := h.start(map[string]any{"identity": h.jwt("shop", "u2", nil), "renew": stranger.text("renew")})
	if b.Code != http.StatusOK {
		t.Fatalf("%d %s", b.Code, b.Body)
	}
	h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
		if aliases, err := h.known.Aliases(tx, b.text("visitor_id")); err != nil || len(aliases) != 0 {
			t.Errorf("another is given the name: %v %v", aliases, err)
		}
		return nil
	}))
}

func TestAPreviewNamesThoseWhomAllCriteriaFit(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	vera := h.start(map[string]any{"identity": h.jwt("shop", "u1", map[string]any{"email": "vera@buyers.example"})})
	h.start(map[string]any{"identity": h.jwt("shop", "u2", map[string]any{"email": "otto@sellers.example"})})
	for name, c := range map[string]struct {
		ban  store.Ban
		want int
	}{
		"id":                           {store.Ban{ExternalID: "u1"}, 1},
		"id and its domain":            {store.Ban{ExternalID: "u1", EmailDomain: "buyers.example"}, 1},
		"id and another domain":        {store.Ban{ExternalID: "u1", EmailDomain: "sellers.example"}, 0},
		"all domains":                  {store.Ban{EmailDomain: "example"}, 2},
		"whoever is on a network":      {store.Ban{Network: "192.0.2.0/24"}, 0},
		"domain and a network":         {store.Ban{EmailDomain: "buyers.example", Network: "192.0.2.0/24"}, 1},
		"visitor":                      {store.Ban{VisitorID: vera.text("visitor_id")}, 1},
		"visitor, not so":              {store.Ban{VisitorID: vera.text("visitor_id"), ExternalID: "u2"}, 0},
		"an anonymous one":             {store.Ban{VisitorID: "nobody-known"}, 0},
		"an address, with another tag": {store.Ban{Email: "VERA+x@buyers.example"}, 1},
	} {
		ids, all, err := h.known.Preview(t.Context(), "", c.ban)
		if err != nil || !all || len(ids) != c.want {
			t.Errorf("%s: %v %v %v", name, ids, all, err)
		}
	}
}

func TestABanOfAMappedNetworkIsOfTheIPv4One(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	here := h.post(shop, "203.0.113.9:1", `{}`)
	if made := h.ban(store.Ban{Network: "::ffff:203.0.113.8/125"}); made.Network != "203.0.113.8/29" {
		t.Errorf("kept as %s", made.Network)
	}
	if ok, why := h.judge(here, ""); ok || why != "revoked" {
		t.Errorf("a token from there: %v %s", ok, why)
	}
	h.post(shop, "[::ffff:203.0.113.9]:1", `{}`).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
}
