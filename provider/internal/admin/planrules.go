package admin

import (
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

// checkAgents looks at the agents as they would stand: their roles and
// departments exist, and somebody can still administer the site.
func (p planner) checkAgents(out *plan) {
	roles, departments := keysAfter(p.have.roles, out.roles), keysAfter(p.have.departments, out.departments)
	admins := len(p.have.admins)
	for _, e := range out.agents {
		if e.before != nil && p.have.admins[e.before.ID] {
			admins--
		}
		if e.after == nil {
			continue
		}
		if administers(e.after) {
			admins++
		}
		for _, key := range e.after.Roles {
			if !roles[key] {
				p.faults.add(e.at, "agent %s: there is no role %q", e.after.Email, key)
			}
		}
		for _, key := range e.after.Departments {
			if !departments[key] {
				p.faults.add(e.at, "agent %s: there is no department %q", e.after.Email, key)
			}
		}
	}
	for _, l := range p.have.linked {
		*p.warnings = append(*p.warnings, "agent "+l[0]+" is linked to connection "+l[1]+" by an address, which is not enough for an administrator: they sign in there again once they have rehearsed it (chatelaine connection rehearse "+l[1]+"), under break-glass if it is enforced")
	}
	switch {
	case admins == 0 && len(p.have.admins) > 0:
		p.faults.add(p.file.At, "this would leave the site without an active administrator")
	case admins == 0 && len(p.file.Agents) > 0:
		*p.warnings = append(*p.warnings, "the site has no administrator: give one agent the role administrators")
	}
	p.checkStillUsed(out)
	p.checkAllowlistRoles(out, roles)
	p.checkTwoFactor(out, roles)
}

func administers(a *store.Agent) bool {
	return !a.Inactive && slices.Contains(a.Roles, policy.Administrators)
}

// checkAllowlistRoles refuses entries for roles that nobody can hold.
func (p planner) checkAllowlistRoles(out *plan, roles map[string]bool) {
	for _, e := range out.settings.after.Allowlist.Entries {
		for _, key := range e.Roles {
			if !roles[key] {
				p.faults.add(p.file.At, "ip_allowlist: there is no role %q", key)
			}
		}
	}
}

// keysAfter are the keys that a table would have.
func keysAfter[T any](have map[string]T, edits []edit[T]) map[string]bool {
	keys := map[string]bool{}
	for key := range have {
		keys[key] = true
	}
	for _, e := range edits {
		switch {
		case e.after != nil:
			keys[keyOf(e.after)] = true
		default:
			delete(keys, keyOf(e.before))
		}
	}
	return keys
}

func keyOf(rec any) string {
	switch r := rec.(type) {
	case *store.Role:
		return r.Key
	case *store.Department:
		return r.Key
	case *store.Client:
		return r.ID
	case *store.Connection:
		return r.ID
	case *store.Agent:
		return r.Email
	}
	return ""
}

// checkStillUsed refuses to prune a role or department that agents still have,
// and names them.
func (p planner) checkStillUsed(out *plan) {
	holders := func(of func(*store.Agent) []string, key string) []string {
		var who []string
		after := map[string]*store.Agent{}
		for _, a := range p.have.agents {
			after[a.Email] = &a
		}
		for _, e := range out.agents {
			if e.after != nil {
				after[e.after.Email] = e.after
			} else {
				delete(after, e.before.Email)
			}
		}
		for email, a := range after {
			if slices.Contains(of(a), key) {
				who = append(who, email)
			}
		}
		slices.Sort(who)
		return who
	}
	for _, e := range out.roles {
		if e.after == nil {
			if who := holders(func(a *store.Agent) []string { return a.Roles }, e.before.Key); len(who) > 0 {
				p.faults.add(p.file.At, "role %s is still held by %s", e.before.Key, firstFew(who))
			}
		}
	}
	for _, e := range out.departments {
		if e.after == nil {
			if who := holders(func(a *store.Agent) []string { return a.Departments }, e.before.Key); len(who) > 0 {
				p.faults.add(p.file.At, "department %s still has %s", e.before.Key, firstFew(who))
			}
		}
	}
}

func firstFew(who []string) string {
	const few = 5
	if len(who) <= few {
		return strings.Join(who, ", ")
	}
	return strings.Join(who[:few], ", ") + " and others"
}
