package federation

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Single logout, both ways. When somebody signs out here, session leaves word of
// what the session rested on, sealed in a cookie, and the browser comes here to go
// on to the provider, and from there to where it was going. When the provider says
// that somebody has signed out there, their sessions from there end.

// modeLogout is a flow through a provider's sign-out.
const modeLogout = "logout"

// logout is GET /logout: on to the provider's sign-out, if it has one; with state,
// back from there.
func (x *Federation) logout(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "logout")
	if err != nil {
		return err
	}
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	if query.Has("answer") {
		return x.logoutVerdict(w, r, at, query.Get("answer"))
	}
	if query.Has("state") {
		return x.back(w, r, at, query.Get("state"), true)
	}
	left, err := x.Sessions.TakeSignedOut(w, r, at.site)
	if errors.Is(err, session.ErrNoFlow) || err == nil && left.Connection != at.conn.ID {
		return web.SeeOther(w, r, at.site.Base()+"/")
	}
	if err != nil {
		return err
	}
	at.flow = x.newFlow(at, modeLogout)
	at.flow.Target = left.Target
	to, err := x.source(at.conn.Kind).SignOut(r.Context(), at, left)
	if f := faultOf(err); f != nil { // signed out here all the same
		x.trace(r, at, f)
		return x.signedOut(w, r, at, false)
	}
	if err != nil {
		return err
	}
	if to.url == "" && to.action == "" {
		return x.signedOut(w, r, at, true)
	}
	if err := x.keep(w, r, at.site, at.flow); err != nil {
		return err
	}
	page := templates.SingleSignOutPage{Frame: x.Web.Frame(r), ConnectionName: at.conn.Name, URL: to.url, Action: to.action, Fields: to.fields}
	if to.url != "" {
		w.Header().Set("Refresh", "0;url="+to.url)
	}
	return x.Web.Render(w, r, http.StatusOK, page, formActions(to.action)...)
}

// back is the end of a flow through a provider's sign-out.
func (x *Federation) back(w http.ResponseWriter, r *http.Request, at *attempt, state string, done bool) (err error) {
	if at.flow, err = x.flow(r, at.site, state); err != nil {
		return err
	}
	return x.backFrom(w, r, at, done)
}

// backFrom ends the flow that is known.
func (x *Federation) backFrom(w http.ResponseWriter, r *http.Request, at *attempt, done bool) error {
	if at.flow == nil || at.flow.Mode != modeLogout || !at.flow.begunAt(at.conn) {
		return web.SeeOther(w, r, at.site.Base()+"/")
	}
	x.clearFlow(w, r, at.flow)
	return x.signedOut(w, r, at, done)
}

// signedOut goes where the browser was going, or says what has been done.
func (x *Federation) signedOut(w http.ResponseWriter, r *http.Request, at *attempt, done bool) error {
	if done && at.flow.Target != "" {
		return web.SeeOther(w, r, at.flow.Target)
	}
	page := templates.SingleSignOutPage{
		Frame: x.Web.Frame(r), ConnectionName: at.conn.Name, Done: done, Partial: !done, ReturnURL: at.flow.Target,
	}
	if at.conn.For == store.ForAgents {
		page.SignInURL = at.site.Base() + "/account"
	}
	return x.Web.Render(w, r, http.StatusOK, page)
}

// SignOut asks the identity provider to end its session.
func (x samlSource) SignOut(ctx context.Context, at *attempt, left session.SignedOut) (to away, err error) {
	idp, err := x.idp(ctx, at)
	if err != nil {
		return to, err
	}
	binding := saml.Redirect
	if idp.SLO[binding] == "" {
		binding = saml.Post
	}
	name, index, ok := upstreamName(left.Upstream)
	if idp.SLO[binding] == "" || !ok {
		return to, nil
	}
	sp, pair, err := x.sp(ctx, at)
	if err != nil {
		return to, err
	}
	var indexes []string
	if index != "" {
		indexes = []string{index}
	}
	request, err := saml.NewLogoutRequest(sp, idp.SLO[binding], name, indexes, x.Now())
	if err != nil {
		return to, err
	}
	at.flow.Request = request.ID
	return carry(request, binding, at.flow.State, pair.signer())
}

