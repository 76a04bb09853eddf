package admin

import (
	"context"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// personalFields are members of an agent that say something about a person.
var personalFields = []string{
	"email", "name", "given_name", "family_name", "nickname", "picture", "locale", "zoneinfo", "phone_number",
	"address.formatted", "address.street_address", "address.locality", "address.region", "address.postal_code", "address.country",
}

// record writes a change into the audit log, in the transaction that makes it.
func (a *Admin) record(ctx context.Context, tx store.Tx, action string, object audit.Ref, c Change) error {
	e := audit.Event{Action: action, Actor: operator(ctx), Object: object, Result: audit.Success}
	for _, f := range c.Fields {
		personal := c.Kind == "agent" && slices.Contains(personalFields, f.Name) || c.Kind == "department"
		e.Changes = append(e.Changes, audit.Change{Field: f.Name, Old: f.Old, New: f.New, Personal: personal})
	}
	if c.Kind == "agent" {
		e.Personal = map[string]string{"email": c.Key}
	}
	return a.Audit.Record(ctx, tx, e)
}

// action is the change's name in the audit log.
func (c Change) action() string {
	kind := c.Kind
	if kind == "settings" || kind == "resource" {
		return audit.SettingsUpdate
	}
	switch c.Op {
	case "+":
		return kind + ".create"
	case "-":
		return kind + ".delete"
	}
	active := slices.IndexFunc(c.Fields, func(f Field) bool { return f.Name == "inactive" })
	if kind == "agent" && active >= 0 {
		if c.Fields[active].New == "true" {
			return audit.AgentDeactivate
		}
		return audit.AgentActivate
	}
	return kind + ".update"
}

// idOf is what the audit log knows the changed record by: never an address.
func (p *plan) idOf(c Change) string {
	if c.Kind != "agent" {
		return c.Key
	}
	for _, e := range p.agents {
		if rec := firstOf(e); rec.Email == c.Key {
			return rec.ID
		}
	}
	return ""
}
