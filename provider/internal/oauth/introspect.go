package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// inactiveAnswer is all that is said of a token that is not live, or not this
// client's business: the two are not told apart (RFC 7662, section 2.2).
var inactiveAnswer = []byte(`{"active":false}`)

// introspect is POST /oauth/introspect (RFC 7662).
func (o *OAuth) introspect(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	client, err := o.AuthenticateConfidential(w, r, form)
	if err != nil {
		return err
	}
	if form.Get("token") == "" {
		return web.Public(web.ErrBadRequest, "the parameter token is missing")
	}
	body, err := o.introspection(r, s, client, form)
	if errors.Is(err, ErrInactive) {
		return o.inactive(w, r, client, err)
	}
	if err != nil {
		return err
	}
	web.WriteJSONBytes(w, http.StatusOK, body)
	return nil
}

// inactive answers, unless the client has been guessing: what is no token of
// ours counts, a token that has ended does not.
func (o *OAuth) inactive(w http.ResponseWriter, r *http.Request, client *store.Client, why error) error {
	var inactive *Inactive
	if errors.As(why, &inactive) && inactive.Reason == "" {
		if err := o.meta.guesses.token(o.Now(), site.From(r.Context()).Path, client.ID, web.ClientIP(r.Context())); err != nil {
			return err
		}
	}
	web.WriteJSONBytes(w, http.StatusOK, inactiveAnswer)
	return nil
}

func (o *OAuth) introspection(r *http.Request, s *site.Site, client *store.Client, form url.Values) ([]byte, error) {
	raw := form.Get("token")
	if strings.HasPrefix(raw, refreshPrefix) {
		return o.introspectRefresh(r, s, client, raw)
	}
	ip, named, readable := namedAddress(form)
	t, err := o.InspectAt(r.Context(), s, raw, ip)
	if err != nil {
		return nil, err
	}
	if !t.For(client) {
		return nil, &Inactive{}
	}
	if !readable && t.Claims.SubjectType == policy.Visitor { // no ban of a network would hold
		return nil, web.Public(web.ErrBadRequest, "visitor_ip is one address, without a port")
	}
	request := t.Request(s, o.Now(), "")
	if named {
		request.IP = ip
	}
	if d := policy.Admit(request); !d.Allowed {
		return nil, &Inactive{d.Reason}
	}
	return t.introspection()
}

// namedAddress is the one that the backend sees. One that cannot be read is unknown,
// and no allowlist's.
func namedAddress(form url.Values) (ip netip.Addr, named, readable bool) {
	readable = true
	for _, name := range []string{"agent_ip", "visitor_ip"} {
		if !form.Has(name) {
			continue
		}
		var err error
		ip, err = netip.ParseAddr(form.Get(name))
		named, readable = true, form.Get(name) == "" || err == nil && ip.Zone() == ""
	}
	return ip, named, readable
}

// introspection is the answer for a live token: its claims, without what the
// agent has lost since.
func (t Token) introspection() ([]byte, error) {
	payload := t.Payload
	if t.narrowed() {
		var err error
		if payload, err = t.narrow(); err != nil {
			return nil, err
		}
	}
	const head = `{"active":true,"token_type":"Bearer",`
	body := make([]byte, 0, len(head)+len(payload))
	return append(append(body, head...), payload[1:]...), nil
}

func (t Token) narrowed() bool {
	if t.Agent == nil {
		return false
	}
	return len(t.Permissions) != len(t.Claims.Entitlements) ||
		len(both(t.Claims.Roles, t.Agent.Roles)) != len(t.Claims.Roles) ||
		len(both(t.Claims.Groups, t.Agent.Departments)) != len(t.Claims.Groups)
}

func (t Token) narrow() ([]byte, error) {
	var claims map[string]json.RawMessage
	if err := json.Unmarshal(t.Payload, &claims); err != nil {
		return nil, fmt.Errorf("read claims: %w", err)
	}
	for name, now := range map[string][]string{
		"entitlements": t.Permissions,
		"roles":        both(t.Claims.Roles, t.Agent.Roles),
		"groups":       both(t.Claims.Groups, t.Agent.Departments),
	} {
		if _, there := claims[name]; there {
			claims[name], _ = json.Marshal(slices.Concat([]string{}, now)) // strings: cannot fail
		}
	}
	return json.Marshal(claims)
}

// readRefreshToken returns ok for a refresh token that this site made.
func (o *OAuth) readRefreshToken(ctx context.Context, s *site.Site, raw string) (t refreshToken, ok bool, err error) {
	key, err := o.Keys.Secret(ctx, s.Path, secretRefresh)
	if err != nil {
		return t, false, err
	}
	t, ok = parseRefreshToken(key, raw)
	return t, ok, nil
}

// introspectRefresh tells a client of its own refresh token, and nobody else.
func (o *OAuth) introspectRefresh(r *http.Request, s *site.Site, client *store.Client, raw string) ([]byte, error) {
	token, ok, err := o.readRefreshToken(r.Context(), s, raw)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &Inactive{}
	}
	var g store.Grant
	var agent store.Agent
	err = o.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		var err error
		if g, err = store.Grants.Get(tx, token.family); err != nil {
			return err
		}
		agent, err = store.Agents.Get(tx, g.AgentID)
		return err
	})
	if errors.Is(err, store.ErrNotFound) || err == nil && g.ClientID != client.ID {
		return nil, &Inactive{}
	}
	if err != nil {
		return nil, err
	}
	if g.Revoked || token.generation != g.Generation || !isSumOf(g.Current, raw) || agent.Inactive || cutOff(g.Created, agent.NotBefore) || cutOff(g.Created, client.NotBefore) || cutOff(g.Created, s.Settings.NotBefore) {
		return nil, &Inactive{policy.ReasonRevoked}
	}
	return json.Marshal(map[string]any{
		"active": true, "iss": s.Issuer, "client_id": g.ClientID, "sub": g.AgentID, "sid": g.SID,
		"scope": strings.Join(g.Scopes, " "), "iat": g.Created.Unix(), "exp": g.Expires.Unix(),
	})
}
