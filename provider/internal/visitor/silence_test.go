package visitor

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// What a ban is on stays banned, whatever they leave out, have forgotten, or show in
// another way.

// proves is a start after a login at the connection.
func (h *house) proves(connection, subject string, fields store.VisitorFields) said {
	h.t.Helper()
	verifier := strings.Repeat("v", 43)
	return h.start(map[string]any{"proof": h.proofOf(connection, verifier, shop, store.VisitorProven{Subject: subject, Fields: fields}), "code_verifier": verifier})
}

func TestSilenceLiftsNoBan(t *testing.T) {
	t.Parallel()
	for name, ban := range map[string]store.Ban{"address": {Email: "fred@fed.example"}, "domain": {EmailDomain: "fed.example"}, "external id": {ExternalID: "f-1"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			h.connect("login", nil)
			whole, less := store.VisitorFields{Name: "Fred", Email: "fred@fed.example", ExternalID: "f-1"}, store.VisitorFields{Name: "Fred"}
			first := h.proves("login", "abc", whole)
			if first.Code != http.StatusOK {
				t.Fatalf("%d %s", first.Code, first.Body)
			}
			if b := h.proves("login", "abc", less); b.Code != http.StatusOK || b.claims(t)["email"] != nil { // before the ban
				t.Fatalf("%d %s", b.Code, b.Body)
			}
			h.ban(ban)
			for range 2 {
				h.proves("login", "abc", less).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			}
			h.proves("login", "abc", store.VisitorFields{Email: "other@else.example", ExternalID: "f-2"}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			if ok, _ := h.judge(first, ""); ok {
				t.Error("the token lives on")
			}
		})
	}
}

func TestAnErasureLiftsNoBan(t *testing.T) {
	t.Parallel()
	for name, ban := range map[string]func(a said) store.Ban{
		"id":                  func(a said) store.Ban { return store.Ban{VisitorID: a.text("visitor_id")} },
		"address":             func(said) store.Ban { return store.Ban{Email: "vera@buyers.example"} },
		"domain and network":  func(said) store.Ban { return store.Ban{EmailDomain: "buyers.example", Network: "192.0.2.0/24"} },
		"external id, a time": func(said) store.Ban { return store.Ban{ExternalID: "u1", Until: time.Unix(1_900_000_000, 0)} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, storetest.Bolt)
			h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
			a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
			other := h.start(map[string]any{"identity": h.jwt("shop", "u2", map[string]any{"email": "una@else.example"})})
			h.ban(ban(a))
			h.ok(h.audit.Seal(t.Context(), ""))
			h.ok(h.known.Erase(t.Context(), load(h), a.text("visitor_id"), operator))
			h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			h.hashed("shop", "u1").want(t, http.StatusForbidden, "access_denied", "visitor_banned")
			if b := h.start(map[string]any{"renew": other.text("renew")}); b.Code != http.StatusOK {
				t.Errorf("another is banned too: %d %s", b.Code, b.Body)
			}
			var bans []store.Ban
			h.ok(h.engine.View(t.Context(), "", func(tx store.Tx) error {
				for b, err := range store.Bans.All(tx, "") {
					if err != nil {
						return err
					}
					bans = append(bans, b)
				}
				return nil
			}))
			if len(bans) != 1 || len(bans[0].Subjects) != 1 || strings.Contains(bans[0].Subjects[0], "u1") {
				t.Fatalf("%+v", bans)
			}
			h.ok(h.known.Unban(t.Context(), load(h), bans[0].ID, operator))
			if b := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}); b.Code != http.StatusOK {
				t.Errorf("lifted, and still banned: %d %s", b.Code, b.Body)
			}
		})
	}
}

func TestATokenIsNoUserHash(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	h.ban(store.Ban{ExternalID: "u1"})
	raw := h.jwt("shop", "u1", nil)
	h.start(map[string]any{"identity": raw}).want(t, http.StatusForbidden, "access_denied", "visitor_banned")
	at := strings.LastIndexByte(raw, '.')
	signature, err := base64.RawURLEncoding.DecodeString(raw[at+1:])
	h.ok(err)
	h.start(map[string]any{"user_id": raw[:at], "user_hash": hex.EncodeToString(signature)}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	// Nor is it with the secret of the hashes, which may have been one of tokens before.
	h.hashed("shop", raw[:at]).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
}

func TestAUserHashIsNoToken(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	claims, err := json.Marshal(map[string]any{"iss": "x", "aud": testIssuer + "/federation/shop", "sub": "victim", "iat": h.now().Unix(), "jti": "j", "email": "victim@buyers.example", "email_verified": true})
	h.ok(err)
	name := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`)) + "." + base64.RawURLEncoding.EncodeToString(claims)
	signature, err := hex.DecodeString(jwt.UserHash([]byte(hashSecret+"shop"), name)) // what the shop shows to the user of that name
	h.ok(err)
	h.start(map[string]any{"identity": name + "." + base64.RawURLEncoding.EncodeToString(signature)}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
}

func TestABanEndsTokensOfALongerLife(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	lives := func(minutes int) {
		h.change(func(s *store.Settings) {
			before := *s
			s.Visitors.TokenMinutes = minutes
			s.Outlive(&before, h.now())
		})
	}
	lives(60)
	a := h.start(map[string]any{})
	lives(30)
	lives(5)
	h.later(20 * time.Minute)
	h.ban(store.Ban{Network: "192.0.2.1"})
	if ok, _ := h.judge(a, ""); ok {
		t.Error("network: the token is good, and no entry of the feed names it")
	}
	h.ban(store.Ban{VisitorID: a.text("visitor_id")})
	end, found := time.Unix(int64(a.claims(t)["exp"].(float64)), 0), false
	for _, r := range h.feed() {
		if r.Subject == a.text("visitor_id") {
			found = true
			if r.Expires.Before(end) {
				t.Errorf("the entry is forgotten at %s, the token lives until %s", r.Expires, end)
			}
		}
	}
	if !found {
		t.Error("no entry names the visitor")
	}
}
