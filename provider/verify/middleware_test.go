package verify_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

// call sends a request with these Authorization headers through the middleware.
func call(c *verify.Client, guard verify.Guard, authorization ...string) *httptest.ResponseRecorder {
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if token, ok := verify.FromContext(r.Context()); ok {
			_, _ = w.Write([]byte("hello " + token.Subject))
		}
	})
	r := httptest.NewRequest(http.MethodGet, "/?access_token=ignored", nil)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	c.Middleware(next, guard).ServeHTTP(w, r)
	return w
}

func TestMiddlewareAnswersAsRFC6750And9470Say(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	now := time.Now()
	old := issuer.Token(verifytest.Claims{"auth_time": now.Add(-time.Hour).Unix()})
	elsewhere := issuer.Token(verifytest.Claims{"allowed_networks": []string{"203.0.113.0/24"}})
	here := issuer.Token(verifytest.Claims{"allowed_networks": []string{"192.0.2.0/24"}})
	visitor := issuer.Token(verifytest.Claims{"subject_type": "visitor", "assurance": "anonymous", "acr": "anonymous"})
	good := "Bearer " + issuer.Token(nil)
	for name, c := range map[string]struct {
		answer    *httptest.ResponseRecorder
		status    int
		challenge string // part of WWW-Authenticate; empty: there is none
		body      string
	}{
		"good":                  {call(c, verify.Guard{Action: "chat.accept"}, good), 200, "", "hello ana"},
		"scheme in lower":       {call(c, verify.Guard{}, strings.Replace(good, "Bearer", "bearer", 1)), 200, "", "hello ana"},
		"its network":           {call(c, verify.Guard{}, "Bearer "+here), 200, "", "hello ana"},
		"no token":              {call(c, verify.Guard{}), 401, `Bearer realm="https://chat.example"`, "token_required"},
		"another scheme":        {call(c, verify.Guard{}, "Basic YTpi"), 401, `Bearer realm="https://chat.example"`, "token_required"},
		"no scheme":             {call(c, verify.Guard{}, good[7:]), 401, `Bearer realm=`, "token_required"},
		"scheme alone":          {call(c, verify.Guard{}, "Bearer"), 400, `error="invalid_request"`, "invalid_request"},
		"two headers":           {call(c, verify.Guard{}, good, good), 400, `error="invalid_request"`, "invalid_request"},
		"two tokens":            {call(c, verify.Guard{}, good+", "+good), 400, `error="invalid_request"`, "invalid_request"},
		"two spaces":            {call(c, verify.Guard{}, strings.Replace(good, " ", "  ", 1)), 400, `error="invalid_request"`, "invalid_request"},
		"malformed":             {call(c, verify.Guard{}, `Bearer x"y`), 401, `error="invalid_token", error_description="not a JWT in strict compact form"`, "invalid_token"},
		"no permission":         {call(c, verify.Guard{Action: "visitor.ban"}, good), 403, `error="insufficient_scope", error_description="permission_missing", scope="visitor.ban"`, "permission_missing"},
		"another network":       {call(c, verify.Guard{}, "Bearer "+elsewhere), 403, "", "ip_not_allowed"},
		"an unknown address":    {call(c, verify.Guard{ClientIP: func(*http.Request) netip.Addr { return netip.Addr{} }}, "Bearer "+elsewhere), 403, "", "ip_unknown"},
		"weak sign-in":          {call(c, verify.Guard{Demands: policy.Demands{ACR: []string{"aal2", "phr"}}}, good), 401, `error="insufficient_user_authentication", error_description="step_up_required", acr_values="aal2 phr"`, "step_up_required"},
		"an agent, of visitors": {call(c, verify.Guard{Demands: policy.Demands{Assurance: []string{"signed"}}}, good), 403, `error="insufficient_scope", error_description="permission_missing"`, "permission_missing"},
		"old sign-in":           {call(c, verify.Guard{Demands: policy.Demands{MaxAge: 5 * time.Minute}}, "Bearer "+old), 401, `max_age="300"`, "step_up_required"},
		"anonymous visitor":     {call(c, verify.Guard{Demands: policy.Demands{Assurance: []string{"signed", "federated"}}}, "Bearer "+visitor), 401, `acr_values="signed federated"`, "step_up_required"},
		"the demanded sort":     {call(c, verify.Guard{Demands: policy.Demands{Assurance: []string{"anonymous"}}}, "Bearer "+visitor), 200, "", "hello ana"},
		"a backend must hear":   {call(c, verify.Guard{Refused: func(w http.ResponseWriter, _ *http.Request, r verify.Refusal) { w.WriteHeader(r.Status + 18) }}), 419, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			challenge := c.answer.Header().Get("WWW-Authenticate")
			if c.answer.Code != c.status || (challenge == "") != (c.challenge == "") || !strings.Contains(challenge, c.challenge) || !strings.Contains(c.answer.Body.String(), c.body) {
				t.Errorf("%d %s\n%s", c.answer.Code, challenge, c.answer.Body)
			}
			if c.status != 200 && c.body != "" && (!json.Valid(c.answer.Body.Bytes()) || c.answer.Header().Get("Cache-Control") != "no-store") {
				t.Errorf("%v %s", c.answer.Header(), c.answer.Body)
			}
		})
	}
}

