package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Passwords are compared with names and with common ones after what people
// disguise them with is taken off: case, width, accents, look-alike letters of
// other alphabets, and characters that cannot be seen.

// FoldPassword is the form in which common passwords are listed and looked for.
func FoldPassword(pw string) string { return withoutSpaces(foldPassword(pw)) }

func withoutSpaces(s string) string { return squeeze(s, unicode.IsSpace) }

// foldPassword keeps spaces.
func foldPassword(pw string) string {
	if isASCII(pw) {
		return strings.ToLower(pw)
	}
	var b strings.Builder
	b.Grow(len(pw))
	for _, r := range norm.NFKD.String(pw) {
		if unseen(r) {
			continue
		}
		r = unicode.ToLower(r)
		if same := lookAlike(r); same != "" {
			b.WriteString(same)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// unseen are marks over or in letters, and what prints as nothing.
func unseen(r rune) bool {
	if r < utf8.RuneSelf {
		return false
	}
	switch r {
	case '\u115F', '\u1160', '\u2800', '\u3164', '\uFFA0':
		return true
	}
	return unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf)
}

// lookAlike is the plain letter that r passes for, where NFKD does not take it
// apart; else "". Both sides of every comparison go through here, so that words
// that are truly Cyrillic or Greek still match themselves.
func lookAlike(r rune) string {
	if r < utf8.RuneSelf {
		return ""
	}
	switch r {
	case 'ɑ', 'а', 'α':
		return "a"
	case 'в', 'β':
		return "b"
	case 'с':
		return "c"
	case 'đ', 'ð', 'ԁ':
		return "d"
	case 'е', 'ε':
		return "e"
	case 'ɡ':
		return "g"
	case 'ħ', 'һ', 'н':
		return "h"
	case 'ı', 'ɩ', 'і', 'ι':
		return "i"
	case 'ј':
		return "j"
	case 'к', 'κ':
		return "k"
	case 'ł':
		return "l"
	case 'м':
		return "m"
	case 'ø', 'о', 'ο':
		return "o"
	case 'р', 'ρ':
		return "p"
	case 'ѕ':
		return "s"
	case 'ŧ', 'т', 'τ':
		return "t"
	case 'υ':
		return "u"
	case 'ԝ':
		return "w"
	case 'х', 'χ':
		return "x"
	case 'у', 'ʏ':
		return "y"
	case 'ß':
		return "ss"
	case 'æ':
		return "ae"
	case 'œ':
		return "oe"
	case 'þ':
		return "th"
	}
	return ""
}

func squeeze(s string, drop func(rune) bool) string {
	if strings.IndexFunc(s, drop) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if drop(r) {
			return -1
		}
		return r
	}, s)
}

// joiner is what words are put together with.
func joiner(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune("-_.,;:'\"/\\*~#", r)
}

// disguises are the letters that a sign is written for.
func disguises(sign rune) string {
	switch sign {
	case '0':
		return "o"
	case '1', '!', '|', '¡':
		return "il"
	case '2':
		return "z"
	case '3', '€':
		return "e"
	case '4', '@':
		return "a"
	case '5', '$', '§':
		return "s"
	case '6':
		return "gb"
	case '7':
		return "t"
	case '+':
		return "t"
	case '8':
		return "b"
	case '9':
		return "gq"
	case '(', '<', '¢':
		return "c"
	case '£':
		return "l"
	}
	return ""
}
