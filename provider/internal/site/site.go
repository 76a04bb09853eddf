// Package site knows which site a request is for, and keeps what that site has
// decided as one compiled, immutable snapshot in memory.
//
// A snapshot is dropped when the site's version moves on, so every transaction
// that changes settings, roles, departments, resources, connections, clients, signing keys or
// what break-glass lifts calls Changed. Here such a change is seen at once; another node on the same
// database sees it within MaxAge. It answers no route itself.
package site

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Site is a snapshot of one site. Nothing in it may be changed.
type Site struct {
	Path    string // "" is the root site; the site's name in the store and in tokens
	ID      string
	Issuer  string // absolute URL without a slash at its end
	Secure  bool   // the issuer is https
	Version uint64

	Settings    store.Settings
	Proven      []string        // the site's domains
	Lifetimes   store.Lifetimes // with the defaults filled in
	Roles       map[string]store.Role
	Departments map[string]store.Department
	Resources   map[string]store.Resource // by identifier
	Allowlist   *policy.Allowlist         // off while break-glass lifts it

	connections connections
	glass       store.BreakGlass
	info        web.SiteInfo
	clients     sync.Map // id → *store.Client
	derived     sync.Map // key → any
	permissions sync.Map // joined role keys → []string
}

// URL is the absolute URL of one of the site's paths.
func (s *Site) URL(path string) string { return s.Issuer + path }

// Base is the prefix of the site's paths on its host: "" or "/acme".
func (s *Site) Base() string { return s.info.Base }

// Permissions is the sorted union of what the roles grant. Unknown roles grant
// nothing.
func (s *Site) Permissions(roleKeys []string) []string {
	memo := strings.Join(roleKeys, " ")
	if p, ok := s.permissions.Load(memo); ok {
		return p.([]string)
	}
	roles := make([]policy.Role, 0, len(s.Roles))
	for _, key := range slices.Sorted(maps.Keys(s.Roles)) {
		roles = append(roles, policy.Role{Key: key, Permissions: s.Roles[key].Permissions})
	}
	p := policy.Permissions(roles, roleKeys)
	s.permissions.Store(memo, p)
	return p
}

// Cached returns what make once made for this snapshot under key.
func (s *Site) Cached(key any, make func() (any, error)) (any, error) {
	if v, ok := s.derived.Load(key); ok {
		return v, nil
	}
	v, err := make()
	if err != nil {
		return nil, err
	}
	v, _ = s.derived.LoadOrStore(key, v)
	return v, nil
}

type contextKey struct{}

// With returns a context whose requests are for s.
func With(ctx context.Context, s *Site) context.Context {
	return web.WithSite(context.WithValue(ctx, contextKey{}, s), &s.info)
}

// From is the site that the request is for; nil outside Sites.Handler.
func From(ctx context.Context) *Site {
	s, _ := ctx.Value(contextKey{}).(*Site)
	return s
}

// Changed moves the site's version on. Call it in every transaction that changes
// something a snapshot holds.
func Changed(tx store.Tx) error {
	_, err := store.Next(tx, store.SiteVersion)
	return err
}

func (sites *Sites) compile(tx store.Tx, rec store.Site) (*Site, error) {
	s := &Site{Path: rec.Path, ID: rec.ID, Roles: map[string]store.Role{}, Departments: map[string]store.Department{}, Resources: map[string]store.Resource{}}
	version, err := store.Counters.Get(tx, store.SiteVersion)
	if err != nil {
		return nil, fmt.Errorf("load site version: %w", err)
	}
	s.Version = version.Value
	if s.Settings, err = store.GetSettings(tx); err != nil {
		return nil, fmt.Errorf("load settings: %w", err)
	}
	s.Proven = s.Settings.Proven()
	for role, err := range store.Roles.All(tx, "") {
		if err != nil {
			return nil, err
		}
		s.Roles[role.Key] = role
	}
	for department, err := range store.Departments.All(tx, "") {
		if err != nil {
			return nil, err
		}
		s.Departments[department.Key] = department
	}
	for _, r := range s.Settings.Resources {
		s.Resources[r.Identifier] = r
	}
	if s.connections, err = loadConnections(tx); err != nil {
		return nil, err
	}
	if s.glass, err = liftedNow(tx, sites.now()); err != nil {
		return nil, err
	}
	allowlist := s.Settings.Allowlist
	allowlist.Enabled = allowlist.Enabled && s.glass.Control != store.ControlAllowlist
	if s.Allowlist, err = CompileAllowlist(allowlist); err != nil {
		return nil, fmt.Errorf("compile the allowlist: %w", err)
	}
	s.Lifetimes = s.Settings.Lifetimes.OrDefault()
	s.Issuer, s.info.Base = sites.address(rec)
	s.Secure = strings.HasPrefix(s.Issuer, "https://")
	s.info.Path, s.info.Name, s.info.Logo, s.info.Color, s.info.Secure = s.Path, s.Settings.Name, s.Settings.Logo, s.Settings.Color, s.Secure
	return s, nil
}

// Lifted reports whether break-glass has lifted that control of the site, one of
// store.Controls, for now. Allowlist knows it already.
func (s *Site) Lifted(control string, now time.Time) bool {
	return s.glass.Control == control && s.glass.Live(now)
}

// Glass is what break-glass has lifted, as long as it is Live; the zero value:
// nothing.
func (s *Site) Glass() store.BreakGlass { return s.glass }

// over reports whether a control that was lifted when the snapshot was made holds
// again.
func (s *Site) over(now time.Time) bool { return s.glass.Control != "" && !s.glass.Live(now) }

func liftedNow(tx store.Tx, now time.Time) (store.BreakGlass, error) {
	glass, err := store.BreakGlasses.Get(tx, store.BreakGlassKey)
	if errors.Is(err, store.ErrNotFound) || err == nil && !glass.Live(now) {
		return store.BreakGlass{}, nil
	}
	if err != nil {
		return glass, fmt.Errorf("load what is lifted: %w", err)
	}
	return glass, nil
}

// CompileAllowlist hands an allowlist as written to policy.
func CompileAllowlist(a store.Allowlist) (*policy.Allowlist, error) {
	rules := policy.AllowlistRules{Enabled: a.Enabled, Console: a.Console, Mobile: a.Mobile}
	for _, e := range a.Entries {
		rules.Entries = append(rules.Entries, policy.AllowlistEntry{IP: e.IP, Range: e.Range, CIDR: e.CIDR, Note: e.Note, Roles: e.Roles})
	}
	return policy.CompileAllowlist(rules)
}
