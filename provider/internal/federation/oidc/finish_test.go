package oidc_test

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
)

func TestAPersonComesBackFromTheirProvider(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	age := 0
	c := h.config()
	c.Prompt, c.ACRValues, c.LoginHint, c.MaxAge, c.Scopes = "login", []string{"a", "b"}, "raj@acme.example", &age, []string{"email", "groups"}
	s, sent := h.begin(c)
	challenge := sha256.Sum256([]byte(s.Verifier))
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": "the state", "nonce": s.Nonce, "scope": "openid email groups",
		"code_challenge": encode(challenge[:]), "code_challenge_method": "S256", "prompt": "login", "acr_values": "a b", "login_hint": "raj@acme.example", "max_age": "0",
	} {
		if got := sent[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s was sent as %q, want %q", name, got, want)
		}
	}
	if len(s.Nonce) < 22 || len(s.Verifier) < 43 || s.State != "the state" {
		t.Errorf("%+v", s)
	}
	half := sha256.Sum256([]byte(accessToken))
	h.idToken = h.signed(object{"alg": "RS256", "kid": "r", "typ": "JWT"}, h.claims(s).with(object{
		"sid": "a session", "acr": "phr", "amr": []string{"pwd", "mfa"}, "auth_time": noon.Add(-time.Minute).Unix(), "at_hash": encode(half[:16]), "groups": []string{"x"},
	}))
	id, checks, err := h.Finish(t.Context(), c, s, code())
	if err != nil {
		t.Fatalf("%v %+v", err, checks)
	}
	if id.Subject != "raj" || id.SID != "a session" || id.ACR != "phr" || !reflect.DeepEqual(id.AMR, []string{"pwd", "mfa"}) || !id.AuthTime.Equal(noon.Add(-time.Minute)) ||
		id.Values["email"] != "raj@acme.example" || id.Values["email_verified"] != true || !reflect.DeepEqual(id.Values["groups"], []any{"x"}) {
		t.Errorf("%+v", id)
	}
	for _, c := range checks {
		if !c.OK {
			t.Errorf("a check of somebody who came in: %+v", c)
		}
	}
	if h.form.Get("code_verifier") != s.Verifier || h.form.Get("code") != "a code" || h.form.Get("redirect_uri") != redirectURI || h.form.Get("grant_type") != "authorization_code" || h.form.Has("client_secret") {
		t.Errorf("the token endpoint was asked with %v", h.form)
	}
}

func TestEachFlowHasItsOwnNonceAndVerifier(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	seen := map[string]bool{}
	for range 50 {
		s, _ := h.begin(h.config())
		if seen[s.Nonce] || seen[s.Verifier] {
			t.Fatal("twice the same")
		}
		seen[s.Nonce], seen[s.Verifier] = true, true
	}
}

func TestTheSecretIsShownAsTheProviderTakesIt(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		ours   string
		theirs []string
		post   bool
	}{
		"neither says": {"", nil, false}, "they take both": {"", []string{"client_secret_post", "client_secret_basic"}, false}, "they take post": {"", []string{"private_key_jwt", "client_secret_post"}, true},
		"we say post": {"client_secret_post", nil, true}, "we say basic": {"client_secret_basic", []string{"client_secret_post"}, false},
	} {
		h := newHostile(t)
		h.document["token_endpoint_auth_methods_supported"] = row.theirs
		c := h.config()
		c.AuthMethod = row.ours
		if _, _, err := h.finish(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if row.post != (h.form.Get("client_secret") == clientSecret && h.basic[0] == "") || !row.post && (h.basic != [2]string{clientID, url.QueryEscape(clientSecret)} || h.form.Has("client_secret")) {
			t.Errorf("%s: %v and %q", name, h.form, h.basic)
		}
	}
	h := newHostile(t)
	c := h.config()
	c.ClientSecret = ""
	if _, _, err := h.finish(c); err != nil || h.form.Get("client_id") != clientID || h.form.Has("client_secret") || h.basic[0] != "" {
		t.Errorf("without a secret: %v, %v and %q", err, h.form, h.basic)
	}
}

