package account

import (
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/language"
	"golang.org/x/text/unicode/norm"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// profile is what was typed, by field; a field that the form left out stays as it
// is.
type profile map[string]string

// profileFields are what agents may change of their own record, in the order of
// the page.
var profileFields = []struct {
	name  string
	of    func(*store.Agent) *string
	check func(string) (problem string)
}{
	{"name", func(a *store.Agent) *string { return &a.Name }, checkName("name", true)},
	{"given_name", func(a *store.Agent) *string { return &a.GivenName }, checkName("given_name", false)},
	{"family_name", func(a *store.Agent) *string { return &a.FamilyName }, checkName("family_name", false)},
	{"locale", func(a *store.Agent) *string { return &a.Locale }, checkLocale},
	{"zoneinfo", func(a *store.Agent) *string { return &a.Zoneinfo }, checkZone},
	{"phone_number", func(a *store.Agent) *string { return &a.PhoneNumber }, checkPhone},
}

// maxName is how many characters of a name there may be.
const maxName = 120

func profileOf(a *store.Agent) profile {
	p := profile{}
	for _, f := range profileFields {
		p[f.name] = *f.of(a)
	}
	return p
}

func parseProfile(form url.Values) profile {
	p := profile{}
	for _, f := range profileFields {
		if form.Has(f.name) {
			p[f.name] = strings.TrimSpace(norm.NFC.String(form.Get(f.name)))
		}
	}
	if tag, err := language.Parse(p["locale"]); err == nil && p["locale"] != "" {
		p["locale"] = tag.String()
	}
	return p
}

// problems lists all that is wrong, as message keys.
func (p profile) problems() (list []string) {
	for _, f := range profileFields {
		typed, ok := p[f.name]
		if !ok {
			continue
		}
		if problem := f.check(typed); problem != "" {
			list = append(list, problem)
		}
	}
	return list
}

// apply writes the fields into the record, and returns what has become another.
func (p profile) apply(a *store.Agent) (changes []audit.Change) {
	for _, f := range profileFields {
		typed, ok := p[f.name]
		if have := f.of(a); ok && *have != typed {
			changes = append(changes, audit.Change{Field: f.name, Old: *have, New: typed, Personal: true})
			*have = typed
		}
	}
	return changes
}

func (p profile) values() url.Values {
	v := url.Values{}
	for name, typed := range p {
		v.Set(name, typed)
	}
	return v
}

func checkName(field string, needed bool) func(string) string {
	return func(name string) string {
		switch {
		case name == "" && needed:
			return field + "_missing"
		case utf8.RuneCountInString(name) > maxName:
			return field + "_too_long"
		case strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
			return field + "_invalid"
		}
		return ""
	}
}

// checkLocale accepts a language tag (BCP 47), as the claim locale wants it.
func checkLocale(tag string) string {
	if tag == "" {
		return ""
	}
	if _, err := language.Parse(tag); err != nil || len(tag) > 35 {
		return "locale_invalid"
	}
	return ""
}

// checkZone accepts a name of the time zone database, as the claim zoneinfo wants
// it.
func checkZone(zone string) string {
	if zone == "" {
		return ""
	}
	if _, err := time.LoadLocation(zone); err != nil || zone == "Local" || len(zone) > 64 {
		return "zoneinfo_invalid"
	}
	return ""
}

var phone = regexp.MustCompile(`^\+?[0-9][0-9 ().\-/]{4,30}(;ext=[0-9]{1,8})?$`)

// checkPhone accepts a telephone number as people write it; OpenID Connect
// recommends E.164 and demands no more.
func checkPhone(number string) string {
	if number != "" && !phone.MatchString(number) {
		return "phone_number_invalid"
	}
	return ""
}