// Whoever opens the page has a visitor's token: where a good token is all that is
// asked, that must not do.
func TestAGuardLetsThroughWhoseTokensItNames(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	tokens := map[string]string{
		policy.Agent:   issuer.Token(nil),
		policy.Visitor: issuer.Token(verifytest.Claims{"subject_type": policy.Visitor, "assurance": "anonymous", "acr": "anonymous", "entitlements": []string{}}),
		policy.Client:  issuer.Token(verifytest.Claims{"subject_type": policy.Client, "sub": "backend", "entitlements": []string{"chat.accept"}}),
	}
	entitled := issuer.Token(verifytest.Claims{"entitlements": []string{policy.ActionChat}})
	for _, row := range []struct {
		guard verify.Guard
		in    []string
	}{
		{verify.Guard{}, []string{policy.Agent, policy.Client}},
		{verify.Guard{Demands: policy.Demands{ACR: []string{"aal1", "anonymous"}}}, []string{policy.Agent, policy.Client}},
		{verify.Guard{Demands: policy.Demands{Assurance: []string{"anonymous"}}}, []string{policy.Visitor}},
		{verify.Guard{Action: policy.ActionChat}, []string{policy.Visitor}},
		{verify.Guard{Action: "chat.accept"}, []string{policy.Agent, policy.Client}},
		{verify.Guard{Action: "chat.accept", Subjects: []string{policy.Agent}}, []string{policy.Agent}},
		{verify.Guard{Action: policy.ActionChat, Subjects: []string{policy.Agent}}, nil},
		{verify.Guard{Subjects: []string{policy.Visitor}}, []string{policy.Visitor}},
		{verify.Guard{Subjects: []string{policy.Agent, policy.Visitor}}, []string{policy.Agent, policy.Visitor}},
		{verify.Guard{Subjects: []string{"nobody"}}, nil},
	} {
		for who, raw := range tokens {
			want := http.StatusForbidden
			if slices.Contains(row.in, who) {
				want = http.StatusOK
			}
			got := call(c, row.guard, "Bearer "+raw)
			if got.Code != want || (want == http.StatusForbidden) != strings.Contains(got.Body.String(), policy.ReasonPermission) {
				t.Errorf("%+v answers a %s with %d %s", row.guard, who, got.Code, got.Body)
			}
		}
	}
	visitorsAlone := verify.Guard{Action: policy.ActionChat, Subjects: []string{policy.Visitor}}
	if w := call(c, visitorsAlone, "Bearer "+entitled); w.Code != http.StatusForbidden {
		t.Errorf("an agent who may chat is taken for a visitor: %d", w.Code)
	}
	strict := verify.Guard{Subjects: []string{policy.Agent}, Demands: policy.Demands{ACR: []string{"aal2"}}}
	if w := call(c, strict, "Bearer "+tokens[policy.Visitor]); w.Code != http.StatusForbidden {
		t.Errorf("a visitor is sent to sign in, which would not help: %d %s", w.Code, w.Body)
	}
}

func TestMiddlewareSaysTryAgainWhenTheFeedIsSilent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		issuer := verifytest.New(t)
		c := issuer.Client(t)
		issuer.Unavailable(true)
		time.Sleep(31 * time.Second)
		w := call(c, verify.Guard{}, "Bearer "+issuer.Token(nil))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
}

