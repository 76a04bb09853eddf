package policy

import (
	"slices"
	"strings"
)

// Keys of the two built-in roles, which no one can delete.
const (
	Administrators = "administrators" // always holds every permission
	Agents         = "agents"
)

// Role is a set of permissions under the key that tokens carry.
type Role struct {
	Key         string
	Permissions []string
}

// Permissions is what the roles named by held give together: the sorted union.
// Administrators holds every built-in permission and every custom one that any
// of roles names. A key that no role has gives nothing, and so does a name that
// is no permission.
func Permissions(roles []Role, held []string) []string {
	var union []string
	if slices.Contains(held, Administrators) {
		for _, p := range AllPermissions() {
			union = append(union, p.Name)
		}
		for _, role := range roles {
			union = append(union, custom(role.Permissions)...)
		}
		return compact(union)
	}
	for _, role := range roles {
		if slices.Contains(held, role.Key) {
			union = append(union, valid(role.Permissions)...)
		}
	}
	return compact(union)
}

func custom(names []string) []string {
	var out []string
	for _, name := range names {
		if strings.HasPrefix(name, CustomPrefix) && ValidPermission(name) {
			out = append(out, name)
		}
	}
	return out
}

func valid(names []string) []string {
	var out []string
	for _, name := range names {
		if ValidPermission(name) {
			out = append(out, name)
		}
	}
	return out
}

func compact(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
