package admin

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

const anaSeed = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ" // RFC 6238's

// whole is every block that this version has.
const whole = `sites:
  - path: ""
    name: Acme Support
    domains: [acme.example]
    roles: [{key: supervisors, name: Supervisors, permissions: [chat.monitor, visitor.ban]}]
    departments: [{key: billing, name: Billing, transcripts_to: [billing@acme.example], offline_messages_to: []}]
    agents:
      - {email: ana@acme.example, name: Ana Silva, password: "Plum-tree lamp 42", totp_secret: "` + anaSeed + `", roles: [administrators], departments: [billing]}
      - {email: raj@acme.example, name: Raj Patel, password: "Plum-tree lamp 43", roles: [supervisors]}
    password_policy: {preset: nist, min_length: 16, history: 3}
    two_factor: {required_roles: [supervisors, administrators], grace_days: 5, remember_days: 0}
    sessions: {max_at_once: 2}
    ip_allowlist: {enabled: false, console: true, mobile: true, entries: [{cidr: 203.0.113.0/24, note: office}]}
`

func (h *house) settings() (s store.Settings) {
	h.view(func(tx store.Tx) (err error) { s, err = store.GetSettings(tx); return err })
	return s
}

func TestEveryBlockOfTheDesignStandsInTheStore(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", whole)
	s := h.settings()
	want := []any{
		store.TwoFactor{RequiredRoles: []string{"administrators", "supervisors"}, GraceDays: 5},
		store.SessionRules{MaxAtOnce: 2},
		store.PasswordPolicy{MinLength: 16, MinLengthWithFactor: 8, RefuseCommon: true, CommonWhole: true, RefuseBreached: true, History: 3, LockAfter: 5, LockMinutes: 30},
	}
	if diff := cmp.Diff(want, []any{s.TwoFactor, s.Sessions, s.Password}); diff != "" {
		t.Error(diff)
	}
	for range 2 {
		if lines := h.must("apply", "", whole); len(lines) > 0 {
			t.Errorf("a second run changes %q", lines)
		}
	}
	exported := string(h.do("export", "", "").raw)
	if strings.Contains(exported, anaSeed) || strings.Contains(exported, "preset") {
		t.Errorf("exported:\n%s", exported)
	}
	if lines := h.must("apply", "", exported); len(lines) > 0 {
		t.Errorf("what was exported changes %q\n%s", lines, exported)
	}
	fresh := newHouse(t)
	fresh.must("apply", "", exported)
	if diff := cmp.Diff(s, fresh.settings()); diff != "" {
		t.Errorf("an export makes other settings: %s", diff)
	}
}

func TestASeedOfAFileIsTheAgentsAuthenticator(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", whole)
	ana := h.agent("ana@acme.example")
	seed, err := mfa.ParseSeed(anaSeed)
	if err != nil {
		t.Fatal(err)
	}
	h.view(func(tx store.Tx) error {
		same, err := h.Factors.Imported(tx, ana.ID, seed)
		if !same {
			t.Error("ana's authenticator has another seed")
		}
		return err
	})
	// Later it applies no more, and no restart brings a lost one back.
	err = h.Store.Update(t.Context(), "", func(tx store.Tx) error {
		_, err := h.Factors.Reset(t.Context(), tx, nil, ana.ID, audit.Ref{Type: "operator", ID: "tess"})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	h.must("apply", "", whole)
	h.view(func(tx store.Tx) error {
		held, err := h.Factors.Has(tx, ana.ID)
		if held.Any() {
			t.Error("a restart brought a lost authenticator back")
		}
		return err
	})
}

func TestARemovedAgentLeavesNoAuthenticator(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", strings.Replace(whole, `roles: [supervisors]}`, `roles: [administrators]}`, 1))
	ana := h.agent("ana@acme.example")
	h.must("apply", `{"prune":true}`, `sites: [{path: "", agents: [{email: raj@acme.example}]}]`)
	h.view(func(tx store.Tx) error {
		held, err := h.Factors.Has(tx, ana.ID)
		if held.Any() {
			t.Error("it is still there")
		}
		return err
	})
}

func TestRulesAboutCredentialsThatCannotHoldAreRefused(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", whole)
	for file, say := range map[string]string{
		`two_factor: {required_roles: [ghosts]}`:                                        `line 3: two_factor: there is no role "ghosts"`,
		`two_factor: {grace_days: 366}`:                                                 `line 3: grace_days: 366 is not between 0 and 365`,
		`two_factor: {remember_days: -1}`:                                               `line 3: remember_days: -1 is not between`,
		`sessions: {max_at_once: 1001}`:                                                 `line 3: max_at_once: 1001 is not between`,
		`password_policy: {preset: strong}`:                                             `line 3: preset: "strong" is not one of guide, nist, pci`,
		`password_policy: {min_length_with_factor: 7}`:                                  `line 3: min_length_with_factor: 7 is not between 8`,
		`password_policy: {refuse_breached: 1}`:                                         `line 3: refuse_breached must be true or false`,
		`agents: [{email: b@c.example, totp_secret: "abc"}]`:                            `line 3: agent b@c.example: totp_secret is not the base32 text`,
		`agents: [{email: b@c.example, totp_secret: JBSWY3DPEHPK3PXP}]`:                 `line 3: agent b@c.example: totp_secret has fewer than 128 random bits`,
		`agents: [{email: b@c.example, totp_secret: AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA}]`: `line 3: agent b@c.example: totp_secret has fewer than 128 random bits`,
	} {
		h.refused("apply", "", "sites:\n  - path: \"\"\n    "+file+"\n", "usage", say)
	}
	pruned := "sites:\n  - path: \"\"\n    roles: []\n    agents: [{email: raj@acme.example, roles: [agents]}]\n"
	h.refused("apply", `{"prune":true}`, strings.Replace(pruned, "agents: [{", "agents: [{email: ana@acme.example}, {", 1), "usage", `two_factor: there is no role "supervisors"`)
}

func TestAPresetComesBeforeWhatStandsBesideIt(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.must("apply", "", `sites: [{path: "", password_policy: {preset: guide, min_length: 10}}]`)
	guide := policy.PasswordGuide()
	if got := h.settings().Password; got.MinLength != 10 || got.CharacterKinds != guide.CharacterKinds || got.MaxAgeDays != guide.MaxAgeDays {
		t.Errorf("%+v", got)
	}
	a := h.do("apply", "", `sites: [{path: "", password_policy: {preset: pci}}]`)
	if a.failure != nil || !strings.Contains(string(a.result), "two_factor.required_roles") || !strings.Contains(string(a.result), "lifetimes.session_idle") {
		t.Errorf("%s %v", a.result, a.failure)
	}
	if got := h.settings().Password; got.MinLength != 12 || got.MaxAgeDays != 90 {
		t.Errorf("%+v", got)
	}
}
