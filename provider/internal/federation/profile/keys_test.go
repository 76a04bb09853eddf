package profile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
)

func TestRolesAreOnlyThoseThatTheMapLeadsTo(t *testing.T) {
	t.Parallel()
	roles := []profile.Mapped{{Value: "support", To: []string{"lead", "agents"}}, {Value: "sales", To: []string{"agents"}}, {Value: "7", To: []string{"seven"}}}
	for _, c := range []struct {
		text string
		want []string
	}{
		{`{"roles":["support","sales"]}`, []string{"agents", "lead"}},
		{`{"roles":"sales"}`, []string{"agents"}},
		{`{"roles":[7]}`, []string{"seven"}},
		{`{"roles":["administrators","Support","support,sales","*","lead"]}`, nil},
		{`{"roles":[{"name":"support"},["sales"],null,"sa\u0000les"]}`, nil},
		{`{"role":"support","groups":["sales"],"tags":"support"}`, nil},
		{`{}`, nil},
	} {
		p, _, err := profile.Map(profile.JWT, nil, roles, nil, values(t, c.text))
		if err != nil || !p.HasRoles || p.HasDepartments {
			t.Errorf("%s: %+v, %v", c.text, p, err)
		}
		if diff := cmp.Diff(c.want, p.Roles); diff != "" && len(p.Roles)+len(c.want) > 0 {
			t.Errorf("%s: %s", c.text, diff)
		}
	}
	p, _, err := profile.Map(profile.OIDC, []profile.Field{from("departments", "realm_access.roles")}, nil, roles, values(t, `{"realm_access":{"roles":["sales"]},"roles":["support"]}`))
	if err != nil || p.HasRoles || !p.HasDepartments || len(p.Roles) > 0 || len(p.Departments) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestWhatStandsInNoMapIsToldBriefly(t *testing.T) {
	t.Parallel()
	list := make([]any, profile.MaxValues)
	for i := range list {
		list[i] = fmt.Sprint(i, strings.Repeat("é", 400))
	}
	to := []profile.Mapped{{Value: "sales", To: []string{"agents"}}}
	_, checks, err := profile.Map(profile.JWT, nil, to, nil, profile.Values{"roles": list})
	if err != nil || len(checks) != 1 || len(checks[0].Got) > 210 {
		t.Errorf("%d checks, %v", len(checks), err)
	}
	if _, _, err := profile.Map(profile.JWT, nil, to, nil, profile.Values{"roles": append(list, "x")}); !errors.Is(err, profile.ErrValue) {
		t.Errorf("more than %d values: %v", profile.MaxValues, err)
	}
}

func TestFieldsOfASitesOwnHaveTheTypesOfTheMapping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind, text, want string // want "": refused
	}{
		{"", `"gold"`, `"gold"`},
		{"string", `"<b>\"x"`, `"\u003cb\u003e\"x"`},
		{"string", `12`, `"12"`},
		{"number", `12.50`, `12.5`},
		{"number", `"1e3"`, `1000`},
		{"number", `"0x1p4"`, ``},
		{"number", `"+1"`, ``},
		{"number", `true`, ``},
		{"number", `1e999`, ``},
		{"number", `"1_000"`, ``},
		{"number", `"NaN"`, ``},
		{"number", `"inf"`, ``},
		{"number", `"12 apples"`, ``},
		{"boolean", `true`, `true`},
		{"boolean", `"0"`, `false`},
		{"boolean", `"yes"`, ``},
		{"list", `["a",1,true]`, `["a","1","true"]`},
		{"list", `[{"a":1}]`, ``},
		{"string", `{"a":1}`, ``},
		{"string", `"` + strings.Repeat("<", profile.MaxValue/2) + `"`, ``},
	} {
		fields := []profile.Field{{Field: "custom.tier", From: []string{"tier"}, Type: c.kind}}
		p, _, err := profile.Map(profile.JWT, fields, nil, nil, values(t, `{"tier":`+c.text+`}`))
		if c.want == "" {
			if !errors.Is(err, profile.ErrValue) {
				t.Errorf("%s %.40s: taken as %+v", c.kind, c.text, p.Custom)
			}
			continue
		}
		if diff := cmp.Diff([]profile.Custom{{Name: "tier", Value: c.want}}, p.Custom); diff != "" || err != nil {
			t.Errorf("%s %s: %v %s", c.kind, c.text, err, diff)
		}
	}
}

func TestThereAreSoManyFieldsOfASitesOwnAndNoMore(t *testing.T) {
	t.Parallel()
	var fields []profile.Field
	for i := range profile.MaxCustom {
		fields = append(fields, profile.Field{Field: fmt.Sprintf("custom.f%02d", profile.MaxCustom-i), Constant: "x"})
	}
	p, _, err := profile.Map(profile.JWT, fields, nil, nil, nil)
	if err != nil || len(p.Custom) != profile.MaxCustom || p.Custom[0].Name != "f01" {
		t.Errorf("%d fields, %v", len(p.Custom), err)
	}
	if _, _, err = profile.Map(profile.JWT, append(fields, profile.Field{Field: "custom.g", Constant: "x"}), nil, nil, nil); !errors.Is(err, profile.ErrValue) {
		t.Errorf("one more: %v", err)
	}
	if p, _, err := profile.Map(profile.JWT, append(fields, from("custom.absent", "absent")), nil, nil, nil); err != nil || len(p.Custom) != profile.MaxCustom {
		t.Errorf("one more that is not there: %v", err)
	}
}

func FuzzMapNeverPanicsAndKeepsItsLimits(f *testing.F) {
	f.Add(`{"email":"a@x.example","roles":["a"]}`, "email", "a.b", "number")
	f.Add(`{"a":{"b":[1,{"c":null}]}}`, "custom.x", "a.b", "list")
	f.Fuzz(func(t *testing.T, text, field, name, kind string) {
		claims := map[string]any{}
		if json.Unmarshal([]byte(text), &claims) != nil {
			return
		}
		to := []profile.Mapped{{Value: "a", To: []string{"r"}}}
		for _, of := range []profile.Kind{profile.SAML, profile.JWT, profile.OIDC} {
			p, checks, err := profile.Map(of, []profile.Field{{Field: field, From: []string{name}, Type: kind}}, to, to, profile.ValuesOf(claims))
			for _, v := range []string{p.Email, p.Name, p.GivenName, p.FamilyName, p.Picture, p.Locale, p.Zoneinfo, p.Phone, p.ExternalID} {
				if len(v) > profile.MaxValue || strings.ContainsAny(v, "\x00\n") {
					t.Errorf("%q", v)
				}
			}
			for _, c := range checks {
				if len(c.Got) > 210 || len(c.Expected) > 210 || len(c.Name) > 210 {
					t.Errorf("%+v", c)
				}
			}
			if err != nil && !errors.Is(err, profile.ErrValue) {
				t.Error(err)
			}
		}
	})
}
