package oidc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

// Probe looks at a configuration without signing anybody in: discovery, its
// addresses, and the key set. Nothing that was kept is used.
func (p *Provider) Probe(ctx context.Context, c Config) []Check {
	j := &judgement{Provider: New(p.Options), Config: c}
	if err := CheckIssuer(c.Issuer); err != nil {
		j.note("issuer", false, "one customer's", err.Error())
		return j.checks
	}
	doc, err := j.discover(ctx, c.Issuer)
	if err != nil {
		j.note("discovery", false, "discovery of "+c.Issuer, err.Error())
		return j.checks
	}
	j.note("discovery", true, "discovery of "+c.Issuer, c.Issuer)
	j.note("pkce", len(doc.PKCEMethods) == 0 || slices.Contains(doc.PKCEMethods, "S256"), "S256, or not said", orNotSaid(doc.PKCEMethods))
	j.note("algorithm", len(doc.algorithms()) > 0, "one of "+strings.Join(algorithms, ", "), orNotSaid(doc.Algorithms))
	j.probeMethod(doc)
	j.note("end_session_endpoint", true, "optional", orNotSaid(strings.Fields(doc.EndSession)))
	j.note("backchannel_logout", true, "optional", fmt.Sprint(doc.BackChannel))
	j.probeKeys(ctx, doc)
	j.probeClient(ctx, doc)
	return j.checks
}

// probeClient shows the token endpoint our client and a code that is none: who knows
// the client refuses the code (RFC 6749, section 5.2).
func (j *judgement) probeClient(ctx context.Context, doc document) {
	const expected = "a client that the provider knows"
	_, err := j.oauth(doc).Exchange(j.context(ctx), "a-code-that-is-none", oauth2.VerifierOption(oauth2.GenerateVerifier()))
	var said *oauth2.RetrieveError
	switch {
	case err == nil:
		j.note("client", false, expected, "tokens for a code that is none")
	case !errors.As(err, &said):
		j.note("client", false, expected, unavailable("the token endpoint", err).Error())
	case said.ErrorCode == "invalid_client" || said.ErrorCode == "unauthorized_client":
		j.note("client", false, expected, strings.TrimSpace(said.ErrorCode+" "+said.ErrorDescription))
	case said.ErrorCode == "invalid_grant":
		j.note("client", true, expected, "known: it refused only the made-up code")
	default:
		j.note("client", true, expected, "not said: a sign-in shows it")
	}
}

// note is a check that refuses nothing.
func (j *judgement) note(name string, ok bool, expected, got string) {
	_ = j.check(CodeInvalid, name, ok, expected, got)
}

// probeMethod looks whether we show our secret in a way that is taken there. Who
// says nothing takes client_secret_basic (Discovery, section 3).
func (j *judgement) probeMethod(doc document) {
	if j.ClientSecret == "" {
		return
	}
	ours, theirs := []string{"client_secret_basic", "client_secret_post"}, doc.AuthMethods
	if len(theirs) == 0 {
		theirs = ours[:1]
	}
	if j.AuthMethod != "" {
		ours = []string{j.AuthMethod}
	}
	ok := slices.ContainsFunc(ours, func(m string) bool { return slices.Contains(theirs, m) })
	j.note("token_endpoint_auth_method", ok, strings.Join(ours, " or "), strings.Join(theirs, ", "))
}

// probeKeys asks for the key set.
func (j *judgement) probeKeys(ctx context.Context, doc document) {
	keys, err := j.keys.Keys(ctx, doc.JWKS, "")
	if err != nil {
		j.note("keys", false, "a key set at "+doc.JWKS, err.Error())
		return
	}
	var kids []string
	for _, k := range keys {
		kids = append(kids, strings.TrimSpace(k.KeyID+" "+k.Algorithm))
	}
	j.note("keys", true, "a key set at "+doc.JWKS, fmt.Sprintf("%d that can be used: %s", len(keys), strings.Join(kids, ", ")))
}

func orNotSaid(list []string) string {
	if len(list) == 0 {
		return "not said"
	}
	return strings.Join(list, ", ")
}
