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

// values reads claims as a token's are read.
func values(t testing.TB, text string) profile.Values {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	claims := map[string]any{}
	if err := d.Decode(&claims); err != nil {
		t.Fatal(err)
	}
	return profile.ValuesOf(claims)
}

func mapped(t testing.TB, kind profile.Kind, fields []profile.Field, text string) profile.Profile {
	t.Helper()
	p, checks, err := profile.Map(kind, fields, nil, nil, values(t, text))
	if err != nil {
		t.Fatalf("%v %+v", err, checks)
	}
	return p
}

func from(field string, names ...string) profile.Field {
	return profile.Field{Field: field, From: names}
}

func yes() *bool { b := true; return &b }

func no() *bool { b := false; return &b }

func TestNamesInWideUseNeedNoMapping(t *testing.T) {
	t.Parallel()
	const uri, oid = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/", "urn:oid:"
	for _, c := range []struct {
		kind profile.Kind
		text string
		want profile.Profile
	}{
		{
			profile.JWT, `{"email":"a@x.example","email_verified":true,"name":"Ann B","given_name":"Ann","family_name":"B","picture":"https://x.example/a.png",
			"locale":"pt-BR","zoneinfo":"America/Argentina/Buenos_Aires","phone_number":"+49 30 1","external_id":42,"sub":"s","roles":["x"],"role":"admin","tags":["vip"]}`,
			profile.Profile{
				Email: "a@x.example", EmailVerified: yes(), Name: "Ann B", GivenName: "Ann", FamilyName: "B", Picture: "https://x.example/a.png",
				Locale: "pt-BR", Zoneinfo: "America/Argentina/Buenos_Aires", Phone: "+49 30 1", ExternalID: "42",
			},
		},
		{profile.JWT, `{"remote_photo_url":"https://x.example/b","phone":"1","firstName":"Ann","last_name":"B"}`, profile.Profile{Picture: "https://x.example/b", Phone: "1", GivenName: "Ann", FamilyName: "B"}},
		{profile.OIDC, `{"sub":"s1","email":"a@x.example","remote_photo_url":"https://x.example/b"}`, profile.Profile{Email: "a@x.example", ExternalID: "s1"}},
		{
			profile.SAML, `{"` + uri + `emailaddress":["a@x.example"],"` + uri + `givenname":["Ann"],"` + uri + `surname":["B"],"` + oid + `2.5.4.20":["1"],"email_verified":["true"],"roles":["x"]}`,
			profile.Profile{Email: "a@x.example", GivenName: "Ann", FamilyName: "B", Phone: "1"},
		},
		{profile.SAML, `{"` + oid + `0.9.2342.19200300.100.1.3":["a@x.example"],"uid":["7"]}`, profile.Profile{Email: "a@x.example", ExternalID: "7"}},
	} {
		if diff := cmp.Diff(c.want, mapped(t, c.kind, nil, c.text)); diff != "" {
			t.Errorf("%s: %s", c.text, diff)
		}
	}
}

func TestAMappingReplacesTheNamesInWideUse(t *testing.T) {
	t.Parallel()
	const text = `{"email":"wide@x.example","mail":"","contact":{"mail":{"work":"deep@x.example"}},"contact.mail.home":"flat@x.example","n":null,"list":[{"a":1},"z"]}`
	for _, c := range []struct {
		field profile.Field
		want  string
	}{
		{from("email", "contact.mail.work"), "deep@x.example"},
		{from("email", "contact.mail.home"), "flat@x.example"},
		{from("email", "mail", "n", "absent", "contact.mail.work"), "deep@x.example"},
		{from("email", "contact.mail.work.more"), ""},
		{from("email", "contact..work"), ""},
		{from("email", "list.a"), ""},
		{profile.Field{Field: "email", From: []string{"mail"}, Constant: "all@x.example"}, "all@x.example"},
		{profile.Field{Field: "email", From: []string{"email"}, Constant: "all@x.example"}, "wide@x.example"},
	} {
		if got := mapped(t, profile.JWT, []profile.Field{c.field}, text).Email; got != c.want {
			t.Errorf("%v: %q, want %q", c.field, got, c.want)
		}
	}
	_, checks, _ := profile.Map(profile.JWT, []profile.Field{from("email", "upn")}, nil, nil, values(t, text))
	if len(checks) != 1 || !checks[0].OK || !checks[0].Absent || checks[0].Expected != "upn" {
		t.Errorf("what is mapped and missing is told as %+v", checks)
	}
}

func TestAValueThatCannotBeTakenIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"email":["a@x.example","b@x.example"]}`, `{"external_id":["1","2"]}`, `{"email":{"value":"a@x.example"}}`, `{"email":[["a@x.example"]]}`,
		`{"name":"a\u0000b"}`, `{"name":"a\nb"}`, `{"name":"\u202eb"}`, `{"name":"\ud800"}`, `{"phone_number":"` + strings.Repeat("1", profile.MaxValue+1) + `"}`,
	} {
		p, _, err := profile.Map(profile.JWT, nil, nil, nil, values(t, text))
		if !errors.Is(err, profile.ErrValue) {
			t.Errorf("%.60s: %v", text, err)
		}
		if diff := cmp.Diff(profile.Profile{}, p); diff != "" {
			t.Errorf("%.60s: %s", text, diff)
		}
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("the error repeats the value: %q", err)
		}
	}
	if _, _, err := profile.Map(profile.OIDC, nil, nil, nil, profile.Values{"sub": {9007199254740993.0}}); !errors.Is(err, profile.ErrValue) {
		t.Errorf("a number that is not exact: %v", err)
	}
	p, _, err := profile.Map(profile.OIDC, nil, nil, nil, profile.Values{"sub": {12345678.0}})
	if err != nil || p.ExternalID != "12345678" {
		t.Errorf("%q, %v", p.ExternalID, err)
	}
	if got := mapped(t, profile.JWT, nil, `{"name":["Ann","Bob"],"email":[" a@x.example "]}`); got.Name != "Ann" || got.Email != "a@x.example" {
		t.Errorf("%+v", got)
	}
}

func TestAValueOfNoGoodFormIsDroppedAndTold(t *testing.T) {
	t.Parallel()
	for field, bad := range map[string][]string{
		"picture": {
			"javascript:alert(1)", "http://x.example/a", "https://", "https://u:p@x.example/", "data:image/png;base64,AA", "//x.example/a", "/etc/passwd", `https://x.example/"onload=x`,
		},
		"locale":   {"../../etc", "en/../..", "<b>", "en;q=1", strings.Repeat("e", 36)},
		"zoneinfo": {"../../etc/passwd", "/etc/localtime", "Europe//Berlin", "Europe/Ber lin", strings.Repeat("e", 65)},
	} {
		for _, value := range bad {
			p, checks, err := profile.Map(profile.JWT, nil, nil, nil, profile.Values{field: {value}, "email": {"a@x.example"}})
			if err != nil || p.Picture+p.Locale+p.Zoneinfo != "" || len(checks) != 1 || checks[0].OK {
				t.Errorf("%s %q: %+v %+v %v", field, value, p, checks, err)
			}
		}
	}
	p := mapped(t, profile.JWT, nil, `{"picture":"https://x.example:8443/a%20b.png?s=1&t=2","locale":"zh_Hant","zoneinfo":"Etc/GMT+3"}`)
	if p.Picture == "" || p.Locale == "" || p.Zoneinfo == "" {
		t.Errorf("%+v", p)
	}
}

func TestEmailVerifiedIsTrueOnlyInSoManyWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]*bool{
		`true`: yes(), `false`: no(), `"true"`: no(), `1`: no(), `"1"`: no(), `[true]`: yes(), `[true,false]`: no(), `[true,true]`: no(), `{}`: no(), `null`: nil, `""`: nil, `[]`: nil,
	} {
		got := mapped(t, profile.OIDC, nil, `{"email":"a@x.example","email_verified":`+text+`}`).EmailVerified
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
	flag := from("email_verified", "checked")
	if diff := cmp.Diff(yes(), mapped(t, profile.SAML, []profile.Field{flag}, `{"checked":["true"]}`).EmailVerified); diff != "" {
		t.Error(diff)
	}
}

func TestEmailVerifiedSpeaksOfTheProvidersOwnEmailOnly(t *testing.T) {
	t.Parallel()
	const said = `{"email":"own@x.example","email_verified":%v,"upn":"victim@x.example","upn_ok":true}`
	for _, c := range []struct {
		fields   []profile.Field
		verified bool
		want     *bool
	}{
		{[]profile.Field{from("email", "upn")}, true, nil},
		{[]profile.Field{from("email", "upn")}, false, no()},
		{[]profile.Field{{Field: "email", Constant: "victim@x.example"}}, true, nil},
		{[]profile.Field{from("email", "email", "upn")}, true, yes()},
		{[]profile.Field{from("email", "upn"), from("email_verified", "upn_ok")}, false, yes()},
	} {
		got := mapped(t, profile.OIDC, c.fields, fmt.Sprintf(said, c.verified)).EmailVerified
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%v: %s", c.fields, diff)
		}
	}
}
