package oidc_test

import (
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
)

const event = "http://schemas.openid.net/event/backchannel-logout"

func (h *hostile) ended() object {
	return object{
		"iss": h.issuer, "aud": clientID, "iat": noon.Unix(), "exp": noon.Add(2 * time.Minute).Unix(), "jti": "one", "sub": "raj", "sid": "a session", "events": object{event: object{}},
	}
}

func (h *hostile) logout(header, claims object) (oidc.Logout, []oidc.Check, error) {
	h.t.Helper()
	return h.VerifyLogoutToken(h.t.Context(), h.config(), h.signed(header, claims))
}

func TestALogoutTokenSaysWhatHasEnded(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for name, r := range map[string]struct {
		header, claims object
		subject, sid   string
	}{
		"both": {object{"alg": "RS256", "kid": "r", "typ": "logout+jwt"}, object{}, "raj", "a session"}, "typ JWT": {object{"alg": "ES256", "typ": "JWT"}, object{}, "raj", "a session"},
		"no typ, a subject": {object{"alg": "RS256"}, object{"sid": nil}, "raj", ""}, "a session": {object{"alg": "RS256"}, object{"sub": nil}, "", "a session"},
		"a list of one": {object{"alg": "RS256"}, object{"aud": []string{clientID}}, "raj", "a session"}, "another event too": {object{"alg": "RS256"}, object{"events": object{event: object{}, "x": 1}}, "raj", "a session"},
	} {
		got, checks, err := h.logout(r.header, h.ended().with(r.claims))
		if err != nil || got.Subject != r.subject || got.SID != r.sid || got.JTI != "one" || got.Until.Before(noon.Add(5*time.Minute)) || got.Until.After(noon.Add(7*time.Minute)) {
			t.Errorf("%s: %+v, %v %+v", name, got, err, checks)
		}
	}
}

func TestALogoutTokenIsRememberedForAsLongAsItCounts(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	claims := h.ended().with(object{"exp": noon.Add(24 * time.Hour).Unix()})
	got, _, err := h.logout(object{"alg": "RS256"}, claims)
	if err != nil {
		t.Fatal(err)
	}
	h.later(got.Until.Sub(noon))
	if _, _, err := h.logout(object{"alg": "RS256"}, claims); err == nil {
		t.Error("it counts when it is forgotten")
	}
}

func TestALogoutTokenIsRefusedForEachThingThatDoesNotHold(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	good := object{"alg": "RS256", "kid": "r"}
	for _, r := range []struct {
		name        string
		header      object
		claims      object
		code, check string
	}{
		{"alg none", object{"alg": "none"}, nil, oidc.CodeInvalid, "algorithm"},
		{"our secret", object{"alg": "HS256"}, nil, oidc.CodeInvalid, "algorithm"},
		{"a foreign kid", object{"alg": "RS256", "kid": "x"}, nil, oidc.CodeInvalid, "key"},
		{"the typ of an access token", object{"alg": "RS256", "typ": "at+jwt"}, nil, oidc.CodeInvalid, "typ"},
		{"another's", good, object{"iss": "https://evil.example"}, oidc.CodeInvalid, "iss"},
		{"for another", good, object{"aud": "other"}, oidc.CodeInvalid, "aud"},
		{"for us and another", good, object{"aud": []string{clientID, "other"}}, oidc.CodeInvalid, "aud"},
		{"no events", good, object{"events": nil}, oidc.CodeInvalid, "events"},
		{"another event", good, object{"events": object{"x": object{}}}, oidc.CodeInvalid, "events"},
		{"an event that is null", good, object{"events": object{event: json.RawMessage("null")}}, oidc.CodeInvalid, "events"},
		{"events as a list", good, object{"events": []string{event}}, oidc.CodeInvalid, "events"},
		{"an ID token", good, object{"nonce": "x"}, oidc.CodeInvalid, "nonce"},
		{"a nonce that is null", good, object{"nonce": json.RawMessage("null")}, oidc.CodeInvalid, "nonce"},
		{"no jti", good, object{"jti": nil}, oidc.CodeInvalid, "jti"},
		{"a long jti", good, object{"jti": strings.Repeat("j", 256)}, oidc.CodeInvalid, "jti"},
		{"jti as a number", good, object{"jti": 5}, oidc.CodeInvalid, "jti"},
		{"about nobody", good, object{"sub": nil, "sid": nil}, oidc.CodeInvalid, "sub"},
		{"about empty names", good, object{"sub": "", "sid": ""}, oidc.CodeInvalid, "sub"},
		{"sub as a number", good, object{"sub": 5}, oidc.CodeInvalid, "sub"},
		{"sid as a list", good, object{"sid": []string{"x"}}, oidc.CodeInvalid, "sub"},
		{"no exp", good, object{"exp": nil}, oidc.CodeInvalid, "exp"},
		{"exp past", good, object{"exp": at(-time.Minute)}, oidc.CodeExpired, "exp"},
		{"no iat", good, object{"iat": nil}, oidc.CodeInvalid, "iat"},
		{"stale", good, object{"iat": at(-5 * time.Minute)}, oidc.CodeExpired, "iat"},
		{"to come", good, object{"iat": at(61 * time.Second)}, oidc.CodeInvalid, "iat"},
		{"nbf to come", good, object{"nbf": at(61 * time.Second)}, oidc.CodeInvalid, "nbf"},
		{"SUB beside sub", good, object{"SUB": "ana"}, oidc.CodeInvalid, "logout_token"},
		{"too long", good, object{"x": strings.Repeat("x", 16<<10)}, oidc.CodeInvalid, "logout_token"},
	} {
		got, checks, err := h.logout(r.header, h.ended().with(r.claims))
		refused(t, r.name, oidc.Identity{}, checks, err, r.code, r.check)
		if got != (oidc.Logout{}) {
			t.Errorf("%s: %+v", r.name, got)
		}
	}
	_, checks, err := h.VerifyLogoutToken(t.Context(), h.config(), "")
	refused(t, "nothing", oidc.Identity{}, checks, err, oidc.CodeInvalid, "logout_token")
}

