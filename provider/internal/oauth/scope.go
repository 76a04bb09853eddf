package oauth

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Scopes with a meaning of their own. Every other one is a permission's name or
// a resource's own word.
const (
	scopeOpenID  = "openid"
	scopeProfile = "profile"
	scopeEmail   = "email"
	scopeAddress = "address"
	scopePhone   = "phone"
	scopeOffline = "offline_access"
	scopeRoles   = "roles"
	scopeGroups  = "groups"
	scopeChat    = "chat" // every permission; first-party clients only
)

func hasScope(scopes []string, any ...string) bool {
	return slices.ContainsFunc(any, func(s string) bool { return slices.Contains(scopes, s) })
}

// personal reports whether a scope is about a person, so that a client that
// acts for itself cannot have it.
func personal(scope string) bool {
	switch scope {
	case scopeOpenID, scopeProfile, scopeEmail, scopeAddress, scopePhone, scopeOffline, scopeRoles, scopeGroups:
		return true
	}
	return false
}

// parseScope reads the scope parameter: words of RFC 6749's characters, one
// space between them, each counted once.
func parseScope(text string) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var scopes []string
	for word := range strings.SplitSeq(text, " ") {
		if word == "" {
			continue
		}
		for _, r := range word {
			if r < '!' || r > '~' || r == '"' || r == '\\' {
				return nil, web.Public(ErrInvalidScope, "scope holds a character that no scope may")
			}
		}
		if !slices.Contains(scopes, word) {
			scopes = append(scopes, word)
		}
	}
	return scopes, nil
}

// allowedScope reports whether the client may ever have the scope.
func allowedScope(c *store.Client, scope string) bool {
	for word := range strings.FieldsSeq(c.Scope) {
		if word == scope {
			return scope != scopeChat || c.FirstParty
		}
	}
	return false
}

func notAllowed(scope string) error {
	return web.Public(ErrInvalidScope, fmt.Sprintf("this client is not registered for the scope %.100q", scope))
}

// agentScopes are the scopes that a person may grant. offline_access is left out
// where the client cannot use it (OpenID Connect Core, section 11).
func agentScopes(c *store.Client, text string) ([]string, error) {
	asked, err := parseScope(text)
	if err != nil {
		return nil, err
	}
	var scopes []string
	for _, scope := range asked {
		if scope == scopeOffline && !(allowedScope(c, scope) && slices.Contains(c.GrantTypes, grantRefresh)) {
			continue
		}
		if !allowedScope(c, scope) {
			return nil, notAllowed(scope)
		}
		scopes = append(scopes, scope)
	}
	return scopes, nil
}

// clientScopes are those of a client for itself: what it asked for, or all that
// it is registered for and that is not about a person.
func clientScopes(c *store.Client, text string) ([]string, error) {
	asked, err := parseScope(text)
	if err != nil {
		return nil, err
	}
	if len(asked) == 0 {
		return filter(strings.Fields(c.Scope), func(s string) bool { return !personal(s) && allowedScope(c, s) }), nil
	}
	for _, scope := range asked {
		if personal(scope) || !allowedScope(c, scope) {
			return nil, notAllowed(scope)
		}
	}
	return asked, nil
}

// targetFor checks the resource parameter (RFC 8707): a resource of the site
// that the client may ask for, compared byte by byte. Empty: the client's default,
// which must still be there too.
func targetFor(s *site.Site, c *store.Client, resource string) error {
	if resource == "" && c.DefaultResource == "" {
		return nil // the issuer
	}
	resource = audience(s, c, resource)
	_, ours := s.Resources[resource]
	ours = ours || resource == s.Issuer
	mayAsk := len(c.Resources) == 0 || resource == c.DefaultResource || slices.Contains(c.Resources, resource)
	if !ours || !mayAsk {
		return web.Public(ErrInvalidTarget, "resource is not one that this client may ask for")
	}
	return nil
}

// targetsFor checks the resource parameters of an authorization request: all of
// them, each counted once. The grant covers them, and a token is for one.
func targetsFor(s *site.Site, c *store.Client, asked []string) (resources []string, err error) {
	for _, resource := range asked {
		if resource == "" || slices.Contains(resources, resource) {
			continue
		}
		if err := targetFor(s, c, resource); err != nil {
			return nil, err
		}
		resources = append(resources, resource)
	}
	if len(resources) == 0 {
		return nil, targetFor(s, c, "")
	}
	return resources, nil
}

// oneTarget refuses a token request that names several resources: what one of
// them gets to see must be worth nothing at the others.
func oneTarget(form url.Values) error {
	if len(form["resource"]) > 1 {
		return web.Public(ErrInvalidTarget, "name one resource: an access token is for one audience; ask again for each other one")
	}
	return nil
}

// audience is the one resource that a token is for.
func audience(s *site.Site, c *store.Client, resource string) string {
	switch {
	case resource != "":
		return resource
	case c.DefaultResource != "":
		return c.DefaultResource
	}
	return s.Issuer
}
