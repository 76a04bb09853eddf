package account

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// app is a client that may act for the agent: it was allowed to, or it is the
// site's own and holds tokens.
type app struct {
	client store.Client // the zero Client but for its ID: deleted since
	given  time.Time
	scopes []string
	grants []store.Grant // in force
}

// myApps are the agent's, by client.
func (x *Account) myApps(tx store.Tx, v *visit) (map[string]*app, error) {
	apps := map[string]*app{}
	at := func(id string) *app {
		if apps[id] == nil {
			apps[id] = &app{client: store.Client{ID: id}}
		}
		return apps[id]
	}
	for c, err := range store.Consents.List(tx, "agent", v.Agent.ID) {
		if err != nil {
			return nil, fmt.Errorf("list consents: %w", err)
		}
		a := at(c.ClientID)
		a.given, a.scopes = c.Given, c.Scopes
	}
	for g, err := range store.Grants.List(tx, "agent", v.Agent.ID) {
		if err != nil {
			return nil, fmt.Errorf("list grants: %w", err)
		}
		if !v.lives(&g) {
			continue
		}
		a := at(g.ClientID)
		a.grants = append(a.grants, g)
		if a.given.IsZero() || g.Created.Before(a.given) && len(a.scopes) == 0 {
			a.given = g.Created
		}
	}
	for id, a := range apps {
		client, err := store.Clients.Get(tx, id)
		if err == nil {
			a.client = client
		} else if !errors.Is(err, store.ErrNotFound) {
			return nil, fmt.Errorf("load client: %w", err)
		}
	}
	return apps, nil
}

// lives reports whether the grant is good for anything still.
func (v *visit) lives(g *store.Grant) bool {
	return !g.Revoked && v.now.Before(g.Expires) && v.now.Before(g.End) && !g.Created.Before(v.Agent.NotBefore) && !g.Created.Before(v.site.Settings.NotBefore)
}

// asked are the scopes that the agent has allowed, or that an application holds
// without being asked for.
func (a *app) asked() []string {
	if len(a.scopes) > 0 {
		return a.scopes
	}
	var scopes []string
	for _, g := range a.grants {
		scopes = union(scopes, g.Scopes)
	}
	return scopes
}

func (a *app) name() string {
	if a.client.Name != "" {
		return a.client.Name
	}
	return a.client.ID
}

// apps is GET /account/apps.
func (x *Account) apps(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathApps, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		mine, err := x.myApps(tx, v)
		if err != nil {
			return nil, err
		}
		page := templates.AccountAppsPage{AccountFrame: x.frame(r, v), RevokeAction: v.site.Base() + pathRevoke}
		for _, a := range mine {
			page.Apps = append(page.Apps, templates.AppLine{
				ID: a.client.ID, Name: a.name(), Company: a.client.Company, URI: a.client.ClientURI, Scopes: scopeLines(a.asked()), Given: a.given,
			})
		}
		arrange.By(page.Apps, func(a, b templates.AppLine) int { return strings.Compare(a.Name+"\x00"+a.ID, b.Name+"\x00"+b.ID) })
		return page, nil
	})
}

func scopeLines(scopes []string) []templates.ScopeLine {
	lines := make([]templates.ScopeLine, 0, len(scopes))
	all := policy.AllPermissions()
	for _, s := range scopes {
		line := templates.ScopeLine{Name: s, Sentence: s}
		if i := slices.IndexFunc(all, func(p policy.Permission) bool { return p.Name == s }); i >= 0 {
			line.Sentence = all[i].Sentence
		}
		lines = append(lines, line)
	}
	return lines
}

func (x *Account) myApp(tx store.Tx, v *visit, id string) (*app, error) {
	mine, err := x.myApps(tx, v)
	if err == nil && mine[id] == nil {
		err = web.ErrNotFound
	}
	return mine[id], err
}

func (x *Account) askRevoke(tx store.Tx, _ *http.Request, v *visit, id string) (templates.ConfirmPage, error) {
	a, err := x.myApp(tx, v, id)
	if err != nil {
		return templates.ConfirmPage{}, err
	}
	return templates.ConfirmPage{Kind: "revoke_app", Name: a.name(), Count: len(a.grants)}, nil
}

// revoke takes back what the agent allowed, and ends all that the client got by
// it; the verifiers hear of each grant.
func (x *Account) revoke(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, id string) (finish, error) {
	a, err := x.myApp(tx, v, id)
	if err != nil {
		return nil, err
	}
	if err := store.Consents.Delete(tx, store.ConsentKey(v.Agent.ID, id)); err != nil {
		return nil, fmt.Errorf("take a consent back: %w", err)
	}
	for _, g := range a.grants {
		if err := x.Sessions.RevokeGrant(ctx, tx, v.site, g, "consent_revoked"); err != nil {
			return nil, err
		}
	}
	err = x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.ConsentRevoke, Actor: v.me(), Object: audit.Ref{Type: "client", ID: id},
		Changes: []audit.Change{{Field: "scope", Old: strings.Join(a.asked(), " ")}, {Field: "grants", Old: fmt.Sprint(len(a.grants)), New: "0"}},
	})
	if err != nil {
		return nil, err
	}
	return x.finished(pathApps, "app_revoked"), x.tell(ctx, tx, v, noticeAppRevoked)
}
