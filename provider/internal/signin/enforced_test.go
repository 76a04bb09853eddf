package signin

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// enforced switches single sign-on on for acme.example, alone.
func (h *house) enforced() {
	h.t.Helper()
	h.update(func(tx store.Tx) {
		settings, err := store.GetSettings(tx)
		must(h.t, err)
		settings.Domains = []string{"acme.example"}
		must(h.t, store.AllSettings.Put(tx, &settings))
		must(h.t, store.Connections.Put(tx, &store.Connection{
			ID: "corp", Kind: store.ConnectionOIDC, For: store.ForAgents, Name: "Acme SSO", Domains: []string{"acme.example"}, Enforce: true,
			Created: h.now(), Changed: h.now(), Rehearsed: h.now(), OIDC: &store.OIDCConnection{Issuer: "https://op.example", ClientID: "desk"},
		}))
		must(h.t, site.Changed(tx))
	})
	h.pass(time.Second) // longer than a snapshot is kept without a look
}

func TestAPasskeyBeginsNoSignInInAnEnforcedDomain(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		h := newHouse(t, engine, named)
		hers, theirs := h.passkey(h.agent(ana, good), 0), h.passkey(h.agent("bob@elsewhere.example", good), 0)
		h.enforced()
		b := h.browser()
		path := b.begin("client_id=desk")
		got := b.post(path+"/passkey", "credential", b.answer(path+"/passkey", hers))
		if to := got.header.Get("Refresh"); got.status != http.StatusOK || !strings.Contains(to, "/federation/corp/start?flow=") || len(h.sessions()) != 0 {
			t.Errorf("%d %s, led to %q, sessions %+v", got.status, got.to, to, h.sessions())
		}
		if n := h.audited(); n["sign_in.failure "+reasonEnforced] != 1 || n["sign_in.success"] != 0 {
			t.Errorf("recorded %v", n)
		}
		path = b.begin("client_id=desk")
		if got := b.post(path+"/passkey", "credential", b.answer(path+"/passkey", theirs)); !strings.HasPrefix(got.to, "/oauth/authorize/") {
			t.Errorf("of another domain: %d %s", got.status, got.body)
		}
	})
}

func TestAForgottenPasswordIsNotSetAnewInAnEnforcedDomain(t *testing.T) {
	t.Parallel()
	onBothEngines(t, func(t *testing.T, engine func(*houseOptions)) {
		mails := &outbox{}
		h := newHouse(t, engine, withMail(mails))
		h.agent(ana, good)
		h.agent("bob@elsewhere.example", good)
		h.enforced()
		for _, email := range []string{ana, "bob@elsewhere.example"} {
			if got := h.browser().post("/forgot", "email", email); got.status != http.StatusOK {
				t.Errorf("%s: %d", email, got.status)
			}
		}
		if len(mails.links) != 1 || !strings.HasPrefix(mails.links[0], "bob@elsewhere.example ") || !slices.Equal(mails.notices, []string{ana + " sso_only"}) {
			t.Errorf("links %q, notices %q", mails.links, mails.notices)
		}
	})
}
