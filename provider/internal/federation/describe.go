package federation

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// describe puts what the provider says of a person into their account. An address
// never changes this way.
func (at *attempt) describe(id *identity, agent *store.Agent) {
	p := id.Profile
	for _, f := range []struct {
		ours   *string
		theirs string
	}{
		{&agent.Name, cmp.Or(p.Name, strings.TrimSpace(p.GivenName+" "+p.FamilyName))}, {&agent.GivenName, p.GivenName}, {&agent.FamilyName, p.FamilyName},
		{&agent.Picture, p.Picture}, {&agent.Locale, p.Locale}, {&agent.Zoneinfo, p.Zoneinfo}, {&agent.PhoneNumber, p.Phone},
	} {
		if f.theirs != "" {
			*f.ours = f.theirs
		}
	}
}

// grantable are the roles that a provider may grant: any but the administrators'.
func grantable(roles []string) []string {
	return slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return r == policy.Administrators })
}

// knownHere drops roles and departments that the site does not have any more.
func (at *attempt) knownHere(agent *store.Agent) {
	agent.Roles = slices.DeleteFunc(slices.Clone(agent.Roles), func(r string) bool { _, ok := at.site.Roles[r]; return !ok && r != policy.Agents })
	agent.Departments = slices.DeleteFunc(slices.Clone(agent.Departments), func(d string) bool { _, ok := at.site.Departments[d]; return !ok })
}

// refresh brings an account up to date with what its provider says now, and tells
// the verifiers if it lost a right. Roles and departments that the connection's
// maps lead to are the provider's to give and to take; all others stay.
func (x *Federation) refresh(ctx context.Context, tx store.Tx, at *attempt, id *identity, agent store.Agent) (*store.Agent, error) {
	before := agent
	at.describe(id, &agent)
	if id.Profile.HasRoles && !slices.Contains(agent.Roles, policy.Administrators) {
		agent.Roles = merged(agent.Roles, store.Targets(at.conn.RoleMap), grantable(id.Profile.Roles))
		if len(agent.Roles) == 0 {
			agent.Roles = []string{policy.Agents}
		}
	}
	if id.Profile.HasDepartments {
		agent.Departments = merged(agent.Departments, store.Targets(at.conn.DepartmentMap), id.Profile.Departments)
	}
	at.knownHere(&agent)
	changes := changed(&before, &agent)
	if len(changes) > 0 {
		agent.Updated = x.Now().UTC()
	}
	if err := store.Agents.Put(tx, &agent); err != nil {
		return nil, err
	}
	if len(changes) == 0 {
		return &agent, nil
	}
	if err := x.Sessions.AgentChanged(ctx, tx, at.site, before, agent); err != nil {
		return nil, err
	}
	return &agent, x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.AgentUpdate, Actor: connectionRef(at.conn), Object: audit.Ref{Type: policy.Agent, ID: agent.ID},
		Result: audit.Success, Changes: changes,
	})
}

// merged is have without what is managed, plus what is given; sorted.
func merged(have, managed, given []string) []string {
	out := slices.DeleteFunc(slices.Clone(have), func(k string) bool { return slices.Contains(managed, k) })
	out = append(out, given...)
	slices.Sort(out)
	return slices.Compact(out)
}

// changed says what is different, for the audit log.
func changed(before, after *store.Agent) (changes []audit.Change) {
	list := func(field string, old, new []string) {
		if !slices.Equal(old, new) {
			changes = append(changes, audit.Change{Field: field, Old: strings.Join(old, " "), New: strings.Join(new, " ")})
		}
	}
	list("roles", before.Roles, after.Roles)
	list("departments", before.Departments, after.Departments)
	for _, f := range []struct{ field, old, new string }{
		{"name", before.Name, after.Name}, {"given_name", before.GivenName, after.GivenName}, {"family_name", before.FamilyName, after.FamilyName},
		{"picture", before.Picture, after.Picture}, {"locale", before.Locale, after.Locale}, {"zoneinfo", before.Zoneinfo, after.Zoneinfo},
		{"phone_number", before.PhoneNumber, after.PhoneNumber},
	} {
		if f.old != f.new {
			changes = append(changes, audit.Change{Field: f.field, Old: f.old, New: f.new, Personal: true})
		}
	}
	return changes
}
