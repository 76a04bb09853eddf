package visitor

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

func TestWhereVisitorsDoNotSignInNothingTheyShowCounts(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", func(c *store.Connection) { c.JWT.UserHash = true })
	h.connect("login", nil)
	verifier := strings.Repeat("v", 43)
	federated := h.start(map[string]any{"proof": h.proof("login", verifier, shop), "code_verifier": verifier})
	if federated.text("assurance") != Federated {
		t.Fatalf("%d %s", federated.Code, federated.Body)
	}
	proof := h.proof("login", verifier, shop)
	h.change(func(s *store.Settings) { s.Visitors.SignIn = store.SignInOff })
	for way, a := range map[string]said{
		"proof":     h.start(map[string]any{"proof": proof, "code_verifier": verifier}),
		"identity":  h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)}),
		"user_hash": h.hashed("shop", "u1"),
		"the grant": h.grant(h.jwt("shop", "u1", nil)),
	} {
		if a.Code != http.StatusForbidden || a.text("error") != "access_denied" || a.text("reason") != reasonSignInOff {
			t.Errorf("%s: %d %s", way, a.Code, a.Body)
		}
	}
	h.start(map[string]any{"renew": federated.text("renew")}).want(t, http.StatusBadRequest, "invalid_grant", "")
	if a := h.start(map[string]any{}); a.Code != http.StatusOK {
		t.Errorf("a stranger: %d %s", a.Code, a.Body)
	}
}

// An app has no origin, and a login was begun by a page that has one.
func TestAProofIsOfNoUseWhereNoPageIs(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("login", nil)
	verifier := strings.Repeat("v", 43)
	body := `{"proof":"` + h.proof("login", verifier, shop) + `","code_verifier":"` + verifier + `"}`
	h.post("", "192.0.2.1:1", body).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	h.post(shop, "192.0.2.1:1", body).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid) // it is used up
}

func TestAProofOfAConnectionThatWasSwitchedOffIsNone(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	verifier := strings.Repeat("v", 43)
	taken := func(proof string) said {
		return h.start(map[string]any{"proof": proof, "code_verifier": verifier})
	}
	h.connect("login", nil)
	while := h.proof("login", verifier, shop)
	before := h.proof("login", verifier, shop)
	h.connect("login", func(c *store.Connection) { c.Disabled = true })
	taken(while).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	// Another node may have made it when nobody had told it yet, so that nothing has
	// removed it: it is of before all the same.
	h.later(time.Second)
	h.connect("login", func(c *store.Connection) { c.Resumed = h.now() })
	taken(before).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
	h.later(time.Second)
	if a := taken(h.proof("login", verifier, shop)); a.Code != http.StatusOK {
		t.Errorf("a login since: %d %s", a.Code, a.Body)
	}
	h.connect("login", func(c *store.Connection) { c.For = store.ForAgents })
	taken(h.proof("login", verifier, shop)).want(t, http.StatusBadRequest, "invalid_grant", jwt.CodeInvalid)
}
