package policy_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

// fine is a request that is allowed; each row of the table spoils one thing.
func fine(t testing.TB) policy.Request {
	return policy.Request{
		Now:     noon,
		Subject: policy.Subject{Type: policy.Agent, ID: "a1", Roles: []string{"supervisors"}, Permissions: []string{"chat.monitor", "visitor.ban"}, Active: true, ACR: "aal2", AuthTime: noon.Add(-time.Minute)},
		Token:   &policy.Token{Audience: []string{"https://chat.example"}, For: "https://chat.example", NotBefore: noon.Add(-time.Minute), Expires: noon.Add(time.Minute)},
		Action:  "visitor.ban", IP: netip.MustParseAddr("203.0.113.5"), Allowlist: compile(t, cidr("203.0.113.0/24")), Pathway: policy.Console,
	}
}

func TestDecideNamesTheRuleThatRefuses(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*policy.Request)
		want  string
	}{
		"nothing":             {func(*policy.Request) {}, policy.ReasonAllowed},
		"no token":            {func(r *policy.Request) { r.Token = nil }, policy.ReasonAllowed},
		"no permission":       {func(r *policy.Request) { r.Action = "site.manage" }, policy.ReasonPermission},
		"empty action":        {func(r *policy.Request) { r.Action = ""; r.Subject.Permissions = []string{""} }, policy.ReasonPermission},
		"longer action":       {func(r *policy.Request) { r.Action = "visitor.ban.all" }, policy.ReasonPermission},
		"inactive":            {func(r *policy.Request) { r.Subject.Active = false }, policy.ReasonSubjectInactive},
		"expired":             {func(r *policy.Request) { r.Now = r.Token.Expires }, policy.ReasonTokenExpired},
		"expired with leeway": {func(r *policy.Request) { r.Now = r.Token.Expires; r.Token.Leeway = time.Second }, policy.ReasonAllowed},
		"not yet valid":       {func(r *policy.Request) { r.Token.NotBefore = noon.Add(time.Second) }, policy.ReasonTokenNotYetValid},
		"other audience":      {func(r *policy.Request) { r.Token.For = "https://chat.example/" }, policy.ReasonAudienceMismatch},
		"revoked":             {func(r *policy.Request) { r.Token.Revoked = true }, policy.ReasonRevoked},
		"stale":               {func(r *policy.Request) { r.Token.Stale = true }, policy.ReasonStale},
		"unknown address":     {func(r *policy.Request) { r.IP = netip.Addr{} }, policy.ReasonIPUnknown},
		"zoned address":       {func(r *policy.Request) { r.IP = netip.MustParseAddr("fe80::1%eth0") }, policy.ReasonIPUnknown},
		"other address":       {func(r *policy.Request) { r.IP = netip.MustParseAddr("203.0.114.5") }, policy.ReasonIPNotAllowed},
		"mapped address":      {func(r *policy.Request) { r.IP = netip.MustParseAddr("::ffff:203.0.113.5") }, policy.ReasonAllowed},
		"list off":            {func(r *policy.Request) { r.IP = netip.Addr{}; r.Allowlist = nil }, policy.ReasonAllowed},
		"list, any pathway":   {func(r *policy.Request) { r.IP = netip.Addr{}; r.Pathway = "" }, policy.ReasonIPUnknown},
		"a visitor":           {func(r *policy.Request) { r.IP = netip.Addr{}; r.Subject.Type = policy.Visitor }, policy.ReasonAllowed},
		"a client":            {func(r *policy.Request) { r.IP = netip.Addr{}; r.Subject.Type = policy.Client }, policy.ReasonAllowed},
		"type left out":       {func(r *policy.Request) { r.IP = netip.Addr{}; r.Subject.Type = "" }, policy.ReasonIPUnknown},
		"networks, nobody":    {func(r *policy.Request) { r.AllowedNetworks = []netip.Prefix{} }, policy.ReasonIPNotAllowed},
		"networks, elsewhere": {func(r *policy.Request) { r.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }, policy.ReasonIPNotAllowed},
		"networks, here":      {func(r *policy.Request) { r.AllowedNetworks = []netip.Prefix{netip.MustParsePrefix("203.0.113.4/31")} }, policy.ReasonAllowed},
		"networks bind all": {func(r *policy.Request) {
			r.Subject.Type, r.AllowedNetworks, r.IP = policy.Client, []netip.Prefix{}, netip.Addr{}
		}, policy.ReasonIPUnknown},
		"network before permission": {func(r *policy.Request) { r.IP = netip.MustParseAddr("1.1.1.1"); r.Action = "site.manage" }, policy.ReasonIPNotAllowed},
		"demand met":                {func(r *policy.Request) { r.Demands = policy.Demands{ACR: []string{"phr", "aal2"}, MaxAge: time.Hour} }, policy.ReasonAllowed},
		"stronger than demanded":    {func(r *policy.Request) { r.Demands.ACR = []string{"aal1"} }, policy.ReasonAllowed},
		"an acr of others":          {func(r *policy.Request) { r.Demands.ACR, r.Subject.ACR = []string{"aal1"}, "silver" }, policy.ReasonStepUp},
		"weak sign-in":              {func(r *policy.Request) { r.Demands.ACR = []string{"phr"} }, policy.ReasonStepUp},
		"old sign-in":               {func(r *policy.Request) { r.Demands.MaxAge = time.Minute }, policy.ReasonStepUp},
		"sign-in unknown":           {func(r *policy.Request) { r.Demands.MaxAge = time.Minute; r.Subject.AuthTime = time.Time{} }, policy.ReasonStepUp},
		"no assurance":              {func(r *policy.Request) { r.Subject.Type, r.Demands.Assurance = policy.Visitor, []string{"federated"} }, policy.ReasonStepUp},
		"an agent's assurance":      {func(r *policy.Request) { r.Demands.Assurance = []string{"federated"} }, policy.ReasonPermission},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := fine(t)
			c.spoil(&r)
			got := policy.Decide(r)
			if got.Reason != c.want || got.Allowed != (c.want == policy.ReasonAllowed) {
				t.Errorf("%+v, want %s", got, c.want)
			}
		})
	}
}

