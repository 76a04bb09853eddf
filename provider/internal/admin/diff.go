package admin

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/store"
)

// Change is one record that an operation makes (+), changes (~) or removes (-).
type Change struct {
	Op     string  `json:"op"`
	Kind   string  `json:"kind"` // agent, client, connection, ban, role, department, resource, settings or site
	Key    string  `json:"key"`
	Fields []Field `json:"fields,omitempty"`
}

// Field is one changed member of a record. A secret is named, never shown.
type Field struct {
	Name string `json:"name"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
}

// String is the change as a line for people.
func (c Change) String() string {
	text := c.Op + " " + c.Kind
	if c.Key != "" {
		text += " " + c.Key
	}
	if c.Op != "~" {
		return text
	}
	parts := make([]string, len(c.Fields))
	for i, f := range c.Fields {
		parts[i] = fmt.Sprintf("%s %s → %s", f.Name, orNone(f.Old), orNone(f.New))
	}
	return text + ": " + strings.Join(parts, "; ")
}

func orNone(text string) string {
	if text == "" {
		return "(none)"
	}
	return text
}

// hidden members are secret, or say nothing to a reader.
func hidden(name string) bool {
	return strings.HasPrefix(name, "outlived.") || slices.Contains([]string{"created", "updated", "not_before", "password_changed", "password_self_changes", "id", "in_file"}, name)
}

func secretMember(name string) bool {
	return slices.Contains([]string{"password_hash", "password_history", "totp_seed", "secrets"}, name)
}

// changedFields compares two records by the members of their JSON forms.
func changedFields(before, after any) []Field {
	old, fresh := members(before), members(after)
	names := map[string]bool{}
	for name := range old {
		names[name] = true
	}
	for name := range fresh {
		names[name] = true
	}
	var fields []Field
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if hidden(name) || old[name] == fresh[name] {
			continue
		}
		f := Field{name, old[name], fresh[name]}
		if secretMember(name) {
			f = secretField(name, f.Old != "", f.New != "")
		}
		fields = append(fields, f)
	}
	return fields
}

// secretField says what became of a secret, and nothing of what it is.
func secretField(name string, had, has bool) Field {
	switch {
	case !had:
		return Field{Name: name, New: "set"}
	case !has:
		return Field{Name: name, Old: "set", New: "removed"}
	}
	return Field{Name: name, Old: "set", New: "changed"}
}

// members flattens a record: nested objects by dots, lists as they are written.
func members(rec any) map[string]string {
	out := map[string]string{}
	raw, err := json.Marshal(rec)
	if err != nil {
		return out
	}
	var m map[string]any
	if json.Unmarshal(raw, &m) == nil {
		flatten(out, "", m)
	}
	return out
}

func flatten(out map[string]string, prefix string, m map[string]any) {
	for name, v := range m {
		name = prefix + name
		switch v := v.(type) {
		case map[string]any:
			flatten(out, name+".", v)
		case []any:
			out[name] = listText(v)
		case nil:
		case float64:
			out[name] = fmt.Sprintf("%.0f", v)
		default:
			out[name] = fmt.Sprint(v)
		}
	}
}

// listText is [a b] for texts, and one {…} for each object in a list.
func listText(list []any) string {
	parts := make([]string, len(list))
	for i, item := range list {
		parts[i] = fmt.Sprint(item)
		if o, ok := item.(map[string]any); ok {
			flat := map[string]string{}
			flatten(flat, "", o)
			var words []string
			for _, name := range slices.Sorted(maps.Keys(flat)) {
				words = append(words, name+" "+flat[name])
			}
			parts[i] = "{" + strings.Join(words, ", ") + "}"
		}
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func editChanges[T any](kind string, edits []edit[T], key func(*T) string) (out []Change) {
	for _, e := range edits {
		switch {
		case e.before == nil:
			out = appendChange(out, "+", kind, key(e.after), nil, e.after)
		case e.after == nil:
			out = appendChange(out, "-", kind, key(e.before), nil, nil)
		default:
			out = appendChange(out, "~", kind, key(e.after), e.before, e.after)
		}
	}
	return out
}

// appendChange is once in the program for all kinds.
func appendChange(out []Change, op, kind, key string, before, after any) []Change {
	c := Change{Op: op, Kind: kind, Key: key}
	if after != nil {
		if c.Fields = changedFields(before, after); op == "~" && len(c.Fields) == 0 {
			return out
		}
	}
	return append(out, c)
}

// settingsChanges shows resources as records of their own.
func settingsChanges(e edit[store.Settings]) []Change {
	before, after := *e.before, *e.after
	before.Resources, after.Resources = nil, nil
	changes := editChanges("settings", []edit[store.Settings]{{e.at, &before, &after}}, func(*store.Settings) string { return "" })
	return append(changes, editChanges("resource", resourceEdits(e), func(r *store.Resource) string { return r.Identifier })...)
}

func resourceEdits(e edit[store.Settings]) []edit[store.Resource] {
	have := map[string]store.Resource{}
	for _, r := range e.before.Resources {
		have[r.Identifier] = r
	}
	var edits []edit[store.Resource]
	named := map[string]bool{}
	for _, r := range e.after.Resources {
		before, ok := have[r.Identifier]
		named[r.Identifier] = true
		edits = appendEdit(edits, e.at, before, ok, r)
	}
	return append(edits, dropped(have, named)...)
}

// changes are the plan as people read it.
func (p *plan) changes() []Change {
	var out []Change
	if p.fresh {
		out = append(out, Change{Op: "+", Kind: "site", Key: "/" + p.path})
	}
	out = append(out, settingsChanges(p.settings)...)
	out = append(out, editChanges("role", p.roles, func(r *store.Role) string { return r.Key })...)
	out = append(out, editChanges("department", p.departments, func(d *store.Department) string { return d.Key })...)
	out = append(out, editChanges("client", p.clients, func(c *store.Client) string { return c.ID })...)
	out = append(out, connectionChanges(p.connections)...)
	out = append(out, editChanges(banKind, p.bans, banWords)...)
	return append(out, editChanges("agent", p.agents, func(a *store.Agent) string { return a.Email })...)
}

// empty reports whether there is nothing to write.
func (p *plan) empty() bool {
	return !p.fresh && sameJSON(p.settings.before, p.settings.after) &&
		len(p.roles)+len(p.departments)+len(p.clients)+len(p.connections)+len(p.bans)+len(p.agents) == 0
}
