package policy_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/policy"
)

func TestEveryBuiltInPermissionHasASentenceAndAValidName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range policy.AllPermissions() {
		if seen[p.Name] || !policy.ValidPermission(p.Name) || strings.Count(p.Name, ".") != 1 || !strings.HasSuffix(p.Sentence, ".") {
			t.Errorf("%+v", p)
		}
		seen[p.Name] = true
	}
	if len(seen) != 32 {
		t.Errorf("%d permissions", len(seen))
	}
}

func TestValidPermissionTakesBuiltInAndCustomNamesOnly(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]bool{
		"chat.accept": true, "chat": false, "chat.*": false, "Chat.accept": false, "chat.accept ": false, "": false, "custom": false,
		"custom.refund": true, "custom.refund.large_2": true, "custom.": false, "custom.*": false, "custom..a": false, "custom.a.": false,
		"custom.Refund": false, "custom.a b": false, "custom.a\x00": false, "custom.é": false, "custom." + strings.Repeat("a", 57): true, "custom." + strings.Repeat("a", 58): false,
	} {
		if got := policy.ValidPermission(name); got != want {
			t.Errorf("%q: %v", name, got)
		}
	}
}

func TestRightsAreTheUnionOfAllRoles(t *testing.T) {
	t.Parallel()
	roles := []policy.Role{
		{Key: "supervisors", Permissions: []string{"visitor.ban", "chat.monitor"}},
		{Key: "billing", Permissions: []string{"custom.refund", "chat.monitor", "no.such"}},
		{Key: "others", Permissions: []string{"site.manage"}},
	}
	got := policy.Permissions(roles, []string{"billing", "supervisors", "deleted"})
	if diff := cmp.Diff([]string{"chat.monitor", "custom.refund", "visitor.ban"}, got); diff != "" {
		t.Error(diff)
	}
	if got := policy.Permissions(roles, nil); len(got) != 0 {
		t.Errorf("no role gives %q", got)
	}
}

func TestAdministratorsHoldEveryPermissionWhateverTheirRoleSays(t *testing.T) {
	t.Parallel()
	roles := []policy.Role{{Key: policy.Administrators, Permissions: []string{"chat.accept"}}, {Key: "billing", Permissions: []string{"custom.refund"}}}
	got := policy.Permissions(roles, []string{policy.Administrators})
	for _, p := range policy.AllPermissions() {
		if !slices.Contains(got, p.Name) {
			t.Errorf("%s is missing", p.Name)
		}
	}
	if !slices.Contains(got, "custom.refund") || !slices.IsSorted(got) || len(got) != 33 {
		t.Errorf("%q", got)
	}
}
