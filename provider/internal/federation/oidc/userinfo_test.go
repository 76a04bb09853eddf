package oidc_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
)

// thin is what a token lacks of which userinfo tells.
var thin = object{"email": nil, "email_verified": nil, "name": nil}

func newTalkative(t *testing.T, userinfo string) *hostile {
	t.Helper()
	h := newHostile(t)
	h.document["userinfo_endpoint"] = h.issuer + "/userinfo"
	h.userinfo = userinfo
	return h
}

func TestUserinfoAddsWhatTheTokenLacks(t *testing.T) {
	t.Parallel()
	h := newTalkative(t, `{"sub":"raj","email":"raj@acme.example","email_verified":true,"name":"Raj","iss":"https://evil.example","groups":["x"],"acr":"phr","amr":["mfa"],"sid":"other"}`)
	id := h.accepted("a thin token", thin)
	if id.Values["email"] != "raj@acme.example" || id.Values["email_verified"] != true || id.Values["name"] != "Raj" || id.Values["iss"] != h.issuer || id.Values["groups"] == nil {
		t.Errorf("%+v", id.Values)
	}
	if id.SID != "" || id.ACR != "" || id.AMR != nil {
		t.Errorf("how they signed in is the token's to say: %+v", id)
	}
	h.requests("/userinfo")
	h.accepted("a whole token")
	if n := h.requests("/userinfo"); n != 0 {
		t.Errorf("asked %d times for what is there", n)
	}
}

func TestUserinfoIsAskedForWhatTheConnectionMaps(t *testing.T) {
	t.Parallel()
	h := newTalkative(t, `{"sub":"raj","groups":["x"]}`)
	for _, r := range []struct {
		wanted string
		asked  int
	}{{"groups", 1}, {"realm_access.roles", 0}, {"https://acme.example/role", 0}, {"realm.roles", 1}} {
		c := h.config()
		c.Wanted = []string{r.wanted}
		if _, _, err := h.finish(c, object{"realm_access": object{}, "https://acme.example/role": "x"}); err != nil {
			t.Error(err)
		}
		if n := h.requests("/userinfo"); n != r.asked {
			t.Errorf("%s: asked %d times", r.wanted, n)
		}
	}
}

func TestAnAddressAndWhetherItIsVerifiedComeFromOneSource(t *testing.T) {
	t.Parallel()
	for _, r := range []struct {
		name, userinfo string
		token          object
		email          string
		verified       any
	}{
		{"userinfo verifies the token's", `{"sub":"raj","email":"raj@acme.example","email_verified":true}`, object{"email_verified": nil, "name": nil}, "raj@acme.example", nil},
		{"userinfo verifies another", `{"sub":"raj","email":"raj@evil.example","email_verified":true}`, object{"email_verified": nil, "name": nil}, "raj@acme.example", nil},
		{"the token verifies userinfo's", `{"sub":"raj","email":"ceo@acme.example"}`, object{"email": nil}, "ceo@acme.example", nil},
		{"both say", `{"sub":"raj","email":"ceo@acme.example","email_verified":true}`, object{"email_verified": false, "name": nil}, "raj@acme.example", false},
		{"a text", `{"sub":"raj","email":"raj@acme.example","email_verified":"true"}`, thin, "raj@acme.example", "true"},
		{"userinfo does not say", `{"sub":"raj","email":"raj@acme.example"}`, thin, "raj@acme.example", nil},
	} {
		h := newTalkative(t, r.userinfo)
		id := h.accepted(r.name, r.token)
		if id.Values["email"] != r.email || id.Values["email_verified"] != r.verified {
			t.Errorf("%s: %v %v", r.name, id.Values["email"], id.Values["email_verified"])
		}
	}
}

func TestUserinfoIsOfWhoTheTokenIsOf(t *testing.T) {
	t.Parallel()
	for name, userinfo := range map[string]string{
		"another's": `{"sub":"ana","email":"ana@acme.example","email_verified":true}`, "nobody's": `{"email":"ana@acme.example"}`, "of another case": `{"Sub":"raj"}`, "of a number": `{"sub":5}`,
		"two people's": `{"sub":"ana","sub":"raj"}`, "nearly two people's": `{"sub":"ana","SUB":"raj"}`, "null": `null`, "nested": `{"sub":"raj","x":` + strings.Repeat("[", 20) + strings.Repeat("]", 20) + `}`,
	} {
		h := newTalkative(t, userinfo)
		id, checks, err := h.finish(h.config(), thin)
		var no *oidc.Refused
		if errors.Is(err, oidc.ErrUnavailable) && id.Values == nil && strings.HasPrefix(name, "of a number") {
			continue
		}
		if !errors.As(err, &no) || no.Code != oidc.CodeInvalid || !strings.HasPrefix(no.Name, "userinfo") || id.Values != nil {
			t.Errorf("%s: %v %+v", name, err, checks)
		}
	}
}

func TestUserinfoThatDoesNotAnswerSignsNobodyIn(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]http.HandlerFunc{
		"refused":    func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"HTML":       func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "<html>") },
		"an abort":   func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"a JWT": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/jwt")
			io.WriteString(w, `eyJhbGciOiJub25lIn0.eyJzdWIiOiJyYWoifQ.`)
		},
		"without end": func(w http.ResponseWriter, _ *http.Request) {
			for range 3 << 10 {
				if _, err := io.WriteString(w, strings.Repeat(" ", 1<<10)); err != nil {
					return
				}
			}
		},
	} {
		h := newTalkative(t, "")
		h.handle("/userinfo", answer)
		h.handle("/elsewhere", func(http.ResponseWriter, *http.Request) { t.Errorf("%s: followed", name) })
		id, _, err := h.finish(h.config(), thin)
		if !errors.Is(err, oidc.ErrUnavailable) || id.Subject != "" || strings.Contains(err.Error(), accessToken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClaimsThatAreLeftOutAreTold(t *testing.T) {
	t.Parallel()
	h := newHostile(t)
	_, checks, err := h.finish(h.config(), object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": h.issuer + "/groups"}}})
	last := checks[len(checks)-1]
	if err != nil || last.Name != "claims" || last.OK || !strings.HasSuffix(last.Got, "groups") {
		t.Errorf("%v %+v", err, last)
	}
	if h.requests("/groups") != 0 {
		t.Error("somebody went there")
	}
}
