package web

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// ErrEmail says that a text is not an e-mail address as this house accepts it.
var ErrEmail = errors.New("not an e-mail address")

// CanonicalEmail returns the one form in which an address is compared, stored
// and mailed to: local part in NFC and lower case, domain in lower-case ASCII
// (IDNA 2008). Quoted local parts, comments, address literals, display names and
// trailing dots are refused, as are characters that fold to another script's
// letter: two spellings never become one account by surprise.
func CanonicalEmail(s string) (string, error) {
	s = strings.TrimFunc(s, unicode.IsSpace)
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || domain == "" || len(s) > 254 || len(local) > 64 || !utf8.ValidString(s) {
		return "", ErrEmail
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return "", ErrEmail
	}
	for _, r := range local {
		if !localRune(r) {
			return "", ErrEmail
		}
	}
	local = norm.NFC.String(local)
	if norm.NFKC.String(local) != local { // full-width, Kelvin sign and the like
		return "", ErrEmail
	}
	domain, err := CanonicalHost(domain)
	if err != nil || !strings.Contains(domain, ".") {
		return "", ErrEmail
	}
	return strings.ToLower(local) + "@" + domain, nil
}

func localRune(r rune) bool {
	if r >= utf8.RuneSelf {
		alone := string(r) // the Kelvin sign and its like become another letter even by NFC
		return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) && norm.NFC.String(alone) == alone
	}
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r)
}

// ErrHost says that a text is not a host name.
var ErrHost = errors.New("not a host name")

// CanonicalHost returns a domain name in lower-case ASCII (IDNA 2008, no
// trailing dot). Address literals and other spellings of a name are refused.
func CanonicalHost(s string) (string, error) {
	if s == "" || strings.HasSuffix(s, ".") || strings.ContainsAny(s, "[]:/@ ") {
		return "", ErrHost
	}
	if folded := norm.NFKC.String(s); folded != s {
		return "", ErrHost
	}
	ascii, err := idna.New(idna.MapForLookup(), idna.BidiRule(), idna.StrictDomainName(true), idna.VerifyDNSLength(true)).ToASCII(s)
	if err != nil || ascii == "" {
		return "", ErrHost
	}
	return ascii, nil
}
