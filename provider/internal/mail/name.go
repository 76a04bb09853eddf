package mail

import (
	"errors"
	"fmt"
	"net"
	"net/mail"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how many characters of a name are shown, or one more.
const maxShown = 64

// plainName makes a name of what somebody typed: one line, no markup, nothing
// that a mail program would make a link of, nothing that reads as an encoded word
// (RFC 2047) or turns the direction of what follows.
func plainName(s string) string {
	var b strings.Builder
	n, before, space := 0, rune(0), false
	for _, r := range s {
		if r == utf8.RuneError || unicode.Is(unicode.C, r) && !unicode.IsSpace(r) {
			continue
		}
		if unicode.IsSpace(r) || strings.ContainsRune("<>/\\@:|{}[]`=", r) {
			space = b.Len() > 0
			continue
		}
		if strings.ContainsRune(".。．｡", before) && !space && (unicode.IsLetter(r) || unicode.IsDigit(r)) {
			space = true // "evil.example" becomes two words
		}
		if n >= maxShown {
			return b.String() + "…"
		}
		if space {
			b.WriteByte(' ')
			space = false
			n++
		}
		b.WriteRune(r)
		before = r
		n++
	}
	return b.String()
}

var errFrom = errors.New("mail.from: must be an address such as no-reply@acme.example, or Acme Support <no-reply@acme.example>, and is needed with smtp.url")

// ParseFrom reads the sender of mails.
func ParseFrom(s string) (Address, error) {
	a, err := mail.ParseAddress(s)
	if err != nil || strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r > '~' }) || strings.ContainsAny(a.Address, "\"[]()<>,;:\\") {
		return Address{}, errFrom
	}
	return Address{Name: plainName(a.Name), Address: a.Address}, nil
}

// helloName is how we greet a server: the house's own name.
func helloName(publicURL string) string {
	host := hostOf(publicURL)
	ip := net.ParseIP(host)
	switch {
	case ip == nil:
		return host
	case ip.To4() != nil:
		return fmt.Sprintf("[%s]", ip)
	}
	return fmt.Sprintf("[IPv6:%s]", ip)
}