func TestAnAnswerIsFromTheProviderThatWasAsked(t *testing.T) {
	t.Parallel()
	h, promising := newHostile(t), newHostile(t)
	promising.document["authorization_response_iss_parameter_supported"] = true
	evil := "https://evil.example"
	for _, r := range []struct {
		name, code, check string
		of                *hostile
		answer            url.Values
	}{
		{"another's iss", oidc.CodeInvalid, "answer iss", h, url.Values{"code": {"x"}, "iss": {evil}}},
		{"nearly its iss", oidc.CodeInvalid, "answer iss", h, url.Values{"code": {"x"}, "iss": {h.issuer + "/"}}},
		{"an empty iss", oidc.CodeInvalid, "answer iss", h, url.Values{"code": {"x"}, "iss": {""}}},
		{"no iss where it is promised", oidc.CodeInvalid, "answer iss", promising, code()},
		{"another's iss where one is promised", oidc.CodeInvalid, "answer iss", promising, url.Values{"code": {"x"}, "iss": {h.issuer}}},
		{"an error without the iss that is promised", oidc.CodeInvalid, "answer iss", promising, url.Values{"error": {"access_denied"}}},
		{"another's error", oidc.CodeInvalid, "answer iss", h, url.Values{"error": {"access_denied"}, "iss": {evil}}},
		{"two iss", oidc.CodeInvalid, "answer", h, url.Values{"code": {"x"}, "iss": {h.issuer, evil}}},
		{"two codes", oidc.CodeInvalid, "answer", h, url.Values{"code": {"x", "y"}}},
		{"nothing", oidc.CodeInvalid, "answer", h, url.Values{}},
		{"tokens in place of a code", oidc.CodeInvalid, "answer", h, url.Values{"id_token": {"x"}, "access_token": {"y"}}},
		{"a refusal", oidc.CodeProvider, "answer", h, url.Values{"error": {"access_denied"}, "error_description": {strings.Repeat("<b>no</b>\x1b[2J", 500)}}},
		{"a request of ours", oidc.CodeConfig, "answer", h, url.Values{"error": {"unauthorized_client"}}},
		{"a refusal with a code", oidc.CodeProvider, "answer", h, url.Values{"error": {"login_required"}, "code": {"x"}}},
	} {
		s, _ := r.of.begin(r.of.config())
		r.of.idToken = r.of.signed(object{"alg": "RS256"}, r.of.claims(s))
		id, checks, err := r.of.Finish(t.Context(), r.of.config(), s, r.answer)
		refused(t, r.name, id, checks, err, r.code, r.check)
		if r.of.requests("/token") != 0 {
			t.Errorf("%s: the code was redeemed", r.name)
		}
		if strings.ContainsAny(checks[len(checks)-1].Got, "\x1b\x00") {
			t.Errorf("%s: %q", r.name, checks[len(checks)-1].Got)
		}
	}
	s, _ := promising.begin(promising.config())
	promising.idToken = promising.signed(object{"alg": "RS256"}, promising.claims(s))
	answer := code()
	answer.Set("iss", promising.issuer)
	if _, checks, err := promising.Finish(t.Context(), promising.config(), s, answer); err != nil {
		t.Errorf("its own iss: %v %+v", err, checks)
	}
}

