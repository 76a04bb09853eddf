package site

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/store"
)

// reserved are first path segments that the house itself answers, so that no
// site can have them.
var reserved = []string{"oauth", "access", "sign-in", "consent", "set-up", "static", "api", "admin", "account", "federation", "visitors", "healthz", "readyz", "metrics", "favicon.ico"}

// CheckPath says whether a site may have this path: "" or 1 to 40 of a-z, 0-9
// and -, not one of the house's own.
func CheckPath(path string) error {
	if path == "" {
		return nil
	}
	if len(path) > 40 || strings.HasPrefix(path, "-") || strings.HasSuffix(path, "-") {
		return fmt.Errorf("a site's path has 1 to 40 letters a-z, digits and inner hyphens, not %q", path)
	}
	for _, r := range path {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-') {
			return fmt.Errorf("a site's path has 1 to 40 letters a-z, digits and inner hyphens, not %q", path)
		}
	}
	if slices.Contains(reserved, path) {
		return fmt.Errorf("the path %q is one of the house's own", path)
	}
	return nil
}

// agentPermissions is what the built-in role Agents begins with: enough to chat
// and to keep one's own tickets and profile.
func agentPermissions() []string {
	return []string{
		"chat.accept", "chat.join", "chat.transfer", "chat.view_own", "console.sign_in", "contact.view",
		"profile.manage", "secure_form.send", "ticket.manage_own", "visitor.view",
	}
}

// DefaultSettings are a new site's: the guide's password policy, no allowlist,
// the house's lifetimes.
func DefaultSettings(name string) store.Settings {
	return store.Settings{
		Name: name,
		Password: store.PasswordPolicy{
			MinLength: 8, CharacterKinds: 3, RefuseNames: true, RefuseCommon: true, RefuseBreached: true, History: 5,
			MaxAgeDays: 40, WarnDays: 3, MaxChangesPerDay: 3, LockAfter: 5, LockMinutes: 30,
		},
		Allowlist: store.Allowlist{Console: true, Mobile: true},
		TwoFactor: store.TwoFactor{GraceDays: 7, RememberDays: 14},
		Lifetimes: store.DefaultLifetimes(),
	}
}

// Create makes a site: its records and built-in roles first, then its place in
// the list, so that a site that is listed is whole. Creating one that is listed
// is store.ErrExists; what an interrupted creation left is completed.
func Create(ctx context.Context, s store.Store, path, host string, settings store.Settings, now time.Time) error {
	if err := CheckPath(path); err != nil {
		return err
	}
	err := s.View(ctx, store.House, func(tx store.Tx) error {
		if found, err := store.Sites.Has(tx, store.SiteKey(path)); err != nil || !found {
			return err
		}
		return store.ErrExists
	})
	if err != nil {
		return err
	}
	err = s.Update(ctx, path, func(tx store.Tx) error {
		if err := store.AllSettings.Put(tx, &settings); err != nil {
			return err
		}
		for _, role := range []store.Role{{Key: policy.Administrators, Name: "Administrators"}, {Key: policy.Agents, Name: "Agents", Permissions: agentPermissions()}} {
			if err := store.Roles.Create(tx, &role); err != nil && !errors.Is(err, store.ErrExists) {
				return err
			}
		}
		return Changed(tx)
	})
	if err != nil {
		return fmt.Errorf("make the site's records: %w", err)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make the site's id: %w", err)
	}
	return s.Update(ctx, store.House, func(tx store.Tx) error {
		if err := store.Sites.Create(tx, &store.Site{Path: path, ID: id.String(), Host: host, Created: now}); err != nil {
			return err
		}
		return Changed(tx)
	})
}
