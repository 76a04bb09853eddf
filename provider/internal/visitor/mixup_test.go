package visitor

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// customers maps an external id, and takes a user_hash if hash says so.
func customers(hash bool) func(*store.Connection) {
	return func(c *store.Connection) {
		c.Attributes = []store.Attribute{{Field: "external_id", From: []string{"customer"}}}
		c.JWT.UserHash = hash
	}
}

// hashed is a start by user_hash.
func (h *house) hashed(connection, id string) said {
	h.t.Helper()
	return h.start(map[string]any{"connection": connection, "user_id": id, "user_hash": jwt.UserHash([]byte(hashSecret+connection), id)})
}

// third leaves the session of one connection, of a visitor of whom a third has said
// the number that counts.
func third(change func(*store.Connection)) func(h *house) said {
	return func(h *house) said {
		h.connect("game", change)
		mine := map[string]any{"email": "eve@evil.example"}
		shop := h.start(map[string]any{"identity": h.jwt("shop", "1", mine)})
		at := func() string { return h.jwt("game", "5", map[string]any{"email": "eve@evil.example", "customer": "5"}) }
		if game := h.start(map[string]any{"identity": at(), "renew": shop.text("renew")}); game.text("visitor_id") != shop.text("visitor_id") {
			h.t.Fatal("the test's own visitor is two")
		}
		again := h.start(map[string]any{"identity": h.jwt("shop", "1", mine)})
		h.start(map[string]any{"identity": at()}) // has the last word
		return again
	}
}

// Somebody leaves their own renewal token in a browser where another signs in by
// another connection. What makes the two one is only what both connections say.
func TestWhoIsNotTheSamePersonIsNotMerged(t *testing.T) {
	t.Parallel()
	for name, eve := range map[string]func(h *house) said{
		"a number of the connection's own": func(h *house) said {
			return h.start(map[string]any{"identity": h.jwt("shop", "5", map[string]any{"email": "eve@evil.example"})})
		},
		"a number shown by user_hash":       func(h *house) said { return h.hashed("shop", "5") },
		"what a third connection says":      third(nil),
		"what a third connection maps, too": third(customers(false)),
		"a constant": func(h *house) said {
			h.connect("shop", func(c *store.Connection) {
				c.Attributes = []store.Attribute{{Field: "external_id", From: []string{"customer"}, Constant: "5"}}
			})
			return h.start(map[string]any{"identity": h.jwt("shop", "1", map[string]any{"email": "eve@evil.example"})})
		},
		"an address that nobody verified": func(h *house) said {
			return h.start(map[string]any{"identity": h.jwt("shop", "1", map[string]any{"email_verified": false})})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			h.connect("shop", customers(true))
			h.connect("club", customers(false))
			planted := eve(h)
			victim := h.start(map[string]any{"identity": h.jwt("club", "m7", map[string]any{"customer": "5"}), "renew": planted.text("renew")})
			if victim.Code != http.StatusOK || victim.text("visitor_id") == planted.text("visitor_id") {
				t.Errorf("two are one: %d %s", victim.Code, victim.Body)
			}
		})
	}
}

func TestMergesOfOneVisitorHaveAnEnd(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	h.connect("club", nil)
	var a said
	for i := range 2 * maxSubjects {
		h.later(10 * time.Second)
		a = h.start(map[string]any{"identity": h.jwt([]string{"shop", "club"}[i%2], fmt.Sprint(i), nil), "renew": a.text("renew")})
		shown, err := h.known.Show(t.Context(), load(h), a.text("visitor_id"))
		if err != nil || len(shown.Person.Subjects) > maxSubjects || i < maxSubjects && len(shown.Person.Subjects) != i+1 {
			t.Fatalf("%d: %d %s %v", i, a.Code, a.Body, err)
		}
	}
}

