package account

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// profile is what was typed, by field; a field that the form left out stays as it
// is.
type profile map[string]string

// profileFields are what agents may change of their own record, in the order of
// the page. No other field of a form is looked at.
var profileFields = []struct {
	name   string
	of     func(*store.Agent) *string
	needed bool
}{
	{"name", func(a *store.Agent) *string { return &a.Name }, true},
	{"given_name", func(a *store.Agent) *string { return &a.GivenName }, false},
	{"family_name", func(a *store.Agent) *string { return &a.FamilyName }, false},
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
	return p
}

// problems lists all that is wrong, as message keys.
func (p profile) problems() (list []string) {
	for _, f := range profileFields {
		if typed, ok := p[f.name]; ok {
			if fault := faultOf(typed, f.needed); fault != "" {
				list = append(list, f.name+fault)
			}
		}
	}
	return list
}

// faultOf refuses what is not seen: it would let a name look like another, or turn
// the text around it.
func faultOf(name string, needed bool) string {
	switch {
	case name == "" && needed:
		return "_missing"
	case utf8.RuneCountInString(name) > maxName:
		return "_too_long"
	case strings.ContainsFunc(name, invisible), name != "" && strings.Trim(name, joiners) == "":
		return "_invalid"
	}
	return ""
}

// joiners join letters or keep them apart: some scripts cannot be written without.
const joiners = "\u200c\u200d"

func invisible(r rune) bool { return !unicode.IsPrint(r) && !strings.ContainsRune(joiners, r) }

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
