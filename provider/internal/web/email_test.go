package web

import (
	"strings"
	"testing"
	"unicode"
)

func TestEmailAddressesHaveOneForm(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ana@Acme.Example":          "ana@acme.example",
		" ana@acme.example\n":       "ana@acme.example",
		"ana+chat@acme.example":     "ana+chat@acme.example",
		"jürgen@münchen.example":    "jürgen@xn--mnchen-3ya.example",
		"ju\u0308rgen@acme.example": "jürgen@acme.example",
		`"ana"@acme.example`:        "", "ana@acme.example.": "", "ana@[192.0.2.1]": "", "ana@localhost": "", "ana": "", "@acme.example": "",
		"ana@acme.example@evil.example": "", "Ana <ana@acme.example>": "", "ana(x)@acme.example": "", "a..b@acme.example": "", ".a@acme.example": "",
		"ａna@acme.example": "", "\u212Aim@acme.example": "", "ana@ａcme.example": "", "ana\x00@acme.example": "", "a na@acme.example": "",
		"m\u0130a@acme.example": "", "mI\u0307a@acme.example": "", "mi\u0307a@acme.example": "mi\u0307a@acme.example", // the Turkish İ is no i
		"J\u030Cana@acme.example": "\u01F0ana@acme.example", "\u01F0ana@acme.example": "\u01F0ana@acme.example", // composed in lower case only
		"ana@acme.example。": "", "ana@acme。example": "ana@acme.example", "ana@192.0.2.1": "", "ana@acme.123": "", "ana@192.0.2.0x1": "", "ana@1and1.example": "ana@1and1.example",
		strings.Repeat("\u023A", 32) + "@acme.example": "",                             // longer in lower case
		"=?utf-8?q?ana?=@acme.example":                 "=?utf-8?q?ana?=@acme.example", // literal text, never decoded
		strings.Repeat("a", 65) + "@acme.example":      "",
	} {
		got, err := CanonicalEmail(in)
		if got != want || (want == "") != (err != nil) {
			t.Errorf("CanonicalEmail(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
}

func FuzzAnAddressesOneFormIsItsOwn(f *testing.F) {
	for _, s := range []string{"Ana@Acme.Example", "J\u030C@M\u00FCnchen.example", "mI\u0307a@acme.example", "\u023A@acme.example", "a@acme。example。", "a@xn--mnchen-3ya.example", "a@1.2", "\u03A3\u03C2@\u03C3.gr"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		once, err := CanonicalEmail(s)
		if err != nil {
			return
		}
		if twice, err := CanonicalEmail(once); err != nil || twice != once {
			t.Errorf("%q is %q, and that is %q, %v", s, once, twice, err)
		}
		if upper, err := CanonicalEmail(strings.ToUpper(once)); isASCII(once) && (err != nil || upper != once) {
			t.Errorf("%q in capitals is %q, %v", once, upper, err)
		}
	})
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}
