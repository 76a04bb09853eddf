package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
)

// Identity is who the provider says somebody is.
type Identity struct {
	Subject  string
	SID      string // of the session there
	ACR      string
	AMR      []string
	AuthTime time.Time // zero: not said
	// Values are the ID token's claims, and those of userinfo that it lacks.
	Values map[string]any
	// IDToken is the token itself, for a sign-out.
	IDToken string
}

// Finish judges the provider's answer, the query of the redirect, and redeems its
// code. That the browser is the one that asked is the caller's to know. The error is
// a *Refused, or ErrUnavailable.
func (p *Provider) Finish(ctx context.Context, c Config, s Start, answer url.Values) (Identity, []Check, error) {
	j := &judgement{Provider: p, Config: c}
	id, err := j.finish(ctx, s, answer)
	if err != nil {
		id = Identity{}
	}
	return id, j.checks, err
}

func (j *judgement) finish(ctx context.Context, s Start, answer url.Values) (id Identity, err error) {
	doc, err := j.discover(ctx, j.Issuer)
	if err != nil {
		return id, err
	}
	if err := j.answer(doc, answer); err != nil {
		return id, err
	}
	if s.Spend != nil {
		if err := s.Spend(); err != nil {
			return id, err
		}
	}
	tokens, err := j.oauth(doc).Exchange(j.context(ctx), answer.Get("code"), oauth2.VerifierOption(s.Verifier))
	if err != nil {
		return id, j.exchangeFailed(err)
	}
	raw, _ := tokens.Extra("id_token").(string)
	t, err := j.open(ctx, doc, "id_token", raw, maxIDToken, "jwt")
	if err != nil {
		return id, err
	}
	if err := j.idToken(ctx, doc, t, s.Nonce, tokens.AccessToken); err != nil {
		return id, err
	}
	if id, err = j.identity(t); err != nil {
		return id, err
	}
	id.IDToken = raw
	return id, j.userInfo(ctx, doc, tokens, &id)
}

// answer judges what the browser brings: who it is from (RFC 9207) before what it is.
func (j *judgement) answer(doc document, answer url.Values) error {
	for _, name := range []string{"iss", "error", "code"} {
		if err := j.must(len(answer[name]) <= 1, "answer", "one "+name, "several"); err != nil {
			return err
		}
	}
	if answer.Has("iss") || doc.IssInAnswer {
		got := answer.Get("iss")
		if got == "" {
			got = "not there"
		}
		if err := j.check(CodeInvalid, "answer iss", got == j.Issuer, j.Issuer, got); err != nil {
			return err
		}
	}
	if fault := answer.Get("error"); fault != "" {
		return j.check(codeOf(fault), "answer", false, "a code", strings.TrimSpace(fault+" "+answer.Get("error_description")))
	}
	return j.check(CodeInvalid, "answer", answer.Get("code") != "", "a code", "")
}

// ours are the errors of a request that nobody's sign-in can put right (RFC 6749,
// sections 4.1.2.1 and 5.2; OpenID Connect Core, section 3.1.2.6).
var ours = []string{
	"invalid_client", "unauthorized_client", "invalid_request", "invalid_scope", "unsupported_response_type", "unsupported_grant_type",
	"request_not_supported", "request_uri_not_supported", "registration_not_supported",
}

func codeOf(fault string) string {
	if slices.Contains(ours, fault) {
		return CodeConfig
	}
	return CodeProvider
}

// exchangeFailed says what the token endpoint said, and nothing of what we sent.
func (j *judgement) exchangeFailed(err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) {
		return unavailable("the token endpoint", err)
	}
	got := said.ErrorCode
	if got == "" && said.Response != nil {
		got = said.Response.Status
	}
	return j.check(codeOf(said.ErrorCode), "token_endpoint", false, "tokens", strings.TrimSpace(got+" "+said.ErrorDescription))
}

// idToken judges what an ID token says (OpenID Connect Core, section 3.1.3.7).
func (j *judgement) idToken(ctx context.Context, doc document, t token, nonce, access string) error {
	aud, audOK := t.texts("aud")
	azp, azpOK := t.text("azp", 1024)
	_, hasAZP := t.claims["azp"]
	said, nonceOK := t.text("nonce", maxName)
	mine := nonceOK && said == nonce && nonce != ""
	sub, subOK := t.text("sub", maxName)
	err := j.all(append([]rule{
		{CodeInvalid, "iss", j.theirs(t), j.Issuer, t.said("iss")},
		{CodeInvalid, "aud", audOK && slices.Contains(aud, j.ClientID), j.ClientID, t.said("aud")},
		{CodeInvalid, "azp", azpOK && (azp == j.ClientID || !hasAZP && len(aud) == 1), j.ClientID, t.said("azp")},
		{CodeInvalid, "nonce", mine, "that of this flow", is(mine, "that one", "another, or none")},
		{CodeInvalid, "sub", subOK && sub != "", "a text of at most 255 bytes", t.said("sub")},
	}, j.times(t, maxAge)...))
	if err != nil {
		return err
	}
	agreed, err := j.library(t, doc).Verify(j.context(ctx), t.raw)
	if err != nil {
		return j.check(CodeInvalid, "id_token", false, "an ID token", err.Error())
	}
	if _, there := t.claims["at_hash"]; !there {
		return nil
	}
	held := agreed.VerifyAccessToken(access) == nil
	return j.check(CodeInvalid, "at_hash", held, "of the access token that came with it", is(held, "of that one", "of another"))
}

// identity is what a token that holds says of somebody.
func (j *judgement) identity(t token) (id Identity, err error) {
	id = Identity{Values: t.claims}
	var ok bool
	id.Subject, _ = t.text("sub", maxName)
	if id.SID, ok = t.text("sid", maxSID); !ok {
		return id, j.check(CodeInvalid, "sid", false, "a text", t.said("sid"))
	}
	if id.ACR, ok = t.text("acr", maxSID); !ok {
		id.ACR = "" // a number, with some: nothing is made of it
	}
	if id.AMR, ok = t.texts("amr"); !ok {
		id.AMR = nil
	}
	if id.AuthTime, ok = t.instant("auth_time"); !ok {
		return id, j.check(CodeInvalid, "auth_time", false, "seconds since 1970", t.said("auth_time"))
	}
	if left, ok := t.claims["_claim_names"].(map[string]any); ok && len(left) > 0 {
		// Entra ID leaves a list out of the token when it is long, and says where it is.
		// Nobody goes there: what is missing grants nothing, and an administrator reads why.
		var names []string
		for name := range left {
			names = append(names, name)
		}
		slices.Sort(names)
		_ = j.check(CodeInvalid, "claims", false, "in the token", "left out, as too long: "+strings.Join(names, ", "))
	}
	return id, nil
}

var _ oidc.KeySet = token{}
