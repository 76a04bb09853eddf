package visitor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

const (
	shopSecret = "a secret of the shop's own server, long enough"
	hashSecret = "a secret of the shop's for user_hash, and that alone"
)

// connect adds a visitor JWT connection with that id.
func (h *house) connect(id string, change func(*store.Connection)) {
	h.t.Helper()
	sealed, err := h.sealer.Seal("", store.Connections.Kind, id, []byte(shopSecret+id))
	h.ok(err)
	c := store.Connection{
		ID: id, Kind: store.ConnectionJWT, For: store.ForVisitors, Name: id, Created: h.now(), Updated: h.now(),
		JWT: &store.JWTConnection{Keys: []store.VerificationKey{{KID: "s1", Secret: sealed}}},
	}
	for _, before := range load(h).Connections() {
		if before.ID == id { // the same, changed
			c.Created = before.Created
		}
	}
	if change != nil {
		change(&c)
	}
	if c.JWT != nil && c.JWT.UserHash {
		sealed, err := h.sealer.Seal("", store.Connections.Kind, id, []byte(hashSecret+id))
		h.ok(err)
		c.JWT.Keys = append(c.JWT.Keys, store.VerificationKey{KID: "hashes", Use: store.UseUserHash, Secret: sealed})
	}
	h.update(func(tx store.Tx) error {
		if err := store.Connections.Put(tx, &c); err != nil {
			return err
		}
		return site.Changed(tx)
	})
}

// replace makes another connection of that name.
func (h *house) replace(id string) {
	h.t.Helper()
	h.connect(id, func(c *store.Connection) { c.Created = h.now() })
}

// jwt is a visitor JWT of that connection.
func (h *house) jwt(connection, sub string, more map[string]any) string {
	h.t.Helper()
	c := map[string]any{
		"iss": "https://shop.example", "aud": testIssuer + "/federation/" + connection, "sub": sub, "iat": h.now().Unix(), "exp": h.now().Add(2 * time.Minute).Unix(), "jti": random(12),
		"name": "Vera Shopper", "email": "vera+x@buyers.example", "email_verified": true,
	}
	maps.Copy(c, more)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	payload, err := json.Marshal(c)
	h.ok(err)
	signing := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256","kid":"s1"}`)) + "." + base64.RawURLEncoding.EncodeToString(payload)
	mac := hmac.New(sha256.New, []byte(shopSecret+connection))
	mac.Write([]byte(signing))
	return signing + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func TestAVisitorJWTMakesAKnownVisitor(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		raw := h.jwt("shop", "u1", nil)
		a := h.start(map[string]any{"identity": raw})
		if a.Code != http.StatusOK || a.text("assurance") != Signed {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		c := a.claims(t)
		for name, want := range map[string]any{"acr": Signed, "external_id": "u1", "email": "vera+x@buyers.example", "email_verified": true, "name": "Vera Shopper"} {
			if c[name] != want {
				t.Errorf("%s is %v", name, c[name])
			}
		}
		b := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
		if b.text("visitor_id") != a.text("visitor_id") || b.claims(t)["sid"] == c["sid"] {
			t.Errorf("another browser: %s", b.Body)
		}
		h.start(map[string]any{"identity": raw}).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
		other := h.start(map[string]any{"identity": h.jwt("shop", "u2", nil)})
		if other.text("visitor_id") == a.text("visitor_id") {
			t.Error("two are one")
		}
		h.start(map[string]any{"identity": raw, "renew": other.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
		again := h.start(map[string]any{"identity": raw, "renew": a.text("renew")})
		if again.claims(t)["sid"] != c["sid"] {
			t.Errorf("the page loaded again: %s", again.Body)
		}
		h.later(11 * time.Second)
		h.start(map[string]any{"identity": raw, "renew": a.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
	})
}

func TestOneOfFiftyRacersHasTheToken(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		raw := h.jwt("shop", "u1", nil)
		codes := make([]int, 50)
		var wg sync.WaitGroup
		for i := range codes {
			wg.Go(func() { codes[i] = h.start(map[string]any{"identity": raw}).Code })
		}
		wg.Wait()
		won := 0
		for _, code := range codes {
			if code == http.StatusOK {
				won++
			} else if code != http.StatusBadRequest {
				t.Errorf("a loser got %d", code)
			}
		}
		if won != 1 {
			t.Errorf("%d won", won)
		}
	})
}

func TestAVisitorJWTThatDoesNotHoldIsRefusedByItsReason(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	h.connect("other", nil)
	h.connect("off", func(c *store.Connection) { c.Disabled = true })
	h.connect("agents", func(c *store.Connection) { c.For = store.ForAgents })
	for reason, raw := range map[string]string{
		jwt.CodeExpired:      h.jwt("shop", "u1", map[string]any{"iat": h.now().Add(-time.Hour).Unix()}),
		jwt.CodeMissing:      h.jwt("shop", "", nil),
		jwt.CodeInvalid:      h.jwt("shop", "u1", nil) + "x",
		"connection_unknown": h.jwt("off", "u1", nil),
	} {
		h.start(map[string]any{"identity": raw}).want(t, http.StatusBadRequest, "invalid_grant", reason)
	}
	traces := 0
	h.ok(h.store.View(t.Context(), "", func(tx store.Tx) error {
		for rec, err := range store.Traces.List(tx, "connection", "shop") {
			h.ok(err)
			plain, err := h.sealer.Open("", store.Traces.Kind, rec.ID, rec.Sealed)
			var trace store.TraceRecord
			if err != nil || json.Unmarshal(plain, &trace) != nil || len(trace.Checks) == 0 {
				t.Errorf("trace %s: %s %v", rec.ID, plain, err)
			}
			traces++
		}
		return nil
	}))
	if traces != 3 {
		t.Errorf("%d traces", traces)
	}
	h.start(map[string]any{"identity": h.jwt("agents", "u1", nil)}).want(t, http.StatusBadRequest, "invalid_grant", "connection_unknown")
	h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "connection": "other"}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	h.change(func(s *store.Settings) { s.Visitors.SignIn = store.SignInOff })
	h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}).want(t, http.StatusForbidden, "access_denied", "sign_in_off")
}

func TestAConnectionThatDemandsAnIdentityLetsNoStrangerIn(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.Required, c.JWT.UserHash = true, true })
	h.start(map[string]any{}).want(t, http.StatusForbidden, "access_denied", "sign_in_required")
	hash := jwt.UserHash([]byte(hashSecret+"shop"), "u1")
	h.start(map[string]any{"user_id": "u1", "user_hash": hash}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	if a := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
}

func TestAUserHashCountsOnlyWhereTheConnectionSaysSo(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	hash := jwt.UserHash([]byte(hashSecret+"shop"), "u1")
	body := map[string]any{"user_id": "u1", "user_hash": hash}
	h.connect("shop", nil)
	h.start(body).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	known := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	a := h.start(body)
	amr, _ := a.claims(t)["amr"].([]any)
	if len(amr) != 1 || amr[0] != "user_hash" || known.claims(t)["amr"] != nil {
		t.Errorf("amr %v", amr)
	}
	if a.text("visitor_id") != known.text("visitor_id") || a.claims(t)["name"] != "Vera Shopper" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	h.start(map[string]any{"user_id": "u2", "user_hash": hash}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	h.start(map[string]any{"user_id": "u1", "user_hash": hex.EncodeToString(make([]byte, 32))}).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
}