// upstreamName reads what upstreamOf wrote.
func upstreamName(upstream string) (name saml.NameID, index string, ok bool) {
	text, index, _ := strings.Cut(upstream, ".")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return name, "", false
	}
	name, ok = nameIDOf(string(raw))
	return name, index, ok
}

// slo is GET and POST /slo: the provider's logout request, or its answer to ours.
func (x *Federation) slo(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "logout", store.ConnectionSAML)
	if err != nil {
		return err
	}
	var in saml.Incoming
	switch r.Method {
	case http.MethodPost:
		form, err := web.ReadFormOf(r, maxAnswer)
		if err != nil {
			return err
		}
		in, err = saml.FromPost(form.Get("SAMLRequest"), form.Get("SAMLResponse"), form.Get("RelayState"))
		if err != nil {
			return x.end(w, r, at, at.refused(nil, err))
		}
	default:
		if in, err = saml.FromQuery(r.URL.RawQuery); err != nil {
			return x.end(w, r, at, at.refused(nil, err))
		}
	}
	if in.Answer && r.Method == http.MethodPost {
		return x.postedLogoutAnswer(w, r, at, in)
	}
	if in.Answer {
		return x.logoutAnswer(w, r, at, in)
	}
	return x.end(w, r, at, x.logoutRequest(w, r, at, in))
}

// logoutAnswer ends our own way through the provider's sign-out.
func (x *Federation) logoutAnswer(w http.ResponseWriter, r *http.Request, at *attempt, in saml.Incoming) error {
	f, err := x.flow(r, at.site, in.RelayState)
	if err != nil {
		return err
	}
	if f == nil || f.Mode != modeLogout || !f.begunAt(at.conn) {
		return web.SeeOther(w, r, at.site.Base()+"/")
	}
	_, done, err := x.judgeLogoutAnswer(r, at, in, saml.LogoutExpect{InResponseTo: f.Request})
	if err != nil {
		return x.end(w, r, at, err)
	}
	return x.back(w, r, at, in.RelayState, done)
}

// judgeLogoutAnswer says which request it answers, and whether somebody is signed out
// there. Without a signature it may be, since it ends nothing that has not ended.
func (x *Federation) judgeLogoutAnswer(r *http.Request, at *attempt, in saml.Incoming, expect saml.LogoutExpect) (request string, done bool, err error) {
	if expect.IdP, err = x.idp(r.Context(), at); err != nil {
		return "", false, err
	}
	expect.Destination, expect.Unsigned, expect.Now, expect.Skew = at.url("/slo"), true, x.Now(), at.skew()
	answer, checks, err := saml.VerifyLogoutResponse(in, expect)
	if err = at.refused(checks, err); err != nil && faultOf(err) == nil {
		return "", false, err
	}
	x.trace(r, at, faultOf(err))
	return answer.InResponseTo, err == nil && answer.Done, nil
}

// postedLogoutAnswer judges one that came without our cookies; which request it
// answers is judged when the browser comes again by GET.
func (x *Federation) postedLogoutAnswer(w http.ResponseWriter, r *http.Request, at *attempt, in saml.Incoming) error {
	request, done, err := x.judgeLogoutAnswer(r, at, in, saml.LogoutExpect{Later: true})
	if err != nil {
		return x.end(w, r, at, err)
	}
	v := verdict{State: in.RelayState, Request: request}
	if !done {
		v.Code = codeProviderNo
	}
	sealed, err := x.sealVerdict(r, at, onLogout, v)
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, at.path("/logout?"+url.Values{"answer": {sealed}}.Encode()))
}

// logoutVerdict is GET /logout after that.
func (x *Federation) logoutVerdict(w http.ResponseWriter, r *http.Request, at *attempt, sealed string) error {
	v, err := x.openVerdict(r, at, onLogout, sealed)
	if err != nil {
		return err
	}
	return x.backFrom(w, r, at, v.Code == "" && at.flow != nil && at.flow.Request == v.Request)
}

