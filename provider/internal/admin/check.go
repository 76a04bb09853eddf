package admin

import (
	"encoding/json"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// minSecret is the least that a secret in a file may have, in characters.
const minSecret = 32

// maxDNSDomains bounds the look-ups of a site.
const maxDNSDomains = 100

var keyPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]{0,63}$`)

// checker looks at what a file says without knowing what the store has, and
// puts what has several spellings into its one form.
type checker struct {
	faults   *faultList
	warnings *[]string
	loopback bool // the house is for this machine alone: short secrets only warn
	private  []netip.Prefix

	checkHash func(string) error // says whether a password hash can be checked at sign-in
}

func (c checker) file(f *siteFile) {
	if len(f.Sites) == 0 && len(*c.faults) == 0 {
		c.faults.add(f.At, "the file names no site")
	}
	seen := map[string]int{}
	for i := range f.Sites {
		s := &f.Sites[i]
		path := deref(s.Path)
		if first, twice := seen[path]; twice {
			c.faults.add(s.At, "site %q is named twice, first in line %d", path, first)
		}
		seen[path] = s.At.n
		c.site(s)
	}
}

func (c checker) site(s *fileSite) {
	if err := site.CheckPath(deref(s.Path)); err != nil {
		c.faults.add(s.At, "path: %v", err)
	}
	c.host(s)
	c.short(s.At, "name", deref(s.Name), 100)
	c.canonicalDomains(s.At, "domains", s.Domains)
	c.canonicalDomains(s.At, "dns_domains", s.DNSDomains)
	unique(c, s.DNSDomains, "dns_domains: the domain", func(d *string) (line, string) { return s.At, *d })
	c.most(s.At, "dns_domains", len(s.DNSDomains), maxDNSDomains)
	if s.Logo != nil && *s.Logo != "" {
		c.webURL(s.At, "logo", *s.Logo)
	}
	if s.Color != nil && !regexp.MustCompile(`^(#[0-9a-fA-F]{6})?$`).MatchString(*s.Color) {
		c.faults.add(s.At, "color: %q is not of the form #0f5e56", *s.Color)
	}
	unique(c, s.Roles, "role", func(r *fileRole) (line, string) { c.role(r); return r.At, r.Key })
	unique(c, s.Departments, "department", func(d *fileDepartment) (line, string) { c.department(d); return d.At, d.Key })
	unique(c, s.Resources, "resource", func(r *fileResource) (line, string) { c.resource(r); return r.At, r.Identifier })
	unique(c, s.Agents, "agent", func(a *fileAgent) (line, string) { c.agent(a); return a.At, a.Email })
	unique(c, s.Connections, "connection", func(f *fileConnection) (line, string) { c.connection(f); return f.At, f.ID })
	unique(c, s.VisitorBans, "visitor_bans: the ban", c.ban)
	unique(c, s.Clients, "client", func(cl *fileClient) (line, string) { c.client(cl); return cl.At, strings.ToLower(cl.ID) })
	c.passwordPolicy(s.PasswordPolicy)
	c.twoFactor(s.TwoFactor)
	c.sessions(s.Sessions)
	c.visitors(s.Visitors)
	c.lifetimes(s.Lifetimes)
	c.allowlist(s.IPAllowlist)
}

// unique checks each item and that no two have the same key.
func unique[T any](c checker, items []T, kind string, check func(*T) (line, string)) {
	seen := map[string]int{}
	for i := range items {
		at, key := check(&items[i])
		if first, twice := seen[key]; twice && key != "" {
			c.faults.add(at, "%s %s is named twice, first in line %d", kind, key, first)
			continue
		}
		seen[key] = at.n
	}
}

func (c checker) host(s *fileSite) {
	if s.Host == nil || *s.Host == "" {
		return
	}
	u, err := url.Parse("https://" + *s.Host)
	if err != nil || u.Host != *s.Host || u.Hostname() == "" || u.User != nil {
		c.faults.add(s.At, "host: %q is not a host name", *s.Host)
		return
	}
	*s.Host = strings.ToLower(u.Host)
}

// short says whether a text for people is short, and on one line.
func (c checker) short(at line, field, text string, most int) {
	if utf8.RuneCountInString(text) > most {
		c.faults.add(at, "%s has more than %d characters", field, most)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }) {
		c.faults.add(at, "%s holds a line break or a character that turns the direction of writing", field)
	}
}

func (c checker) key(at line, kind, key string) {
	if !keyPattern.MatchString(key) {
		c.faults.add(at, "%s: the key %q must have 1 to 64 of a-z, 0-9, _, . and -, and begin with a letter or digit", kind, key)
	}
}

func (c checker) role(r *fileRole) {
	c.key(r.At, "role", r.Key)
	c.short(r.At, "name", deref(r.Name), 100)
	for _, p := range r.Permissions {
		if !policy.ValidPermission(p) {
			c.faults.add(r.At, "role %s: there is no permission %q (your own begin with %s)", r.Key, p, policy.CustomPrefix)
		}
	}
	if r.Key == policy.Administrators && r.Permissions != nil {
		c.faults.add(r.At, "role %s: it always holds every permission; leave permissions out", r.Key)
	}
	r.Permissions = sorted(r.Permissions)
}

func (c checker) department(d *fileDepartment) {
	c.key(d.At, "department", d.Key)
	c.short(d.At, "name", deref(d.Name), 100)
	for _, list := range [][]string{d.TranscriptsTo, d.OfflineMessagesTo} {
		for i := range list {
			list[i] = c.email(d.At, "department "+d.Key, list[i])
		}
	}
}

