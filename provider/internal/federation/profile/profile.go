// Package profile turns what a provider says of somebody, by its own names, into
// our fields: by a connection's mapping, and by the names in wide use where the
// mapping is silent.
//
// It is pure. It decides nothing about who may sign in, and grants nothing: Roles
// and Departments are only those that the mapping leads to.
package profile

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on what is taken from a provider.
const (
	MaxValue  = 1024 // bytes of one value
	MaxValues = 500  // of one attribute
	MaxCustom = 50   // fields of a site's own
)

// Kind is how the provider says it.
type Kind string

// The kinds.
const (
	SAML Kind = "saml"
	JWT  Kind = "jwt"
	OIDC Kind = "oidc"
)

// Values are what the provider said, by its own names: strings of SAML's, JSON
// values of a token's.
type Values map[string][]any

// Field says where one of our fields comes from: the first of From that has a
// value, else Constant. A name with dots that is none as it stands reaches into
// objects: realm_access.roles.
type Field struct {
	Field    string
	From     []string
	Constant string
	Type     string // string (also if empty), number, boolean or list
}

// Mapped says what one value of the provider's stands for here.
type Mapped struct {
	Value string
	To    []string
}

// Check is one thing that was looked at. Expected and Got are for administrators.
type Check struct {
	Name          string
	OK            bool
	Expected, Got string
	Absent        bool // it was not sent, and nobody is kept out for that here
}

// Profile is what became of it. Values are as the provider said them, within the
// limits; nothing is in canonical form yet.
type Profile struct {
	Email         string `json:"email,omitempty"`
	EmailVerified *bool  `json:"email_verified,omitempty"` // nil: not said
	Name          string `json:"name,omitempty"`
	GivenName     string `json:"given_name,omitempty"`
	FamilyName    string `json:"family_name,omitempty"`
	Picture       string `json:"picture,omitempty"`
	Locale        string `json:"locale,omitempty"`
	Zoneinfo      string `json:"zoneinfo,omitempty"`
	Phone         string `json:"phone_number,omitempty"`
	ExternalID    string `json:"external_id,omitempty"`
	// Roles and Departments are our keys, sorted; HasRoles and HasDepartments say that
	// the connection maps them, so that a provider that names none takes them away:
	// many leave a list out when it is empty.
	Roles          []string `json:"roles,omitempty"`
	Departments    []string `json:"departments,omitempty"`
	HasRoles       bool     `json:"has_roles,omitempty"`
	HasDepartments bool     `json:"has_departments,omitempty"`
	Custom         []Custom `json:"custom,omitempty"` // by name
}

// Custom is a field of a site's own; Value is JSON.
type Custom struct{ Name, Value string }

// ErrValue is a value that cannot be taken as it is.
var ErrValue = errors.New("a value cannot be taken")

// ValuesOf makes Values of a token's claims.
func ValuesOf(claims map[string]any) Values {
	values := Values{}
	for name, v := range claims {
		if list, ok := v.([]any); ok {
			values[name] = list
			continue
		}
		values[name] = []any{v}
	}
	return values
}

// mapping is one call of Map.
type mapping struct {
	kind   Kind
	fields []Field
	said   Values
	checks []Check
}

// Map maps. The checks list what was missing or dropped; the error is ErrValue, for
// a value that is too long, is no text, or is several where one is wanted.
func Map(kind Kind, fields []Field, roles, departments []Mapped, said Values) (p Profile, list []Check, err error) {
	m := &mapping{kind: kind, fields: fields, said: said}
	for _, f := range []struct {
		name string
		into *string
	}{
		{"email", &p.Email}, {"name", &p.Name}, {"given_name", &p.GivenName}, {"family_name", &p.FamilyName}, {"picture", &p.Picture},
		{"locale", &p.Locale}, {"zoneinfo", &p.Zoneinfo}, {"phone_number", &p.Phone}, {"external_id", &p.ExternalID},
	} {
		if *f.into, err = m.text(f.name); err != nil {
			return Profile{}, m.checks, err
		}
	}
	if p.Phone == "" { // a visitor's field is called phone
		if p.Phone, err = m.text("phone"); err != nil {
			return Profile{}, m.checks, err
		}
	}
	m.formed("picture", &p.Picture, "an https address", isPicture)
	m.formed("locale", &p.Locale, "a language tag", isLocale)
	m.formed("zoneinfo", &p.Zoneinfo, "a time zone", isZone)
	p.EmailVerified = m.verified()
	if p.Roles, p.HasRoles, err = m.keys("roles", roles); err != nil {
		return Profile{}, m.checks, err
	}
	if p.Departments, p.HasDepartments, err = m.keys("departments", departments); err != nil {
		return Profile{}, m.checks, err
	}
	p.Custom, err = m.custom()
	return p, m.checks, err
}

