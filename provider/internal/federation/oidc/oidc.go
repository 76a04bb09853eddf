// Package oidc is the relying party's half of OpenID Connect: the request to a
// customer's OpenID provider and the judging of its answer. It alone imports
// coreos/go-oidc.
//
// The code flow with PKCE and a nonce, always; the provider is pinned by its issuer.
// It keeps discovery documents and key sets in memory, and nothing else: the flow's
// state, nonce and verifier are its caller's to keep in the browser that asked, and
// so is that a flow ends once. It has no routes.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

const (
	// fresh is how long a discovery document is taken without asking again, stale how
	// long where it cannot be had, again how soon after a fault it is asked again.
	fresh = time.Hour
	stale = 24 * time.Hour
	again = 30 * time.Second
	// maxProviders bounds the memory.
	maxProviders = 10_000
	// maxAge is how old an ID token's iat may be: it was just made for us.
	maxAge      = 10 * time.Minute
	defaultSkew = time.Minute
)

// Codes of refusals.
const (
	CodeInvalid  = "token_invalid"
	CodeExpired  = "token_expired"
	CodeProvider = "provider_refused"
)

// ErrUnavailable says that the provider does not answer, or not as it should.
var ErrUnavailable = errors.New("the OpenID provider cannot be reached")

// Check is one thing that was looked at. Expected and Got are for administrators:
// Got may be a stranger's words, cut to 200 bytes.
type Check struct {
	Name          string
	OK            bool
	Expected, Got string
}

// Refused is the error of what was looked at and does not hold.
type Refused struct {
	Code string
	Check
}

// Error names the check and repeats nothing of the answer.
func (r *Refused) Error() string { return r.Code + ": " + r.Name }

// Config is us at one provider.
type Config struct {
	Issuer       string
	ClientID     string
	ClientSecret string
	AuthMethod   string   // client_secret_basic or client_secret_post; empty: as the provider says
	Scopes       []string // empty: openid profile email
	RedirectURI  string
	Prompt       string
	ACRValues    []string
	LoginHint    string
	MaxAge       *int // seconds
	Skew         time.Duration
}

// Options is what a Provider needs.
type Options struct {
	Client *http.Client // the house's guarded one
	Now    func() time.Time
}

// Provider knows the OpenID providers that were asked for.
type Provider struct {
	Options
	mu    sync.Mutex
	known map[string]*discovered // by issuer
}

type discovered struct {
	mu    sync.Mutex
	op    *oidc.Provider
	doc   document
	at    time.Time
	tried time.Time
	fault error
}

// document is what we want of a discovery document besides what go-oidc reads.
type document struct {
	Authorization   string   `json:"authorization_endpoint"`
	Token           string   `json:"token_endpoint"`
	JWKS            string   `json:"jwks_uri"`
	UserInfo        string   `json:"userinfo_endpoint"`
	EndSession      string   `json:"end_session_endpoint"`
	AuthMethods     []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms      []string `json:"id_token_signing_alg_values_supported"`
	IssInAnswer     bool     `json:"authorization_response_iss_parameter_supported"`
	BackChannel     bool     `json:"backchannel_logout_supported"`
	PKCEMethods     []string `json:"code_challenge_methods_supported"`
	ScopesSupported []string `json:"scopes_supported"`
}

// New returns a Provider.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Provider{Options: o, known: map[string]*discovered{}}
}

// context carries our client to the libraries.
func (p *Provider) context(ctx context.Context) context.Context {
	return oidc.ClientContext(ctx, p.Client)
}

// discover is the provider of that issuer. One at a time asks.
func (p *Provider) discover(ctx context.Context, issuer string) (*oidc.Provider, document, error) {
	p.mu.Lock()
	d := p.known[issuer]
	if d == nil {
		if len(p.known) >= maxProviders {
			clear(p.known)
		}
		d = &discovered{}
		p.known[issuer] = d
	}
	p.mu.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	now := p.Now()
	if now.Sub(d.at) >= fresh && now.Sub(d.tried) >= again {
		d.tried = now
		// go-oidc keeps the client of this context for the key set, and nothing else of it.
		op, err := oidc.NewProvider(p.context(ctx), issuer)
		var doc document
		if err == nil {
			err = op.Claims(&doc)
		}
		if err == nil {
			err = doc.usable(issuer)
		}
		if d.fault = err; err == nil {
			d.op, d.doc, d.at = op, doc, now
		}
	}
	if d.op == nil || now.Sub(d.at) >= stale {
		return nil, document{}, fmt.Errorf("%w: %s", ErrUnavailable, cut(d.fault.Error()))
	}
	return d.op, d.doc, nil
}

// usable refuses addresses that a secret or a code must not go to.
func (d document) usable(issuer string) error {
	for name, address := range map[string]string{"authorization_endpoint": d.Authorization, "token_endpoint": d.Token, "jwks_uri": d.JWKS} {
		if address == "" {
			return fmt.Errorf("discovery names no %s", name)
		}
	}
	for name, address := range map[string]string{
		"authorization_endpoint": d.Authorization, "token_endpoint": d.Token, "jwks_uri": d.JWKS, "userinfo_endpoint": d.UserInfo, "end_session_endpoint": d.EndSession,
	} {
		u, err := url.Parse(address)
		if address != "" && (err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && !strings.HasPrefix(issuer, "http://")) {
			return fmt.Errorf("discovery's %s is no https address", name)
		}
	}
	return nil
}

// ErrSharedIssuer is an issuer that stands for everybody's accounts.
var ErrSharedIssuer = errors.New("the issuer must be one tenant's: with Entra ID, https://login.microsoftonline.com/{tenant id}/v2.0, not common, organizations or consumers")

// CheckIssuer refuses issuers of which no one customer is the master.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Host == "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("an issuer is an https address without query and fragment")
	}
	if strings.HasSuffix(u.Host, "login.microsoftonline.com") {
		tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
		if slices.Contains([]string{"common", "organizations", "consumers", ""}, tenant) {
			return ErrSharedIssuer
		}
	}
	return nil
}

func (c Config) oauth(op *oidc.Provider, doc document) *oauth2.Config {
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	endpoint := op.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	byPost := c.AuthMethod == "client_secret_post" ||
		c.AuthMethod == "" && len(doc.AuthMethods) > 0 && !slices.Contains(doc.AuthMethods, "client_secret_basic") && slices.Contains(doc.AuthMethods, "client_secret_post")
	if byPost || c.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: endpoint, RedirectURL: c.RedirectURI, Scopes: scopes}
}

func (c Config) skew() time.Duration {
	if c.Skew > 0 {
		return c.Skew
	}
	return defaultSkew
}

func cut(s string) string {
	const most = 200
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.ToValidUTF8(s, "")
}
