package admin

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

type exportInput struct {
	Site *string `json:"site"` // nil: every site
}

// exportOp writes sites in the form that apply reads, without any secret.
func (a *Admin) exportOp(ctx context.Context, in exportInput, c *call) (any, error) {
	sites, err := a.Sites.All(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "sites:\n"); err != nil {
		return nil, err
	}
	n := 0
	for _, rec := range sites {
		if in.Site != nil && *in.Site != rec.Path {
			continue
		}
		n++
		if err := a.exportSite(ctx, rec, c); err != nil {
			return nil, fmt.Errorf("site %q: %w", "/"+rec.Path, err)
		}
	}
	if in.Site != nil && n == 0 {
		return nil, notFound("site", "/"+*in.Site)
	}
	return map[string]int{"sites": n}, nil
}

// exportSite writes agents page by page, so that no read transaction is long and
// memory does not grow with the site.
func (a *Admin) exportSite(ctx context.Context, rec store.Site, c *call) error {
	f := fileSite{Path: &rec.Path}
	if rec.Host != "" {
		f.Host = &rec.Host
	}
	err := a.Store.View(ctx, rec.Path, func(tx store.Tx) error { return f.fill(tx) })
	if err != nil {
		return err
	}
	if err := writeItem(c, f, "  "); err != nil {
		return err
	}
	for after := ""; ; {
		page, err := a.agentRecords(ctx, rec.Path, after)
		if err != nil || len(page) == 0 {
			return err
		}
		if after == "" {
			if _, err := io.WriteString(c, "    agents:\n"); err != nil {
				return err
			}
		}
		for i := range page {
			if err := writeItem(c, fileAgentOf(&page[i]), "      "); err != nil {
				return err
			}
		}
		after = page[len(page)-1].ID
	}
}

func (a *Admin) agentRecords(ctx context.Context, path, after string) (page []store.Agent, err error) {
	err = a.Store.View(ctx, path, func(tx store.Tx) error {
		page = nil
		for rec, err := range store.Agents.All(tx, after) {
			if err != nil {
				return err
			}
			if page = append(page, rec); len(page) == maxPage {
				return nil
			}
		}
		return nil
	})
	return page, err
}

// writeItem writes v as one item of a list at that indentation.
func writeItem(w io.Writer, v any, indent string) error {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return err
	}
	lines := strings.Split(strings.TrimRight(b.String(), "\n"), "\n")
	text := indent + "- " + strings.Join(lines, "\n"+indent+"  ") + "\n"
	_, err := io.WriteString(w, text)
	return err
}

func (f *fileSite) fill(tx store.Tx) error {
	s, err := store.GetSettings(tx)
	if err != nil {
		return err
	}
	roles, err := all(tx, &store.Roles)
	if err != nil {
		return err
	}
	departments, err := all(tx, &store.Departments)
	if err != nil {
		return err
	}
	clients, err := all(tx, &store.Clients)
	if err != nil {
		return err
	}
	f.Roles, f.Departments, f.Clients, f.Connections, f.VisitorBans = nil, nil, nil, nil, nil
	f.fillSettings(&s)
	for _, key := range sortedKeys(roles) {
		f.Roles = append(f.Roles, fileRoleOf(roles[key]))
	}
	for _, key := range sortedKeys(departments) {
		d := departments[key]
		f.Departments = append(f.Departments, fileDepartment{Key: d.Key, Name: &d.Name, TranscriptsTo: d.TranscriptsTo, OfflineMessagesTo: d.OfflineMessagesTo})
	}
	for _, key := range sortedKeys(clients) {
		c := clients[key]
		f.Clients = append(f.Clients, fileClientOf(&c))
	}
	return f.fillConnections(tx)
}

func fileRoleOf(r store.Role) fileRole {
	f := fileRole{Key: r.Key, Name: &r.Name, Permissions: r.Permissions}
	if r.Key == policy.Administrators {
		f.Permissions = nil // always all of them
	}
	return f
}

