package admin

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// connectionInfo is a connection as operators see one: no secret.
type connectionInfo struct {
	ID       string   `json:"id"`
	Kind     string   `json:"kind"`
	For      string   `json:"for"`
	Name     string   `json:"name"`
	Disabled bool     `json:"disabled,omitempty"`
	Domains  []string `json:"domains,omitempty"`
	Unproven []string `json:"unproven_domains,omitempty"` // not among the site's
	Default  bool     `json:"default,omitempty"`
	Create   bool     `json:"create,omitempty"`
	Enforce  bool     `json:"enforce,omitempty"`
	// Enforced says that it holds now: rehearsed, enabled, and for a proven domain.
	Enforced bool `json:"enforced,omitempty"`
	Links    int  `json:"links"`
	Sessions int  `json:"sessions"`

	Changed     time.Time `json:"changed"`
	Rehearsed   time.Time `json:"rehearsed,omitzero"`
	RehearsedBy string    `json:"rehearsed_by,omitempty"` // an address, while there is such an agent
	Ready       bool      `json:"ready"`                  // rehearsed since it changed

	// Only of one connection, not in lists.
	Give         []givenURL        `json:"give,omitempty"`
	Provider     string            `json:"provider,omitempty"`
	Certificates []certificateInfo `json:"certificates,omitempty"` // of the provider
	Own          []certificateInfo `json:"own_certificates,omitempty"`
	Keys         []keyInfo         `json:"keys,omitempty"`
	Fetched      *fetchedInfo      `json:"fetched,omitempty"`
}

// givenURL is what the customer types into their provider.
type givenURL struct {
	Name string `json:"name"`
	URL  string `json:"url"`
}

type certificateInfo struct {
	Fingerprint string    `json:"sha256"`
	From        time.Time `json:"from"`
	Until       time.Time `json:"until"`
	Signs       time.Time `json:"signs,omitzero"` // from when, of ours
}

type keyInfo struct {
	KID        string   `json:"kid,omitempty"`
	Kind       string   `json:"kind"` // secret or public_key
	Algorithms []string `json:"algorithms"`
}

type fetchedInfo struct {
	URL   string    `json:"url"`
	At    time.Time `json:"at,omitzero"`
	Tried time.Time `json:"tried,omitzero"`
	Fault string    `json:"fault,omitempty"`
}

type connectionInput struct {
	Site string `json:"site"`
	ID   string `json:"connection"`
}

func getConnection(tx store.Tx, id string) (store.Connection, error) {
	rec, err := store.Connections.Get(tx, id)
	if isNotFound(err) {
		return rec, notFound("connection", id)
	}
	return rec, err
}

func (a *Admin) listConnections(ctx context.Context, in siteInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out struct {
		Connections []connectionInfo `json:"connections"`
	}
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		out.Connections = []connectionInfo{}
		for rec, err := range store.Connections.All(tx, "") {
			if err != nil {
				return err
			}
			info, err := connectionInfoOf(tx, s, &rec)
			if err != nil {
				return err
			}
			out.Connections = append(out.Connections, info)
		}
		return nil
	})
	return out, err
}

func connectionInfoOf(tx store.Tx, s *site.Site, c *store.Connection) (info connectionInfo, err error) {
	settings, err := store.GetSettings(tx)
	if err != nil {
		return info, err
	}
	info = connectionInfo{
		ID: c.ID, Kind: c.Kind, For: c.For, Name: c.Name, Disabled: c.Disabled, Domains: c.Domains, Default: c.Default, Create: c.Create,
		Enforce: c.Enforce, Changed: c.Changed, Rehearsed: c.Rehearsed, RehearsedBy: c.RehearsedBy, Ready: c.EnforceReady(),
	}
	proven := settings.Proven()
	for _, d := range c.Domains {
		info.Enforced = info.Enforced || c.Enforces(d, proven)
		if !slices.Contains(proven, d) {
			info.Unproven = append(info.Unproven, d)
		}
	}
	if c.RehearsedBy != "" {
		agent, err := store.Agents.Get(tx, c.RehearsedBy)
		if err != nil && !isNotFound(err) {
			return info, err
		}
		if err == nil {
			info.RehearsedBy = agent.Email
		}
	}
	if info.Links, err = countBy(tx, &store.Links, "connection", c.ID); err != nil {
		return info, err
	}
	info.Sessions, err = countBy(tx, &store.Sessions, "connection", c.ID)
	return info, err
}

