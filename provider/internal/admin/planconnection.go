package admin

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

func (p planner) planConnections(out *plan) {
	named := map[string]bool{}
	for i := range p.file.Connections {
		f := &p.file.Connections[i]
		named[f.ID] = true
		before, ok := p.have.connections[f.ID]
		if after, whole := p.connectionAfter(f, before, ok); whole {
			out.connections = appendEdit(out.connections, f.At, before, ok, after)
		}
	}
	if p.prune && p.file.Connections != nil {
		out.connections = append(out.connections, dropped(p.have.connections, named)...)
	}
	p.checkConnections(out)
}

// connectionAfter is the connection as it would stand; false if the file does not
// say enough to make it.
func (p planner) connectionAfter(f *fileConnection, before store.Connection, had bool) (store.Connection, bool) {
	after := before
	if !had {
		after = store.Connection{ID: f.ID, Kind: deref(f.Kind), For: deref(f.For), Name: f.ID, Created: p.now, Updated: p.now, Changed: p.now}
		if after.Kind == "" || after.For == "" {
			p.faults.add(f.At, "connection %s is new: it needs kind (saml, jwt or oidc) and for (agents or visitors)", f.ID)
			return after, false
		}
	}
	if f.Kind != nil && *f.Kind != after.Kind || f.For != nil && *f.For != after.For {
		p.faults.add(f.At, "connection %s is of kind %s and for %s, which cannot be changed, since accounts are linked to it; make another of another id", f.ID, after.Kind, after.For)
		return after, false
	}
	if f.Kind == nil || f.For == nil {
		for _, wrong := range misplaced(f, after.Kind, after.For) {
			p.faults.add(f.At, "connection %s: %s", f.ID, wrong)
		}
	}
	f.onto(&after)
	p.ontoKind(f, &before, &after)
	if had && !sameJSON(rehearsable(before), rehearsable(after)) {
		after.Changed = changedAt(before.Rehearsed, p.now)
	}
	if had && p.otherProvider(&before, &after) {
		after.Rebound = changedAt(time.UnixMicro(before.Since()), p.now)
		*p.warnings = append(*p.warnings, fmt.Sprintf("connection %s: its provider is another, so that its subjects are: the links to agents go, and visitors whom it knew are new to it", f.ID))
	}
	if before.Disabled && !after.Disabled {
		after.Resumed = p.now
	}
	if had && !sameJSON(before, after) {
		after.Updated = p.now
	}
	return after, true
}

// changedAt is after what was last noted even where a clock that was ahead has noted
// it, so that no rehearsal counts for what was changed since.
func changedAt(last, now time.Time) time.Time {
	if now.After(last) {
		return now
	}
	return last.Add(time.Microsecond)
}

// otherProvider reports whether those whom the connection knows are another provider's
// from now on, or may be: the same number there could be somebody else.
func (p planner) otherProvider(before, after *store.Connection) bool {
	switch {
	case after.OIDC != nil:
		return before.OIDC.Issuer != after.OIDC.Issuer
	case after.JWT != nil && before.JWT.Issuer != "" && after.JWT.Issuer != "":
		return before.JWT.Issuer != after.JWT.Issuer
	case after.JWT != nil:
		return web.Origin(before.JWT.LoginURL) != web.Origin(after.JWT.LoginURL) && !p.keyInCommon(before, after)
	case before.SAML.Subject != after.SAML.Subject: // another number
		return true
	}
	is := entityOf(after.SAML)
	if is == "" { // nobody knows what stands at another URL
		return before.SAML.MetadataURL != after.SAML.MetadataURL
	}
	was := entityOf(before.SAML)
	if was == "" {
		was = p.have.fetched[before.ID]
	}
	return was != "" && was != is
}

// keyInCommon reports whether one of the keys is still there.
func (p planner) keyInCommon(before, after *store.Connection) bool {
	have := p.sumsOf(after).tokens
	for sum := range p.sumsOf(before).tokens {
		if have[sum] {
			return true
		}
	}
	return false
}

// entityOf is the provider's entity ID, as far as the connection itself says it.
func entityOf(c *store.SAMLConnection) string {
	if c.EntityID == "" {
		return entityIDOf(c.MetadataXML)
	}
	return c.EntityID
}

// rehearsable is what a rehearsal covers of a connection: all but its name and
// whether it is used, offered first or enforced.
func rehearsable(c store.Connection) store.Connection {
	c.Name, c.Disabled, c.Default, c.Enforce, c.RehearsedBy = "", false, false, false, ""
	c.Created, c.Updated, c.Changed, c.Rehearsed, c.Rebound, c.Resumed = time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}, time.Time{}
	return c
}

// onto changes what the file names of what every kind has.
func (f *fileConnection) onto(c *store.Connection) {
	set(&c.Name, f.Name)
	set(&c.Disabled, f.Disabled)
	set(&c.Default, f.Default)
	set(&c.Create, f.Create)
	set(&c.Enforce, f.Enforce)
	set(&c.IdPInitiated, f.IdPInitiated)
	set(&c.TrustSecondFactor, f.TrustSecondFactor)
	set(&c.SkewSeconds, f.SkewSeconds)
	replace(&c.Domains, f.Domains)
	if f.Attributes != nil {
		c.Attributes = nil
		for _, a := range f.Attributes {
			c.Attributes = append(c.Attributes, store.Attribute{Field: a.field, From: a.From, Constant: deref(a.Constant), Type: deref(a.Type)})
		}
	}
	for _, m := range []struct {
		to   *[]store.Mapped
		from mappedList
	}{{&c.RoleMap, f.RoleMap}, {&c.DepartmentMap, f.DepartmentMap}} {
		if m.from == nil {
			continue
		}
		*m.to = nil
		for _, v := range m.from {
			*m.to = append(*m.to, store.Mapped{Value: v.value, To: v.to})
		}
	}
}