func (c checker) email(at line, what, text string) string {
	canonical, err := web.CanonicalEmail(text)
	if err != nil {
		c.faults.add(at, "%s: %q is not an e-mail address", what, text)
		return text
	}
	return canonical
}

func (c checker) agent(a *fileAgent) {
	if a.Email == "" {
		c.faults.add(a.At, "an agent needs an email")
		return
	}
	a.Email = c.email(a.At, "agent", a.Email)
	for field, text := range map[string]*string{"name": a.Name, "given_name": a.GivenName, "family_name": a.FamilyName, "nickname": a.Nickname, "locale": a.Locale, "zoneinfo": a.Zoneinfo, "phone_number": a.PhoneNumber} {
		c.short(a.At, field, deref(text), 200)
	}
	if deref(a.Picture) != "" {
		c.webURL(a.At, "picture", *a.Picture)
	}
	if a.Password.given() && a.PasswordHash.given() {
		c.faults.add(a.At, "agent %s: give password or password_hash, not both", a.Email)
	}
	if a.PasswordHash.given() {
		if err := c.checkHash(a.PasswordHash.reveal()); err != nil {
			c.faults.add(a.At, "agent %s: password_hash is not an argon2id, bcrypt or PBKDF2 hash in PHC or crypt form", a.Email)
		}
	}
	c.totpSecret(a)
	a.Roles, a.Departments = sorted(a.Roles), sorted(a.Departments)
}

func sorted(list []string) []string {
	if list == nil {
		return nil
	}
	list = slices.Clone(list) // an empty list stays one: it was named
	slices.Sort(list)
	return slices.Compact(list)
}

func (c checker) webURL(at line, field, text string) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) || len(text) > 2048 {
		c.faults.add(at, "%s: %q is not an https URL", field, text)
	}
}

func (c checker) resource(r *fileResource) {
	if u, err := url.Parse(r.Identifier); err != nil || !u.IsAbs() || u.Fragment != "" || strings.Contains(r.Identifier, "#") || u.User != nil || len(r.Identifier) > 512 || strings.ContainsAny(r.Identifier, " \t\n") {
		c.faults.add(r.At, "resource: the identifier %q is not an absolute URI without a fragment", r.Identifier)
	}
	for _, s := range r.Scopes {
		if !scopeToken(s) {
			c.faults.add(r.At, "resource %s: %q is not a scope", r.Identifier, s)
		}
		if slices.Contains(protocolScopes(), s) {
			c.faults.add(r.At, "resource %s: the scope %q is the protocol's own", r.Identifier, s)
		}
	}
	c.oneOf(r.At, "access_token_format", r.AccessTokenFormat, "jwt", "opaque")
	c.oneOf(r.At, "signing_alg", r.SigningAlg, "ES256", "RS256", "EdDSA")
}

func (c checker) oneOf(at line, field string, value *string, allowed ...string) {
	if value != nil && !slices.Contains(allowed, *value) {
		c.faults.add(at, "%s: %q is not one of %s", field, *value, strings.Join(allowed, ", "))
	}
}

// scopeToken is RFC 6749, section 3.3.
func scopeToken(s string) bool {
	return s != "" && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}

func (c checker) number(at line, field string, value *int, low, high int) {
	if value != nil && (*value < low || *value > high) {
		c.faults.add(at, "%s: %d is not between %d and %d", field, *value, low, high)
	}
}

func (c checker) lifetimes(l *fileLifetimes) {
	if l == nil {
		return
	}
	const day = 24 * 3600
	c.number(l.At, "code", l.Code, 1, 600)
	c.number(l.At, "access_token", l.AccessToken, 1, day)
	c.number(l.At, "id_token", l.IDToken, 1, day)
	c.number(l.At, "refresh_idle", l.RefreshIdle, 1, 365*day)
	c.number(l.At, "refresh_absolute", l.RefreshAbsolute, 1, 365*day)
	c.number(l.At, "session_idle", l.SessionIdle, 1, 90*day)
	c.number(l.At, "session_absolute", l.SessionAbsolute, 1, 90*day)
	c.number(l.At, "visitor_token", l.VisitorToken, 1, day)
}

func (c checker) allowlist(a *fileAllowlist) {
	if a == nil {
		return
	}
	for _, e := range a.Entries {
		_, err := site.CompileAllowlist(store.Allowlist{Entries: []store.AllowlistEntry{e.record()}})
		if err == nil {
			continue
		}
		text := err.Error()
		if _, inner, ok := strings.Cut(text, ": "); ok {
			text = inner
		}
		c.faults.add(e.At, "ip_allowlist: %s", text)
	}
}

// record is the entry in its normal spelling, if it has one.
func (e allowlistEntry) record() store.AllowlistEntry {
	rec := store.AllowlistEntry{IP: e.IP, Range: e.Range, CIDR: e.CIDR, Note: e.Note, Roles: sorted(e.Roles)}
	normal := policy.AllowlistEntry{IP: e.IP, Range: e.Range, CIDR: e.CIDR}.Normal()
	switch {
	case normal == "":
	case e.IP != "":
		rec.IP = normal
	case e.CIDR != "":
		rec.CIDR = normal
	default:
		rec.Range = normal
	}
	return rec
}

// checkJWKS accepts public keys of the algorithms that clients may sign with.
func checkJWKS(raw json.RawMessage) string {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil || len(set.Keys) == 0 {
		return "is not a set of keys"
	}
	for _, k := range set.Keys {
		if !k.Valid() || !k.IsPublic() {
			return "must hold public keys only"
		}
	}
	return ""
}
