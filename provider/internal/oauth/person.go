package oauth

import "github.com/chatelaine-id/chatelaine/store"

// personClaim is a claim about an agent, and the scope that gives it.
type personClaim struct {
	name, scope string
	value       func(*store.Agent) any // nil: not known, so left out
}

// personClaims are OpenID Connect's standard claims (Core, section 5.1) and the
// house's roles and groups.
var personClaims = []personClaim{
	{"name", "profile", func(a *store.Agent) any { return text(a.Name) }},
	{"given_name", "profile", func(a *store.Agent) any { return text(a.GivenName) }},
	{"family_name", "profile", func(a *store.Agent) any { return text(a.FamilyName) }},
	{"nickname", "profile", func(a *store.Agent) any { return text(a.Nickname) }},
	{"picture", "profile", func(a *store.Agent) any { return text(a.Picture) }},
	{"locale", "profile", func(a *store.Agent) any { return text(a.Locale) }},
	{"zoneinfo", "profile", func(a *store.Agent) any { return text(a.Zoneinfo) }},
	{"updated_at", "profile", func(a *store.Agent) any { return a.Updated.Unix() }},
	{"email", "email", func(a *store.Agent) any { return text(a.Email) }},
	{"email_verified", "email", func(a *store.Agent) any { return a.EmailVerified }},
	{"address", "address", func(a *store.Agent) any {
		if a.Address == nil {
			return nil
		}
		return a.Address
	}},
	{"phone_number", "phone", func(a *store.Agent) any { return text(a.PhoneNumber) }},
	{"roles", "roles", func(a *store.Agent) any { return list(a.Roles) }},
	{"groups", "groups", func(a *store.Agent) any { return list(a.Departments) }},
}

func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func list(keys []string) any {
	if keys == nil {
		return []string{}
	}
	return keys
}
