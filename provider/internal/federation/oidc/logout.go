package oidc

import (
	"context"
	"time"
)

// Logout is what a provider says has ended (OpenID Connect Back-Channel Logout
// 1.0, section 2.4): a session, or with SID empty all of a subject's.
type Logout struct {
	Subject, SID, JTI string
	Issued            time.Time
	// Until is how long the JTI must be remembered, so that the token counts once.
	Until time.Time
}

const logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

// VerifyLogoutToken judges a logout token (section 2.6). The error is a *Refused,
// or ErrUnavailable.
func (p *Provider) VerifyLogoutToken(ctx context.Context, c Config, raw string) (Logout, []Check, error) {
	j := &judgement{Provider: p, Config: c}
	out, err := j.logout(ctx, raw)
	if err != nil {
		out = Logout{}
	}
	return out, j.checks, err
}

func (j *judgement) logout(ctx context.Context, raw string) (out Logout, err error) {
	doc, err := j.discover(ctx, j.Issuer)
	if err != nil {
		return out, err
	}
	t, err := j.open(ctx, doc, "logout_token", raw, maxLogoutToken, "logout+jwt", "jwt")
	if err != nil {
		return out, err
	}
	aud, audOK := t.texts("aud")
	jti, jtiOK := t.text("jti", maxName)
	sub, subOK := t.text("sub", maxName)
	sid, sidOK := t.text("sid", maxSID)
	events, _ := t.claims["events"].(map[string]any)
	_, isEvent := events[logoutEvent].(map[string]any)
	_, hasNonce := t.claims["nonce"]
	if err := j.all(append([]rule{
		{CodeInvalid, "iss", j.theirs(t), j.Issuer, t.said("iss")},
		{CodeInvalid, "aud", audOK && len(aud) == 1 && aud[0] == j.ClientID, j.ClientID + " alone", t.said("aud")},
		{CodeInvalid, "events", isEvent, logoutEvent, t.said("events")},
		{CodeInvalid, "nonce", !hasNonce, "none: it is no ID token", is(hasNonce, "one", "none")},
		{CodeInvalid, "jti", jtiOK && jti != "", "a text of at most 255 bytes", t.said("jti")},
		{CodeInvalid, "sub", subOK && sidOK && (sub != "" || sid != ""), "sub or sid", t.said("sub") + ", " + t.said("sid")},
	}, j.times(t, maxLogoutAge)...)); err != nil {
		return out, err
	}
	if _, err := j.library(t, doc).VerifyLogout(j.context(ctx), raw); err != nil {
		return out, j.check(CodeInvalid, "logout_token", false, "a logout token", err.Error())
	}
	issued, _ := t.instant("iat")
	return Logout{Subject: sub, SID: sid, JTI: jti, Issued: issued, Until: issued.Add(maxLogoutAge + time.Second)}, nil
}
