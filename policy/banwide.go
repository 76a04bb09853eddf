package policy

import (
	"fmt"
	"strings"
)

// Networks wider than these are a whole provider's, or a country's.
const (
	wideBanIPv4 = 8
	wideBanIPv6 = 32
)

// Wide says why a ban keeps out far more people than are meant, in one sentence;
// empty: it does not. A ban is as narrow as its narrowest criterion. A faulty one is
// CompileBans's to tell.
func Wide(ban Ban) string {
	key, err := ban.key()
	if err != nil || key.who.visitor != "" || key.who.external != "" || key.who.email != "" {
		return ""
	}
	var why []string
	if p := key.network; p.IsValid() {
		limit := wideBanIPv6
		if p.Addr().Is4() {
			limit = wideBanIPv4
		}
		switch {
		case p.Bits() == 0:
			why = append(why, fmt.Sprintf("%s is everybody", p))
		case p.Bits() < limit:
			why = append(why, fmt.Sprintf("%s is wider than a /%d", p, limit))
		default:
			return ""
		}
	}
	if ban.EmailDomain != "" {
		domain := strings.ToLower(strings.TrimSuffix(ban.EmailDomain, "."))
		switch {
		case !strings.Contains(domain, "."):
			why = append(why, fmt.Sprintf("%s is every address under that top-level domain", domain))
		case freeMail(domain):
			why = append(why, fmt.Sprintf("%s gives addresses to everybody", domain))
		default:
			return ""
		}
	}
	return strings.Join(why, ", and ")
}

// freeMail reports whether a domain is one of those at which anybody has an address:
// the large ones; no list is complete.
func freeMail(domain string) bool {
	switch domain {
	case "gmail.com", "googlemail.com",
		"outlook.com", "hotmail.com", "live.com", "msn.com", "hotmail.co.uk", "hotmail.fr", "hotmail.de", "hotmail.it", "hotmail.es",
		"live.co.uk", "live.fr", "live.nl", "outlook.de", "outlook.fr", "outlook.es", "outlook.jp",
		"yahoo.com", "ymail.com", "rocketmail.com", "myyahoo.com", "yahoo.co.uk", "yahoo.co.jp", "yahoo.co.in", "yahoo.fr", "yahoo.de",
		"yahoo.it", "yahoo.es", "yahoo.ca", "yahoo.com.br", "yahoo.com.au",
		"icloud.com", "me.com", "mac.com", "aol.com", "aim.com",
		"proton.me", "protonmail.com", "pm.me", "tutanota.com", "tuta.io", "fastmail.com", "hey.com", "zoho.com", "mail.com",
		"gmx.com", "gmx.de", "gmx.net", "gmx.at", "gmx.ch", "web.de", "t-online.de", "freenet.de", "posteo.de", "mailbox.org",
		"orange.fr", "wanadoo.fr", "free.fr", "laposte.net", "sfr.fr", "libero.it", "virgilio.it", "tiscali.it",
		"seznam.cz", "wp.pl", "o2.pl", "onet.pl", "interia.pl", "ziggo.nl", "kpnmail.nl", "telenet.be", "btinternet.com", "sky.com",
		"yandex.ru", "yandex.com", "ya.ru", "mail.ru", "bk.ru", "list.ru", "inbox.ru", "rambler.ru", "ukr.net",
		"qq.com", "163.com", "126.com", "sina.com", "foxmail.com", "naver.com", "daum.net", "hanmail.net", "docomo.ne.jp", "rediffmail.com",
		"uol.com.br", "bol.com.br", "terra.com.br", "comcast.net", "verizon.net", "att.net", "sbcglobal.net", "cox.net", "bellsouth.net":
		return true
	}
	return false
}
