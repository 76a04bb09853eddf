package provider_test

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml/samltest"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// restoredAt has a backup come back then.
func (h *running) restoredAt(then time.Time) {
	h.t.Helper()
	err := h.engine.Update(h.t.Context(), "", func(tx store.Tx) error {
		return store.Restorations.Put(tx, &store.Restoration{At: then.UTC(), Epoch: 1})
	})
	if err != nil {
		h.t.Fatal(err)
	}
}

func TestWhatWasSaidBeforeARestoreSignsNobodyIn(t *testing.T) {
	t.Parallel()
	h := &federated{start(t, storetest.Bolt, ""), samltest.New(idpBase, time.Now())}
	h.connect(corp(h.idp), h.portal())
	restored := time.Now().Add(-2 * time.Minute)
	h.restoredAt(restored)
	for made, counts := range map[time.Duration]bool{-time.Second: false, 55 * time.Second: false, 65 * time.Second: true} { // clocks differ by a minute
		when := restored.Add(made)
		saml := h.through(rajThere, func(a *samltest.Answer) { a.Now = when })
		token := h.byPortal(map[string]any{"iat": when.Unix()})
		if h.in(saml) != counts || h.in(token) != counts {
			t.Errorf("made %s after it: in by SAML %v, by JWT %v", made, h.in(saml), h.in(token))
		}
		if !counts {
			h.refusedWith(saml, "token_expired")
			h.refusedWith(token, "token_expired")
		}
	}
}

func TestALogoutOfBeforeARestoreEndsNothing(t *testing.T) {
	t.Parallel()
	h, op := &federated{start(t, storetest.Bolt, ""), samltest.New(idpBase, time.Now())}, newLiar(t)
	h.connect(corp(h.idp), op.connection())
	restored := time.Now().Add(-2 * time.Minute)
	h.restoredAt(restored)
	bySAML, byOIDC := newBrowser(t, ""), newBrowser(t, deskCallback)
	if p := h.back(bySAML, h.answer(h.away(bySAML, oauth2.GenerateVerifier()), rajThere)); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	op.next(map[string]any{"sub": "raj-7", "email": "raj@acme.example", "email_verified": true, "sid": "session-1"})
	if p := byOIDC.link(byOIDC.get(h.authorizeURL(oauth2.GenerateVerifier())), "connection-liar"); !h.in(p) {
		t.Fatalf("%d %s", p.status, p.body)
	}
	for _, row := range []struct {
		made time.Time
		ends bool
	}{{restored.Add(-time.Second), false}, {restored.Add(55 * time.Second), false}, {time.Now(), true}} {
		to, _ := carried(t, h.signsOut(h.idp, "corp", row.made), h.idp)
		if p := newBrowser(t, h.idp.SLO).get(to); row.ends != (p.away != nil) || h.signedIn(bySAML) == row.ends {
			t.Errorf("SAML, made %s after it: %d, away to %v: %s", row.made.Sub(restored), p.status, p.away, between(p.body, "<h1>", "</h1>"))
		}
		said := op.sign("logout+jwt", map[string]any{
			"jti": randomID(), "events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}}, "sid": "session-1", "iat": row.made.Unix(),
		})
		want := map[bool]int{true: http.StatusOK, false: http.StatusBadRequest}[row.ends]
		if p := newBrowser(t, "").post(h.issuer+"/federation/liar/backchannel", url.Values{"logout_token": {said}}); p.status != want || h.signedIn(byOIDC) == row.ends {
			t.Errorf("OpenID Connect, made %s after it: %d %s", row.made.Sub(restored), p.status, p.body)
		}
	}
}