func TestABanHoldsWhateverAnotherConnectionSays(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		for name, ban := range map[string]store.Ban{"external id": {ExternalID: "u1"}, "address": {Email: "vera@buyers.example"}, "domain": {EmailDomain: "buyers.example"}} {
			h := newHouse(t, on)
			h.connect("shop", func(c *store.Connection) {
				c.Attributes = []store.Attribute{{Field: "external_id", From: []string{"customer"}}}
			})
			h.connect("club", customers(false))
			same := map[string]any{"customer": "u1"}
			phone, laptop := h.start(map[string]any{"identity": h.jwt("shop", "1", same)}), h.start(map[string]any{"identity": h.jwt("shop", "1", same)})
			if one := h.start(map[string]any{"identity": h.jwt("club", "m7", same), "renew": laptop.text("renew")}); one.text("visitor_id") != phone.text("visitor_id") {
				t.Fatal("the test's own visitor is two")
			}
			other := map[string]any{"customer": "c9", "email": "vera@club.example"}
			h.start(map[string]any{"identity": h.jwt("club", "m7", other)}) // has the last word
			h.ban(ban)
			h.start(map[string]any{"identity": h.jwt("club", "m7", other)}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			h.start(map[string]any{"renew": phone.text("renew")}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			if ids, _, err := h.known.Preview(t.Context(), "", ban); err != nil || len(ids) != 1 {
				t.Errorf("%s: a ban would be on %v: %v", name, ids, err)
			}
			if ok, _ := h.judge(phone, "192.0.2.1"); ok {
				t.Errorf("%s: the token is good", name)
			}
		}
	})
}

func TestNobodyIsMergedOutOfABan(t *testing.T) {
	t.Parallel()
	for name, ban := range map[string]func(stranger said) store.Ban{
		"by the name before": func(a said) store.Ban { return store.Ban{VisitorID: a.text("visitor_id")} },
		"by the external id": func(said) store.Ban { return store.Ban{ExternalID: "u1"} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			h.connect("shop", nil)
			h.connect("club", nil)
			stranger := h.start(map[string]any{})
			known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": stranger.text("renew")})
			h.ban(ban(stranger))
			h.start(map[string]any{"renew": known.text("renew")}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			h.start(map[string]any{"identity": h.jwt("club", "m7", nil), "renew": known.text("renew")}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			// Who is somebody else in that browser is held to the ban on a name, and no more.
			other := h.start(map[string]any{"identity": h.jwt("club", "m8", map[string]any{"email": "otto@buyers.example"}), "renew": known.text("renew")})
			if refused := other.text("reason") == "visitor_banned"; refused != (name == "by the name before") {
				t.Errorf("another: %d %s", other.Code, other.Body)
			}
		})
	}
}

// What was typed, and the resource, go on with a visitor who is the same and was
// known; nothing of it comes from whoever sat here before.
func TestWhatWasTypedStaysWithWhoTypedIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	h.connect("club", nil)
	typed := map[string]any{"name": "Alice Private", "email": "alice@private.example", "resource": "https://files.example"}
	with := func(more map[string]any) map[string]any {
		for k, v := range typed {
			more[k] = v
		}
		return more
	}
	carries := func(a said) bool {
		c := a.claims(t)
		return c["given_by_visitor"] != nil || c["aud"] != backend
	}
	alice := h.start(with(map[string]any{"identity": h.jwt("shop", "u1", nil)}))
	if again := h.start(map[string]any{"identity": h.jwt("club", "m1", nil), "renew": alice.text("renew")}); again.text("visitor_id") != alice.text("visitor_id") || !carries(again) {
		t.Errorf("the same person types it again: %s", again.Body)
	}
	alice = h.start(with(map[string]any{"identity": h.jwt("shop", "u1", nil)}))
	if bob := h.start(map[string]any{"identity": h.jwt("shop", "u2", map[string]any{"email": "bob@buyers.example"}), "renew": alice.text("renew")}); carries(bob) {
		t.Errorf("it is the next one's: %v", bob.claims(t))
	}
	planted := h.start(with(map[string]any{}))
	victim := h.start(map[string]any{"identity": h.jwt("shop", "u3", map[string]any{"email": "vic@buyers.example"}), "renew": planted.text("renew")})
	if carries(victim) {
		t.Errorf("it was planted: %v", victim.claims(t))
	}
	planted = h.start(with(map[string]any{}))
	h.ban(store.Ban{Email: "alice@private.example"})
	h.start(map[string]any{"renew": planted.text("renew")}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	for _, renew := range []string{victim.text("renew"), planted.text("renew")} {
		if a := h.start(map[string]any{"identity": h.jwt("shop", "u3", map[string]any{"email": "vic@buyers.example"}), "renew": renew}); a.Code != http.StatusOK {
			t.Errorf("locked out by what another typed: %d %s", a.Code, a.Body)
		}
	}
}

func TestASessionByUserHashEndsWithIt(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(h *house){
		"taken off": func(h *house) { h.connect("shop", nil) },
		"a JWT is demanded": func(h *house) {
			h.connect("shop", func(c *store.Connection) { c.JWT.UserHash, c.JWT.Required = true, true })
		},
		"a JWT is demanded by another":  func(h *house) { h.connect("club", func(c *store.Connection) { c.JWT.Required = true }) },
		"visitors may not sign in":      func(h *house) { h.change(func(s *store.Settings) { s.Visitors.SignIn = store.SignInOff }) },
		"the connection is for someone": func(h *house) { h.connect("shop", func(c *store.Connection) { c.For = store.ForAgents }) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
			a := h.hashed("shop", "u1")
			b := h.start(map[string]any{"renew": a.text("renew")})
			if b.Code != http.StatusOK {
				t.Fatalf("%d %s", b.Code, b.Body)
			}
			change(h)
			if c := h.start(map[string]any{"renew": b.text("renew")}); c.Code == http.StatusOK {
				t.Error("it is renewed")
			}
			if c := h.hashed("shop", "u1"); c.Code == http.StatusOK {
				t.Error("it is taken")
			}
		})
	}
}