func countBy[T any](tx store.Tx, table *store.Table[T], lookup, value string) (n int, err error) {
	for _, err := range table.Keys(tx, lookup, value) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

func (a *Admin) showConnection(ctx context.Context, in connectionInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var info connectionInfo
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		rec, err := getConnection(tx, in.ID)
		if err != nil {
			return err
		}
		if info, err = connectionInfoOf(tx, s, &rec); err != nil {
			return err
		}
		info.Give = giveOf(s, &rec)
		return a.describeKind(tx, &rec, &info)
	})
	return info, err
}

// giveOf are the addresses that the customer's provider is told.
func giveOf(s *site.Site, c *store.Connection) (list []givenURL) {
	at := s.URL("/federation/" + c.ID)
	switch {
	case c.SAML != nil:
		list = []givenURL{{"metadata", at + "/metadata"}, {"entity id", at}, {"reply (ACS)", at + "/acs"}, {"logout (SLO)", at + "/slo"}}
	case c.JWT != nil:
		list = []givenURL{{"audience (aud)", at}}
		if c.JWT.LoginURL != "" {
			list = append(list, givenURL{"answer to", at + "/jwt"})
		}
	case c.OIDC != nil:
		list = []givenURL{{"redirect URI", at + "/callback"}, {"back-channel logout", at + "/backchannel"}, {"after logout", at + "/logout"}}
	}
	return list
}

func (a *Admin) describeKind(tx store.Tx, c *store.Connection, info *connectionInfo) error {
	switch {
	case c.SAML != nil:
		return a.describeSAML(tx, c, info)
	case c.JWT != nil:
		info.Provider = c.JWT.LoginURL
		for _, k := range c.JWT.Keys {
			line := keyInfo{KID: k.KID, Kind: "secret", Algorithms: []string{"HS256", "HS384", "HS512"}}
			if k.PublicKey != "" {
				public, _ := jwt.ParsePublicKey(k.PublicKey)
				line.Kind, line.Algorithms = "public_key", jwt.Key{Public: public}.Algorithms()
			}
			if k.Alg != "" {
				line.Algorithms = []string{k.Alg}
			}
			info.Keys = append(info.Keys, line)
		}
		if c.JWT.JWKSURL != "" {
			info.Fetched = &fetchedInfo{URL: c.JWT.JWKSURL}
		}
	case c.OIDC != nil:
		info.Provider = c.OIDC.Issuer
	}
	return nil
}

func (a *Admin) describeSAML(tx store.Tx, c *store.Connection, info *connectionInfo) error {
	document := c.SAML.MetadataXML
	if c.SAML.MetadataURL != "" {
		rec, err := store.AllFetched.Get(tx, c.ID)
		if err != nil && !isNotFound(err) {
			return err
		}
		info.Fetched = &fetchedInfo{URL: c.SAML.MetadataURL}
		if rec.URL == c.SAML.MetadataURL {
			info.Fetched.At, info.Fetched.Tried, info.Fetched.Fault = rec.At, rec.Tried, rec.Fault
			document = string(rec.Body)
		}
	}
	info.Provider = c.SAML.EntityID
	certificates := parsed(c.SAML.Certificates)
	if document != "" {
		idp, _, err := saml.ParseMetadata([]byte(document), saml.MetadataOptions{EntityID: c.SAML.EntityID, Certificates: parsed(c.SAML.MetadataCertificates), Now: a.Now()})
		if err == nil {
			info.Provider, certificates = idp.EntityID, idp.Certificates
		}
	}
	info.Certificates = certificatesInfo(certificates)
	for rec, err := range store.ConnectionKeys.List(tx, "connection", c.ID) {
		if err != nil {
			return err
		}
		own, err := x509.ParseCertificate(rec.Certificate)
		if err != nil {
			return fmt.Errorf("read our certificate %s: %w", rec.ID, err)
		}
		info.Own = append(info.Own, certificateInfo{saml.Fingerprint(own), own.NotBefore.UTC(), own.NotAfter.UTC(), rec.Activates})
	}
	return nil
}