func (m *mapping) check(name string, ok bool, expected, got string) {
	m.checks = append(m.checks, Check{Name: cut(name), OK: ok, Expected: cut(expected), Got: cut(got)})
}

func cut(s string) string {
	const most = 200
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

// find returns the values of one of our fields, and where they came from.
func (m *mapping) find(name string) (values []any, from string) {
	field := Field{Field: name, From: defaults(m.kind, name)}
	for _, f := range m.fields {
		if f.Field == name {
			field = f
		}
	}
	for _, from := range field.From {
		if values := m.said.lookup(from); len(values) > 0 {
			return values, from
		}
	}
	if field.Constant != "" {
		return []any{field.Constant}, "constant"
	}
	if m.mapped(name) {
		m.checks = append(m.checks, Check{Name: cut("attribute " + name), OK: true, Expected: cut(strings.Join(field.From, " or ")), Absent: true})
	}
	return nil, ""
}

// mapped reports whether the connection names the field.
func (m *mapping) mapped(name string) bool {
	return slices.ContainsFunc(m.fields, func(f Field) bool { return f.Field == name })
}

// lookup finds a name as it stands, and else reaches into objects by its dots.
func (v Values) lookup(name string) []any {
	if values, ok := v[name]; ok {
		return present(values)
	}
	head, rest, ok := strings.Cut(name, ".")
	if !ok || len(v[head]) != 1 {
		return nil
	}
	at := v[head][0]
	for part := range strings.SplitSeq(rest, ".") {
		object, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		at = object[part]
	}
	if list, ok := at.([]any); ok {
		return present(list)
	}
	return present([]any{at})
}

// present leaves out what is null or empty.
func present(values []any) []any {
	return slices.DeleteFunc(slices.Clone(values), func(v any) bool { return v == nil || v == "" })
}

// text is a field of which there is one. Of several names the first counts, of
// several addresses none.
func (m *mapping) text(name string) (string, error) {
	values, from := m.find(name)
	if len(values) == 0 {
		return "", nil
	}
	if len(values) > 1 && (name == "email" || name == "external_id") {
		m.check("attribute "+from, false, "one value", fmt.Sprint(len(values), " values"))
		return "", fmt.Errorf("%w: %s has %d values", ErrValue, from, len(values))
	}
	text, ok := scalar(values[0])
	if !ok || !fit(text) {
		m.check("attribute "+from, false, fmt.Sprintf("a text of at most %d bytes", MaxValue), "something else")
		return "", fmt.Errorf("%w: %s is no text of at most %d bytes", ErrValue, from, MaxValue)
	}
	if m.mapped(name) {
		m.check("attribute "+from, true, name, text)
	}
	return text, nil
}

// scalar is a value as text; false for objects and lists.
func scalar(v any) (string, bool) {
	switch v := v.(type) {
	case string:
		return strings.TrimSpace(v), true
	case bool:
		return fmt.Sprint(v), true
	case json.Number:
		return v.String(), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), math.Abs(v) < 1<<53 // beyond, two numbers read as one
	}
	return "", false
}

// fit refuses what is too long, or holds what no person types.
func fit(s string) bool {
	return len(s) <= MaxValue && utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// flag is true or false as JSON has it, and nil for anything else: "true" is a
// text that somebody may have typed. SAML has nothing but text.
func (m *mapping) flag(name string) *bool {
	values, from := m.find(name)
	if len(values) == 0 {
		return nil
	}
	yes, ok := values[0].(bool)
	if text, isText := values[0].(string); isText && (m.kind == SAML || from == "constant") {
		yes, ok = text == "true" || text == "1", true
	}
	if len(values) != 1 || !ok {
		m.check("attribute "+from, false, "true or false", "something else")
		no := false
		return &no
	}
	return &yes
}

// keys are the values of a list that the map leads somewhere. Without a map they
// lead nowhere.
func (m *mapping) keys(name string, to []Mapped) (keys []string, said bool, err error) {
	values, from := m.find(name)
	if len(to) == 0 {
		return nil, false, nil
	}
	if len(values) > MaxValues {
		return nil, false, fmt.Errorf("%w: %s has more than %d values", ErrValue, from, MaxValues)
	}
	var dropped []string
	for _, v := range values {
		text, ok := scalar(v)
		if !ok || !fit(text) {
			continue
		}
		i := slices.IndexFunc(to, func(m Mapped) bool { return m.Value == text })
		if i < 0 {
			dropped = append(dropped, text)
			continue
		}
		keys = append(keys, to[i].To...)
	}
	if len(dropped) > 0 {
		m.check("attribute "+from, true, "values that stand in the map", "not in it: "+strings.Join(dropped[:min(len(dropped), 10)], ", "))
	}
	slices.Sort(keys)
	return slices.Compact(keys), true, nil
}
