package account_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// linkedTo links the agent to connections, one of which may be enforced.
func (h *house) linkedTo(email, enforced string, connections ...string) {
	h.t.Helper()
	a := h.agent(email)
	h.update(func(tx store.Tx) error {
		for _, id := range connections {
			c := store.Connection{
				ID: id, Kind: store.ConnectionOIDC, For: store.ForAgents, Name: "Login " + id, Created: h.now(), Changed: h.now(),
				OIDC: &store.OIDCConnection{Issuer: "https://" + id + ".example", ClientID: "desk"},
			}
			if id == enforced {
				c.Domains, c.Enforce, c.Rehearsed = []string{"acme.example"}, true, h.now()
			}
			if err := store.Connections.Put(tx, &c); err != nil {
				return err
			}
			if err := store.Links.Put(tx, &store.Link{Connection: id, Subject: "sub:ana", AgentID: a.ID, Created: h.now()}); err != nil {
				return err
			}
		}
		return site.Changed(tx)
	})
	h.pass(2 * site.MaxAge)
}

func TestTheLastWayInStays(t *testing.T) {
	storetest.OnBothEngines(t, testTheLastWayInStays)
}

func testTheLastWayInStays(t *testing.T, on storetest.Engine) {
	const unlink = "/account/links/remove"
	for name, c := range map[string]struct {
		password, passkey bool
		enforced          string
		connections       []string
		stays             bool
	}{
		"a link alone":             {connections: []string{"corp"}, stays: true},
		"a link and a password":    {connections: []string{"corp"}, password: true},
		"a link and a passkey":     {connections: []string{"corp"}, passkey: true},
		"two links":                {connections: []string{"corp", "other"}},
		"the one that is enforced": {connections: []string{"corp", "other"}, password: true, passkey: true, enforced: "corp", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			b := h.browser().signIn(ana)
			a := h.agent(ana)
			h.update(func(tx store.Tx) error {
				if c.passkey {
					key := store.Authenticator{ID: "key", AgentID: a.ID, Type: store.FactorPasskey, Name: "Laptop", Created: h.now(), CredentialID: []byte("key")}
					if err := store.Authenticators.Put(tx, &key); err != nil {
						return err
					}
					for s, err := range store.Sessions.List(tx, "agent", a.ID) { // which has been shown
						if err != nil {
							return err
						}
						s.ACR = "phr"
						if err := store.Sessions.Put(tx, &s); err != nil {
							return err
						}
						break
					}
				}
				if !c.password {
					a.PasswordHash = ""
				}
				return store.Agents.Put(tx, &a)
			})
			h.linkedTo(ana, c.enforced, c.connections...)
			if shown := strings.Contains(b.get("/account").body, `id="remove-link-corp"`); shown == c.stays {
				t.Errorf("offered: %v", shown)
			}
			if got := b.get(unlink + "?id=corp"); (got.status == http.StatusSeeOther && got.to == "/account") != c.stays {
				t.Errorf("asked: %d %s", got.status, got.to)
			}
			if c.stays && !b.get("/account").says("It stays until there is another way") {
				t.Error("nobody says why")
			}
			got := b.post(unlink, form("csrf", b.csrf(), "id", "corp", "confirm", "yes"))
			if left := len(list(h, &store.Links, "agent", a.ID)) == len(c.connections); left != c.stays {
				t.Errorf("left: %v (%d %s)", left, got.status, got.to)
			}
		})
	}
}
