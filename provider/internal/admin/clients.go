package admin

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// clientInfo is a client as operators see one: no secret, no hash of one.
type clientInfo struct {
	ID           string       `json:"client_id"`
	Name         string       `json:"client_name"`
	Company      string       `json:"company,omitempty"`
	AuthMethod   string       `json:"token_endpoint_auth_method"`
	GrantTypes   []string     `json:"grant_types"`
	RedirectURIs []string     `json:"redirect_uris,omitempty"`
	Scope        string       `json:"scope"`
	FirstParty   bool         `json:"first_party"`
	Disabled     bool         `json:"disabled"`
	Secrets      []secretInfo `json:"secrets,omitempty"`
}

type secretInfo struct {
	Hint    string    `json:"hint"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires,omitzero"`
}

func clientInfoOf(c *store.Client) clientInfo {
	info := clientInfo{
		ID: c.ID, Name: c.Name, Company: c.Company, AuthMethod: c.TokenEndpointAuthMethod, GrantTypes: c.GrantTypes, RedirectURIs: c.RedirectURIs,
		Scope: c.Scope, FirstParty: c.FirstParty, Disabled: c.Disabled,
	}
	for _, s := range c.Secrets {
		info.Secrets = append(info.Secrets, secretInfo{s.Hint, s.Created, s.Expires})
	}
	return info
}

func (a *Admin) listClients(ctx context.Context, in siteInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	var out struct {
		Clients []clientInfo `json:"clients"`
	}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		out.Clients = []clientInfo{}
		for rec, err := range store.Clients.All(tx, "") {
			if err != nil {
				return err
			}
			out.Clients = append(out.Clients, clientInfoOf(&rec))
		}
		return nil
	})
	return out, err
}

type clientInput struct {
	Site string `json:"site"`
	ID   string `json:"client_id"`
}

func getClient(tx store.Tx, id string) (store.Client, error) {
	rec, err := store.Clients.Get(tx, id)
	if errors.Is(err, store.ErrNotFound) {
		return rec, notFound("client", id)
	}
	return rec, err
}

func (a *Admin) showClient(ctx context.Context, in clientInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	var info clientInfo
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		rec, err := getClient(tx, in.ID)
		info = clientInfoOf(&rec)
		return err
	})
	return info, err
}

type addClientInput struct {
	Site                   string   `json:"site"`
	ID                     string   `json:"client_id"`
	Name                   string   `json:"name"`
	Company                string   `json:"company"`
	RedirectURIs           []string `json:"redirect_uris"`
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris"`
	GrantTypes             []string `json:"grant_types"`
	Scope                  string   `json:"scope"`
	Public                 bool     `json:"public"`
	Native                 bool     `json:"native"`
	FirstParty             bool     `json:"first_party"`
	DefaultResource        string   `json:"default_resource"`
}

type withSecret struct {
	*Applied
	Secret string `json:"client_secret,omitempty"` // shown this once
}

// newSecret has 256 random bits.
func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (a *Admin) addClient(ctx context.Context, in addClientInput, c *call) (any, error) {
	cl := fileClient{
		ID: in.ID, RedirectURIs: in.RedirectURIs, PostLogoutRedirectURIs: in.PostLogoutRedirectURIs, GrantTypes: in.GrantTypes, Scope: &in.Scope,
		FirstParty: &in.FirstParty,
	}
	for _, text := range []struct {
		to   **string
		from string
	}{{&cl.Name, in.Name}, {&cl.Company, in.Company}, {&cl.DefaultResource, in.DefaultResource}} {
		if text.from != "" {
			*text.to = &text.from
		}
	}
	if in.Native {
		native := "native"
		cl.ApplicationType = &native
	}
	out := withSecret{}
	if none := "none"; in.Public {
		cl.TokenEndpointAuthMethod = &none
	} else {
		out.Secret = newSecret()
		cl.Secret.set(out.Secret)
	}
	var err error
	out.Applied, err = a.applyOne(ctx, fileSite{Path: &in.Site, Clients: []fileClient{cl}}, mustNotExist, c)
	if err != nil {
		return nil, err
	}
	return out, nil
}

type rotateSecretInput struct {
	Site    string `json:"site"`
	ID      string `json:"client_id"`
	Overlap int    `json:"overlap_seconds"` // how long the old secret still works
}

// maxOverlap is how long two secrets may live side by side, in seconds.
const maxOverlap = 90 * 24 * 3600

// rotateSecret makes a second secret; the older one dies after the overlap.
func (a *Admin) rotateSecret(ctx context.Context, in rotateSecretInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	if in.Overlap < 0 || in.Overlap > maxOverlap {
		return nil, usage("the overlap is 0 to 90 days")
	}
	text, now := newSecret(), a.Now()
	err := a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := getClient(tx, in.ID)
		if err != nil {
			return err
		}
		if rec.TokenEndpointAuthMethod == "none" || rec.TokenEndpointAuthMethod == "private_key_jwt" {
			return usage("client %s authenticates by %s and has no secret", in.ID, rec.TokenEndpointAuthMethod)
		}
		rec.Secrets = rotated(rec.Secrets, text, now, time.Duration(in.Overlap)*time.Second)
		rec.Updated = now
		if err := store.Clients.Put(tx, &rec); err != nil {
			return err
		}
		if err := a.record(ctx, tx, audit.ClientSecret, audit.Ref{Type: "client", ID: rec.ID}, Change{}); err != nil {
			return err
		}
		return site.Changed(tx)
	})
	if err != nil {
		return nil, err
	}
	return withSecret{Secret: text}, nil
}

// rotated keeps the newest old secret for the overlap and drops the others.
func rotated(old []store.ClientSecret, text string, now time.Time, overlap time.Duration) []store.ClientSecret {
	hint := 1
	for _, s := range old {
		if n, err := strconv.Atoi(s.Hint); err == nil && n >= hint {
			hint = n + 1
		}
	}
	next := []store.ClientSecret{hashedSecret(text, fmt.Sprint(hint), now)}
	if len(old) == 0 || overlap == 0 {
		return next
	}
	newest := slices.MaxFunc(old, func(a, b store.ClientSecret) int { return a.Created.Compare(b.Created) })
	if newest.Expires.IsZero() || newest.Expires.After(now.Add(overlap)) {
		newest.Expires = now.Add(overlap)
	}
	return append(next, newest)
}

func (a *Admin) disableClient(ctx context.Context, in clientInput, c *call) (any, error) {
	return a.applyClient(ctx, in, true, c)
}

func (a *Admin) enableClient(ctx context.Context, in clientInput, c *call) (any, error) {
	return a.applyClient(ctx, in, false, c)
}

func (a *Admin) applyClient(ctx context.Context, in clientInput, disabled bool, c *call) (any, error) {
	return a.applyOne(ctx, fileSite{Path: &in.Site, Clients: []fileClient{{ID: in.ID, Disabled: &disabled}}}, mustExist, c)
}

func (a *Admin) deleteClient(ctx context.Context, in clientInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	out, p := &Applied{}, &plan{}
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := getClient(tx, in.ID)
		if err != nil {
			return err
		}
		settings, err := store.GetSettings(tx)
		if err != nil {
			return err
		}
		p = &plan{path: in.Site, settings: edit[store.Settings]{before: &settings, after: &settings}, clients: []edit[store.Client]{{before: &rec}}}
		out = &Applied{}
		out.add(p)
		return a.write(ctx, tx, s, p)
	})
	if err == nil {
		a.clearUp(ctx, p)
	}
	return out, err
}
