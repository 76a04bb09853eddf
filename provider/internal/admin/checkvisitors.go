package admin

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// maxVisitorMinutes is the longest life of a visitor's token.
const maxVisitorMinutes = 60

func (c checker) visitors(v *fileVisitors) {
	if v == nil {
		return
	}
	c.oneOf(v.At, "visitors: sign_in", v.SignIn, store.SignInOff, store.SignInOptional, store.SignInRequired)
	if v.TokenMinutes != nil {
		c.number(v.At, "visitors: token_minutes", v.TokenMinutes, 1, maxVisitorMinutes)
	}
	c.most(v.At, "visitors: origins", len(v.Origins), maxListed)
	for i, text := range v.Origins {
		origin, wrong := webOrigin(text)
		if wrong != "" {
			c.faults.add(v.At, "visitors: origins: %q %s", text, wrong)
			continue
		}
		v.Origins[i] = origin
	}
	v.Origins = sorted(v.Origins)
}

// webOrigin is an origin as browsers spell it, or what is wrong with it.
func webOrigin(text string) (origin, wrong string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" || strings.Contains(text, "*") || len(text) > 512 {
		return "", "is not an origin such as https://shop.example"
	}
	if u.User != nil || u.Path != "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(text, "#") {
		return "", "has more than scheme, host and port"
	}
	if u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return "", "is not https"
	}
	host := u.Hostname()
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
		if addr.Is6() {
			host = "[" + host + "]"
		}
	} else if host, err = web.CanonicalHost(host); err != nil {
		return "", "names no host"
	}
	if strings.HasSuffix(u.Host, ":") {
		return "", "has a port without a number"
	}
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			return "", "has a port that is not between 1 and 65535"
		}
		if (u.Scheme != "https" || port != 443) && (u.Scheme != "http" || port != 80) {
			host += ":" + strconv.FormatUint(port, 10)
		}
	}
	return u.Scheme + "://" + host, ""
}

const maxBanReason = 500

// ban looks at one ban for itself, and puts it into the one spelling that it is
// known by.
func (c checker) ban(b *fileBan) (line, string) {
	if strings.TrimSpace(b.Reason) == "" {
		c.faults.add(b.At, "visitor_bans: a ban needs a reason")
	}
	if len(b.Reason) > maxBanReason {
		c.faults.add(b.At, "visitor_bans: reason has more than %d bytes", maxBanReason)
	}
	c.short(b.At, "visitor_bans: reason", b.Reason, maxBanReason)
	if b.IP != "" && b.CIDR != "" {
		c.faults.add(b.At, "visitor_bans: give ip or cidr, not both")
		return b.At, ""
	}
	if b.IP != "" {
		addr, err := netip.ParseAddr(b.IP)
		if err != nil || addr.Zone() != "" {
			c.faults.add(b.At, "visitor_bans: ip: %q is not an address", b.IP)
			return b.At, ""
		}
		b.IP = addr.Unmap().String()
	}
	if b.CIDR != "" {
		p, err := netip.ParsePrefix(b.CIDR)
		if err != nil || p.Masked() != p {
			c.faults.add(b.At, "visitor_bans: cidr: %q is not a network such as 203.0.113.0/24, without bits outside of it", b.CIDR)
			return b.At, ""
		}
		if p, err = policy.BanNetwork(b.CIDR); err != nil {
			c.faults.add(b.At, "visitor_bans: cidr: %v", err)
			return b.At, ""
		}
		b.CIDR = p.String()
	}
	faults := len(*c.faults)
	if b.Email != "" {
		b.Email = c.email(b.At, "visitor_bans: email", b.Email)
	}
	if b.EmailDomain != "" {
		if list := c.domains(b.At, "visitor_bans: email_domain", []string{b.EmailDomain}); len(list) == 1 {
			b.EmailDomain = list[0]
		}
	}
	if len(*c.faults) > faults { // policy would say it again
		return b.At, ""
	}
	rec := b.record()
	one := policy.Ban{VisitorID: rec.VisitorID, ExternalID: rec.ExternalID, Email: rec.Email, EmailDomain: rec.EmailDomain, Network: rec.Network, Reason: rec.Reason}
	if _, err := policy.CompileBans([]policy.Ban{one}); err != nil {
		c.faults.add(b.At, "visitor_bans: %s", strings.TrimPrefix(err.Error(), "ban 1: "))
		return b.At, ""
	}
	if why := policy.Wide(one); why != "" {
		*c.warnings = append(*c.warnings, "visitor_bans: "+why)
	}
	return b.At, rec.ID
}

// record is the ban without what the store adds. Its id is made of its criteria,
// so that the same ban in the file is the same one in the store.
func (b *fileBan) record() store.Ban {
	rec := store.Ban{
		VisitorID: b.Visitor, ExternalID: b.ExternalID, Email: b.Email, EmailDomain: b.EmailDomain, Network: b.CIDR,
		Reason: strings.TrimSpace(b.Reason), InFile: true,
	}
	if addr, err := netip.ParseAddr(b.IP); err == nil {
		rec.Network = web.Network(addr).String()
	}
	if b.Until != nil {
		rec.Until = b.Until.Time
	}
	sum := sha256.Sum256([]byte(strings.Join([]string{rec.VisitorID, rec.ExternalID, rec.Email, rec.EmailDomain, rec.Network}, "\x00")))
	rec.ID = "file-" + hex.EncodeToString(sum[:12])
	return rec
}

// banWords says whom a ban is on.
func banWords(b *store.Ban) string {
	var words []string
	for _, w := range [][2]string{{"visitor", b.VisitorID}, {"external_id", b.ExternalID}, {"email", b.Email}, {"email_domain", b.EmailDomain}, {"network", b.Network}} {
		if w[1] != "" {
			words = append(words, w[0]+" "+w[1])
		}
	}
	return strings.Join(slices.Clip(words), ", ")
}