func TestMiddlewareAsksTheServerWhenTheNetworksAreTooManyForAToken(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	raw := issuer.Token(verifytest.Claims{"allowed_networks_check": "remote"})
	var asked verifytest.Question
	answer := policy.Decision{Allowed: true, Reason: policy.ReasonAllowed}
	issuer.Decide(func(q verifytest.Question) policy.Decision { asked = q; return answer })
	if w := call(c, verify.Guard{Action: "chat.accept"}, "Bearer "+raw); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	want := verifytest.Question{Resource: policy.Resource{Type: "resource", ID: verifytest.Audience}, Action: "chat.accept", IP: "192.0.2.1", IPNamed: true, Token: raw}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Error(diff)
	}
	answer = policy.Refuse(policy.ReasonIPNotAllowed, time.Time{})
	if w := call(c, verify.Guard{Action: "chat.accept"}, "Bearer "+raw); w.Code != http.StatusForbidden || !strings.Contains(w.Body.String(), "ip_not_allowed") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	issuer.Unavailable(true)
	if w := call(c, verify.Guard{Action: "chat.accept"}, "Bearer "+raw); w.Code != http.StatusServiceUnavailable {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := call(c, verify.Guard{}, "Bearer "+raw); w.Code != http.StatusForbidden {
		t.Errorf("without an action nobody can be asked: %d %s", w.Code, w.Body)
	}
}

func TestAskCarriesQuestionAndAnswer(t *testing.T) {
	t.Parallel()
	issuer := verifytest.Start(t)
	c := issuer.Client(t)
	var asked verifytest.Question
	issuer.Decide(func(q verifytest.Question) policy.Decision {
		asked = q
		return policy.Decision{Reason: policy.ReasonStepUp, Obligations: []policy.Obligation{{Name: "acr_values", Value: "aal2"}, {Name: "max_age", Value: "60"}}}
	})
	began := time.Now()
	got, err := c.Ask(t.Context(), verify.Question{
		Subject: policy.Resource{Type: policy.Agent, ID: "ana"}, Action: "visitor.ban", Resource: policy.Resource{Type: "conversation", ID: "7"},
		IP: netip.MustParseAddr("::ffff:192.0.2.7"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.Until.Before(began.Add(4*time.Second)) || got.Until.After(time.Now().Add(5*time.Second)) {
		t.Errorf("kept until %s", got.Until)
	}
	got.Until = time.Time{}
	want := policy.Decision{Reason: policy.ReasonStepUp, Obligations: []policy.Obligation{{Name: "acr_values", Value: "aal2"}, {Name: "max_age", Value: "60"}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantAsked := verifytest.Question{Subject: policy.Resource{Type: policy.Agent, ID: "ana"}, Action: "visitor.ban", Resource: policy.Resource{Type: "conversation", ID: "7"}, IP: "192.0.2.7", IPNamed: true}
	if diff := cmp.Diff(wantAsked, asked); diff != "" {
		t.Error(diff)
	}
}

func TestAskTellsNoAddressFromAnAddressNobodyKnows(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	var asked verifytest.Question
	issuer.Decide(func(q verifytest.Question) policy.Decision { asked = q; return policy.Decision{} })
	for ip, named := range map[netip.Addr]bool{{}: false, netip.MustParseAddr("fe80::1%eth0"): true} {
		if _, err := c.Ask(t.Context(), verify.Question{Token: "x", Action: "chat.accept", IP: ip}); err != nil || asked.IPNamed != named || asked.IP != "" {
			t.Errorf("%v: %+v %v", ip, asked, err)
		}
	}
}

func TestAskThatGetsNoAnswerIsAnErrorAndARefusal(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	question := verify.Question{Token: "x", Action: "chat.accept"}
	for name, answer := range map[string]string{"no decision": `{}`, "null": `{"decision":null}`, "a word": `{"decision":"true"}`, "HTML": `<html>`, "long": `{"decision":true}` + strings.Repeat(" ", 1<<20)} {
		issuer.Serve("/access/v1/evaluation", []byte(answer))
		if d, err := c.Ask(t.Context(), question); !errors.Is(err, verify.ErrUnavailable) || d.Allowed {
			t.Errorf("%s: %+v %v", name, d, err)
		}
	}
	issuer.Serve("/access/v1/evaluation", nil)
	if d, err := c.Ask(t.Context(), verify.Question{Token: "x"}); !errors.Is(err, verify.ErrUnavailable) || d.Allowed {
		t.Errorf("an incomplete question: %+v %v", d, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if d, err := c.Ask(ctx, question); !errors.Is(err, context.Canceled) || d.Allowed {
		t.Errorf("cancelled: %+v %v", d, err)
	}
	open, err := verify.New(t.Context(), verify.Options{Issuer: issuer.URL, Audience: "a", HTTPClient: issuer.Options().HTTPClient, WithoutRevocations: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(open.Close)
	if d, err := open.Ask(t.Context(), question); !errors.Is(err, verify.ErrClientRefused) || d.Allowed {
		t.Errorf("without credentials: %+v %v", d, err)
	}
}