// logoutRequest ends the sessions that the provider says are over there.
func (x *Federation) logoutRequest(w http.ResponseWriter, r *http.Request, at *attempt, in saml.Incoming) error {
	idp, err := x.idp(r.Context(), at)
	if err != nil {
		return err
	}
	request, checks, err := saml.VerifyLogoutRequest(in, saml.LogoutExpect{IdP: idp, Destination: at.url("/slo"), Now: x.Now(), Skew: at.skew()})
	if err := at.refused(checks, err); err != nil {
		return err
	}
	if err := x.sinceRestore(r.Context(), at, request.IssueInstant); err != nil {
		return err
	}
	at.subject = nameIDText(request.NameID)
	status := saml.StatusSuccess
	err = x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		if err := spend(tx, at.conn, "logout "+request.ID, request.Until); err != nil {
			return err
		}
		if err := x.endUpstream(r.Context(), tx, at, at.subject, request.SessionIndexes); err != nil {
			return err
		}
		if len(request.SessionIndexes) > 0 || at.conn.For == store.ForVisitors {
			return nil
		}
		return x.revokeSubject(r.Context(), tx, at, at.subject)
	})
	if err != nil {
		return err
	}
	x.trace(r, at, nil)
	return x.answerLogout(w, r, at, idp, request.ID, status, in.RelayState)
}

func (x *Federation) answerLogout(w http.ResponseWriter, r *http.Request, at *attempt, idp saml.IdP, inResponseTo, status, relayState string) error {
	binding := saml.Redirect
	destination := func() string { return cmp.Or(idp.SLOResponse[binding], idp.SLO[binding]) }
	if destination() == "" {
		binding = saml.Post
	}
	if destination() == "" {
		return x.Web.Render(w, r, http.StatusOK, templates.SingleSignOutPage{Frame: x.Web.Frame(r), ConnectionName: at.conn.Name, Done: true})
	}
	sp, pair, err := x.sp(r.Context(), at)
	if err != nil {
		return err
	}
	answer, err := saml.NewLogoutResponse(sp, destination(), inResponseTo, status, x.Now())
	if err != nil {
		return err
	}
	if len(relayState) > saml.MaxRelayState { // theirs is at fault, and what they asked for is done
		relayState = ""
	}
	to, err := carry(answer, binding, relayState, pair.signer())
	if err != nil {
		return err
	}
	if to.url != "" {
		return web.SeeOther(w, r, to.url)
	}
	page := templates.ProviderPostPage{Frame: x.Web.Frame(r), Action: to.action, Fields: to.fields, ConnectionName: at.conn.Name}
	return x.Web.Render(w, r, http.StatusOK, page, formActions(to.action)...)
}

// endUpstream ends the sessions of the connection that rest on a login there with that
// name and one of the indexes, of agents and of visitors.
func (x *Federation) endUpstream(ctx context.Context, tx store.Tx, at *attempt, name string, indexes []string) error {
	gone := session.UpstreamLogout{Connection: at.conn, Name: base64.RawURLEncoding.EncodeToString([]byte(name)), Indexes: indexes}
	if at.conn.For == store.ForVisitors {
		return x.VisitorSignedOut(ctx, tx, at.site, gone)
	}
	err := dropHalfDone(tx, func(l store.Login) bool {
		_, index, _ := strings.Cut(l.Upstream, ".")
		return l.Connection == at.conn.ID && store.UpstreamKey(l.Connection, l.Upstream) == store.UpstreamKey(at.conn.ID, gone.Name) && gone.Covers(index)
	})
	if err != nil {
		return err
	}
	var over []store.Session
	for rec, err := range store.Sessions.List(tx, "upstream", store.UpstreamKey(at.conn.ID, gone.Name)) {
		if err != nil {
			return err
		}
		if _, index, _ := strings.Cut(rec.Upstream, "."); gone.Covers(index) {
			over = append(over, rec)
		}
	}
	for _, rec := range over {
		at.agent = rec.AgentID
		if err := x.Sessions.End(ctx, tx, at.site, rec, "upstream_sign_out", connectionRef(at.conn)); err != nil {
			return err
		}
	}
	return nil
}

// dropHalfDone ends sign-ins that have come from such a login and wait for another step.
func dropHalfDone(tx store.Tx, over func(store.Login) bool) error {
	var ids []string
	for rec, err := range store.SignIns.All(tx, "") { // they live for minutes
		if err != nil {
			return err
		}
		if over(rec.Login) {
			ids = append(ids, rec.ID)
		}
	}
	for _, id := range ids {
		if err := store.SignIns.Delete(tx, id); err != nil {
			return err
		}
	}
	return nil
}
