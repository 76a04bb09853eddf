package visitor

import (
	"encoding/binary"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// A page reads a refusal too, and how long it has to wait: without these headers a
// script sees a failure of the network.
func TestARefusalIsReadByThePageToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	readable := func(name string, a said) {
		t.Helper()
		if a.Header().Get("Access-Control-Allow-Origin") != shop || a.Header().Get("Vary") != "Origin" {
			t.Errorf("%s: %d %v", name, a.Code, a.Header())
		}
	}
	h.ban(store.Ban{Network: "203.0.113.7"})
	banned := h.post(shop, "203.0.113.7:1", `{}`)
	banned.want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	readable("banned", banned)
	bad := h.post(shop, "192.0.2.1:1", `[]`)
	bad.want(t, http.StatusBadRequest, "invalid_request", "")
	readable("a bad request", bad)
	h.spend("192.0.2.1:1")
	for _, path := range []string{"/visitors/start", "/visitors/end"} {
		throttled := h.postTo(path, shop, "192.0.2.1:1", `{}`)
		throttled.want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
		readable(path+" throttled", throttled)
		exposed := strings.Split(throttled.Header().Get("Access-Control-Expose-Headers"), ", ")
		if throttled.Header().Get("Retry-After") != "1" || !slices.Contains(exposed, "Retry-After") {
			t.Errorf("how long to wait cannot be read: %v", throttled.Header())
		}
	}
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	hashed := `{"connection":"shop","user_id":"u1","user_hash":"` + jwt.UserHash([]byte(hashSecret+"shop"), "u1") + `"}`
	for range maxSessions {
		h.post(shop, "198.51.100.1:1", hashed)
	}
	one := h.post(shop, "198.51.100.1:1", hashed)
	one.want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
	readable("one visitor too often", one)
	if one.Header().Get("Retry-After") != "6" {
		t.Errorf("%v", one.Header())
	}
}

// spend uses up what a network has.
func (h *house) spend(remote string) {
	h.t.Helper()
	h.stop(h.now()) // nothing comes back
	for range perNetwork.burst {
		if a := h.post(shop, remote, `x`); a.Code == http.StatusTooManyRequests {
			return
		}
	}
}

func TestTheGrantAndTheWidgetShareWhatANetworkHas(t *testing.T) {
	t.Parallel()
	t.Run("the widget first", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, storetest.Bolt)
		h.connect("shop", nil)
		h.spend("192.0.2.1:1")
		a := h.grant(h.jwt("shop", "u1", nil))
		a.want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
		if a.Header().Get("Retry-After") != "1" {
			t.Errorf("%v", a.Header())
		}
	})
	t.Run("the grant first", func(t *testing.T) {
		t.Parallel()
		h := newHouse(t, storetest.Bolt)
		h.stop(h.now())
		for range perNetwork.burst {
			h.grant("x")
		}
		h.post(shop, "192.0.2.1:1", `{}`).want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
		if a := h.post(shop, "198.51.100.1:1", `{}`); a.Code != http.StatusOK {
			t.Errorf("another network: %d", a.Code)
		}
	})
}

func TestAFloodAtOneSiteRefusesNobodyAtAnother(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.ok(site.Create(t.Context(), h.store, "flooded", "", load(h).Settings, h.now()))
	h.ok(h.keys.Ensure(t.Context(), "flooded", keys.ES256))
	h.stop(h.now())
	for range perNetwork.burst {
		h.postTo("/flooded/visitors/start", shop, "192.0.2.1:1", `x`)
	}
	h.postTo("/flooded/visitors/start", shop, "192.0.2.1:1", `{}`).want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
	if a := h.post(shop, "192.0.2.1:1", `{}`); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

// numbered is one network of a flood.
func numbered(first byte, i int) netip.Addr {
	a := [16]byte{0x20, first}
	binary.BigEndian.PutUint32(a[2:], uint32(i))
	return netip.AddrFrom16(a)
}

// Whoever has many networks fills the table, and then all that come share one place:
// at the site that is flooded.
func TestAFloodFromManyNetworksRefusesNobodyAtAnotherSite(t *testing.T) {
	t.Parallel()
	var x rates
	now := time.Unix(1_800_000_000, 0)
	for i := range 2 * maxPlaces {
		x.take("flooded", numbered(1, i), now)
	}
	if x.take("flooded", numbered(2, 0), now) == 0 {
		t.Fatal("this test floods nothing")
	}
	refused := 0
	for i := range reservedPlaces + perNetwork.burst {
		if x.take("", numbered(2, i), now) > 0 {
			refused++
		}
	}
	if refused > 0 {
		t.Errorf("%d visitors of another site are refused", refused)
	}
	if len(x.places) > maxPlaces+reservedPlaces {
		t.Errorf("%d places", len(x.places))
	}
	// A place that is there is kept, and is spent as ever.
	for range perNetwork.burst {
		x.take("", numbered(2, 1), now)
	}
	if x.take("", numbered(2, 1), now) == 0 {
		t.Error("a network of the other site has no limit")
	}
	if later := now.Add(time.Minute); x.take("flooded", numbered(3, 0), later) > 0 || len(x.places) > 1 {
		t.Errorf("%d places when all are whole again", len(x.places))
	}
	if n := x.of["flooded"]; n != 1 || x.of[""] != 0 {
		t.Errorf("counted %v", x.of)
	}
}
