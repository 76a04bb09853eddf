package oauth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 8707: several resources for a grant, one for a token.

const reports = "https://reports.example"

func newTargets(t *testing.T, on storetest.Engine) *house {
	h := newFlows(t, on)
	h.changeSettings(func(s *store.Settings) {
		s.Resources = append(s.Resources, store.Resource{Identifier: reports, Scopes: []string{"chat"}, AccessTokenFormat: "jwt", SigningAlg: "ES256"})
	})
	return h
}

func TestAGrantForSeveralResourcesGivesTokensForOneEach(t *testing.T) {
	storetest.OnBothEngines(t, testAGrantForSeveralResourcesGivesTokensForOneEach)
}

func testAGrantForSeveralResourcesGivesTokensForOneEach(t *testing.T, on storetest.Engine) {
	h := newTargets(t, on)
	both := ask("RP", callback)
	both["resource"] = []string{reports, testResource, reports}
	aud := func(a answer) any {
		t.Helper()
		if a.Code != http.StatusOK {
			t.Fatalf("got %d %s", a.Code, a.Body)
		}
		return payload(t, a.text("access_token"))["aud"]
	}
	first := h.redeem("RP", callback, h.code(both))
	if got := aud(first); got != reports {
		t.Errorf("without a resource the token is for %v, not for the first", got)
	}
	second := h.refresh("RP", first.text("refresh_token"), "resource", testResource)
	if got := aud(second); got != testResource {
		t.Errorf("the refreshed token is for %v", got)
	}
	h.refresh("RP", second.text("refresh_token"), "resource", testIssuer).wantError(t, http.StatusBadRequest, "invalid_target")
	h.changeClient("RP", func(c *store.Client) { c.DefaultResource = testResource })
	if got := aud(h.redeem("RP", callback, h.code(both))); got != testResource {
		t.Errorf("without a resource the token is for %v, not for the default", got)
	}
}

func TestOneUnknownResourceAmongSeveralIsRefused(t *testing.T) {
	storetest.OnBothEngines(t, testOneUnknownResourceAmongSeveralIsRefused)
}

func testOneUnknownResourceAmongSeveralIsRefused(t *testing.T, on storetest.Engine) {
	h := newTargets(t, on)
	q := ask("RP", callback)
	for _, bad := range [][]string{{testResource, "https://other.example"}, {"https://other.example", testResource}, {testResource, testResource + "/x"}} {
		q["resource"] = bad
		if got := h.authorize(q).back(t, callback); got.Get("error") != "invalid_target" || got.Has("code") {
			t.Errorf("%s: %v", bad, got)
		}
	}
	h.changeClient("RP", func(c *store.Client) { c.Resources = []string{testResource} })
	q["resource"] = []string{testResource, reports}
	if got := h.authorize(q).back(t, callback); got.Get("error") != "invalid_target" {
		t.Errorf("one that is not the client's: %v", got)
	}
}

func TestATokenRequestNamesOneResource(t *testing.T) {
	storetest.OnBothEngines(t, testATokenRequestNamesOneResource)
}

func testATokenRequestNamesOneResource(t *testing.T, on storetest.Engine) {
	h := newTargets(t, on)
	q := ask("RP", callback)
	q["resource"] = []string{testResource, reports}
	code := h.code(q)
	form := func(grant string, more ...string) url.Values {
		v := url.Values{"grant_type": {grant}, "resource": {testResource, reports}}
		for i := 0; i < len(more); i += 2 {
			v.Set(more[i], more[i+1])
		}
		return v
	}
	h.tokenPost("RP", form(grantCode, "code", code, "redirect_uri", callback, "code_verifier", verifier)).wantError(t, http.StatusBadRequest, "invalid_target")
	h.tokenPost("RP", form(grantClient)).wantError(t, http.StatusBadRequest, "invalid_target")
	a := h.redeem("RP", callback, code, "resource", reports) // it was not used up
	if a.Code != http.StatusOK {
		t.Fatalf("got %d %s", a.Code, a.Body)
	}
	h.tokenPost("RP", form(grantRefresh, "refresh_token", a.text("refresh_token"))).wantError(t, http.StatusBadRequest, "invalid_target")
	if a := h.refresh("RP", a.text("refresh_token")); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestSeveralResourcesSurviveTheSignIn(t *testing.T) {
	storetest.OnBothEngines(t, testSeveralResourcesSurviveTheSignIn)
}

func testSeveralResourcesSurviveTheSignIn(t *testing.T, on storetest.Engine) {
	h := newTargets(t, on)
	q := ask("RP", callback)
	q["resource"] = []string{reports, testResource}
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/authorize?resource="+url.QueryEscape(reports), strings.NewReader(ask("RP", callback, "resource", testResource).Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	again := h.do(r)
	if location := again.Header().Get("Location"); strings.Count(location, "resource=") != 2 {
		t.Errorf("POST, partly in the URL: %d %s", again.Code, location)
	}
	h.cookie = ""
	code := h.toSignIn(h.authorize(q), "alice").back(t, callback).Get("code")
	if got := payload(t, h.redeem("RP", callback, code, "resource", testResource).text("access_token"))["aud"]; got != testResource {
		t.Errorf("the token is for %v", got)
	}
}
