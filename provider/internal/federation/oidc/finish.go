package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
)

// algorithms are what an ID token may be signed with: never a secret, never none.
var algorithms = []string{oidc.RS256, oidc.RS384, oidc.RS512, oidc.PS256, oidc.PS384, oidc.PS512, oidc.ES256, oidc.ES384, oidc.EdDSA}

// Identity is who the provider says somebody is.
type Identity struct {
	Subject  string
	SID      string // of the session there
	ACR      string
	AMR      []string
	AuthTime time.Time // zero: not said
	// Values are the ID token's claims, and those of userinfo that it lacks.
	Values map[string]any
}

// judgement is one call of Finish or VerifyLogoutToken.
type judgement struct {
	*Provider
	Config
	checks []Check
}

func (j *judgement) check(code, name string, ok bool, expected, got string) error {
	c := Check{name, ok, cut(expected), cut(got)}
	j.checks = append(j.checks, c)
	if ok {
		return nil
	}
	return &Refused{code, c}
}

// Finish judges the provider's answer, the query of the redirect, and redeems its
// code. That the browser is the one that asked is the caller's to know. The error is
// a *Refused, or ErrUnavailable.
func (p *Provider) Finish(ctx context.Context, c Config, s Start, answer url.Values) (Identity, []Check, error) {
	j := &judgement{Provider: p, Config: c}
	id, err := j.finish(ctx, s, answer)
	return id, j.checks, err
}

