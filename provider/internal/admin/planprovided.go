package admin

import (
	"slices"

	"github.com/chatelaine-id/chatelaine/store"
)

// provided are roles and departments that stand in the maps of a connection to which an
// agent is linked.
type provided struct{ roles, departments []string }

// loadProvided finds what of the agents in the file is their provider's to say: else
// every apply would take it, and every sign-in give it back.
func (c *current) loadProvided(tx store.Tx, f *fileSite) error {
	c.provided = map[string]provided{}
	for _, named := range f.Agents {
		a, ok := c.agents[named.Email]
		if !ok || named.Roles == nil && named.Departments == nil || !c.maps() {
			continue
		}
		var p provided
		for link, err := range store.Links.List(tx, "agent", a.ID) {
			if err != nil {
				return err
			}
			conn := c.connections[link.Connection]
			p.roles, p.departments = append(p.roles, store.Targets(conn.RoleMap)...), append(p.departments, store.Targets(conn.DepartmentMap)...)
		}
		if len(p.roles)+len(p.departments) > 0 {
			c.provided[a.Email] = p
		}
	}
	return nil
}

// maps reports whether any connection gives roles or departments.
func (c *current) maps() bool {
	for _, conn := range c.connections {
		if len(conn.RoleMap)+len(conn.DepartmentMap) > 0 {
			return true
		}
	}
	return false
}

// keeping is what the file says, with what is the provider's as it is.
func keeping(says, have, theirs []string) []string {
	out := slices.DeleteFunc(slices.Clone(says), func(key string) bool { return slices.Contains(theirs, key) })
	for _, key := range have {
		if slices.Contains(theirs, key) && !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	slices.Sort(out)
	return out
}
