package federation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/store"
)

// CheckConnection looks at a connection's configuration, fetches what it names, and
// signs nobody in. It works on one that is disabled too.
func (x *Federation) CheckConnection(ctx context.Context, path, id string) ([]store.Check, error) {
	s, err := x.Sites.Load(ctx, path)
	if err != nil {
		return nil, err
	}
	for _, c := range s.Connections() {
		if c.ID != id {
			continue
		}
		at := &attempt{site: s, conn: c, step: "check"}
		x.source(c.Kind).Check(ctx, at)
		at.checkDomains()
		return at.checks, nil
	}
	return nil, ErrNoConnection
}

// checkDomains says what the connection may do.
func (at *attempt) checkDomains() {
	c := at.conn
	if c.For != store.ForAgents {
		return
	}
	proven := provenDomains(at.site, c)
	at.check("domains", len(proven) == len(c.Domains), strings.Join(c.Domains, " ")+" proven by the site", strings.Join(proven, " "))
	rehearsed := "never"
	if !c.Rehearsed.IsZero() {
		rehearsed = c.Rehearsed.UTC().Format(time.RFC3339)
	}
	if c.Enforce {
		at.check("rehearsal", c.EnforceReady(), "since "+c.Changed.UTC().Format(time.RFC3339), rehearsed)
	}
}

// certificateSoon is how long before its end a certificate is worth a word.
const certificateSoon = 30 * 24 * time.Hour

// Check reads the metadata, and looks at certificates and addresses.
func (x samlSource) Check(ctx context.Context, at *attempt) {
	if at.conn.SAML.MetadataURL != "" {
		rec, err := x.fetchNow(ctx, at)
		if err != nil {
			at.check("metadata", false, "metadata at "+at.conn.SAML.MetadataURL, err.Error())
			return
		}
		at.check("metadata", rec.Fault == "", "metadata at "+at.conn.SAML.MetadataURL, faultOr(rec.Fault, "read "+rec.At.Format(time.RFC3339)))
		if len(rec.Body) == 0 {
			return
		}
	}
	before := len(at.checks)
	idp, err := x.idp(ctx, at)
	if err != nil {
		if len(at.checks) == before {
			at.check("metadata", false, "an identity provider", err.Error())
		}
		return
	}
	at.check("entity_id", idp.EntityID != "", "the provider's name", idp.EntityID)
	if twin := x.twin(ctx, at, idp.EntityID); twin != "" {
		at.check("entity_id", false, "that of no other connection for "+at.conn.For, "that of connection "+twin+" too")
	}
	for _, binding := range []saml.Binding{saml.Redirect, saml.Post} {
		if url := idp.SSO[binding]; url != "" {
			at.check("single_sign_on", saml.Address(url), "https", url)
		}
	}
	now := x.Now()
	for _, certificate := range idp.Certificates {
		ok := now.Before(certificate.NotAfter) && !now.Before(certificate.NotBefore)
		at.check("certificate", ok, "in force now", fmt.Sprintf("%s until %s", saml.Fingerprint(certificate), certificate.NotAfter.Format(time.DateOnly)))
	}
	end, soon := saml.Ending(idp.Certificates, now, certificateSoon)
	switch { // what has ended is said above
	case end.IsZero():
	case soon:
		at.check("certificates_end", true, "", fmt.Sprintf("the last in %d days: have the next one in the metadata before %s", int(end.Sub(now).Hours()/24), end.UTC().Format(time.RFC3339)))
	default:
		at.check("certificates_end", true, "", "not before "+end.UTC().Format(time.DateOnly))
	}
	if !slices.Contains([]bool{idp.SLO[saml.Redirect] != "", idp.SLO[saml.Post] != ""}, true) {
		at.check("single_logout", true, "optional", "none: signing out here does not sign out there")
	}
}

// twin is another connection for the same people that speaks with the same provider;
// empty: there is none.
func (x samlSource) twin(ctx context.Context, at *attempt, entityID string) (id string) {
	for _, c := range at.site.Connections() {
		if c.ID == at.conn.ID || c.SAML == nil || c.For != at.conn.For {
			continue
		}
		there := &attempt{site: at.site, conn: c, step: at.step}
		if c.SAML.MetadataURL != "" {
			if rec, err := x.fetched(ctx, there); err != nil || len(rec.Body) == 0 { // not known yet, and not asked for now
				continue
			}
		}
		if idp, err := x.idp(ctx, there); err == nil && idp.EntityID == entityID && (id == "" || c.ID < id) {
			id = c.ID
		}
	}
	return id
}

func faultOr(fault, ok string) string {
	if fault != "" {
		return fault
	}
	return ok
}

// fetchNow reads the metadata whether it is due or not.
func (x *Federation) fetchNow(ctx context.Context, at *attempt) (store.Fetched, error) {
	return x.fetchIf(ctx, at, func(store.Fetched) bool { return true })
}