func certificatesInfo(list []*x509.Certificate) (out []certificateInfo) {
	for _, c := range list {
		out = append(out, certificateInfo{saml.Fingerprint(c), c.NotBefore.UTC(), c.NotAfter.UTC(), time.Time{}})
	}
	return out
}

// errNoCheck is a house without the part that looks at connections.
var errNoCheck = errors.New("checking connections is not available here")

// checkConnection tests a configuration and signs nobody in.
func (a *Admin) checkConnection(ctx context.Context, in connectionInput, _ *call) (any, error) {
	if err := a.hasConnection(ctx, in); err != nil {
		return nil, err
	}
	if a.CheckConnection == nil {
		return nil, errNoCheck
	}
	var out struct {
		Checks []store.Check `json:"checks"`
		OK     bool          `json:"ok"`
	}
	checks, err := a.CheckConnection(ctx, in.Site, in.ID)
	if err != nil {
		return nil, err
	}
	out.Checks = checks
	out.OK = len(checks) > 0 && !slices.ContainsFunc(checks, func(c store.Check) bool { return !c.OK })
	return out, nil
}

func (a *Admin) hasConnection(ctx context.Context, in connectionInput) error {
	if _, err := a.site(ctx, in.Site); err != nil {
		return err
	}
	return a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		_, err := getConnection(tx, in.ID)
		return err
	})
}

// rehearseConnection says where an administrator rehearses it.
func (a *Admin) rehearseConnection(ctx context.Context, in connectionInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out struct {
		URL         string    `json:"url"`
		Ready       bool      `json:"ready"`
		Rehearsed   time.Time `json:"rehearsed,omitzero"`
		RehearsedBy string    `json:"rehearsed_by,omitempty"`
	}
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		c, err := getConnection(tx, in.ID)
		switch {
		case err != nil:
			return err
		case c.For != store.ForAgents:
			return usage("connection %s is for visitors: only those for agents are rehearsed", in.ID)
		case c.Disabled:
			return usage("connection %s is disabled: apply it with disabled: false first", in.ID)
		}
		info, err := connectionInfoOf(tx, s, &c)
		out.URL, out.Ready, out.Rehearsed, out.RehearsedBy = s.URL("/federation/"+c.ID+"/rehearse"), info.Ready, info.Rehearsed, info.RehearsedBy
		return err
	})
	return out, err
}

// mostRollOver is how far ahead a new key may be published, in seconds: 90 days.
const mostRollOver = 90 * 24 * 60 * 60

// rollOverConnection makes our next key pair, and shows the connection as it is then.
func (a *Admin) rollOverConnection(ctx context.Context, in struct {
	connectionInput
	After  int  `json:"after"` // seconds until it signs
	Forget bool `json:"forget"`
}, c *call) (any, error) {
	if in.After < 0 || in.After > mostRollOver {
		return nil, usage("a new key is published for at most 90 days before it signs")
	}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		rec, err := getConnection(tx, in.ID)
		if err == nil && rec.Kind != store.ConnectionSAML {
			return usage("connection %s is of kind %s: only SAML has keys of ours", in.ID, rec.Kind)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	if a.RollOverConnection == nil {
		return nil, errNoCheck
	}
	err = a.RollOverConnection(ctx, in.Site, in.ID, a.Now().Add(time.Duration(in.After)*time.Second), in.Forget, operator(ctx))
	if text := web.PublicText(err); text != "" {
		return nil, usage("connection %s: %s", in.ID, text)
	}
	if err != nil {
		return nil, err
	}
	return a.showConnection(ctx, in.connectionInput, c)
}
