package oidc

import (
	"context"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/strictjson"
)

// Logout is what a provider says has ended (OpenID Connect Back-Channel Logout
// 1.0, section 2.4): a session, or with SID empty all of a subject's.
type Logout struct {
	Subject, SID, JTI string
	// Until is how long the JTI must be remembered, so that the token counts once.
	Until time.Time
}

// maxLogoutAge is how old a logout token may be.
const maxLogoutAge = 5 * time.Minute

// VerifyLogoutToken judges a logout token. The error is a *Refused, or
// ErrUnavailable.
func (p *Provider) VerifyLogoutToken(ctx context.Context, c Config, raw string) (Logout, []Check, error) {
	j := &judgement{Provider: p, Config: c}
	out, err := j.logout(ctx, raw)
	return out, j.checks, err
}

func (j *judgement) logout(ctx context.Context, raw string) (out Logout, err error) {
	op, _, err := j.discover(ctx, j.Issuer)
	if err != nil {
		return out, err
	}
	if err := j.check(CodeInvalid, "logout_token", raw != "" && len(raw) <= 16<<10, "a logout token", "none, or too long"); err != nil {
		return out, err
	}
	token, err := j.verifier(ctx, op).VerifyLogout(j.context(ctx), raw)
	if err != nil {
		return out, j.check(CodeInvalid, "logout_token", false, "one of "+j.Issuer+" for "+j.ClientID+", signed by one of its keys", err.Error())
	}
	_, payload, _ := strings.Cut(raw, ".")
	payload, _, _ = strings.Cut(payload, ".")
	now := j.Now()
	for _, c := range []struct {
		name          string
		ok            bool
		expected, got string
	}{
		{"logout_token", unambiguous(payload), "claims that read in one way", "something else"},
		{"aud", len(token.Audience) == 1, j.ClientID + " alone", strings.Join(token.Audience, ", ")},
		{"iat", !token.IssuedAt.After(now.Add(j.skew())) && token.IssuedAt.After(now.Add(-maxLogoutAge)), "within " + maxLogoutAge.String() + " of " + clock(now), clock(token.IssuedAt)},
		{"jti", token.TokenID != "" && len(token.TokenID) <= 512, "a text of at most 512 bytes", token.TokenID},
		{"sub", token.Subject != "" || token.SessionID != "", "sub or sid", "neither"},
	} {
		if err := j.check(CodeInvalid, c.name, c.ok, c.expected, c.got); err != nil {
			return out, err
		}
	}
	return Logout{Subject: token.Subject, SID: token.SessionID, JTI: token.TokenID, Until: token.IssuedAt.Add(maxLogoutAge + j.skew())}, nil
}

func unambiguous(payload string) bool {
	raw, err := decodeSegment(payload)
	return err == nil && strictjson.Check(raw) == nil
}
