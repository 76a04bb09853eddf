package oidc

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"net/url"
	"strconv"
	"strings"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Start is an authorization request: where the browser goes, and what the answer
// must fit.
type Start struct {
	URL, State, Nonce, Verifier string
	// Spend is called once an answer has a code, before that is redeemed, and may
	// refuse it; nil: nothing is.
	Spend func() error
}

// Begin makes an authorization request with that state. The error is ErrUnavailable.
func (p *Provider) Begin(ctx context.Context, c Config, state string) (Start, error) {
	doc, err := p.discover(ctx, c.Issuer)
	if err != nil {
		return Start{}, err
	}
	nonce := make([]byte, 16)
	rand.Read(nonce)
	s := Start{State: state, Nonce: base64.RawURLEncoding.EncodeToString(nonce), Verifier: oauth2.GenerateVerifier()}
	options := []oauth2.AuthCodeOption{oidc.Nonce(s.Nonce), oauth2.S256ChallengeOption(s.Verifier)}
	for name, value := range map[string]string{"prompt": c.Prompt, "acr_values": strings.Join(c.ACRValues, " "), "login_hint": c.LoginHint} {
		if value != "" {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	if c.MaxAge != nil {
		options = append(options, oauth2.SetAuthURLParam("max_age", strconv.Itoa(*c.MaxAge)))
	}
	s.URL = c.oauth(doc).AuthCodeURL(state, options...)
	return s, nil
}

// EndSessionURL is where the browser signs out at the provider (OpenID Connect
// RP-Initiated Logout 1.0); empty: the provider has no such place.
func (p *Provider) EndSessionURL(ctx context.Context, c Config, hint, back, state string) (string, error) {
	doc, err := p.discover(ctx, c.Issuer)
	if err != nil || doc.EndSession == "" {
		return "", err
	}
	values := map[string]string{"client_id": c.ClientID, "post_logout_redirect_uri": back, "state": state, "id_token_hint": hint}
	return withQuery(doc.EndSession, values), nil
}

func withQuery(address string, values map[string]string) string {
	u, err := url.Parse(address)
	if err != nil {
		return ""
	}
	query := u.Query()
	for name, value := range values {
		if value != "" {
			query.Set(name, value)
		}
	}
	u.RawQuery = query.Encode()
	return u.String()
}