func TestAnIDTokenSignsNobodyOut(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	s, _ := h.begin(h.config())
	_, checks, err := h.logout(object{"alg": "RS256"}, h.claims(s))
	refused(t, "an ID token", oidc.Identity{}, checks, err, oidc.CodeInvalid, "events")
	id, checks, err := h.judge(func(object) string { return h.signed(object{"alg": "RS256"}, h.ended()) })
	refused(t, "a logout token in an ID token's place", id, checks, err, oidc.CodeInvalid, "nonce")
}

func TestStrangersLogoutTokensCostTheProviderLittle(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for range 100 {
		_, _, err := h.VerifyLogoutToken(t.Context(), h.config(), otherToken(t, object{"alg": "RS256", "kid": "made up"}, h.ended()))
		var no *oidc.Refused
		if !errors.As(err, &no) {
			t.Fatal(err)
		}
	}
	if keys, documents := h.requests("/keys"), h.requests(wellKnown); keys != 1 || documents != 1 {
		t.Errorf("it was asked %d times for keys, %d times for its document", keys, documents)
	}
}

func TestWhereToSignOutAtTheProvider(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	text, err := h.EndSessionURL(t.Context(), h.config(), "a hint", "https://id.shop.example/federation/upstream/logout", "the state")
	u, parseErr := url.Parse(text)
	if err != nil || parseErr != nil || !strings.HasPrefix(text, h.issuer+"/end?") {
		t.Fatalf("%q: %v, %v", text, err, parseErr)
	}
	want := url.Values{
		"tenant": {"1"}, "client_id": {clientID}, "id_token_hint": {"a hint"}, "post_logout_redirect_uri": {"https://id.shop.example/federation/upstream/logout"}, "state": {"the state"},
	}
	if got := u.Query(); got.Encode() != want.Encode() {
		t.Errorf("%v", got)
	}
	h = newHostile(t)
	delete(h.document, "end_session_endpoint")
	if text, err := h.EndSessionURL(t.Context(), h.config(), "", "", ""); text != "" || err != nil {
		t.Errorf("%q, %v", text, err)
	}
	h = newHostile(t)
	h.document["issuer"] = "x"
	if _, err := h.EndSessionURL(t.Context(), h.config(), "", "", ""); !errors.Is(err, oidc.ErrUnavailable) {
		t.Error(err)
	}
}
