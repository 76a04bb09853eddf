package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

func (p planner) planClients(out *plan) {
	resources := map[string]store.Resource{}
	for _, r := range out.settings.after.Resources {
		resources[r.Identifier] = r
	}
	named := map[string]bool{}
	for _, f := range p.file.Clients {
		before, ok := p.have.clients[f.ID]
		after := before
		if !ok {
			after = p.newClient(f)
		}
		f.onto(&after)
		p.noteSecret(f, &before, ok, &after)
		if ok && !sameJSON(before, after) {
			after.Updated = p.now
		}
		named[f.ID] = true
		for _, wrong := range checkWhole(&after, resources) {
			p.faults.add(f.At, "client %s %s", f.ID, wrong)
		}
		out.clients = appendEdit(out.clients, f.At, before, ok, after)
	}
	if p.prune && p.file.Clients != nil {
		out.clients = append(out.clients, dropped(p.have.clients, named)...)
	}
	p.checkUnnamedClients(resources, named)
}

// checkUnnamedClients refuses to take a resource away from under a client that
// the file does not speak of.
func (p planner) checkUnnamedClients(resources map[string]store.Resource, named map[string]bool) {
	if !p.prune || p.file.Clients != nil {
		return
	}
	for id, c := range p.have.clients {
		if _, ok := resources[c.DefaultResource]; !named[id] && c.DefaultResource != "" && !ok {
			p.faults.add(p.file.At, "resource %s is still the default of client %s", c.DefaultResource, id)
		}
	}
}

func (p planner) newClient(f fileClient) store.Client {
	c := NewClient(f.ID, p.now)
	if f.Secret.given() {
		c.Secrets = []store.ClientSecret{hashedSecret(f.Secret.reveal(), "1", p.now)}
	}
	return c
}

// NewClient is a client with what a registration leaves out: a confidential web
// client for the code flow with PKCE.
func NewClient(id string, now time.Time) store.Client {
	return store.Client{
		ID: id, Name: id, GrantTypes: []string{"authorization_code"}, ResponseTypes: []string{"code"}, Scope: "openid profile email",
		TokenEndpointAuthMethod: "client_secret_basic", ApplicationType: "web", IDTokenAlg: "RS256",
		RequirePKCE: true, RotateRefreshTokens: true, IDTokenOnRefresh: true,
		NotBefore: now.Truncate(time.Second), // nothing of an earlier client of this name
		Created:   now, Updated: now,
	}
}

func hashedSecret(text, hint string, now time.Time) store.ClientSecret {
	sum := sha256.Sum256([]byte(text))
	return store.ClientSecret{SHA256: sum[:], Hint: hint, Created: now}
}

// noteSecret says what the file's secret will not do.
func (p planner) noteSecret(f fileClient, before *store.Client, had bool, after *store.Client) {
	byKeyOrNone := after.TokenEndpointAuthMethod == "none" || after.TokenEndpointAuthMethod == "private_key_jwt"
	if !had {
		if !f.Secret.given() && !byKeyOrNone {
			*p.warnings = append(*p.warnings, fmt.Sprintf("client %s has no secret yet: chatelaine client rotate-secret %s", f.ID, f.ID))
		}
		return
	}
	if !f.Secret.given() {
		return
	}
	sum := sha256.Sum256([]byte(f.Secret.reveal()))
	for _, s := range before.Secrets {
		if subtle.ConstantTimeCompare(s.SHA256, sum[:]) == 1 {
			return
		}
	}
	*p.warnings = append(*p.warnings, fmt.Sprintf("client %s: the file's client_secret is not the one in use and was left alone (secrets apply when a client is made; chatelaine client rotate-secret %s makes a new one)", f.ID, f.ID))
}

// onto changes what the file names.
func (f fileClient) onto(c *store.Client) {
	set(&c.Name, f.Name)
	set(&c.Company, f.Company)
	set(&c.Description, f.Description)
	set(&c.LogoURI, f.LogoURI)
	set(&c.ClientURI, f.ClientURI)
	set(&c.PolicyURI, f.PolicyURI)
	set(&c.TOSURI, f.TOSURI)
	set(&c.TokenEndpointAuthMethod, f.TokenEndpointAuthMethod)
	set(&c.StrictAuthMethod, f.StrictAuthMethod)
	set(&c.JWKSURI, f.JWKSURI)
	set(&c.ApplicationType, f.ApplicationType)
	set(&c.IDTokenAlg, f.IDTokenAlg)
	set(&c.FirstParty, f.FirstParty)
	set(&c.RequirePKCE, f.RequirePKCE)
	set(&c.MayAssertIP, f.MayAssertIP)
	set(&c.DefaultResource, f.DefaultResource)
	set(&c.RotateRefreshTokens, f.RotateRefreshTokens)
	set(&c.IDTokenOnRefresh, f.IDTokenOnRefresh)
	set(&c.RequireAuthTime, f.RequireAuthTime)
	set(&c.Disabled, f.Disabled)
	if f.DefaultMaxAge != nil {
		c.DefaultMaxAge = f.DefaultMaxAge
	}
	if f.JWKS != nil {
		c.JWKS = f.JWKS.raw
	}
	if f.Scope != nil {
		c.Scope = strings.Join(strings.Fields(*f.Scope), " ")
	}
	for _, list := range []struct{ to, given *[]string }{
		{&c.RedirectURIs, &f.RedirectURIs}, {&c.PostLogoutRedirectURIs, &f.PostLogoutRedirectURIs}, {&c.GrantTypes, &f.GrantTypes},
		{&c.ResponseTypes, &f.ResponseTypes}, {&c.Resources, &f.Resources},
	} {
		if *list.given != nil {
			*list.to = *list.given
		}
	}
	if !slices.Contains(c.GrantTypes, "authorization_code") {
		c.ResponseTypes = nil
	}
}
