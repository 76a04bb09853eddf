package admin

import (
	"crypto/x509"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/store"
)

// certificateSoon is how long before its end a certificate is worth a word.
const certificateSoon = 30 * 24 * time.Hour

// checkConnections looks at the connections as they would stand: each for itself,
// and beside the others.
func (p planner) checkConnections(out *plan) {
	after := map[string]*store.Connection{}
	for id, c := range p.have.connections {
		after[id] = &c
	}
	for _, e := range out.connections {
		if e.after == nil {
			delete(after, e.before.ID)
			continue
		}
		after[e.after.ID] = e.after
	}
	beside := maps.Clone(after) // those that are not in the file, and those before in it
	for i := range p.file.Connections {
		delete(beside, p.file.Connections[i].ID)
	}
	seen := &providers{names: map[string]string{}, secrets: map[string]keySums{}}
	for i := range p.file.Connections {
		f := &p.file.Connections[i]
		c, ok := after[f.ID]
		if !ok || c.Kind == "" {
			continue
		}
		before, had := p.have.connections[f.ID]
		r := connectionRules{p, out, f.At, c, before, had, seen}
		r.whole()
		r.alone(beside)
		beside[f.ID] = c
	}
	p.checkStillMapped(out, after)
}

// connectionRules judge one connection of the file.
type connectionRules struct {
	planner
	out    *plan
	at     line
	c      *store.Connection
	before store.Connection
	had    bool
	seen   *providers
}

// providers are what connections are compared by, worked out once for each.
type providers struct {
	names   map[string]string
	secrets map[string]keySums
	shared  map[string]int // the warning of a domain that several have
}

func (r connectionRules) name(c *store.Connection) string {
	if _, ok := r.seen.names[c.ID]; !ok {
		r.seen.names[c.ID] = r.namedBy(c)
	}
	return r.seen.names[c.ID]
}

func (r connectionRules) fault(format string, args ...any) {
	r.faults.add(r.at, "connection %s: %s", r.c.ID, fmt.Sprintf(format, args...))
}

func (r connectionRules) warn(format string, args ...any) {
	*r.warnings = append(*r.warnings, fmt.Sprintf("connection %s: %s", r.c.ID, fmt.Sprintf(format, args...)))
}

// stale is a fault, or a warning where the store has it already: a file that was
// good when it was applied does not keep a server from starting.
func (r connectionRules) stale(same bool, format string, args ...any) {
	if same {
		r.warn(format, args...)
		return
	}
	r.fault(format, args...)
}

func (r connectionRules) whole() {
	switch r.c.Kind {
	case store.ConnectionSAML:
		r.saml(r.c.SAML)
	case store.ConnectionJWT:
		r.jwt(r.c.JWT)
	case store.ConnectionOIDC:
		if r.c.OIDC.Issuer == "" || r.c.OIDC.ClientID == "" {
			r.fault("kind oidc needs issuer and client_id")
		}
	}
	if r.c.For == store.ForAgents {
		r.agents()
	} else if in := r.out.settings.after.Visitors.SignIn; !r.c.Disabled && (in == "" || in == store.SignInOff) {
		r.warn("visitors.sign_in is off, so that nobody signs in by it")
	}
	r.targets("role_map", "role", r.c.RoleMap, keysAfter(r.have.roles, r.out.roles))
	r.targets("department_map", "department", r.c.DepartmentMap, keysAfter(r.have.departments, r.out.departments))
}

func (r connectionRules) agents() {
	if r.c.Create && len(r.c.Domains) == 0 {
		r.fault("create needs domains: agents are made only for addresses that the connection may speak for")
	}
	if r.c.Enforce && len(r.c.Domains) == 0 {
		r.fault("enforce needs domains: it is for their addresses that passwords are switched off")
	}
	settings := r.out.settings.after
	proven := settings.Proven()
	for _, d := range r.c.Domains {
		if slices.Contains(proven, d) {
			continue
		}
		if slices.ContainsFunc(settings.DNSDomains, func(one store.DNSDomain) bool { return one.Name == d }) {
			r.warn("%s waits for its DNS record, and until then can neither link nor make nor enforce accounts of it", d)
			proven = append(proven[:len(proven):len(proven)], d) // for the warning of what enforcement will do
		} else {
			r.warn("%s is not among the site's domains, so that it can neither link nor make nor enforce accounts of it", d)
		}
	}
	if !r.c.Enforce || r.c.EnforceReady() {
		r.shutOut(proven)
		return
	}
	const how = "apply it with enforce: false, let an administrator rehearse it (chatelaine connection rehearse %s), and apply it with enforce: true again"
	switch {
	case !r.had || r.c.Rehearsed.IsZero():
		r.fault("enforce needs a rehearsal first, so that nobody is shut out by a connection that does not work: "+how, r.c.ID)
	default:
		r.fault("enforce needs a rehearsal since the last change, and this is one, or there was one since: "+how, r.c.ID)
	}
}