func TestAnIDTokenIsRefusedForEachClaimThatDoesNotHold(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	at := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	for _, r := range []struct {
		name        string
		claims      object
		code, check string
	}{
		{"another's iss", object{"iss": "https://evil.example"}, oidc.CodeInvalid, "iss"},
		{"iss with a slash more", object{"iss": h.issuer + "/"}, oidc.CodeInvalid, "iss"},
		{"no iss", object{"iss": nil}, oidc.CodeInvalid, "iss"},
		{"iss as a list", object{"iss": []string{h.issuer}}, oidc.CodeInvalid, "iss"},
		{"Google's short iss", object{"iss": "accounts.google.com"}, oidc.CodeInvalid, "iss"},
		{"another's aud", object{"aud": "other"}, oidc.CodeInvalid, "aud"},
		{"no aud", object{"aud": nil}, oidc.CodeInvalid, "aud"},
		{"empty aud", object{"aud": []string{}}, oidc.CodeInvalid, "aud"},
		{"aud in another case", object{"aud": "Desk"}, oidc.CodeInvalid, "aud"},
		{"aud with a number", object{"aud": []any{clientID, 5}}, oidc.CodeInvalid, "aud"},
		{"aud as an object", object{"aud": object{clientID: true}}, oidc.CodeInvalid, "aud"},
		{"two aud and no azp", object{"aud": []string{clientID, "other"}}, oidc.CodeInvalid, "azp"},
		{"two aud and another's azp", object{"aud": []string{clientID, "other"}, "azp": "other"}, oidc.CodeInvalid, "azp"},
		{"another's azp", object{"azp": "other"}, oidc.CodeInvalid, "azp"},
		{"azp as a number", object{"azp": 5}, oidc.CodeInvalid, "azp"},
		{"an empty azp", object{"azp": ""}, oidc.CodeInvalid, "azp"},
		{"another nonce", object{"nonce": "other"}, oidc.CodeInvalid, "nonce"},
		{"no nonce", object{"nonce": nil}, oidc.CodeInvalid, "nonce"},
		{"nonce as a list", object{"nonce": []string{"x"}}, oidc.CodeInvalid, "nonce"},
		{"no sub", object{"sub": nil}, oidc.CodeInvalid, "sub"},
		{"empty sub", object{"sub": ""}, oidc.CodeInvalid, "sub"},
		{"sub as a number", object{"sub": 42}, oidc.CodeInvalid, "sub"},
		{"a long sub", object{"sub": strings.Repeat("s", 256)}, oidc.CodeInvalid, "sub"},
		{"no exp", object{"exp": nil}, oidc.CodeInvalid, "exp"},
		{"exp as text", object{"exp": fmt.Sprint(at(time.Hour))}, oidc.CodeInvalid, "exp"},
		{"exp in milliseconds", object{"exp": noon.Add(time.Hour).UnixMilli()}, oidc.CodeInvalid, "exp"},
		{"exp in 9999", object{"exp": 253402300799}, oidc.CodeInvalid, "exp"},
		{"exp past", object{"exp": at(-time.Minute)}, oidc.CodeExpired, "exp"},
		{"negative exp", object{"exp": -1}, oidc.CodeInvalid, "exp"},
		{"exp beyond numbers", object{"exp": json.Number("1e400")}, oidc.CodeInvalid, "id_token"},
		{"no iat", object{"iat": nil}, oidc.CodeInvalid, "iat"},
		{"iat as text", object{"iat": fmt.Sprint(at(0))}, oidc.CodeInvalid, "iat"},
		{"iat in milliseconds", object{"iat": noon.UnixMilli()}, oidc.CodeInvalid, "iat"},
		{"iat to come", object{"iat": at(61 * time.Second)}, oidc.CodeInvalid, "iat"},
		{"stale iat", object{"iat": at(-10 * time.Minute)}, oidc.CodeExpired, "iat"},
		{"nbf to come", object{"nbf": at(61 * time.Second)}, oidc.CodeInvalid, "nbf"},
		{"nbf as text", object{"nbf": "x"}, oidc.CodeInvalid, "nbf"},
		{"nbf null", object{"nbf": json.RawMessage("null")}, oidc.CodeInvalid, "nbf"},
		{"of another access token", object{"at_hash": encode(make([]byte, 16))}, oidc.CodeInvalid, "at_hash"},
		{"an empty at_hash", object{"at_hash": ""}, oidc.CodeInvalid, "at_hash"},
		{"sid as a number", object{"sid": 5}, oidc.CodeInvalid, "sid"},
		{"a long sid", object{"sid": strings.Repeat("s", 513)}, oidc.CodeInvalid, "sid"},
		{"auth_time as text", object{"auth_time": "now"}, oidc.CodeInvalid, "auth_time"},
	} {
		id, checks, err := h.finish(h.config(), r.claims)
		refused(t, r.name, id, checks, err, r.code, r.check)
	}
}