func TestZeroDecisionIsARefusal(t *testing.T) {
	t.Parallel()
	if (policy.Decision{}).Allowed || policy.Decide(policy.Request{}).Allowed || policy.Admit(policy.Request{}).Allowed {
		t.Error("nothing was asked and it was allowed")
	}
}

func TestAnswerIsNotKeptLongerThanTheTokenOrTheSignInLives(t *testing.T) {
	t.Parallel()
	r := fine(t)
	if got := policy.Decide(r).Until; !got.Equal(noon.Add(policy.DefaultKeep)) {
		t.Errorf("by default until %v", got)
	}
	r.Keep = time.Hour
	if got := policy.Decide(r).Until; !got.Equal(r.Token.Expires) {
		t.Errorf("until %v, the token ends %v", got, r.Token.Expires)
	}
	r.Demands.MaxAge = 90 * time.Second
	if got := policy.Decide(r).Until; !got.Equal(noon.Add(30 * time.Second)) {
		t.Errorf("until %v, the sign-in is too old at +30 s", got)
	}
}

func TestStepUpSaysWhatTheNewSignInMustBe(t *testing.T) {
	t.Parallel()
	r := fine(t)
	r.Demands = policy.Demands{ACR: []string{"aal3", "phr"}, MaxAge: 30 * time.Second}
	want := []policy.Obligation{{Name: "acr_values", Value: "aal3 phr"}, {Name: "max_age", Value: "30"}}
	if diff := cmp.Diff(want, policy.Decide(r).Obligations); diff != "" {
		t.Error(diff)
	}
}

func TestAdmitDoesNotAskForAPermission(t *testing.T) {
	t.Parallel()
	r := fine(t)
	r.Action, r.Subject.Permissions = "", nil
	if got := policy.Admit(r); !got.Allowed {
		t.Errorf("%+v", got)
	}
}

func BenchmarkDecide(b *testing.B) {
	r := fine(b)
	b.ReportAllocs()
	for b.Loop() {
		if !policy.Decide(r).Allowed {
			b.Fatal("refused")
		}
	}
}
