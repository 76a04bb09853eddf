package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

var (
	// ErrNoBearer is a request that shows no access token in the one way it may.
	ErrNoBearer = errors.New("no bearer token")
	// ErrBearer is an access token that is not accepted.
	ErrBearer = errors.New("bearer token refused")
	// ErrScope is an access token without the scope that is needed.
	ErrScope = errors.New("bearer token lacks a scope")
)

// userinfo is GET and POST /oauth/userinfo (OpenID Connect Core, section 5.3).
func (o *OAuth) userinfo(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	raw, err := bearer(r)
	if err != nil {
		return bearerChallenge(w, s, err)
	}
	t, err := o.Inspect(r.Context(), s, raw)
	if errors.Is(err, ErrInactive) {
		return o.refuseBearer(w, r, s, err)
	}
	if err != nil {
		return err
	}
	if t.Agent == nil || !slices.Contains(t.Claims.Scopes(), scopeOpenID) {
		return bearerChallenge(w, s, web.Public(ErrScope, "the access token was not issued with the scope openid"))
	}
	request := t.Request(s, o.Now(), "")
	if t.Client.Public() { // it runs on the agent's own device
		request.IP = web.ClientIP(r.Context())
	}
	if d := policy.Admit(request); !d.Allowed {
		return web.Public(ErrAccessDenied, d.Reason)
	}
	body, err := json.Marshal(userinfoClaims(t))
	if err != nil {
		return fmt.Errorf("encode claims: %w", err)
	}
	web.WriteJSONBytes(w, http.StatusOK, body)
	return nil
}

// refuseBearer refuses a token, and slows down who tries one after another.
func (o *OAuth) refuseBearer(w http.ResponseWriter, r *http.Request, s *site.Site, why error) error {
	var inactive *Inactive
	if errors.As(why, &inactive) && inactive.Reason == "" {
		if err := o.meta.guesses.token(o.Now(), s.Path, "", web.ClientIP(r.Context())); err != nil {
			return err
		}
	}
	return bearerChallenge(w, s, web.Public(ErrBearer, "the access token is not active"))
}

// bearer is the request's access token: in the header or, by POST, in the form
// (RFC 6750, sections 2.1 and 2.2); never in the URL, and never in two places.
func bearer(r *http.Request) (string, error) {
	query, err := web.ReadQuery(r)
	if err != nil {
		return "", err
	}
	if query.Has("access_token") {
		return "", web.Public(ErrNoBearer, "an access token does not belong in a URL")
	}
	var found []string
	for _, value := range r.Header["Authorization"] {
		if scheme, rest, _ := strings.Cut(value, " "); strings.EqualFold(scheme, "Bearer") {
			found = append(found, strings.Trim(rest, " "))
		} else {
			return "", web.Public(ErrNoBearer, "the Authorization header is not of the scheme Bearer")
		}
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && media == "application/x-www-form-urlencoded" {
		form, err := web.ReadForm(r)
		if err != nil {
			return "", err
		}
		if form.Has("access_token") {
			found = append(found, form.Get("access_token"))
		}
	}
	if len(found) != 1 || found[0] == "" {
		return "", web.Public(ErrNoBearer, "send one access token, in the Authorization header or as access_token in the form")
	}
	return found[0], nil
}

// bearerChallenge sets WWW-Authenticate (RFC 6750, section 3).
func bearerChallenge(w http.ResponseWriter, s *site.Site, err error) error {
	value := `Bearer realm="` + s.Issuer + `"`
	switch {
	case errors.Is(err, ErrScope):
		value += `, error="insufficient_scope", scope="openid"`
	case errors.Is(err, ErrBearer):
		value += `, error="invalid_token"`
	case errors.Is(err, ErrNoBearer):
	default:
		return err
	}
	w.Header().Set("WWW-Authenticate", value)
	return err
}

// userinfoClaims are those of the granted scopes and those that the claims
// parameter asked for under userinfo.
func userinfoClaims(t Token) map[string]any {
	out := map[string]any{"sub": t.Agent.ID}
	scopes := t.Claims.Scopes() // a refresh may have narrowed the family's
	asked := requestedClaims(t.Grant.Claims, "userinfo")
	for _, c := range personClaims {
		if !slices.Contains(scopes, c.scope) && !(asked[c.name] && inCeiling(t.Client, c.scope)) {
			continue
		}
		if v := c.value(t.Agent); v != nil {
			out[c.name] = v
		}
	}
	return out
}

// requestedClaims are the names under one member of the claims parameter.
func requestedClaims(parameter json.RawMessage, member string) map[string]bool {
	if len(parameter) == 0 {
		return nil
	}
	var members, names map[string]json.RawMessage
	if json.Unmarshal(parameter, &members) != nil || json.Unmarshal(members[member], &names) != nil {
		return nil
	}
	asked := map[string]bool{}
	for name := range names {
		asked[name] = true
	}
	return asked
}

// inCeiling says whether the client may have the scope at all: the claims
// parameter asks for less than a scope, never for more than was registered.
func inCeiling(c *store.Client, scope string) bool {
	return slices.Contains(strings.Fields(c.Scope), scope)
}