// replace changes a list if the file gives one; an empty one is as none.
func replace[T any](to *[]T, given []T) {
	if given == nil {
		return
	}
	if *to = given; len(given) == 0 {
		*to = nil
	}
}

// ontoKind changes what only the connection's own kind has.
func (p planner) ontoKind(f *fileConnection, before, after *store.Connection) {
	switch after.Kind {
	case store.ConnectionSAML:
		after.SAML = copyOf(before.SAML)
		f.ontoSAML(after.SAML)
	case store.ConnectionJWT:
		after.JWT = copyOf(before.JWT)
		p.ontoJWT(f, before, after)
	case store.ConnectionOIDC:
		after.OIDC = copyOf(before.OIDC)
		p.ontoOIDC(f, after)
	}
}

func copyOf[T any](p *T) *T {
	v := deref(p)
	return &v
}

// ontoSAML takes one of the three ways to name a provider in place of another.
func (f *fileConnection) ontoSAML(c *store.SAMLConnection) {
	byURL, byXML, byHand := deref(f.MetadataURL) != "", deref(f.MetadataXML) != "", deref(f.SSOURL) != ""
	if byURL || byXML || byHand {
		if !byURL {
			c.MetadataURL = ""
		}
		if !byXML {
			c.MetadataXML = ""
		}
		if !byHand {
			c.SSOURL, c.SSOBinding, c.SLOURL, c.Certificates = "", "", "", nil
		}
	}
	set(&c.MetadataURL, f.MetadataURL)
	if f.MetadataXML != nil {
		c.MetadataXML = string(*f.MetadataXML)
	}
	set(&c.EntityID, f.EntityID)
	set(&c.SSOURL, f.SSOURL)
	set(&c.SSOBinding, f.SSOBinding)
	set(&c.SLOURL, f.SLOURL)
	set(&c.SignRequests, f.SignRequests)
	set(&c.RequireEncryption, f.RequireEncryption)
	set(&c.ForceAuthn, f.ForceAuthn)
	set(&c.NameIDFormat, f.NameIDFormat)
	set(&c.Subject, f.Subject)
	replace(&c.MetadataCertificates, f.MetadataCertificates)
	replace(&c.Certificates, f.Certificates)
	replace(&c.AuthnContexts, f.AuthnContexts)
}

func (p planner) ontoOIDC(f *fileConnection, after *store.Connection) {
	c := after.OIDC
	set(&c.Issuer, f.Issuer)
	set(&c.ClientID, f.ClientID)
	set(&c.AuthMethod, f.AuthMethod)
	set(&c.Prompt, f.Prompt)
	set(&c.AssumeVerified, f.AssumeVerified)
	set(&c.AssumeFresh, f.AssumeFresh)
	replace(&c.Scopes, f.Scopes)
	replace(&c.ACRValues, f.ACRValues)
	if c.AuthMethod == publicClient {
		if f.ClientSecret.given() {
			p.faults.add(f.At, "connection %s: with token_endpoint_auth_method none there is no client_secret", f.ID)
		}
		c.ClientSecret = nil
		return
	}
	if f.ClientSecret.given() {
		sealed, err := p.vault.seal(f.ID, c.ClientSecret, f.ClientSecret)
		if err != nil {
			p.faults.add(f.At, "connection %s: client_secret: %v", f.ID, err)
		}
		c.ClientSecret = sealed
	}
	if len(c.ClientSecret) == 0 {
		*p.warnings = append(*p.warnings, fmt.Sprintf("connection %s has no client_secret: it signs in as a public client, which few providers take", f.ID))
	}
}

var entityPattern = regexp.MustCompile(`<(?:[\w.-]+:)?EntityDescriptor\b[^>]*\bentityID\s*=\s*["']([^"']+)["']`)

// entityIDOf is the first entity that a metadata document speaks of, without
// judging it; empty if there is none.
func entityIDOf(document string) string {
	found := entityPattern.FindStringSubmatch(document)
	if found == nil {
		return ""
	}
	return html.UnescapeString(strings.TrimSpace(found[1]))
}

// namedBy is what provider a connection speaks with, so that no two are the same;
// empty where it is not known.
func (p planner) namedBy(c *store.Connection) string {
	switch {
	case c.OIDC != nil:
		return "issuer " + c.OIDC.Issuer + " and client_id " + c.OIDC.ClientID
	case c.SAML == nil:
		return ""
	case entityOf(c.SAML) != "":
		return "entity_id " + entityOf(c.SAML)
	case p.have.fetched[c.ID] != "":
		return "entity_id " + p.have.fetched[c.ID]
	case c.SAML.MetadataURL != "":
		return "metadata_url " + c.SAML.MetadataURL
	}
	return ""
}
