package oauth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"

	"github.com/ory/fosite"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// authorize is GET and POST /oauth/authorize. A POST comes from the client's page
// without our Lax cookies, so the browser is asked to come again by GET.
func (o *OAuth) authorize(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return web.ErrMethod
	}
	s := site.From(r.Context())
	v, err := readAuthorize(r)
	if err != nil {
		return o.refusePage(s, err)
	}
	a, err := o.newRequest(r, s, v)
	if err != nil {
		return o.refusePage(s, err)
	}
	if r.Method == http.MethodPost {
		if len(a.query) > web.MaxQuery {
			return web.ErrTooLarge
		}
		return web.SeeOther(w, r, s.Base()+"/oauth/authorize?"+a.query)
	}
	if err := o.parseAll(r.Context(), a, v); err != nil {
		return o.respondError(w, r, a, err)
	}
	return o.proceed(w, r, a, nil)
}

// resume is GET /oauth/authorize/{id}: the sign-in has come to its end, or the
// agent has left it.
func (o *OAuth) resume(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodHead { // it must not issue anything
		return web.ErrMethod
	}
	flow, a, err := o.flow(r)
	if err != nil {
		return err
	}
	if r.URL.Query().Get("cancel") != "" {
		o.Sessions.EndSignIn(w, r, flow.ID)
		return o.respondError(w, r, a, web.Public(ErrAccessDenied, "the sign-in was cancelled"))
	}
	return o.proceed(w, r, a, &flow)
}

// flow reads the request that this browser began, from its sealed cookie.
func (o *OAuth) flow(r *http.Request) (store.SignIn, *authorizeRequest, error) {
	s := site.From(r.Context())
	flow, err := o.Sessions.SignIn(r, s, r.PathValue("id"))
	if errors.Is(err, session.ErrNoFlow) {
		return flow, nil, errors.Join(ErrFlow, err)
	}
	if err != nil {
		return flow, nil, err
	}
	v, err := web.ParseParameters(flow.Query)
	if err != nil {
		return flow, nil, err
	}
	a, err := o.newRequest(r, s, v)
	if err != nil {
		return flow, nil, o.refusePage(s, err)
	}
	if err := o.parseAll(r.Context(), a, v); err != nil {
		return flow, nil, err
	}
	return flow, a, nil
}

func (o *OAuth) parseAll(ctx context.Context, a *authorizeRequest, v url.Values) error {
	if err := a.parse(v); err != nil {
		return err
	}
	return o.readIDTokenHint(ctx, a)
}

// readIDTokenHint verifies id_token_hint. One that is not ours, or is another client's,
// says nothing of who is there, so silence cannot go on.
func (o *OAuth) readIDTokenHint(ctx context.Context, a *authorizeRequest) error {
	if a.hint == "" {
		return nil
	}
	var claims struct {
		Issuer   string   `json:"iss"`
		Subject  string   `json:"sub"`
		Audience Audience `json:"aud"`
		Expires  int64    `json:"exp"`
	}
	payload, _, err := o.Keys.Verify(ctx, a.site, a.hint, idTokenType)
	if err != nil && !notAToken(err) {
		return err
	}
	if err == nil {
		err = json.Unmarshal(payload, &claims)
	}
	good := err == nil && claims.Issuer == a.site.Issuer && claims.Subject != "" && slices.Contains(claims.Audience, a.client.ID)
	switch {
	case a.prompts("none") && (!good || o.Now().Unix() >= claims.Expires):
		return web.Public(ErrLoginRequired, "id_token_hint is not a living ID token of this client")
	case !good:
		return web.Public(ErrInvalidRequest, "id_token_hint is not an ID token that was issued here to this client")
	}
	a.hinted = claims.Subject
	return nil
}

// notAToken tells a token that is no good from a store that is.
func notAToken(err error) bool {
	var inactive *Inactive
	return errors.As(notOurs(err), &inactive)
}

// The ways in which an authorization can go on.
type outcome int

const (
	needSignIn outcome = iota
	needConsent
	issueCode
)

// standing is what a transaction found: who is there, and what is next.
type standing struct {
	next    outcome
	session store.Session
	agent   store.Agent
	code    string
	wanted  store.SignIn // of needSignIn: what it has to be
}

