package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/storetest"
)

// RFC 6749, section 2.3; SECURITY's group Client authentication, rows 1, 2 and 6.

func (h *house) raw(header string, form url.Values) answer {
	h.t.Helper()
	if !form.Has("grant_type") {
		form.Set("grant_type", grantClient)
	}
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if header != "" {
		r.Header.Set("Authorization", header)
	}
	return h.do(r)
}

func basic(text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func TestASecretIsTakenByBasicAndInTheBody(t *testing.T) {
	storetest.OnBothEngines(t, testASecretIsTakenByBasicAndInTheBody)
}

func testASecretIsTakenByBasicAndInTheBody(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	inBody := url.Values{"client_id": {"RP"}, "client_secret": {secretOf("RP")}}
	for name, a := range map[string]answer{
		"basic":                   h.raw(basic("RP:"+secretOf("RP")), url.Values{}),
		"basic, lower case":       h.raw("b"+basic("RP:" + secretOf("RP"))[1:], url.Values{}),
		"basic, encoded":          h.raw(basic("%52P:"+url.QueryEscape(secretOf("RP"))), url.Values{}),
		"basic and its client_id": h.raw(basic("RP:"+secretOf("RP")), url.Values{"client_id": {"RP"}}),
		"post":                    h.raw("", inBody),
	} {
		if a.Code != http.StatusOK {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	h.changeClient("RP", func(c *store.Client) { c.StrictAuthMethod = true })
	h.raw("", inBody).wantError(t, http.StatusUnauthorized, "invalid_client")
}

func TestASecretWithReservedCharactersWorksEncodedOrNot(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	const secret = "abc+/def%20=ghi&jkl mno;pqr0123456789"
	sum := sha256.Sum256([]byte(secret))
	h.changeClient("RP", func(c *store.Client) { c.Secrets = []store.ClientSecret{{SHA256: sum[:]}} })
	for _, header := range []string{basic("RP:" + secret), basic("RP:" + url.QueryEscape(secret))} {
		if a := h.raw(header, url.Values{}); a.Code != http.StatusOK {
			t.Errorf("got %d %s", a.Code, a.Body)
		}
	}
}

func TestWrongAndUnknownClientsGetOneAnswer(t *testing.T) {
	storetest.OnBothEngines(t, testWrongAndUnknownClientsGetOneAnswer)
}

func testWrongAndUnknownClientsGetOneAnswer(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	h.addClient(store.Client{ID: "GONE", Disabled: true, GrantTypes: []string{grantClient}})
	right := secretOf("RP")
	var want string
	for name, header := range map[string]string{
		"wrong": basic("RP:wrong"), "empty": basic("RP:"), "another client's": basic("RP:" + secretOf("MAL")), "with a NUL": basic("RP:" + right + "\x00"),
		"cut": basic("RP:" + right[:20]), "30 KiB": basic("RP:" + strings.Repeat("x", 30<<10)), "unknown": basic("NOBODY:" + right), "disabled": basic("GONE:" + secretOf("GONE")),
		"public": basic("APP:"), "public with a secret": basic("APP:x"), "the hash": basic("RP:" + hashToken(right)),
	} {
		a := h.raw(header, url.Values{})
		a.wantError(t, http.StatusUnauthorized, "invalid_client")
		if a.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: no challenge", name)
		}
		if want == "" {
			want = a.Body.String()
		}
		if a.Body.String() != want {
			t.Errorf("%s tells itself apart: %s, not %s", name, a.Body, want)
		}
	}
	for name, form := range map[string]url.Values{
		"no secret": {"client_id": {"RP"}}, "empty secret": {"client_id": {"RP"}, "client_secret": {""}}, "unknown": {"client_id": {"NOBODY"}}, "nothing": {},
	} {
		if a := h.raw("", form); a.Code != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	for _, header := range []string{"Basic", "Basic !", basic("RP"), basic(":x"), basic("RP%zz:x"), basic("RP\xff:x"), "Bearer x", "Basic " + base64.RawURLEncoding.EncodeToString([]byte("RP:~~~~~"))} {
		h.raw(header, url.Values{}).wantError(t, http.StatusUnauthorized, "invalid_client")
	}
}

func TestTwoWaysAtOnceAreRefused(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	right := basic("RP:" + secretOf("RP"))
	for name, form := range map[string]url.Values{
		"basic and body":       {"client_id": {"MAL"}, "client_secret": {secretOf("MAL")}},
		"basic and same body":  {"client_id": {"RP"}, "client_secret": {secretOf("RP")}},
		"basic and another id": {"client_id": {"MAL"}},
		"basic and assertion":  {"client_assertion_type": {assertionType}, "client_assertion": {"eyJhbGciOiJub25lIn0.e30."}},
	} {
		if a := h.raw(right, form); a.Code != http.StatusBadRequest || a.text("error") != "invalid_request" {
			t.Errorf("%s: %d %s", name, a.Code, a.Body)
		}
	}
	a := h.raw("", url.Values{"client_id": {"RP"}, "client_secret": {secretOf("RP")}, "client_assertion_type": {assertionType}, "client_assertion": {"eyJhbGciOiJub25lIn0.e30."}})
	a.wantError(t, http.StatusBadRequest, "invalid_request")
	r := httptest.NewRequest(http.MethodPost, testIssuer+"/oauth/token", strings.NewReader("grant_type=client_credentials"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header["Authorization"] = []string{right, basic("MAL:x")}
	h.do(r).wantError(t, http.StatusBadRequest, "invalid_request")
}

func TestTwoSecretsWorkDuringARotation(t *testing.T) {
	storetest.OnBothEngines(t, testTwoSecretsWorkDuringARotation)
}

func testTwoSecretsWorkDuringARotation(t *testing.T, on storetest.Engine) {
	h := newFlows(t, on)
	sum := sha256.Sum256([]byte("the-new-secret-of-the-client-0123456789"))
	h.changeClient("RP", func(c *store.Client) {
		c.Secrets[0].Expires = h.now().Add(time.Hour)
		c.Secrets = append(c.Secrets, store.ClientSecret{SHA256: sum[:]})
	})
	old, next := basic("RP:"+secretOf("RP")), basic("RP:the-new-secret-of-the-client-0123456789")
	for _, header := range []string{old, next} {
		if a := h.raw(header, url.Values{}); a.Code != http.StatusOK {
			t.Errorf("got %d %s", a.Code, a.Body)
		}
	}
	h.pass(time.Hour)
	h.raw(old, url.Values{}).wantError(t, http.StatusUnauthorized, "invalid_client")
	if a := h.raw(next, url.Values{}); a.Code != http.StatusOK {
		t.Errorf("got %d %s", a.Code, a.Body)
	}
}

func TestGuessingIsSlowedDownAndTheClientIsNot(t *testing.T) {
	t.Parallel()
	h := newFlows(t, storetest.Bolt)
	slowed := false
	for i := range 100 {
		a := h.raw(basic(fmt.Sprintf("RP:guess-%d", i)), url.Values{})
		slowed = slowed || a.Code == http.StatusTooManyRequests && a.Header().Get("Retry-After") != ""
		if a := h.raw(basic("RP:"+secretOf("RP")), url.Values{}); a.Code != http.StatusOK {
			t.Fatalf("the client is shut out: %d %s", a.Code, a.Body)
		}
	}
	if !slowed {
		t.Error("a hundred guesses were all answered")
	}
}
