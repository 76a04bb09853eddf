package oauth

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// authorizeRequest is a request to the authorization endpoint. client and
// redirect are sound when it exists at all; the rest is, when parse was content.
type authorizeRequest struct {
	site     *site.Site
	client   *store.Client
	redirect string // where the answer goes
	mode     string // query or form_post
	state    string // byte for byte as received; hasState tells none from an empty one
	hasState bool
	query    string // the whole request, for the flow's cookie
	codeKey  []byte // seals the code

	scopes    []string
	resources []string
	challenge string
	nonce     string
	prompt    []string
	maxAge    time.Duration // negative: not asked
	saysWhen  bool          // the ID token has to say auth_time, whenever it was
	hint      string        // id_token_hint
	hinted    string        // the agent that it names
	acr       string        // the least acr that is wanted; empty: none
	essential bool          // and without it there is no code
	sub       string        // the claims parameter names who it must be
	claims    json.RawMessage
}

// Limits on a request's parts.
const (
	maxNonce  = 1024
	maxClaims = 4096
	maxAgeCap = 10 * 365 * 24 * time.Hour
)

const (
	modeQuery    = "query"
	modeFormPost = "form_post"
)

// readAuthorize reads the parameters, from the URL and by POST from the body too;
// one that stands twice is refused before anything is looked at.
func readAuthorize(r *http.Request) (url.Values, error) {
	values, err := web.ReadQuery(r)
	if err != nil || r.Method != http.MethodPost {
		return values, err
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return nil, err
	}
	for name, v := range form {
		if values.Has(name) && name != web.Repeatable {
			return nil, &web.Repeated{Name: name}
		}
		values[name] = append(values[name], v...)
	}
	return values, nil
}

// newRequest finds client and redirect URI. Its errors are shown on a page of
// ours: until both are sound nothing may be sent anywhere.
func (o *OAuth) newRequest(r *http.Request, s *site.Site, v url.Values) (*authorizeRequest, error) {
	if v.Get("client_id") == "" {
		return nil, web.Public(ErrUnknownClient, "client_id is missing")
	}
	c, err := o.client(r.Context(), s, v.Get("client_id"))
	if err != nil {
		return nil, err
	}
	redirect, err := matchRedirect(c.RedirectURIs, v.Get("redirect_uri"))
	if err != nil {
		return nil, err
	}
	key, err := o.Keys.Secret(r.Context(), s.Path, keys.SecretCode)
	if err != nil {
		return nil, err
	}
	return &authorizeRequest{
		site: s, client: c, redirect: redirect, codeKey: key, mode: modeQuery, maxAge: -1, saysWhen: c.RequireAuthTime,
		state: v.Get("state"), hasState: v.Has("state"), query: v.Encode(),
	}, nil
}

// parse reads everything else. Its errors go to the client.
func (a *authorizeRequest) parse(v url.Values) error {
	for _, step := range []func(url.Values) error{a.parseMode, a.parseUnsupported, a.parseType, a.parseScope, a.parseProof, a.parsePrompt, a.parseMaxAge, a.parseClaims, a.parseACR} {
		if err := step(v); err != nil {
			return err
		}
	}
	a.hint = v.Get("id_token_hint")
	return nil
}

func (a *authorizeRequest) parseMode(v url.Values) error {
	switch mode := v.Get("response_mode"); {
	case mode == "" && !v.Has("response_mode"), mode == modeQuery:
		return nil
	case mode == modeFormPost && (strings.HasPrefix(a.redirect, "https://") || strings.HasPrefix(a.redirect, "http://")):
		a.mode = modeFormPost
		return nil
	}
	return web.Public(ErrUnsupportedResponseMode, "response_mode must be query or form_post")
}

func (a *authorizeRequest) parseUnsupported(v url.Values) error {
	switch {
	case v.Has("request"):
		return ErrRequestNotSupported
	case v.Has("request_uri"):
		return ErrRequestURINotSupported
	case v.Has("registration"):
		return ErrRegistrationUnsupported
	}
	return nil
}

func (a *authorizeRequest) parseType(v url.Values) error {
	switch t := v.Get("response_type"); {
	case t == "":
		return web.Public(ErrInvalidRequest, "response_type is missing")
	case t != "code" || len(a.client.ResponseTypes) > 0 && !slices.Contains(a.client.ResponseTypes, t):
		return web.Public(ErrUnsupportedResponseType, "response_type must be code")
	case !slices.Contains(a.client.GrantTypes, grantCode):
		return web.Public(ErrUnauthorizedClient, "this client is not registered for authorization_code")
	}
	return nil
}

