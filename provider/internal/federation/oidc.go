package federation

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/oidc"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/profile"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// oidcSource is an OpenID provider.
type oidcSource struct{ *Federation }

// config opens the connection's settings.
func (x *Federation) oidcConfig(at *attempt) (oidc.Config, error) {
	c := at.conn.OIDC
	config := oidc.Config{
		Issuer: c.Issuer, ClientID: c.ClientID, AuthMethod: c.AuthMethod, Scopes: c.Scopes, RedirectURI: at.url("/callback"),
		Prompt: c.Prompt, ACRValues: c.ACRValues, Skew: at.skew(),
	}
	config.Wanted = wanted(at.conn)
	if len(c.ClientSecret) == 0 {
		return config, nil
	}
	secret, err := x.Sealer.Open(at.site.Path, store.Connections.Kind, at.conn.ID, c.ClientSecret)
	config.ClientSecret = string(secret)
	return config, err
}

// wanted are the claims that the connection maps: userinfo is asked for those that
// an ID token lacks.
func wanted(c *store.Connection) (names []string) {
	mapped := map[string]bool{}
	for _, a := range c.Attributes {
		names = append(names, a.From...)
		mapped[a.Field] = true
	}
	for field, values := range map[string][]store.Mapped{"roles": c.RoleMap, "departments": c.DepartmentMap} {
		if len(values) > 0 && !mapped[field] {
			names = append(names, field)
		}
	}
	return names
}

// Start makes an authorization request.
func (x oidcSource) Start(ctx context.Context, at *attempt, hint asked) (away, error) {
	config, err := x.oidcConfig(at)
	if err != nil {
		return away{}, err
	}
	config.LoginHint = hint.loginHint
	if hint.fresh {
		config.MaxAge = new(int)
	}
	if (hint.fresh || hint.another) && config.Prompt == "" {
		config.Prompt = "login"
	}
	begun, err := x.oidc.Begin(ctx, config, at.flow.State)
	if err != nil {
		return away{}, at.refusedOIDC(nil, err)
	}
	at.flow.Nonce, at.flow.Verifier = begun.Nonce, begun.Verifier
	return away{url: begun.URL}, nil
}

// refusedOIDC takes the checks over, and turns a refusal into a fault.
func (at *attempt) refusedOIDC(checks []oidc.Check, err error) error {
	for _, c := range checks {
		at.check(c.Name, c.OK, c.Expected, c.Got)
	}
	var no *oidc.Refused
	switch {
	case errors.As(err, &no):
		return refuse(no.Code, "%v", err)
	case errors.Is(err, oidc.ErrUnfit):
		return refuse(codeMisconfigured, "%v", err)
	case errors.Is(err, web.ErrOutbound), errors.Is(err, oidc.ErrUnavailable):
		return refuse(codeProviderDown, "%v", err)
	}
	return err
}

// callback is GET /callback: the provider's answer, to the browser that asked.
func (x *Federation) callback(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "answer", store.ConnectionOIDC)
	if err != nil {
		return err
	}
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	if at.flow, err = x.flow(r, at.site, query.Get("state")); err != nil {
		return err
	}
	if at.flow == nil || !at.flow.begunAt(at.conn) || at.flow.Nonce == "" {
		at.flow = nil
		return x.end(w, r, at, refuse(codeExpired, "this browser has not asked for it, or asked too long ago"))
	}
	return x.end(w, r, at, x.exchange(w, r, at, query))
}

func (x *Federation) exchange(w http.ResponseWriter, r *http.Request, at *attempt, query url.Values) error {
	config, err := x.oidcConfig(at)
	if err != nil {
		return err
	}
	begun := oidc.Start{State: at.flow.State, Nonce: at.flow.Nonce, Verifier: at.flow.Verifier, Spend: func() error { return x.spendNow(r, at) }}
	said, checks, err := x.oidc.Finish(r.Context(), config, begun, query)
	if err := at.refusedOIDC(checks, err); err != nil {
		return err
	}
	id := &identity{
		Subject: said.Subject, Asked: said.AuthTime, State: at.flow.State, SecondFactor: strongMethods(said.AMR, said.ACR),
		Upstream: base64.RawURLEncoding.EncodeToString([]byte(said.SID)) + ".",
	}
	if said.SID == "" {
		id.Upstream = ""
	}
	at.said, at.subject = saidOf(said.Values), said.Subject
	if len(id.Subject) > maxSubject {
		return refuse(codeTokenInvalid, "the subject is longer than %d bytes", maxSubject)
	}
	if id.Profile, err = at.profile(profile.OIDC, profile.ValuesOf(said.Values)); err != nil {
		return err
	}
	id.Checks, id.Said = at.checks, at.said
	if id.Hint, err = x.sealHint(r.Context(), at, said.IDToken); err != nil {
		return err
	}
	return x.finish(w, r, at, id, "")
}

// spendNow uses the flow up before its code is redeemed: whoever holds one flow has
// one code tried with our secret.
func (x *Federation) spendNow(r *http.Request, at *attempt) error {
	err := x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error { return spendFlow(tx, at) })
	at.spent = err == nil
	return err
}

// strongMethods reports whether the provider says that it asked for a second
// factor, by the values of RFC 8176 or an acr in wide use.
func strongMethods(amr []string, acr string) bool {
	return slices.Contains(amr, "mfa") || slices.Contains(amr, "ngcmfa") || strongContext(acr) || acr == "aal2" || acr == "phr" || acr == "phrh"
}

