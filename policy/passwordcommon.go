package policy

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of what is taken off a password to find a common one in it.
const (
	leastCore = 4 // characters of the common one; and at least half of the password
	mostAdded = 8 // characters before or after it
)

// commonlyUsed reports whether a password is one that many people use: as it
// stands, undisguised, said twice, or, unless whole, with digits and signs
// before or after it. It is folded.
func commonlyUsed(folded string, whole bool, listed func(string) bool) bool {
	if unit, times := repeated(folded); times > 1 {
		if utf8.RuneCountInString(unit) <= leastCore {
			return true
		}
		folded = unit
	}
	if sequence(folded) {
		return true
	}
	if listed == nil {
		return false
	}
	known := func(form string) bool {
		if listed(form) {
			return true
		}
		plain := undisguise(form, 'i')
		return plain != form && (listed(plain) || listed(undisguise(form, 'l')))
	}
	if whole {
		return known(folded)
	}
	loose := squeeze(folded, joiner)
	return knownCore(folded, known) || loose != folded && knownCore(loose, known)
}

// knownCore tries a password, and what is left without the signs around it.
func knownCore(form string, known func(string) bool) bool {
	if known(form) {
		return true
	}
	length := utf8.RuneCountInString(form)
	long := func(core string) bool {
		n := utf8.RuneCountInString(core)
		return n >= leastCore && 2*n >= length
	}
	for _, shorter := range []func(string) string{withoutLast, withoutFirst} {
		core := form
		for range mostAdded {
			less := shorter(core)
			if less == core || !long(less) {
				break
			}
			if core = less; known(core) {
				return true
			}
		}
	}
	core := withoutSigns(form)
	return core != form && long(core) && known(core)
}

func isSign(r rune) bool { return !unicode.IsLetter(r) }

// withoutLast takes one sign off the end, and nothing else.
func withoutLast(s string) string {
	if r, n := utf8.DecodeLastRuneInString(s); n > 0 && isSign(r) {
		return s[:len(s)-n]
	}
	return s
}

func withoutFirst(s string) string {
	if r, n := utf8.DecodeRuneInString(s); n > 0 && isSign(r) {
		return s[n:]
	}
	return s
}

// withoutSigns takes off as much as may have been added at each end.
func withoutSigns(s string) string {
	for range mostAdded {
		s = withoutLast(withoutFirst(s))
	}
	return s
}

// undisguise writes letters for the signs that stand for them; one is the letter
// for those that may be an i or an l.
func undisguise(s string, one rune) string {
	if strings.IndexFunc(s, func(r rune) bool { return disguises(r) != "" }) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		letters := disguises(r)
		switch letters {
		case "":
			return r
		case "il":
			return one
		}
		return rune(letters[0])
	}, s)
}

// repeated finds what a password is the repetition of.
func repeated(s string) (unit string, times int) {
	if len(s) < 2 {
		return s, 1
	}
	if n := strings.Index((s + s)[1:], s) + 1; n > 0 && n < len(s) {
		return s[:n], len(s) / n
	}
	return s, 1
}

// sequence reports whether each character follows the one before, or each
// precedes it, as in 1234567890 and hgfedcba.
func sequence(s string) bool {
	var before, way rune
	n := 0
	for _, r := range s {
		step := r - before
		if before == '9' && r == '0' {
			step = 1
		} else if before == '0' && r == '9' {
			step = -1
		}
		switch {
		case n == 0:
		case step != 1 && step != -1, n > 1 && step != way:
			return false
		default:
			way = step
		}
		before = r
		n++
	}
	return n > 1
}