func (a *authorizeRequest) parseScope(v url.Values) (err error) {
	if a.scopes, err = agentScopes(a.client, v.Get("scope")); err != nil {
		return err
	}
	a.resources, err = targetsFor(a.site, a.client, v["resource"])
	return err
}

func (a *authorizeRequest) parseProof(v url.Values) error {
	a.challenge, a.nonce = v.Get("code_challenge"), v.Get("nonce")
	if len(a.nonce) > maxNonce {
		return web.Public(ErrInvalidRequest, "nonce is too long")
	}
	return checkChallenge(a.client, a.challenge, v.Has("code_challenge"), v.Get("code_challenge_method"), v.Has("code_challenge_method"))
}

func (a *authorizeRequest) parsePrompt(v url.Values) error {
	a.prompt = strings.Fields(v.Get("prompt"))
	for _, p := range a.prompt {
		if !slices.Contains([]string{"none", "login", "consent", "select_account"}, p) {
			return web.Public(ErrInvalidRequest, "prompt is not one of none, login, consent and select_account")
		}
	}
	if a.prompts("none") && len(a.prompt) > 1 {
		return web.Public(ErrInvalidRequest, "prompt=none stands alone")
	}
	return nil
}

// prompts reports whether one of these prompts was asked for.
func (a *authorizeRequest) prompts(any ...string) bool {
	return slices.ContainsFunc(a.prompt, func(p string) bool { return slices.Contains(any, p) })
}

func (a *authorizeRequest) parseMaxAge(v url.Values) error {
	text := v.Get("max_age")
	if text == "" {
		if d := a.client.DefaultMaxAge; d != nil {
			a.maxAge = seconds(*d)
		}
		return nil
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || text[0] == '+' {
		return web.Public(ErrInvalidRequest, "max_age is not a number of seconds")
	}
	a.maxAge = time.Duration(min(n, uint64(maxAgeCap/time.Second))) * time.Second
	return nil
}

// parseClaims reads the claims parameter (OpenID Connect Core, section 5.5):
// which claims, and, for acr and sub, which values they must have.
func (a *authorizeRequest) parseClaims(v url.Values) error {
	text := v.Get("claims")
	if text == "" {
		return nil
	}
	invalid := web.Public(ErrInvalidRequest, "claims is not a JSON object as OpenID Connect Core, section 5.5 has it")
	type wish struct {
		Essential bool              `json:"essential"`
		Value     json.RawMessage   `json:"value"`
		Values    []json.RawMessage `json:"values"`
	}
	var asked struct {
		IDToken  map[string]*wish `json:"id_token"`
		UserInfo map[string]*wish `json:"userinfo"`
	}
	if len(text) > maxClaims || strictjson.Unmarshal([]byte(text), &asked) != nil {
		return invalid
	}
	a.claims = json.RawMessage(text)
	for _, members := range []map[string]*wish{asked.UserInfo, asked.IDToken} {
		if sub := members["sub"]; sub != nil && len(sub.Value) > 0 && json.Unmarshal(sub.Value, &a.sub) != nil {
			return invalid
		}
	}
	if when := asked.IDToken["auth_time"]; when != nil && when.Essential {
		a.saysWhen = true
	}
	acr := asked.IDToken["acr"]
	if acr == nil {
		return nil
	}
	if len(acr.Value) > 0 {
		acr.Values = append(acr.Values, acr.Value)
	}
	values := make([]string, len(acr.Values))
	for i, raw := range acr.Values {
		if json.Unmarshal(raw, &values[i]) != nil {
			return invalid
		}
	}
	a.acr, a.essential = leastACR(values), acr.Essential && len(values) > 0
	if a.essential && a.acr == "" {
		return web.Public(ErrUnmetAuthentication, "none of the values of acr is known here")
	}
	return nil
}

// parseACR reads acr_values, a wish; the claims parameter may have said more.
func (a *authorizeRequest) parseACR(v url.Values) error {
	if a.acr == "" {
		a.acr = leastACR(strings.Fields(v.Get("acr_values")))
	}
	return nil
}

// leastACR is the weakest of those that are known here: each of them would do,
// and what is stronger than it will too.
func leastACR(values []string) string {
	for _, known := range policy.ACRValues() {
		if slices.Contains(values, known) {
			return known
		}
	}
	return ""
}
