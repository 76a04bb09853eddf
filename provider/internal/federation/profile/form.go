package profile

import (
	"net/url"
	"strings"
)

// formed drops a value that is not of its form. Nobody is kept out for a picture.
func (m *mapping) formed(name string, value *string, expected string, ok func(string) bool) {
	if *value == "" || ok(*value) {
		return
	}
	m.check("attribute "+name, false, expected, *value)
	*value = ""
}

// isPicture accepts what a browser may be sent to for a picture.
func isPicture(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && !strings.ContainsAny(s, "\"'<>\\ ")
}

// isLocale accepts a language tag (RFC 5646), with _ as many write it.
func isLocale(s string) bool { return len(s) <= 35 && made(s, "-_") }

// isZone accepts the name of a zone in the tz database.
func isZone(s string) bool {
	return len(s) <= 64 && made(s, "-_+/") && !strings.HasPrefix(s, "/") && !strings.Contains(s, "//")
}

// made reports whether a text is made of ASCII letters, digits and these.
func made(s, others string) bool {
	for _, r := range s {
		if (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r) {
			return false
		}
	}
	return s != ""
}

// verified is email_verified, where it speaks of the address that is taken. Providers
// mean the one in their own email by it: a mapping that takes the address from another
// name, which people may have typed, must say as well where that is vouched for. A
// false stays.
func (m *mapping) verified() *bool {
	yes := m.flag("email_verified")
	if yes == nil || !*yes || m.mapped("email_verified") {
		return yes
	}
	if _, from := m.find("email"); from != "email" && from != "" {
		m.check("attribute email_verified", false, "of the address in email", "the address comes from "+from)
		return nil
	}
	return yes
}