// SignOut leads to the provider's end-session endpoint, if it has one.
func (x oidcSource) SignOut(ctx context.Context, at *attempt, left session.SignedOut) (away, error) {
	config, err := x.oidcConfig(at)
	if err != nil {
		return away{}, err
	}
	hint, err := x.openHint(ctx, at, left.Hint)
	if err != nil {
		return away{}, err
	}
	target, err := x.oidc.EndSessionURL(ctx, config, hint, at.url("/logout"), at.flow.State)
	return away{url: target}, at.refusedOIDC(nil, err)
}

// maxHint is the longest ID token that is kept for a sign-out, in bytes: a longer one
// would not fit the cookie that it leaves in.
const maxHint = 1900

// sealHint keeps an ID token for the sign-out at the provider, which may ask for it
// (OpenID Connect RP-Initiated Logout 1.0, section 2, id_token_hint).
func (x *Federation) sealHint(ctx context.Context, at *attempt, idToken string) (string, error) {
	if len(idToken) > maxHint {
		return "", nil
	}
	box, err := x.Keys.Box(ctx, at.site.Path, keys.SecretFlow)
	if err != nil {
		return "", err
	}
	return box.Seal([]byte(idToken), hintData(at)), nil
}

// openHint is empty for what is none any more.
func (x *Federation) openHint(ctx context.Context, at *attempt, sealed string) (string, error) {
	box, err := x.Keys.Box(ctx, at.site.Path, keys.SecretFlow)
	if err != nil {
		return "", err
	}
	plain, _ := box.Open(sealed, hintData(at))
	return string(plain), nil
}

func hintData(at *attempt) []byte {
	return fmt.Appendf(nil, "id token %d %d:%s %s", at.conn.Since(), len(at.site.Path), at.site.Path, at.conn.ID)
}

// Check reads discovery and keys.
func (x oidcSource) Check(ctx context.Context, at *attempt) {
	config, err := x.oidcConfig(at)
	at.check("client_secret", err == nil, "opens with the master key", secretWord(config.ClientSecret, err))
	if err != nil {
		return
	}
	for _, c := range x.oidc.Probe(ctx, config) {
		at.check(c.Name, c.OK, c.Expected, c.Got)
	}
}

func secretWord(secret string, err error) string {
	switch {
	case err != nil:
		return err.Error()
	case secret == "":
		return "none: a public client"
	}
	return "one is set"
}

// backchannel is POST /backchannel (OpenID Connect Back-Channel Logout 1.0): what
// the provider ended, ends here.
func (x *Federation) backchannel(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "logout", store.ConnectionOIDC)
	if err != nil {
		return err
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	config, err := x.oidcConfig(at)
	if err != nil {
		return err
	}
	said, checks, err := x.oidc.VerifyLogoutToken(r.Context(), config, form.Get("logout_token"))
	if err = at.refusedOIDC(checks, err); err == nil {
		err = x.sinceRestore(r.Context(), at, said.Issued)
	}
	if err != nil {
		if f := faultOf(err); f != nil {
			x.trace(r, at, f)
			x.note(r, at, f)
			return web.Public(web.ErrBadRequest, "the logout token does not hold")
		}
		return err
	}
	at.subject = said.Subject
	err = x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		if err := spend(tx, at.conn, "logout "+said.JTI, said.Until); err != nil {
			return err
		}
		if said.SID != "" {
			return x.endUpstream(r.Context(), tx, at, said.SID, nil)
		}
		return x.endSubject(r.Context(), tx, at, said.Subject)
	})
	if faultOf(err) != nil {
		return web.Public(web.ErrBadRequest, "the logout token was used before")
	}
	if err != nil {
		return err
	}
	x.trace(r, at, nil)
	web.NoStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// endSubject ends every session that a subject has from the connection, and what
// outlives such a session.
func (x *Federation) endSubject(ctx context.Context, tx store.Tx, at *attempt, subject string) error {
	if at.conn.For == store.ForVisitors {
		return x.VisitorSignedOut(ctx, tx, at.site, session.UpstreamLogout{Connection: at.conn, Subject: subject})
	}
	err := dropHalfDone(tx, func(l store.Login) bool { return l.Connection == at.conn.ID && l.Subject == subject })
	if err != nil {
		return err
	}
	var over []store.Session
	for rec, err := range store.Sessions.List(tx, "connection", at.conn.ID) { // by the link would miss whom somebody has unlinked since
		if err != nil {
			return err
		}
		if rec.Subject == subject {
			over = append(over, rec)
		}
	}
	for _, rec := range over {
		at.agent = rec.AgentID
		if err := x.Sessions.End(ctx, tx, at.site, rec, "upstream_sign_out", connectionRef(at.conn)); err != nil {
			return err
		}
	}
	return x.revokeSubject(ctx, tx, at, subject)
}

// revokeSubject revokes what a subject was granted in sessions that are over.
func (x *Federation) revokeSubject(ctx context.Context, tx store.Tx, at *attempt, subject string) error {
	return x.Sessions.RevokeLogin(ctx, tx, at.site, at.conn.ID, subject, "upstream_sign_out", connectionRef(at.conn))
}
