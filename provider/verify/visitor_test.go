package verify_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/verify"
	"github.com/chatelaine-id/chatelaine/provider/verify/verifytest"
)

func TestAVisitorsTokenSaysWhoVouchesForWhat(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	token, err := c.Token(t.Context(), issuer.Token(verifytest.Claims{
		"subject_type": "visitor", "assurance": "signed", "acr": "signed", "external_id": "u1", "name": "Vera", "email": "vera@buyers.example", "email_verified": true,
		"phone_number": "+49 30 1", "picture": "https://p.example/v", "locale": "de", "custom": map[string]any{"plan": "gold"},
		"given_by_visitor": map[string]any{"name": "V", "email": "typed@evil.example"}, "sub": "known",
		"sub_id": map[string]any{"format": "aliases", "identifiers": []any{
			map[string]any{"format": "iss_sub", "iss": "https://else.example", "sub": "foreign"},
			map[string]any{"format": "email", "email": "x@y.example"},
			map[string]any{"format": "iss_sub", "iss": issuer.URL, "sub": "known"}, map[string]any{"format": "iss_sub", "iss": issuer.URL, "sub": "before"},
		}},
	}))
	if err != nil {
		t.Fatal(err)
	}
	got, ok := token.Visitor()
	want := verify.Visitor{
		ExternalID: "u1", Name: "Vera", Email: "vera@buyers.example", EmailVerified: true, Phone: "+49 30 1", Picture: "https://p.example/v", Locale: "de",
		Custom: map[string]json.RawMessage{"plan": json.RawMessage(`"gold"`)}, Typed: verify.Typed{Name: "V", Email: "typed@evil.example"}, Was: "before",
	}
	if diff := cmp.Diff(want, got); !ok || diff != "" {
		t.Errorf("%v %s", ok, diff)
	}
}

func TestAnAnonymousVisitorHasNoFieldsAndAnAgentIsNoVisitor(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	token, err := c.Token(t.Context(), issuer.Token(verifytest.Claims{"subject_type": "visitor", "assurance": "anonymous"}))
	if err != nil {
		t.Fatal(err)
	}
	if v, ok := token.Visitor(); !ok || cmp.Diff(verify.Visitor{}, v) != "" {
		t.Errorf("%v %+v", ok, v)
	}
	agent, err := c.Token(t.Context(), issuer.Token(verifytest.Claims{"email": "ana@acme.example", "assurance": "signed"}))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := agent.Visitor(); ok {
		t.Error("an agent is a visitor")
	}
	if _, ok := (*verify.Token)(nil).Visitor(); ok {
		t.Error("no token is a visitor's")
	}
}

func TestAVisitorsTokenThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	for name, claims := range map[string]verifytest.Claims{
		"no assurance":        {"subject_type": "visitor"},
		"empty assurance":     {"subject_type": "visitor", "assurance": ""},
		"assurance, a list":   {"subject_type": "visitor", "assurance": []string{"signed"}},
		"email, an object":    {"subject_type": "visitor", "assurance": "signed", "email": map[string]any{}},
		"verified, a text":    {"subject_type": "visitor", "assurance": "signed", "email_verified": "true"},
		"custom, a list":      {"subject_type": "visitor", "assurance": "signed", "custom": []string{"a"}},
		"typed, a text":       {"subject_type": "visitor", "assurance": "signed", "given_by_visitor": "x"},
		"external id, number": {"subject_type": "visitor", "assurance": "signed", "external_id": 7},
	} {
		if _, err := c.Token(t.Context(), issuer.Token(claims)); !errors.Is(err, verify.ErrClaims) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWithoutACallAVisitorMayChatAndNothingElse(t *testing.T) {
	t.Parallel()
	issuer := verifytest.New(t)
	c := issuer.Client(t)
	token, err := c.Token(t.Context(), issuer.Token(verifytest.Claims{"subject_type": "visitor", "assurance": "anonymous", "acr": "anonymous", "entitlements": []string{}}))
	if err != nil {
		t.Fatal(err)
	}
	from := netip.MustParseAddr("192.0.2.1")
	if d := token.May(policy.ActionChat, from); !d.Allowed {
		t.Error(d.Reason)
	}
	if d := token.May("chat.accept", from); d.Reason != policy.ReasonPermission {
		t.Error(d.Reason)
	}
	if d := token.Admit(from, policy.Demands{Assurance: []string{"signed", "federated"}}); d.Reason != policy.ReasonStepUp {
		t.Error(d.Reason)
	}
	if d := token.Admit(from, policy.Demands{ACR: []string{"signed"}}); d.Reason != policy.ReasonStepUp {
		t.Error("kinds are no ladder: " + d.Reason)
	}
}
