package oidc

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
)

func decodeSegment(s string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(s) }

// Probe looks at a configuration without signing anybody in: discovery, its
// addresses, and the key set. Nothing that was kept is used.
func (p *Provider) Probe(ctx context.Context, c Config) []Check {
	j := &judgement{Provider: New(p.Options), Config: c}
	if err := CheckIssuer(c.Issuer); err != nil {
		_ = j.check(CodeInvalid, "issuer", false, "one tenant's", err.Error())
		return j.checks
	}
	_, doc, err := j.discover(ctx, c.Issuer)
	got := c.Issuer
	if err != nil {
		got = err.Error()
	}
	if j.check(CodeInvalid, "discovery", err == nil, "discovery of "+c.Issuer, got) != nil {
		return j.checks
	}
	_ = j.check(CodeInvalid, "pkce", true, "S256, if it says", orNotSaid(doc.PKCEMethods))
	usable := len(doc.Algorithms) == 0
	for _, a := range doc.Algorithms {
		for _, ours := range algorithms {
			usable = usable || a == ours
		}
	}
	_ = j.check(CodeInvalid, "algorithm", usable, strings.Join(algorithms, ", "), orNotSaid(doc.Algorithms))
	_ = j.check(CodeInvalid, "end_session_endpoint", true, "optional", orNone(doc.EndSession))
	_ = j.check(CodeInvalid, "backchannel_logout", true, "optional", fmt.Sprint(doc.BackChannel))
	j.probeKeys(ctx, doc.JWKS)
	return j.checks
}

// probeKeys asks for the key set.
func (j *judgement) probeKeys(ctx context.Context, address string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		_ = j.check(CodeInvalid, "jwks_uri", false, "a key set", "no address")
		return
	}
	answer, err := j.Client.Do(request)
	if err != nil {
		_ = j.check(CodeInvalid, "jwks_uri", false, "a key set at "+address, "it cannot be read")
		return
	}
	defer answer.Body.Close()
	_ = j.check(CodeInvalid, "jwks_uri", answer.StatusCode == http.StatusOK, "a key set at "+address, answer.Status)
}

func orNotSaid(list []string) string {
	if len(list) == 0 {
		return "not said"
	}
	return strings.Join(list, ", ")
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
