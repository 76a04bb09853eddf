package admin

import (
	"encoding/pem"
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	connectionPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$`)
	customPattern     = regexp.MustCompile(`^custom\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$`)
)

// Limits on what one connection may name.
const (
	maxListed     = 100 // domains, certificates, scopes and the like
	maxMappedKeys = 1000
	maxSkew       = 300 // seconds
)

// agentFields and visitorFields are what attributes may fill; visitors also have
// fields of the site's own, custom.*.
func agentFields() []string {
	return []string{"email", "email_verified", "name", "given_name", "family_name", "picture", "locale", "zoneinfo", "phone_number", "roles", "departments"}
}

func visitorFields() []string {
	return []string{"external_id", "email", "email_verified", "name", "given_name", "family_name", "phone", "picture", "locale"}
}

// connection looks at one connection for itself.
func (c checker) connection(f *fileConnection) {
	if !connectionPattern.MatchString(f.ID) {
		c.faults.add(f.At, "a connection needs an id of 1 to 40 of a-z, 0-9 and inner hyphens, not %q", f.ID)
		return
	}
	what := "connection " + f.ID
	c.oneOf(f.At, what+": kind", f.Kind, store.ConnectionSAML, store.ConnectionJWT, store.ConnectionOIDC)
	c.oneOf(f.At, what+": for", f.For, store.ForAgents, store.ForVisitors)
	c.short(f.At, what+": name", deref(f.Name), 100)
	if f.Name != nil && strings.TrimSpace(*f.Name) == "" {
		c.faults.add(f.At, "%s: name is empty", what)
	}
	for _, wrong := range misplaced(f, deref(f.Kind), deref(f.For)) {
		c.faults.add(f.At, "%s: %s", what, wrong)
	}
	f.Domains = c.domains(f.At, what+": domains", f.Domains)
	c.number(f.At, what+": skew_seconds", f.SkewSeconds, 0, maxSkew)
	c.attributes(f, what)
	c.maps(f, what)
	c.saml(f, what)
	c.jwt(f, what)
	c.oidc(f, what)
}

// misplaced says which fields are given that are for another kind or population.
// A kind or population that is not known yet takes all.
func misplaced(f *fileConnection, kind, whom string) (wrong []string) {
	v := reflect.ValueOf(f).Elem()
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag
		if !given(v.Field(i)) {
			continue
		}
		name, _, _ := strings.Cut(tag.Get("yaml"), ",")
		if kinds := strings.Fields(tag.Get("kind")); kind != "" && len(kinds) > 0 && !slices.Contains(kinds, kind) {
			wrong = append(wrong, fmt.Sprintf("%s is for kind %s, and this one is %s", name, strings.Join(kinds, " or "), kind))
		}
		if want := tag.Get("whom"); whom != "" && want != "" && want != whom {
			wrong = append(wrong, fmt.Sprintf("%s is for connections of %s, and this one is for %s", name, want, whom))
		}
	}
	return wrong
}

func given(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Pointer, reflect.Slice:
		return !v.IsNil()
	}
	s, ok := v.Interface().(secret)
	return ok && s.given()
}

func (c checker) domains(at line, what string, list []string) []string {
	c.canonicalDomains(at, what, list)
	c.most(at, what, len(list), maxListed)
	return sorted(list)
}

// canonicalDomains puts each into its one form.
func (c checker) canonicalDomains(at line, what string, list []string) {
	for i, d := range list {
		canonical, err := web.CanonicalHost(d)
		if err != nil || !strings.Contains(canonical, ".") {
			c.faults.add(at, "%s: %q is not a domain name", what, d)
			continue
		}
		list[i] = canonical
	}
}

func (c checker) most(at line, what string, n, most int) {
	if n > most {
		c.faults.add(at, "%s has %d entries; %d is the most", what, n, most)
	}
}

func (c checker) attributes(f *fileConnection, what string) {
	for i := range f.Attributes {
		a := &f.Attributes[i]
		c.field(a, deref(f.For), what)
		name := what + ": attributes: " + a.field
		if len(a.From) == 0 && deref(a.Constant) == "" {
			c.faults.add(a.At, "%s says neither from nor constant", name)
		}
		c.most(a.At, name, len(a.From), maxListed)
		for _, from := range append(slices.Clone(a.From), deref(a.Constant)) {
			c.short(a.At, name, from, profile.MaxValue)
		}
		if slices.Contains(a.From, "") {
			c.faults.add(a.At, "%s names an empty attribute", name)
		}
		c.oneOf(a.At, name+": type", a.Type, "string", "number", "boolean", "list")
		if a.Type != nil && !strings.HasPrefix(a.field, "custom.") {
			c.faults.add(a.At, "%s: only custom fields have a type", name)
		}
		switch {
		case deref(a.Constant) == "":
		case a.field == "email" || a.field == "external_id":
			c.faults.add(a.At, "%s cannot be constant: everybody would be the same person", name)
		case a.field == "email_verified":
			c.faults.add(a.At, "%s cannot be constant: it is the provider's word for each address (assume_verified is for one that says nothing)", name)
		}
	}
	custom := slices.DeleteFunc(slices.Clone(f.Attributes), func(a fileAttribute) bool { return !strings.HasPrefix(a.field, "custom.") })
	c.most(f.At, what+": custom attributes", len(custom), profile.MaxCustom)
}

// field refuses fields that there are not. While it is not known whom the
// connection is for, those of both may stand.
func (c checker) field(a *fileAttribute, whom, what string) {
	var known []string
	if whom != store.ForVisitors {
		known = append(known, agentFields()...)
	}
	if whom != store.ForAgents {
		if customPattern.MatchString(a.field) {
			return
		}
		known = append(known, visitorFields()...)
		known = append(known, "custom.NAME")
	}
	if !slices.Contains(known, a.field) || a.field == "custom.NAME" {
		slices.Sort(known)
		c.faults.add(a.At, "%s: attributes: there is no field %q; there are %s", what, a.field, strings.Join(slices.Compact(known), ", "))
	}
}

func (c checker) maps(f *fileConnection, what string) {
	for _, m := range []struct {
		name string
		list mappedList
	}{{"role_map", f.RoleMap}, {"department_map", f.DepartmentMap}} {
		c.most(f.At, what+": "+m.name, len(m.list), maxMappedKeys)
		for _, v := range m.list {
			if v.value == "" || len(v.value) > profile.MaxValue {
				c.faults.add(v.at, "%s: %s: a value has 1 to %d bytes", what, m.name, profile.MaxValue)
			}
			if len(v.to) == 0 {
				c.faults.add(v.at, "%s: %s: %q leads nowhere", what, m.name, v.value)
			}
			if m.name == "role_map" && slices.Contains(v.to, policy.Administrators) {
				c.faults.add(v.at, "%s: role_map: %q leads to %s: single sign-on never makes an administrator; give the role by the site file or chatelaine agent set-roles", what, v.value, policy.Administrators)
			}
		}
	}
}

func (c checker) saml(f *fileConnection, what string) {
	c.fetchURL(f.At, what+": metadata_url", f.MetadataURL)
	c.browserURL(f.At, what+": sso_url", f.SSOURL)
	c.browserURL(f.At, what+": slo_url", f.SLOURL)
	c.oneOf(f.At, what+": sso_binding", f.SSOBinding, "redirect", "post")
	c.short(f.At, what+": subject", deref(f.Subject), profile.MaxValue)
	for name, text := range map[string]*string{"entity_id": f.EntityID, "name_id_format": f.NameIDFormat} {
		if strings.ContainsFunc(deref(text), func(r rune) bool { return r <= ' ' }) || len(deref(text)) > 1024 {
			c.faults.add(f.At, "%s: %s is a URI of at most 1024 bytes", what, name)
		}
	}
	c.words(f.At, what+": authn_contexts", f.AuthnContexts)
	f.Certificates = c.certificates(f.At, what+": certificates", f.Certificates)
	f.MetadataCertificates = c.certificates(f.At, what+": metadata_certificates", f.MetadataCertificates)
}

// certificates brings them into one spelling, PEM.
func (c checker) certificates(at line, what string, list []string) []string {
	c.most(at, what, len(list), 20)
	for i, text := range list {
		certificate, err := saml.ParseCertificate(text)
		if err != nil {
			c.faults.add(at, "%s: number %d is %v", what, i+1, err)
			continue
		}
		list[i] = strings.TrimSpace(string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})))
	}
	return list
}

// words are texts without spaces.
func (c checker) words(at line, what string, list []string) {
	c.most(at, what, len(list), maxListed)
	for _, w := range list {
		if w == "" || len(w) > 1024 || strings.ContainsFunc(w, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
			c.faults.add(at, "%s: %q is not a word without spaces", what, w)
		}
	}
}

func (c checker) jwt(f *fileConnection, what string) {
	c.browserURL(f.At, what+": login_url", f.LoginURL)
	c.browserURL(f.At, what+": logout_url", f.LogoutURL)
	c.fetchURL(f.At, what+": jwks_url", f.JWKSURL)
	if deref(f.Dialect) != "" {
		c.oneOf(f.At, what+": dialect", f.Dialect, jwt.Zendesk, jwt.Comm100)
	}
	c.most(f.At, what+": keys", len(f.Keys), jwt.MaxKeys)
	seen := map[string]int{}
	for i := range f.Keys {
		k := &f.Keys[i]
		name := fmt.Sprintf("%s: key %q", what, k.KID)
		if first, twice := seen[k.KID]; twice {
			c.faults.add(k.At, "%s is named twice, first in line %d: each key has a kid of its own", name, first)
		}
		seen[k.KID] = k.At.n
		c.short(k.At, name, k.KID, 200)
		c.verificationKey(k, name)
	}
}

func (c checker) verificationKey(k *fileKey, what string) {
	c.oneOf(k.At, what+": alg", k.Alg, "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "EdDSA")
	c.oneOf(k.At, what+": use", k.Use, store.UseUserHash)
	key := jwt.Key{Alg: deref(k.Alg)}
	switch {
	case deref(k.Use) == store.UseUserHash && (k.PublicKey != nil || k.Alg != nil):
		c.faults.add(k.At, "%s: with use: user_hash it is a secret, without alg", what)
		return
	case k.Secret.given() && k.PublicKey != nil:
		c.faults.add(k.At, "%s: give secret or public_key, not both", what)
		return
	case k.Secret.given():
		if n := len(k.Secret.reveal()); n < jwt.MinSecret {
			c.faults.add(k.At, "%s: secret has %d bytes, and %d are the least (RFC 7518, section 3.2); make one with: openssl rand -base64 32", what, n, jwt.MinSecret)
			return
		}
		c.random(k.At, what+": secret", k.Secret)
		key.Secret = []byte(k.Secret.reveal())
	case k.PublicKey != nil:
		text := strings.TrimSpace(*k.PublicKey)
		k.PublicKey = &text
		public, err := jwt.ParsePublicKey(text)
		if err != nil {
			c.faults.add(k.At, "%s: public_key: %v", what, err)
			return
		}
		key.Public = public
	default:
		return
	}
	if len(key.Algorithms()) == 0 {
		c.faults.add(k.At, "%s: alg %s is not of this kind of key", what, deref(k.Alg))
	}
}

// random refuses secrets that are placeholders.
func (c checker) random(at line, what string, s secret) {
	if !fewLetters(s.reveal()) {
		return
	}
	c.weak(at, what+" is the same few characters over and over")
}

// weak is a fault, and on loopback a warning.
func (c checker) weak(at line, text string) {
	if c.loopback {
		*c.warnings = append(*c.warnings, text+": accepted on loopback only")
		return
	}
	c.faults.add(at, "%s", text)
}

// publicClient is the token_endpoint_auth_method of a client without a secret.
const publicClient = "none"

func (c checker) oidc(f *fileConnection, what string) {
	if deref(f.Kind) == store.ConnectionOIDC && f.Issuer != nil {
		c.fetchURL(f.At, what+": issuer", f.Issuer)
		if err := oidc.CheckIssuer(*f.Issuer); err != nil {
			c.faults.add(f.At, "%s: issuer: %v", what, err)
		}
	}
	if strings.ContainsFunc(deref(f.ClientID)+deref(f.Issuer), func(r rune) bool { return r < ' ' || r == 0x7f }) || len(deref(f.ClientID)) > 512 || len(deref(f.Issuer)) > 1024 {
		c.faults.add(f.At, "%s: client_id or issuer is too long, or holds what cannot be seen", what)
	}
	if f.ClientSecret.given() {
		switch text := f.ClientSecret.reveal(); {
		case text == "" || len(text) > 2048 || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }):
			c.faults.add(f.At, "%s: client_secret must have 1 to 2048 printable ASCII characters", what)
		case len(text) < minSecret:
			c.weak(f.At, fmt.Sprintf("%s: client_secret has fewer than %d characters", what, minSecret))
		default:
			c.random(f.At, what+": client_secret", f.ClientSecret)
		}
	}
	c.oneOf(f.At, what+": token_endpoint_auth_method", f.AuthMethod, "client_secret_basic", "client_secret_post", publicClient)
	for _, s := range f.Scopes {
		if !scopeToken(s) {
			c.faults.add(f.At, "%s: scopes: %q is not a scope", what, s)
		}
	}
	c.most(f.At, what+": scopes", len(f.Scopes), maxListed)
	if deref(f.Prompt) != "" {
		for p := range strings.FieldsSeq(*f.Prompt) {
			c.allOf(f.At, what+": prompt", []string{p}, "login", "consent", "select_account")
		}
	}
	c.words(f.At, what+": acr_values", f.ACRValues)
}

// browserURL is where a browser is sent: https, or http to this machine while the
// house is on loopback itself.
func (c checker) browserURL(at line, what string, text *string) (u *url.URL) {
	if deref(text) == "" {
		return nil
	}
	u, err := url.Parse(*text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Opaque != "" || len(*text) > 2048 || strings.ContainsFunc(*text, func(r rune) bool { return r <= ' ' || r == 0x7f }):
		c.faults.add(at, "%s: %q is not an https URL", what, *text)
	case strings.Contains(*text, "#"):
		c.faults.add(at, "%s: %q has a fragment", what, *text)
	case u.Scheme == "https", u.Scheme == "http" && isLoopback(u.Hostname()) && c.loopback:
		return u
	case u.Scheme == "http" && isLoopback(u.Hostname()):
		c.faults.add(at, "%s: %q is plain http to this machine, which is for houses whose public_url is on loopback; use https", what, *text)
	default:
		c.faults.add(at, "%s: %q is not an https URL", what, *text)
	}
	return nil
}

// fetchURL is one that the server itself asks: never an address of its own network.
func (c checker) fetchURL(at line, what string, text *string) {
	u := c.browserURL(at, what, text)
	if u == nil || c.loopback && isLoopback(u.Hostname()) {
		return
	}
	addr, err := netip.ParseAddr(u.Hostname())
	if err == nil && slices.ContainsFunc(c.private, func(p netip.Prefix) bool { return p.Contains(addr.Unmap()) }) {
		return
	}
	if err == nil && (!addr.Unmap().IsGlobalUnicast() || addr.Unmap().IsPrivate()) || isLoopback(u.Hostname()) {
		way := ""
		if strings.HasSuffix(what, "metadata_url") {
			way = "; metadata_xml takes the document itself"
		}
		c.faults.add(at, "%s: %s is no public address, and the server asks no other but those of the setting fetch.private_networks%s", what, u.Hostname(), way)
	}
}