func TestAUserHashShowsNobodysPresence(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	a := h.hashed("shop", "u1")
	if at, said := a.claims(t)["auth_time"]; said {
		t.Errorf("auth_time is %v", at)
	}
	if at, said := h.start(map[string]any{"renew": a.text("renew")}).claims(t)["auth_time"]; said {
		t.Errorf("renewed: auth_time is %v", at)
	}
	h.connect("desk", func(c *store.Connection) { c.JWT.Dialect = "zendesk" })
	timeless := h.jwt("desk", "", map[string]any{"external_id": "u9", "scope": "user", "sub": nil, "iat": nil})
	c := h.start(map[string]any{"identity": timeless})
	h.later(30 * time.Second)
	reloaded := h.start(map[string]any{"identity": timeless, "renew": c.text("renew")})
	if c.claims(t)["auth_time"] != reloaded.claims(t)["auth_time"] {
		t.Errorf("loaded again: auth_time is %v, was %v", reloaded.claims(t)["auth_time"], c.claims(t)["auth_time"])
	}
	// A JWT shows it for when it was made, and not anew when the page is loaded again.
	raw := h.jwt("shop", "u2", map[string]any{"iat": h.now().Add(-time.Minute).Unix(), "email": "bob@buyers.example"})
	made := float64(h.now().Add(-time.Minute).Unix())
	b := h.start(map[string]any{"identity": raw})
	h.later(30 * time.Second)
	again := h.start(map[string]any{"identity": raw, "renew": b.text("renew")})
	for _, a := range []said{b, again} {
		if at, _ := a.claims(t)["auth_time"].(float64); at < made-1 || at > made+1 {
			t.Errorf("auth_time is %v, made at %v", at, made)
		}
	}
}

