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
// trailing dots are refused, as are characters that fold to ASCII or to another
// script's letter: two spellings never become one account by surprise.
func CanonicalEmail(s string) (string, error) {
	s = strings.TrimFunc(s, unicode.IsSpace)
	local, domain, found := strings.Cut(s, "@")
	if !found || local == "" || domain == "" || len(s) > maxEmail || len(local) > maxLocal || !utf8.ValidString(s) {
		return "", ErrEmail
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return "", ErrEmail
	}
	composed := norm.NFC.String(local) // an I and a dot are a letter that the text has not
	for _, r := range local + composed {
		if !localRune(r) {
			return "", ErrEmail
		}
	}
	local = norm.NFC.String(strings.ToLower(composed)) // some letters exist composed in lower case only
	if norm.NFKC.String(local) != local {              // full-width, Kelvin sign and the like
		return "", ErrEmail
	}
	domain, err := CanonicalHost(domain)
	if err != nil || !strings.Contains(domain, ".") || len(local) > maxLocal || len(local)+1+len(domain) > maxEmail {
		return "", ErrEmail
	}
	return local + "@" + domain, nil
}

// Bytes of an address and of its local part, as typed and in its one form: lower case
// and ASCII may be longer (RFC 5321, section 4.5.3.1).
const (
	maxEmail = 254
	maxLocal = 64
)

func localRune(r rune) bool {
	if r >= utf8.RuneSelf {
		alone := string(r)                               // the Kelvin sign and its like become another letter even by NFC
		turnsASCII := unicode.ToLower(r) < utf8.RuneSelf // the Turkish İ would be an i
		return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) && norm.NFC.String(alone) == alone && !turnsASCII
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
	if err != nil || !mayBeLast(ascii[strings.LastIndexByte(ascii, '.')+1:]) {
		return "", ErrHost
	}
	return ascii, nil
}

// mayBeLast reports whether a name may end in this label: after a dot of another
// script there is none, and a number makes the name an IPv4 address.
func mayBeLast(label string) bool {
	return strings.Trim(label, "0123456789") != "" && !strings.HasPrefix(label, "0x")
}