func (f *fileSite) fillSettings(s *store.Settings) {
	f.Name, f.Domains = &s.Name, s.Domains
	for _, d := range s.DNSDomains {
		f.DNSDomains = append(f.DNSDomains, d.Name)
	}
	f.Logo, f.Color = orNil(s.Logo), orNil(s.Color)
	f.PasswordPolicy = filePasswordPolicyOf(&s.Password)
	f.TwoFactor = &fileTwoFactor{RequiredRoles: s.TwoFactor.RequiredRoles, GraceDays: &s.TwoFactor.GraceDays, RememberDays: &s.TwoFactor.RememberDays}
	f.Visitors = fileVisitorsOf(&s.Visitors)
	f.Sessions = &fileSessions{MaxAtOnce: &s.Sessions.MaxAtOnce}
	l := &s.Allowlist
	f.IPAllowlist = &fileAllowlist{Enabled: &l.Enabled, Console: &l.Console, Mobile: &l.Mobile}
	for _, e := range l.Entries {
		f.IPAllowlist.Entries = append(f.IPAllowlist.Entries, allowlistEntry{IP: e.IP, Range: e.Range, CIDR: e.CIDR, Note: e.Note, Roles: e.Roles})
	}
	for _, r := range s.Resources {
		f.Resources = append(f.Resources, fileResource{Identifier: r.Identifier, Scopes: r.Scopes, AccessTokenFormat: &r.AccessTokenFormat, SigningAlg: &r.SigningAlg, ChecksNetwork: &r.ChecksNetwork})
	}
	t := s.Lifetimes.OrDefault()
	f.Lifetimes = &fileLifetimes{
		Code: &t.Code, AccessToken: &t.AccessToken, IDToken: &t.IDToken, RefreshIdle: &t.RefreshIdle, RefreshAbsolute: &t.RefreshAbsolute,
		SessionIdle: &t.SessionIdle, SessionAbsolute: &t.SessionAbsolute, VisitorToken: &t.VisitorToken,
	}
}

func orNil(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

func fileAgentOf(a *store.Agent) fileAgent {
	f := fileAgent{
		Email: a.Email, EmailVerified: &a.EmailVerified, Name: orNil(a.Name), GivenName: orNil(a.GivenName), FamilyName: orNil(a.FamilyName),
		Nickname: orNil(a.Nickname), Picture: orNil(a.Picture), Locale: orNil(a.Locale), Zoneinfo: orNil(a.Zoneinfo), PhoneNumber: orNil(a.PhoneNumber),
		Address: a.Address, Roles: a.Roles, Departments: a.Departments,
	}
	if a.Inactive {
		no := false
		f.Active = &no
	}
	return f
}

func fileClientOf(c *store.Client) fileClient {
	f := fileClient{
		ID: c.ID, Name: orNil(c.Name), Company: orNil(c.Company), Description: orNil(c.Description), LogoURI: orNil(c.LogoURI), ClientURI: orNil(c.ClientURI),
		PolicyURI: orNil(c.PolicyURI), TOSURI: orNil(c.TOSURI), RedirectURIs: c.RedirectURIs, PostLogoutRedirectURIs: c.PostLogoutRedirectURIs,
		GrantTypes: c.GrantTypes, ResponseTypes: c.ResponseTypes, Scope: &c.Scope, TokenEndpointAuthMethod: &c.TokenEndpointAuthMethod,
		StrictAuthMethod: orNilBool(c.StrictAuthMethod), JWKSURI: orNil(c.JWKSURI), ApplicationType: orNil(c.ApplicationType), IDTokenAlg: orNil(c.IDTokenAlg),
		FirstParty: &c.FirstParty, RequirePKCE: &c.RequirePKCE, MayAssertIP: &c.MayAssertIP, DefaultResource: orNil(c.DefaultResource), Resources: c.Resources,
		RotateRefreshTokens: &c.RotateRefreshTokens, IDTokenOnRefresh: &c.IDTokenOnRefresh, DefaultMaxAge: c.DefaultMaxAge,
		RequireAuthTime: orNilBool(c.RequireAuthTime), Disabled: orNilBool(c.Disabled),
	}
	if len(c.JWKS) > 0 {
		f.JWKS = &jsonValue{c.JWKS}
	}
	return f
}

func orNilBool(b bool) *bool {
	if !b {
		return nil
	}
	return &b
}
