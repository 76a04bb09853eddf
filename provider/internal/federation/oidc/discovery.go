package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

const (
	// fresh is how long a discovery document is taken without asking again, stale how
	// long where it cannot be had, again how soon after a fault it is asked again.
	fresh = time.Hour
	stale = 24 * time.Hour
	again = 30 * time.Second
)

// document is what we want of a discovery document (OpenID Connect Discovery 1.0,
// section 3).
type document struct {
	Issuer        string   `json:"issuer"`
	Authorization string   `json:"authorization_endpoint"`
	Token         string   `json:"token_endpoint"`
	JWKS          string   `json:"jwks_uri"`
	UserInfo      string   `json:"userinfo_endpoint"`
	EndSession    string   `json:"end_session_endpoint"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	IssInAnswer   bool     `json:"authorization_response_iss_parameter_supported"`
	BackChannel   bool     `json:"backchannel_logout_supported"`
	PKCEMethods   []string `json:"code_challenge_methods_supported"`
}

// discover is the document of that issuer. The error is ErrUnavailable.
func (p *Provider) discover(ctx context.Context, issuer string) (document, error) {
	doc, err := p.documents.At(ctx, issuer, nil)
	if err != nil {
		return document{}, unavailable("discovery", err)
	}
	return doc, nil
}

func (p *Provider) fetch(ctx context.Context, issuer string) (doc document, err error) {
	body, err := web.Fetch(ctx, p.Client, strings.TrimSuffix(issuer, "/")+"/.well-known/openid-configuration")
	if err != nil {
		return document{}, err
	}
	if err := strictjson.Unmarshal(body, &doc); err != nil {
		return document{}, fmt.Errorf("the document: %w", err)
	}
	if doc.Issuer != issuer {
		return document{}, fmt.Errorf("%w: it is of the issuer %q", errUnfit, doc.Issuer)
	}
	if err := doc.usable(); err != nil {
		return document{}, fmt.Errorf("%w: %w", errUnfit, err)
	}
	return doc, nil
}

// errUnfit is what is wrong with a document that is well formed.
var errUnfit = errors.New("the document does not fit")

// usable refuses addresses that a person, a secret or a code must not go to.
func (d document) usable() error {
	secure := !strings.HasPrefix(d.Issuer, "http://") // of an issuer in development
	for _, e := range []struct {
		name, address string
		optional      bool
	}{
		{"authorization_endpoint", d.Authorization, false},
		{"token_endpoint", d.Token, false},
		{"jwks_uri", d.JWKS, false},
		{"userinfo_endpoint", d.UserInfo, true},
		{"end_session_endpoint", d.EndSession, true},
	} {
		if e.address == "" {
			if !e.optional {
				return fmt.Errorf("it names no %s", e.name)
			}
			continue
		}
		u, err := url.Parse(e.address)
		if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Scheme != "https" && (secure || u.Scheme != "http") {
			return fmt.Errorf("its %s is no https address", e.name)
		}
	}
	return nil
}

// algorithms are what a provider may sign with: never a secret, never none.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.ES256, oidc.ES384, oidc.EdDSA}

// algorithms are those of ours that the provider says it uses.
func (d document) algorithms() []string {
	if len(d.Algorithms) == 0 {
		return algorithms
	}
	return slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(d.Algorithms, a) })
}

// oauth is the client that we are there.
func (c Config) oauth(doc document) *oauth2.Config {
	scopes := c.Scopes
	if len(scopes) == 0 {
		scopes = []string{oidc.ScopeOpenID, "profile", "email"}
	}
	if !slices.Contains(scopes, oidc.ScopeOpenID) {
		scopes = append([]string{oidc.ScopeOpenID}, scopes...)
	}
	endpoint := oauth2.Endpoint{AuthURL: doc.Authorization, TokenURL: doc.Token, AuthStyle: oauth2.AuthStyleInHeader}
	byPost := c.AuthMethod == "client_secret_post" ||
		c.AuthMethod == "" && len(doc.AuthMethods) > 0 && !slices.Contains(doc.AuthMethods, "client_secret_basic") && slices.Contains(doc.AuthMethods, "client_secret_post")
	if byPost || c.ClientSecret == "" {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{ClientID: c.ClientID, ClientSecret: c.ClientSecret, Endpoint: endpoint, RedirectURL: c.RedirectURI, Scopes: scopes}
}

// ErrSharedIssuer is an issuer that stands for everybody's accounts.
var ErrSharedIssuer = errors.New("the issuer must be one tenant's: with Entra ID, https://login.microsoftonline.com/{tenant id}/v2.0, not common, organizations or consumers")

// shared are Entra ID's tenants of everybody; the last is that of personal accounts.
var shared = []string{"", "common", "organizations", "consumers", "{tenantid}", "9188040d-6c67-4c5b-b112-36a304b66dad"}

// CheckIssuer refuses issuers of which no one customer is the master.
func CheckIssuer(issuer string) error {
	u, err := url.Parse(issuer)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.ForceQuery || strings.Contains(issuer, "#") || u.User != nil {
		return errors.New("an issuer is an https address without query and fragment")
	}
	host := strings.ToLower(u.Hostname())
	for _, entra := range []string{"login.microsoftonline.com", "login.microsoftonline.us", "login.partner.microsoftonline.cn", "login.windows.net", "sts.windows.net"} {
		if host == entra || strings.HasSuffix(host, "."+entra) {
			tenant, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/")
			if slices.Contains(shared, strings.ToLower(tenant)) {
				return ErrSharedIssuer
			}
		}
	}
	return nil
}
