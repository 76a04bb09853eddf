package visitor

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// grant asks as the token endpoint does.
func (h *house) grant(assertion string) said {
	h.t.Helper()
	a := said{ResponseRecorder: httptest.NewRecorder()}
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", nil)
	form := url.Values{"assertion": {assertion}}
	h.x.Web.Handler(h.sites.Handler(h.x.Web.JSON(func(w http.ResponseWriter, r *http.Request) error { return h.x.Grant(w, r, form) }), h.x.Web.PageError)).ServeHTTP(a, r)
	a.JSON = decode(h, a.Body.Bytes())
	return a
}

func (h *house) judge(a said, ip string) (allowed bool, reason string) {
	h.t.Helper()
	c := a.claims(h.t)
	d, err := h.known.Judge(h.t.Context(), load(h), records.Token{ID: c["jti"].(string), Issued: time.UnixMilli(int64(c["iat_ms"].(float64))), Subject: c["sub"].(string), SID: c["sid"].(string), Anonymous: c["acr"] == Anonymous, IP: addr(ip)})
	h.ok(err)
	return d.Allowed, d.Reason
}

func TestAVisitorJWTIsAGrant(t *testing.T) {
	storetest.OnBothEngines(t, func(t *testing.T, on storetest.Engine) {
		h := newHouse(t, on)
		h.connect("shop", nil)
		raw := h.jwt("shop", "u1", nil)
		a := h.grant(raw)
		if a.Code != http.StatusOK || a.text("renew") != "" || a.text("assurance") != Signed {
			t.Fatalf("%d %s", a.Code, a.Body)
		}
		h.grant(raw).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
		h.start(map[string]any{"identity": raw}).want(t, http.StatusBadRequest, "invalid_grant", "token_replayed")
		if ok, why := h.judge(a, "192.0.2.1"); !ok {
			t.Error(why)
		}
		h.ban(store.Ban{ExternalID: "u1", Network: "198.51.100.0/24"})
		if _, why := h.judge(a, "192.0.2.1"); why != "revoked" {
			t.Errorf("the one from before: %s", why)
		}
		h.later(2 * time.Second)
		b := h.grant(h.jwt("shop", "u1", nil))
		if ok, why := h.judge(b, "192.0.2.1"); !ok {
			t.Errorf("elsewhere: %s", why)
		}
		if _, why := h.judge(b, "198.51.100.7"); why != "visitor_banned" {
			t.Error(why)
		}
	})
}

func TestATokenIsLiveAsLongAsItsSession(t *testing.T) {
	t.Parallel()
	h := newHouse(t, storetest.Bolt)
	h.connect("shop", nil)
	stranger := h.start(map[string]any{})
	if ok, why := h.judge(stranger, ""); !ok {
		t.Error(why)
	}
	first := h.start(map[string]any{"identity": h.jwt("shop", "u1", nil), "renew": stranger.text("renew")})
	if _, why := h.judge(stranger, ""); why != "revoked" {
		t.Errorf("after the upgrade: %s", why)
	}
	if ok, why := h.judge(first, ""); !ok {
		t.Error(why)
	}
	for range maxSessions {
		h.later(10 * time.Second)
		h.start(map[string]any{"identity": h.jwt("shop", "u1", nil)})
	}
	if _, why := h.judge(first, ""); why != "revoked" {
		t.Errorf("the oldest of too many browsers: %s", why)
	}
	h.ok(h.audit.Seal(t.Context(), ""))
	h.ok(h.known.Erase(t.Context(), load(h), first.text("visitor_id"), operator))
	if _, why := h.judge(first, ""); why != "subject_inactive" {
		t.Errorf("after the erasure: %s", why)
	}
}