func TestAnIDTokenAtTheEdgeOfTheRulesIsAccepted(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	for name, claims := range map[string]object{
		"exp within the skew":   {"exp": noon.Add(-59 * time.Second).Unix()},
		"iat within the skew":   {"iat": noon.Add(time.Minute).Unix()},
		"iat nearly stale":      {"iat": noon.Add(-10*time.Minute + time.Second).Unix()},
		"nbf within the skew":   {"nbf": noon.Add(time.Minute).Unix()},
		"fractions":             {"iat": float64(noon.Unix()) - 0.5, "exp": float64(noon.Unix()) + 0.5},
		"a list of one":         {"aud": []string{clientID}},
		"two aud and our azp":   {"aud": []string{"other", clientID}, "azp": clientID},
		"a day":                 {"exp": noon.Add(24 * time.Hour).Unix()},
		"a long sub":            {"sub": strings.Repeat("s", 255)},
		"acr as a number":       {"acr": 1},
		"amr as text":           {"amr": "mfa"},
		"amr with what is none": {"amr": []any{"mfa", 5}},
	} {
		h.accepted(name, claims)
	}
	if id := h.accepted("amr with what is none", object{"amr": []any{"mfa", 5}, "acr": 1}); id.AMR != nil || id.ACR != "" {
		t.Errorf("%+v", id)
	}
	c := h.config()
	c.Skew = 5 * time.Minute
	if _, _, err := h.finish(c, object{"iat": noon.Add(5 * time.Minute).Unix()}); err != nil {
		t.Errorf("the connection's own skew: %v", err)
	}
}

func TestATokenCountsInTheFlowThatItIsForOnly(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	mine, _ := h.begin(h.config())
	theirs, _ := h.begin(h.config())
	h.idToken = h.signed(object{"alg": "RS256"}, h.claims(theirs))
	id, checks, err := h.Finish(t.Context(), h.config(), mine, code())
	refused(t, "another flow's token", id, checks, err, oidc.CodeInvalid, "nonce")
	h.idToken = h.signed(object{"alg": "RS256"}, h.claims(oidc.Start{}))
	id, checks, err = h.Finish(t.Context(), h.config(), oidc.Start{}, code())
	refused(t, "a flow without a nonce", id, checks, err, oidc.CodeInvalid, "nonce")
}

func TestATokenEndpointThatDoesNotAnswerAsItShould(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	h.handle("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") })
	for name, r := range map[string]struct {
		answer http.HandlerFunc
		check  string // empty: ErrUnavailable
	}{
		"redirects": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "token_endpoint"},
		"refuses": {func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"error":"invalid_grant","error_description":"x"}`, http.StatusBadRequest)
		}, "token_endpoint"},
		"knows no such client": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"invalid_client"}`)
		}, "token_endpoint"},
		"fails":         {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<html>", http.StatusInternalServerError) }, "token_endpoint"},
		"breaks off":    {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
		"says HTML":     {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") }, ""},
		"has no tokens": {func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }, ""},
		"has no ID token": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"x"}`)
		}, "id_token"},
		"has a number": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, `{"access_token":"x","id_token":5}`)
		}, "id_token"},
		"has a long token": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprintf(w, `{"access_token":"x","id_token":%q}`, strings.Repeat("a", 64<<10+1))
		}, "id_token"},
		"never ends": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 3 << 10 {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		}, ""},
	} {
		h.handle("/token", r.answer)
		s, _ := h.begin(h.config())
		id, checks, err := h.Finish(t.Context(), h.config(), s, code())
		if r.check == "" {
			if !errors.Is(err, oidc.ErrUnavailable) || id.Subject != "" || strings.Contains(err.Error(), clientSecret) || strings.Contains(err.Error(), s.Verifier) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		want := oidc.CodeProvider
		switch {
		case r.check == "id_token":
			want = oidc.CodeInvalid
		case name == "knows no such client":
			want = oidc.CodeConfig
		}
		refused(t, name, id, checks, err, want, r.check)
	}
}

func TestASecretIsNotPrinted(t *testing.T) {
	t.Parallel()
	c := oidc.Config{Issuer: "https://op.example", ClientSecret: clientSecret}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(verb, c); strings.Contains(text, clientSecret) || !strings.Contains(text, "op.example") {
			t.Errorf("%s: %s", verb, text)
		}
	}
}