// proceed decides and, if nothing is missing, issues the code, in one
// transaction; without a session nothing is written.
func (o *OAuth) proceed(w http.ResponseWriter, r *http.Request, a *authorizeRequest, flow *store.SignIn) error {
	var at standing
	err := o.Store.Update(r.Context(), a.site.Path, func(tx store.Tx) (err error) {
		if at, err = o.decide(tx, r, a, flow); err != nil || at.next != issueCode {
			return err
		}
		return o.issueCode(r.Context(), tx, a, &at)
	})
	if err != nil {
		return o.respondError(w, r, a, err)
	}
	switch at.next {
	case needSignIn:
		return o.signIn(w, r, a, flow, at.wanted)
	case needConsent:
		return o.handOver(w, r, a, flow, "/consent/")
	}
	return o.finish(w, r, a, flow, at)
}

// finish sends the code.
func (o *OAuth) finish(w http.ResponseWriter, r *http.Request, a *authorizeRequest, flow *store.SignIn, at standing) error {
	if err := o.Sessions.Touch(r.Context(), a.site, at.session, web.ClientIP(r.Context())); err != nil {
		return err
	}
	if flow != nil {
		o.Sessions.EndSignIn(w, r, flow.ID)
	}
	o.Audit.Count(a.site.Path, audit.Event{Action: audit.CodeIssue, Object: clientRef(a.client)})
	return o.respond(w, r, a, url.Values{"code": {at.code}})
}

// signIn sends the browser to the sign-in, which hears what it has to be.
func (o *OAuth) signIn(w http.ResponseWriter, r *http.Request, a *authorizeRequest, flow *store.SignIn, wanted store.SignIn) error {
	if flow == nil {
		wanted.Query = a.query
		id, err := o.Sessions.BeginSignIn(w, r, a.site, wanted)
		if err != nil {
			return err
		}
		return web.SeeOther(w, r, a.site.Base()+"/sign-in/"+url.PathEscape(id))
	}
	flow.ACR, flow.AgentHint, flow.Fresh, flow.AskAnew = wanted.ACR, wanted.AgentHint, wanted.Fresh, wanted.AskAnew
	if err := o.Sessions.UpdateSignIn(w, r, a.site, *flow); err != nil {
		return err
	}
	return o.handOver(w, r, a, flow, "/sign-in/")
}

// handOver sends the browser to a page of the flow, which begins here if there
// is none yet.
func (o *OAuth) handOver(w http.ResponseWriter, r *http.Request, a *authorizeRequest, flow *store.SignIn, page string) error {
	var id string
	if flow != nil {
		id = flow.ID
	} else {
		var err error
		if id, err = o.Sessions.BeginSignIn(w, r, a.site, store.SignIn{Query: a.query}); err != nil {
			return err
		}
	}
	return web.SeeOther(w, r, a.site.Base()+page+url.PathEscape(id))
}

// decide says what is next. Errors are the client's, or a network's refusal.
func (o *OAuth) decide(tx store.Tx, r *http.Request, a *authorizeRequest, flow *store.SignIn) (at standing, err error) {
	at.wanted = a.wanted()
	at.session, err = o.Sessions.Find(tx, r, a.site)
	if errors.Is(err, session.ErrNone) {
		return at, a.unlessSilent("")
	}
	if err != nil {
		return at, err
	}
	if fit, err := o.fits(tx, a, flow, &at); err != nil || !fit {
		return at, err
	}
	if at.agent, err = store.Agents.Get(tx, at.session.AgentID); err != nil {
		return at, fmt.Errorf("load agent: %w", err)
	}
	now := o.Now().UTC()
	how := signedIn{at.session.ACR, at.session.AMR, at.session.Remembered, at.session.Lifted, at.session.SingleSignOnLifted, at.session.AuthTime}
	err = mayIssue(a.site, a.client, &at.agent, how, now, web.ClientIP(r.Context()), now)
	if errors.Is(err, errCredentials) {
		at.wanted.AgentHint = at.agent.ID
		return at, a.unlessSilent(web.PublicText(err))
	}
	if err != nil {
		return at, err
	}
	agreed, err := o.agreed(tx, a, at.agent.ID)
	if err != nil {
		return at, err
	}
	if at.next = issueCode; !agreed {
		at.next = needConsent
		if a.prompts("none") {
			return at, ErrConsentRequired
		}
	}
	return at, nil
}

// wanted is what a sign-in for this request has to be. A remembered device shows
// no factor, so it does not do where a strength is asked for.
func (a *authorizeRequest) wanted() store.SignIn {
	return store.SignIn{ACR: a.acr, Fresh: a.acr != "", AskAnew: a.maxAge >= 0 || a.prompts("login"), AgentHint: cmp.Or(a.sub, a.hinted)}
}

