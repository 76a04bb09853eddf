package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 7009.

func (h *house) revoke(client, token string, more ...string) {
	h.t.Helper()
	form := url.Values{"token": {token}}
	for i := 0; i < len(more); i += 2 {
		form.Set(more[i], more[i+1])
	}
	if a := h.post("/oauth/revoke", client, form); a.Code != http.StatusOK || a.Body.Len() != 0 {
		h.t.Errorf("revocation: %d %s", a.Code, a.Body)
	}
}

func (h *house) feed() []store.Revocation {
	h.t.Helper()
	var all []store.Revocation
	h.ok(h.store.View(h.t.Context(), "", func(tx store.Tx) error {
		for r, err := range store.Revocations.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, r)
		}
		return nil
	}))
	return all
}

func TestAnAccessTokenIsRevokedAloneWhateverTheHintSays(t *testing.T) {
	storetest.OnBothEngines(t, testAnAccessTokenIsRevokedAloneWhateverTheHintSays)
}

func testAnAccessTokenIsRevokedAloneWhateverTheHintSays(t *testing.T, on storetest.Engine) {
	for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
		t.Run(hint, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			g, refresh := h.family("CONF", "openid", "chat", "offline_access")
			token, sibling := h.token(g), h.token(g)
			h.revoke("CONF", token, "token_type_hint", hint)
			h.wantActive("CHAT", token, false)
			h.wantActive("CHAT", sibling, true)
			h.wantActive("CONF", refresh, true)
			if feed := h.feed(); len(feed) != 1 || feed[0].JTI == "" {
				t.Errorf("the feed says %+v", feed)
			}
			h.revoke("CONF", token) // again
			if feed := h.feed(); len(feed) != 1 {
				t.Errorf("a second revocation said more: %+v", feed)
			}
		})
	}
}

func TestARefreshTokenTakesItsFamilyAlong(t *testing.T) {
	storetest.OnBothEngines(t, testARefreshTokenTakesItsFamilyAlong)
}

func testARefreshTokenTakesItsFamilyAlong(t *testing.T, on storetest.Engine) {
	for _, hint := range []string{"", "access_token", "refresh_token", "nonsense"} {
		t.Run(hint, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, on)
			g, refresh := h.family("CONF", "openid", "chat", "offline_access")
			token := h.token(g)
			h.revoke("CONF", refresh, "token_type_hint", hint)
			h.wantActive("CHAT", token, false)
			h.wantActive("CONF", refresh, false)
			if len(h.feed()) == 0 {
				t.Error("verifiers do not hear of it")
			}
		})
	}
}

func TestWhatIsNotTheClientsOwnIsLeftAlone(t *testing.T) {
	storetest.OnBothEngines(t, testWhatIsNotTheClientsOwnIsLeftAlone)
}

func testWhatIsNotTheClientsOwnIsLeftAlone(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	g, refresh := h.family("CONF", "openid", "chat", "offline_access")
	token := h.token(g)
	half := refresh[len(refresh)/2:]
	for _, junk := range []string{token, refresh, "AAAA." + half, "AAAA" + half, "a.b.c", "....", strings.Repeat("A", 40<<10), "\u202e", "%00", "x"} {
		h.revoke("EVIL", junk)
		h.revoke("EVIL", junk, "token_type_hint", "refresh_token")
	}
	for _, junk := range []string{"AAAA." + half, "AAAA" + half, refresh + "A", "a.b.c", strings.Repeat(".", 100)} {
		h.revoke("CONF", junk)
	}
	h.wantActive("CHAT", token, true)
	h.wantActive("CONF", refresh, true)
	if feed := h.feed(); len(feed) != 0 {
		t.Errorf("the feed says %+v", feed)
	}
}

func TestAPublicClientRevokesItsOwn(t *testing.T) {
	storetest.OnBothEngines(t, testAPublicClientRevokesItsOwn)
}

func testAPublicClientRevokesItsOwn(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	_, refresh := h.family("PUB", "openid", "offline_access")
	_, other := h.family("CONF", "openid", "offline_access")
	for _, token := range []string{refresh, other} {
		if a := h.post("/oauth/revoke", "", url.Values{"token": {token}, "client_id": {"PUB"}}); a.Code != http.StatusOK {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	h.wantActive("CONF", other, true)
	if len(h.feed()) != 1 {
		t.Errorf("the feed says %+v", h.feed())
	}
}

func TestRevocationNeedsAClient(t *testing.T) { storetest.OnBothEngines(t, testRevocationNeedsAClient) }

func testRevocationNeedsAClient(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	token := h.token(h.grant("CONF", "openid", "chat"))
	if a := h.post("/oauth/revoke", "", url.Values{"token": {token}}); a.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := h.post("/oauth/revoke", "", url.Values{"token": {token}, "client_id": {"CONF"}}); a.Code != http.StatusUnauthorized {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	if a := h.post("/oauth/revoke", "CONF", url.Values{}); a.Code != http.StatusBadRequest || a.JSON["error"] != "invalid_request" {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	h.wantActive("CHAT", token, true)
}

func TestAFirstPartyClientEndsAWholeSession(t *testing.T) {
	storetest.OnBothEngines(t, testAFirstPartyClientEndsAWholeSession)
}

func testAFirstPartyClientEndsAWholeSession(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	desk, app := h.token(h.grantIn(rec.SID, "CONF", "openid", "chat")), h.token(h.grantIn(rec.SID, "EVIL", "openid"))
	for _, sid := range []string{"unknown", strings.Repeat("x", 4000)} {
		if a := h.post("/oauth/revoke", "CONF", url.Values{"sid": {sid}}); a.Code != http.StatusOK {
			t.Errorf("%d %s", a.Code, a.Body)
		}
	}
	if a := h.post("/oauth/revoke", "EVIL", url.Values{"sid": {rec.SID}}); a.Code != http.StatusBadRequest || a.JSON["error"] != "unauthorized_client" {
		t.Errorf("a third party: %d %s", a.Code, a.Body)
	}
	h.wantActive("EVIL", app, true)
	if a := h.post("/oauth/revoke", "CONF", url.Values{"sid": {rec.SID}}); a.Code != http.StatusOK {
		t.Errorf("%d %s", a.Code, a.Body)
	}
	h.wantActive("CHAT", desk, false)
	h.wantActive("EVIL", app, false)
	if feed := h.feed(); len(feed) == 0 || feed[len(feed)-1].SID == "" && feed[0].SID == "" {
		t.Errorf("the feed says %+v", feed)
	}
}

func TestASessionOfOthersIsNotTheClientsToEnd(t *testing.T) {
	storetest.OnBothEngines(t, testASessionOfOthersIsNotTheClientsToEnd)
}

func testASessionOfOthersIsNotTheClientsToEnd(t *testing.T, on storetest.Engine) {
	h := newHouse(t, on)
	rec := h.session()
	token := h.token(h.grantIn(rec.SID, "EVIL", "openid"))
	h.post("/oauth/revoke", "CONF", url.Values{"sid": {rec.SID}})
	h.wantActive("EVIL", token, true)
}