func (j *judgement) finish(ctx context.Context, s Start, answer url.Values) (id Identity, err error) {
	op, doc, err := j.discover(ctx, j.Issuer)
	if err != nil {
		return id, err
	}
	if iss := answer.Get("iss"); iss != "" || doc.IssInAnswer { // RFC 9207
		if err := j.check(CodeInvalid, "iss", iss == j.Issuer, j.Issuer, iss); err != nil {
			return id, err
		}
	}
	if fault := answer.Get("error"); fault != "" {
		return id, j.check(CodeProvider, "answer", false, "a code", fault+" "+answer.Get("error_description"))
	}
	if err := j.check(CodeInvalid, "answer", answer.Get("code") != "", "a code", "none"); err != nil {
		return id, err
	}
	tokens, err := j.oauth(op, doc).Exchange(j.context(ctx), answer.Get("code"), oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return id, j.exchangeFailed(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	token, err := j.idToken(ctx, op, raw, s.Nonce)
	if err != nil {
		return id, err
	}
	if token.AccessTokenHash != "" {
		if err := j.check(CodeInvalid, "at_hash", token.VerifyAccessToken(tokens.AccessToken) == nil, "of the access token", "another"); err != nil {
			return id, err
		}
	}
	if id, err = j.claims(token); err != nil {
		return id, err
	}
	return id, j.userInfo(ctx, op, tokens, &id)
}

// exchangeFailed says what the token endpoint said, and nothing of what we sent.
func (j *judgement) exchangeFailed(err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) {
		return fmt.Errorf("%w: the token endpoint: %s", ErrUnavailable, cut(err.Error()))
	}
	got := said.ErrorCode
	if got == "" && said.Response != nil {
		got = said.Response.Status
	}
	return j.check(CodeProvider, "token_endpoint", false, "tokens", got+" "+said.ErrorDescription)
}

// idToken verifies an ID token (OpenID Connect Core, section 3.1.3.7).
func (j *judgement) idToken(ctx context.Context, op *oidc.Provider, raw, nonce string) (*oidc.IDToken, error) {
	if err := j.check(CodeInvalid, "id_token", raw != "" && len(raw) <= 64<<10, "an ID token", fmt.Sprint(len(raw), " bytes")); err != nil {
		return nil, err
	}
	token, err := j.verifier(ctx, op).Verify(j.context(ctx), raw)
	var late *oidc.TokenExpiredError
	switch {
	case errors.As(err, &late):
		return nil, j.check(CodeExpired, "exp", false, "later than "+clock(j.Now()), clock(late.Expiry))
	case err != nil:
		return nil, j.check(CodeInvalid, "id_token", false, "one of "+j.Issuer+" for "+j.ClientID+", signed by one of its keys", err.Error())
	}
	now := j.Now()
	for _, c := range []struct {
		name          string
		ok            bool
		expected, got string
	}{
		{"iss", token.Issuer == j.Issuer || j.Issuer == "https://accounts.google.com", j.Issuer, token.Issuer},
		{"nonce", token.Nonce == nonce && nonce != "", "the nonce of this flow", "another"},
		{"sub", token.Subject != "" && len(token.Subject) <= 255, "a text of at most 255 bytes", token.Subject},
		{"iat", !token.IssuedAt.After(now.Add(j.skew())) && token.IssuedAt.After(now.Add(-maxAge)), "within " + maxAge.String() + " of " + clock(now), clock(token.IssuedAt)},
	} {
		if err := j.check(CodeInvalid, c.name, c.ok, c.expected, c.got); err != nil {
			return nil, err
		}
	}
	return token, nil
}

func (j *judgement) verifier(ctx context.Context, op *oidc.Provider) *oidc.IDTokenVerifier {
	var doc document
	use := algorithms
	if op.Claims(&doc) == nil && len(doc.Algorithms) > 0 {
		use = slices.DeleteFunc(slices.Clone(algorithms), func(a string) bool { return !slices.Contains(doc.Algorithms, a) })
	}
	if len(use) == 0 {
		use = []string{oidc.RS256}
	}
	return op.VerifierContext(j.context(context.WithoutCancel(ctx)), &oidc.Config{ClientID: j.ClientID, SupportedSigningAlgs: use, Now: func() time.Time { return j.Now().Add(-j.skew()) }})
}

// claims reads what the token says, once in one way.
func (j *judgement) claims(token *oidc.IDToken) (id Identity, err error) {
	var raw json.RawMessage
	if err := token.Claims(&raw); err != nil {
		return id, j.check(CodeInvalid, "id_token", false, "claims", err.Error())
	}
	var claims struct {
		AZP      string  `json:"azp"`
		SID      string  `json:"sid"`
		ACR      string  `json:"acr"`
		AMR      any     `json:"amr"`
		AuthTime float64 `json:"auth_time"`
	}
	if err := strictjson.Unmarshal(raw, &claims); err != nil {
		return id, j.check(CodeInvalid, "id_token", false, "claims that read in one way", err.Error())
	}
	azp := claims.AZP == j.ClientID || claims.AZP == "" && len(token.Audience) == 1
	if err := j.check(CodeInvalid, "azp", azp, j.ClientID, claims.AZP+" of "+strings.Join(token.Audience, ", ")); err != nil {
		return id, err
	}
	if err := decode(raw, &id.Values); err != nil {
		return id, j.check(CodeInvalid, "id_token", false, "claims", err.Error())
	}
	id.Subject, id.SID, id.ACR = token.Subject, claims.SID, claims.ACR
	if list, ok := claims.AMR.([]any); ok {
		for _, v := range list {
			if text, ok := v.(string); ok {
				id.AMR = append(id.AMR, text)
			}
		}
	}
	if claims.AuthTime > 0 && claims.AuthTime < 253402300800 {
		id.AuthTime = time.Unix(int64(claims.AuthTime), 0)
	}
	return id, nil
}

func decode(raw []byte, into *map[string]any) error {
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	return d.Decode(into)
}

// userInfo adds what userinfo says and the ID token does not. An address and
// whether it is verified come from one of the two.
func (j *judgement) userInfo(ctx context.Context, op *oidc.Provider, tokens *oauth2.Token, id *Identity) error {
	_, hasEmail := id.Values["email"]
	_, hasName := id.Values["name"]
	if op.UserInfoEndpoint() == "" || hasEmail && hasName {
		return nil
	}
	info, err := op.UserInfo(j.context(ctx), oauth2.StaticTokenSource(tokens))
	if err != nil {
		return fmt.Errorf("%w: userinfo: %s", ErrUnavailable, cut(err.Error()))
	}
	if err := j.check(CodeInvalid, "userinfo sub", info.Subject == id.Subject, id.Subject, info.Subject); err != nil {
		return err
	}
	var raw json.RawMessage
	more := map[string]any{}
	if err := info.Claims(&raw); err != nil || strictjson.Check(raw) != nil || decode(raw, &more) != nil {
		return j.check(CodeInvalid, "userinfo", false, "claims that read in one way", "something else")
	}
	if hasEmail {
		delete(more, "email_verified")
	} else {
		delete(id.Values, "email_verified")
	}
	maps.Copy(more, id.Values)
	id.Values = more
	return nil
}

func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }

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
