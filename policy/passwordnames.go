package policy

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// holdsName reports whether a name of the agent or the site is in a password,
// folded with its spaces.
func holdsName(folded string, facts PasswordFacts) bool {
	spaced, joined := []rune(folded), []rune(squeeze(folded, joiner))
	for _, name := range refusedNames(facts) {
		n := []rune(name)
		// A short name also comes about where two words meet.
		if contains(spaced, n) || len(n) > 3 && contains(joined, n) {
			return true
		}
	}
	return false
}

// refusedNames are the words that a password must not hold, folded: each name
// and its parts, the mailbox and its parts, the host's labels without what every
// host has, and the site's name and its longer words.
func refusedNames(facts PasswordFacts) (names []string) {
	add := func(text string, least int) {
		if enough(text, least) && !slices.Contains(names, text) {
			names = append(names, text)
		}
	}
	for _, name := range facts.Names {
		addWords(add, name, 3)
	}
	for _, address := range facts.Addresses {
		mailbox, host, _ := strings.Cut(cut(address), "@")
		addWords(add, mailbox, 3)
		for _, label := range ownLabels(host) {
			addWords(add, label, 3)
		}
	}
	addWords(add, facts.Site, 4) // "The", "Our" and "and" are in many a good password
	return names
}

// addWords adds a text as one word, and each of its words.
func addWords(add func(text string, least int), text string, least int) {
	words := strings.FieldsFunc(foldPassword(cut(text)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	add(strings.Join(words, ""), 3)
	for _, w := range words {
		add(w, least)
	}
}

// cut bounds the work on a text that is longer than names and addresses are.
func cut(text string) string { return text[:min(len(text), 512)] }

// enough reports whether a word is long enough to be looked for. Two ideographs
// are a whole name.
func enough(word string, least int) bool {
	n := utf8.RuneCountInString(word)
	if n >= least {
		return true
	}
	return n >= 2 && strings.IndexFunc(word, func(r rune) bool { return !unicode.In(r, unicode.Han, unicode.Hangul) }) < 0
}

// ownLabels are a host name's labels without the top-level domain and the like
// of the co in co.uk.
func ownLabels(host string) []string {
	labels := strings.Split(host, ".")
	labels = labels[:len(labels)-1]
	if n := len(labels); n > 1 && len(labels[n-1]) <= 3 {
		labels = labels[:n-1]
	}
	return labels
}

// contains reports whether name stands in pw, its letters disguised or not.
func contains(pw, name []rune) bool {
	for i := 0; i+len(name) <= len(pw); i++ {
		if startsWith(pw[i:], name) {
			return true
		}
	}
	return false
}

func startsWith(pw, name []rune) bool {
	for j, want := range name {
		if pw[j] != want && !passesFor(pw[j], want) {
			return false
		}
	}
	return true
}

func passesFor(sign, want rune) bool {
	for _, letter := range disguises(sign) {
		if letter == want {
			return true
		}
	}
	return false
}
