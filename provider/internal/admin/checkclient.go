package admin

import (
	"fmt"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// protocolScopes are the scopes that have a meaning of their own.
func protocolScopes() []string {
	return []string{"openid", "profile", "email", "address", "phone", "offline_access", "roles", "groups", "admin"}
}

// chatScope stands for every permission; only first-party clients may have it.
const chatScope = "chat"

func (c checker) client(cl *fileClient) {
	if cl.ID == "" || len(cl.ID) > 128 || strings.ContainsFunc(cl.ID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		c.faults.add(cl.At, "a client needs a client_id of 1 to 128 printable characters without spaces, not %q", cl.ID)
		return
	}
	if strings.EqualFold(cl.ID, records.ClientID) {
		c.faults.add(cl.At, "client_id %q is what visitors' tokens carry: choose another", cl.ID)
		return
	}
	what := "client " + cl.ID
	c.short(cl.At, "client_name", deref(cl.Name), 100)
	c.short(cl.At, "company", deref(cl.Company), 100)
	c.short(cl.At, "description", deref(cl.Description), 1000)
	for field, uri := range map[string]*string{"logo_uri": cl.LogoURI, "client_uri": cl.ClientURI, "policy_uri": cl.PolicyURI, "tos_uri": cl.TOSURI, "jwks_uri": cl.JWKSURI} {
		if deref(uri) != "" {
			c.webURL(cl.At, what+": "+field, *uri)
		}
	}
	native := deref(cl.ApplicationType) == "native"
	c.uris(cl.At, what+": redirect_uris", cl.RedirectURIs, native)
	c.uris(cl.At, what+": post_logout_redirect_uris", cl.PostLogoutRedirectURIs, native)
	c.allOf(cl.At, what+": grant_types", cl.GrantTypes, "authorization_code", "refresh_token", "client_credentials")
	c.allOf(cl.At, what+": response_types", cl.ResponseTypes, "code")
	c.oneOf(cl.At, what+": token_endpoint_auth_method", cl.TokenEndpointAuthMethod, "client_secret_basic", "client_secret_post", "private_key_jwt", "none")
	c.oneOf(cl.At, what+": application_type", cl.ApplicationType, "web", "native")
	c.oneOf(cl.At, what+": id_token_signed_response_alg", cl.IDTokenAlg, "RS256", "ES256", "EdDSA")
	c.number(cl.At, what+": default_max_age", cl.DefaultMaxAge, 0, 10*365*24*3600)
	for scope := range strings.FieldsSeq(deref(cl.Scope)) {
		if !scopeToken(scope) {
			c.faults.add(cl.At, "%s: %q is not a scope", what, scope)
		}
	}
	if cl.JWKS != nil {
		if text := checkJWKS(cl.JWKS.raw); text != "" {
			c.faults.add(cl.At, "%s: jwks %s", what, text)
		}
	}
	c.clientSecret(cl, what)
}

func (c checker) uris(at line, what string, uris []string, native bool) {
	for i, uri := range uris {
		if err := CheckRedirectURI(uri, native); err != nil {
			c.faults.add(at, "%s: %q %v", what, uri, err)
		}
		if slices.Contains(uris[:i], uri) {
			c.faults.add(at, "%s: %q is named twice", what, uri)
		}
	}
}

func (c checker) allOf(at line, what string, values []string, allowed ...string) {
	for _, v := range values {
		if !slices.Contains(allowed, v) {
			c.faults.add(at, "%s: %q is not one of %s", what, v, strings.Join(allowed, ", "))
		}
	}
}

func (c checker) clientSecret(cl *fileClient, what string) {
	if !cl.Secret.given() {
		return
	}
	text := cl.Secret.reveal()
	if text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || len(text) > 512 {
		c.faults.add(cl.At, "%s: client_secret must have 1 to 512 printable ASCII characters", what)
		return
	}
	weak := ""
	switch {
	case len(text) < minSecret:
		weak = fmt.Sprintf("%s: client_secret has fewer than %d characters", what, minSecret)
	case fewLetters(text):
		weak = what + ": client_secret is the same few characters over and over"
	}
	if weak == "" {
		return
	}
	if !c.loopback {
		c.faults.add(cl.At, "%s; make one with: openssl rand -base64 32", weak)
		return
	}
	*c.warnings = append(*c.warnings, weak+": accepted on loopback only")
}

// fewLetters catches placeholders such as xxxxxxxx.
func fewLetters(text string) bool {
	different := map[rune]bool{}
	for _, r := range text {
		different[r] = true
	}
	return len(different) < 8
}

// checkWhole says what is wrong with a client as it would stand, given what the
// site has.
func checkWhole(c *store.Client, resources map[string]store.Resource) []string {
	var wrong []string
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	code := slices.Contains(c.GrantTypes, "authorization_code")
	switch {
	case len(c.GrantTypes) == 0:
		say("needs a grant type")
	case code && len(c.RedirectURIs) == 0:
		say("needs redirect_uris for the authorization_code grant")
	case !code && slices.Contains(c.GrantTypes, "refresh_token"):
		say("has refresh_token without authorization_code")
	}
	if c.Public() {
		if slices.Contains(c.GrantTypes, "client_credentials") {
			say("is public (token_endpoint_auth_method none) and so cannot have client_credentials")
		}
		if !c.RequirePKCE {
			say("is public and so cannot do without PKCE")
		}
		if !c.RotateRefreshTokens {
			say("is public and so its refresh tokens rotate")
		}
		if len(c.Secrets) > 0 {
			say("is public and so has no client_secret")
		}
		if c.MayAssertIP {
			say("is public and so cannot vouch for an agent's address (may_assert_ip)")
		}
	}
	if keys := len(c.JWKS) > 0; c.TokenEndpointAuthMethod == "private_key_jwt" && keys == (c.JWKSURI != "") {
		say("needs one of jwks and jwks_uri for private_key_jwt")
	}
	for _, r := range append([]string{c.DefaultResource}, c.Resources...) {
		if _, ok := resources[r]; r != "" && !ok {
			say("names the resource %s, which the site does not have", r)
		}
	}
	for scope := range strings.FieldsSeq(c.Scope) {
		switch {
		case scope == chatScope && !c.FirstParty:
			say("has the scope chat, which only first-party clients may; name the permissions it needs instead")
		case !knownScope(scope, resources):
			say("has the scope %q, which is neither the protocol's, nor a permission, nor one of the site's resources'", scope)
		}
	}
	return wrong
}

func knownScope(scope string, resources map[string]store.Resource) bool {
	if scope == chatScope || slices.Contains(protocolScopes(), scope) || policy.ValidPermission(scope) {
		return true
	}
	for _, r := range resources {
		if slices.Contains(r.Scopes, scope) {
			return true
		}
	}
	return false
}