// unlessSilent is the refusal where a page is needed and none may be shown.
func (a *authorizeRequest) unlessSilent(why string) error {
	switch {
	case !a.prompts("none"):
		return nil
	case why == "":
		return ErrLoginRequired
	}
	return web.Public(ErrLoginRequired, why)
}

// fits reports whether the session is what the request asks for: this agent, new
// enough, strong enough. A sign-in made for this very flow is new enough, and as
// strong as the agent can, unless nobody knows when it was and that is asked.
func (o *OAuth) fits(tx store.Tx, a *authorizeRequest, flow *store.SignIn, at *standing) (bool, error) {
	rec := at.session
	unknown := rec.AskedUnknown && (a.maxAge >= 0 || a.saysWhen || a.prompts("login"))
	fresh := flow != nil && !rec.AuthTime.Before(flow.Started) && !unknown
	old := unknown || a.maxAge >= 0 && o.Now().Sub(rec.AuthTime) >= a.maxAge || a.prompts("login", "select_account")
	other := a.hinted != "" && a.hinted != rec.AgentID || a.sub != "" && a.sub != rec.AgentID
	weak := a.acr != "" && !policy.ACRMeets(rec.ACR, a.acr)
	switch {
	case other && fresh:
		return false, web.Public(ErrLoginRequired, "somebody else signed in than the request is about")
	case other || old && !fresh:
		at.wanted.AskAnew = at.wanted.AskAnew || unknown
		return false, a.unlessSilent("")
	case !weak:
		return true, nil
	case fresh && a.essential:
		return false, web.Public(ErrUnmetAuthentication, "the agent cannot sign in as strongly as is asked")
	case fresh:
		return true, nil
	}
	return o.stepUp(tx, a, at)
}

// stepUp asks the same agent for a stronger sign-in (RFC 9470). What is only
// wished for, and the agent has nothing for, is not asked at every request; where
// it is essential there is no code for them.
func (o *OAuth) stepUp(tx store.Tx, a *authorizeRequest, at *standing) (fit bool, err error) {
	if !a.essential {
		able, err := canReach(tx, at.session.AgentID, a.acr)
		if err != nil || !able || a.prompts("none") {
			return true, err
		}
	}
	at.wanted.AgentHint = at.session.AgentID
	return false, a.unlessSilent("a stronger sign-in is needed")
}

// canReach reports whether the agent holds a factor with which a sign-in would be
// of that acr.
func canReach(tx store.Tx, agentID, acr string) (bool, error) {
	for factor, err := range store.Authenticators.List(tx, "agent", agentID) {
		if err != nil {
			return false, fmt.Errorf("look for factors: %w", err)
		}
		reached := policy.ACRTwoFactors
		if factor.Type == store.FactorPasskey {
			reached = policy.ACRPasskey
		}
		if policy.ACRMeets(reached, acr) {
			return true, nil
		}
	}
	return false, nil
}

// issueCode hands the prepared code to fosite, which makes its value. Nothing is
// written.
func (o *OAuth) issueCode(ctx context.Context, tx store.Tx, a *authorizeRequest, at *standing) error {
	now := o.Now().UTC()
	until := now.Add(seconds(a.site.Lifetimes.Code))
	x := &exchange{site: a.site, client: a.client, now: now, tx: tx, codeKey: a.codeKey, code: &authCode{
		Authorization: store.Authorization{
			ClientID: a.client.ID, AgentID: at.agent.ID, SID: at.session.SID, Login: store.LoginKey(at.session.Connection, at.session.Subject), Scopes: a.scopes, Resources: a.resources,
			AuthTime: at.session.AuthTime, AskedUnknown: at.session.AskedUnknown, AMR: at.session.AMR, ACR: at.session.ACR, Remembered: at.session.Remembered, Lifted: at.session.Lifted,
			SingleSignOnLifted: at.session.SingleSignOnLifted, Nonce: a.nonce, Claims: a.claims,
		},
		RedirectURI: a.redirect, Challenge: a.challenge, Issued: now, ValidUntil: until,
	}}
	request := fosite.NewAuthorizeRequest()
	request.ID, request.Client, request.Session = "-", fositeClient{a.client}, &grantSession{subject: at.agent.ID}
	request.ResponseTypes, request.RequestedScope, request.GrantedScope = fosite.Arguments{"code"}, a.scopes, a.scopes
	response := fosite.NewAuthorizeResponse()
	if err := o.codes.HandleAuthorizeEndpointRequest(withExchange(ctx, x), request, response); err != nil {
		return ours(err)
	}
	if at.code = response.GetCode(); at.code == "" {
		return errors.New("fosite made no code")
	}
	return nil
}