// shutOut names the administrators whose passwords are switched off now, and who are
// not linked.
func (r connectionRules) shutOut(proven []string) {
	if !r.c.Enforce || r.before.Enforce {
		return
	}
	var names []string
	for _, email := range sortedKeys(r.have.rehearsed) {
		_, domain, _ := strings.Cut(email, "@")
		if r.c.Proves(domain, proven) && !slices.Contains(r.have.rehearsed[email], r.c.ID) {
			names = append(names, email)
		}
	}
	if len(names) == 0 {
		return
	}
	r.warn("administrators who have not rehearsed it get in by break-glass alone from now on: %s", fewOf(names))
}

func (r connectionRules) targets(field, kind string, list []store.Mapped, known map[string]bool) {
	for _, m := range list {
		for _, to := range m.To {
			if !known[to] {
				r.fault("%s: there is no %s %q", field, kind, to)
			}
		}
	}
}

func (r connectionRules) saml(c *store.SAMLConnection) {
	var ways []string
	for name, text := range map[string]string{"metadata_url": c.MetadataURL, "metadata_xml": c.MetadataXML, "sso_url": c.SSOURL} {
		if text != "" {
			ways = append(ways, name)
		}
	}
	slices.Sort(ways)
	switch {
	case len(ways) == 0:
		r.fault("kind saml needs metadata_url, metadata_xml, or sso_url with entity_id and certificates")
		return
	case len(ways) > 1:
		r.fault("give one of %s", strings.Join(ways, " and "))
		return
	case ways[0] == "sso_url" && (c.EntityID == "" || len(c.Certificates) == 0):
		r.fault("sso_url needs entity_id and certificates beside it")
	case ways[0] != "sso_url" && (c.SLOURL != "" || c.SSOBinding != "" || len(c.Certificates) > 0):
		r.fault("slo_url, sso_binding and certificates stand beside sso_url; with %s they are its to say (metadata_certificates are those that must have signed it)", ways[0])
	}
	if len(c.MetadataCertificates) > 0 && ways[0] == "sso_url" {
		r.fault("metadata_certificates are for metadata_url and metadata_xml")
	}
	same := r.had && r.before.SAML != nil
	r.ending("certificate", parsed(c.Certificates), same && slices.Equal(c.Certificates, r.before.SAML.Certificates))
	r.ending("metadata certificate", parsed(c.MetadataCertificates), same && slices.Equal(c.MetadataCertificates, r.before.SAML.MetadataCertificates))
	if c.MetadataXML == "" {
		return
	}
	same = same && c.MetadataXML == r.before.SAML.MetadataXML
	idp, checks, err := saml.ParseMetadata([]byte(c.MetadataXML), saml.MetadataOptions{EntityID: c.EntityID, Certificates: parsed(c.MetadataCertificates), Now: r.now})
	if err != nil {
		r.stale(same, "metadata_xml cannot be used: %s", mismatch(checks, err))
		return
	}
	r.ending("certificate", idp.Certificates, same)
}

// mismatch is the first check that failed, in words.
func mismatch(checks []saml.Check, err error) string {
	for _, c := range checks {
		if !c.OK {
			return fmt.Sprintf("%s: expected %s, got %s", c.Name, c.Expected, orNone(c.Got))
		}
	}
	return err.Error()
}

func parsed(texts []string) (list []*x509.Certificate) {
	for _, text := range texts {
		if c, err := saml.ParseCertificate(text); err == nil {
			list = append(list, c)
		}
	}
	return list
}

// ending speaks of certificates that have ended or soon will.
func (r connectionRules) ending(what string, list []*x509.Certificate, same bool) {
	if len(list) == 0 {
		return
	}
	end, soon := saml.Ending(list, r.now, certificateSoon)
	if end.IsZero() {
		r.stale(same, "its only %s is not valid now: from %s to %s", what, list[0].NotBefore.Format(time.DateOnly), list[len(list)-1].NotAfter.Format(time.DateOnly))
		return
	}
	if soon {
		r.warn("its last %s ends on %s, and sign-in with it", what, end.Format(time.DateOnly))
	}
	for _, c := range list {
		if r.now.After(c.NotAfter) {
			r.warn("a %s has ended on %s: it can be removed", what, c.NotAfter.Format(time.DateOnly))
		}
	}
}