func TestAVisitorShowsWhoTheyAreOnceInThirtyDays(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	for range 2 {
		h.later(14 * 24 * time.Hour)
		if a = h.start(map[string]any{"renew": a.text("renew")}); a.Code != http.StatusOK {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
	}
	shown := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": a.text("renew")})
	h.later(14 * 24 * time.Hour)
	b := h.start(map[string]any{"renew": shown.text("renew")})
	if b.Code != http.StatusOK || b.claims(t)["sid"] != a.claims(t)["sid"] {
		t.Fatalf("shown again: %d %s", b.Code, b.Body)
	}
	h.later(17 * 24 * time.Hour)
	h.start(map[string]any{"renew": b.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
}

func TestASessionDoesNotOutliveThatItsConnectionWasOff(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	h.connect("shop", func(c *store.Connection) { c.Disabled = true })
	h.start(map[string]any{"renew": a.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	h.later(time.Second)
	h.connect("shop", func(c *store.Connection) { c.Resumed = h.now() })
	h.start(map[string]any{"renew": a.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	h.later(time.Second)
	b := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": a.text("renew")})
	if b.text("visitor_id") != a.text("visitor_id") {
		t.Errorf("shown anew: %d %s", b.Code, b.Body)
	}
	if c := h.start(map[string]any{"renew": b.text("renew")}); c.Code != http.StatusOK {
		t.Errorf("%d %s", c.Code, c.Body)
	}
}

func TestAProofOfALoginThatIsOverIsNone(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("login", nil)
		verifier := strings.Repeat("v", 43)
		fred := base64.RawURLEncoding.EncodeToString([]byte("fred@fed"))
		for name, over := range map[string]session.UpstreamLogout{
			"a name": {Name: fred}, "an index": {Name: fred, Indexes: []string{"idx"}}, "a subject": {Subject: "abc"},
		} {
			h.later(time.Hour)
			proof := h.proof("login", verifier, shop)
			h.later(time.Second)
			over.Connection = load(h).Connection("login")
			h.update(func(tx store.Tx) error { return h.x.SignedOut(t.Context(), tx, load(h), over) })
			h.start(map[string]any{"proof": proof, "code_verifier": verifier}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
			h.later(time.Second)
			if a := h.start(map[string]any{"proof": h.proof("login", verifier, shop), "code_verifier": verifier}); a.Code != http.StatusOK {
				t.Errorf("%s: signed in again: %d %s", name, a.Code, a.Body)
			}
		}
		h.later(time.Hour)
		proof := h.proof("login", verifier, shop)
		other := session.UpstreamLogout{Connection: load(h).Connection("login"), Name: fred, Indexes: []string{"other"}}
		h.update(func(tx store.Tx) error { return h.x.SignedOut(t.Context(), tx, load(h), other) })
		if a := h.start(map[string]any{"proof": proof, "code_verifier": verifier}); a.Code != http.StatusOK {
			t.Errorf("another browser's login is over: %d %s", a.Code, a.Body)
		}
	})
}

func TestAnAnonymousTokenThatHasEndedIsNotLive(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		for range maxAliases {
			h.later(10 * time.Second)
			h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": h.start(map[string]any{}).text("renew")})
		}
		h.later(10 * time.Second)
		last := h.start(map[string]any{}) // there is no room for its name
		if ok, why := h.judge(last, "192.0.2.1"); !ok {
			t.Fatal(why)
		}
		h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": last.text("renew")})
		if ok, _ := h.judge(last, "192.0.2.1"); ok {
			t.Error("it lives on")
		}
	})
}

func TestOneVisitorCannotFillTheLog(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	for range maxSessions {
		if a := h.hashed("shop", "u1"); a.Code != http.StatusOK {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
	}
	a := h.hashed("shop", "u1")
	a.want(t, http.StatusTooManyRequests, "temporarily_unavailable", "")
	if a.Header().Get("Retry-After") != "6" {
		t.Errorf("Retry-After is %q", a.Header().Get("Retry-After"))
	}
	if b := h.hashed("shop", "u2"); b.Code != http.StatusOK {
		t.Errorf("another: %d", b.Code)
	}
	h.later(7 * time.Second)
	if a := h.hashed("shop", "u1"); a.Code != http.StatusOK {
		t.Errorf("seven seconds later: %d %s", a.Code, a.Body)
	}
}

func TestAnErasureFindsAFormerAddressToo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	h.start(map[string]any{"identity": h.jwt("shop", "u1", map[string]any{"email": "vera@maiden.example"})})
	h.ban(store.Ban{Email: "vera@maiden.example", Network: "203.0.113.0/24"})
	a := h.start(map[string]any{"identity": h.jwt("shop", "u1", map[string]any{"email": "vera@married.example"})})
	h.ok(h.audit.Seal(t.Context(), ""))
	if !h.auditHolds("vera@maiden.example") {
		t.Fatal("this test looks in the wrong place")
	}
	h.ok(h.known.Erase(t.Context(), load(h), a.text("visitor_id"), operator))
	h.ok(h.audit.Seal(t.Context(), ""))
	if h.auditHolds("vera@maiden.example") {
		t.Error("it is still there")
	}
}