func (r connectionRules) jwt(c *store.JWTConnection) {
	hashes := slices.ContainsFunc(c.Keys, func(k store.VerificationKey) bool { return k.Use == store.UseUserHash })
	switch {
	case len(c.Keys) == 0 && c.JWKSURL == "":
		r.fault("kind jwt needs keys or jwks_url")
	case c.UserHash && !hashes:
		r.fault("user_hash needs a key of its own, {secret: …, use: user_hash}: with one that verifies tokens too, the hash of an id that reads like a token would sign it")
	case hashes && !c.UserHash:
		r.fault("a key with use: user_hash stands beside user_hash: true")
	}
	if r.c.For == store.ForAgents && c.LoginURL == "" {
		r.fault("kind jwt for agents needs login_url, where they sign in")
	}
	if c.UserHash {
		r.warn("user_hash never ends and is no proof of presence: whoever has once seen a visitor's can be that visitor; a JWT is better")
	}
	if c.AllowGet {
		r.warn("allow_get lets tokens stand in addresses, and so in histories and logs; a form that is posted is better")
	}
}

// alone refuses a second connection to the same provider, one for the same
// purpose, and a secret that two share where a token does not say whom it is for.
func (r connectionRules) alone(all map[string]*store.Connection) {
	own := r.name(r.c)
	for _, id := range sortedKeys(all) {
		other := all[id]
		if other.For != r.c.For {
			continue
		}
		switch {
		case other.Kind != r.c.Kind:
		case own != "" && r.name(other) == own:
			r.fault("has the same %s as connection %s", own, id)
		case sameDocument(r.c.SAML, other.SAML):
			r.fault("has the same metadata_url as connection %s; where the document names several providers, each has its entity_id", id)
		}
		if r.c.Default && other.Default {
			r.fault("default is connection %s already", id)
		}
		if r.c.Disabled || other.Disabled {
			continue
		}
		for _, d := range r.c.Domains {
			if !slices.Contains(other.Domains, d) {
				continue
			}
			switch {
			case r.c.Enforce && other.Enforce:
				r.fault("%s is enforced by connection %s already", d, id)
			case r.c.Enforce:
				r.warn("people of %s sign in through it alone from now on, and no longer through connection %s", d, id)
			case other.Enforce:
				r.warn("people of %s sign in through connection %s alone, which is enforced, and not through it", d, id)
			default:
				r.shared(d, all)
			}
		}
	}
	r.ownSecrets(all)
}

// shared says once where an address of a domain leads that several connections have:
// to the first, by the order in which snapshots read them.
func (r connectionRules) shared(domain string, all map[string]*store.Connection) {
	ids := []string{r.c.ID}
	for id, other := range all {
		if other.For == r.c.For && !other.Disabled && slices.Contains(other.Domains, domain) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	ids = slices.Compact(ids)
	text := fmt.Sprintf("%s is a domain of connections %s: an address of it leads to %s", domain, strings.Join(ids, ", "), ids[0])
	if r.seen.shared == nil {
		r.seen.shared = map[string]int{}
	}
	if at, said := r.seen.shared[domain]; said {
		(*r.warnings)[at] = text
		return
	}
	r.seen.shared[domain] = len(*r.warnings)
	*r.warnings = append(*r.warnings, text)
}

// sameDocument: what is fetched for both is one provider's.
func sameDocument(a, b *store.SAMLConnection) bool {
	return a != nil && b != nil && a.MetadataURL != "" && a.MetadataURL == b.MetadataURL && (a.EntityID == "" || b.EntityID == "")
}

// checkStillMapped refuses to prune a role or department that a map leads to.
func (p planner) checkStillMapped(out *plan, all map[string]*store.Connection) {
	gone := func(kind, field, key string, of func(*store.Connection) []store.Mapped) {
		for _, id := range sortedKeys(all) {
			if slices.ContainsFunc(of(all[id]), func(m store.Mapped) bool { return slices.Contains(m.To, key) }) {
				p.faults.add(p.file.At, "%s %s is still in the %s of connection %s", kind, key, field, id)
			}
		}
	}
	for _, e := range out.roles {
		if e.after == nil {
			gone("role", "role_map", e.before.Key, func(c *store.Connection) []store.Mapped { return c.RoleMap })
		}
	}
	for _, e := range out.departments {
		if e.after == nil {
			gone("department", "department_map", e.before.Key, func(c *store.Connection) []store.Mapped { return c.DepartmentMap })
		}
	}
}
