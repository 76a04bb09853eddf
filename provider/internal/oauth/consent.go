package oauth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// secretConsent is the name of the site's key that binds consent forms to flows.
const secretConsent = "consent"

// agreed reports whether the agent need not be asked: the client is the site's
// own, or was allowed all of this before and the request does not ask again.
func (o *OAuth) agreed(tx store.Tx, a *authorizeRequest, agentID string) (bool, error) {
	if a.client.FirstParty {
		return true, nil
	}
	if a.prompts("consent") {
		return false, nil
	}
	given, err := store.Consents.Get(tx, store.ConsentKey(agentID, a.client.ID))
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil || given.Given.Before(a.client.NotBefore) {
		return false, err
	}
	return !slices.ContainsFunc(a.scopes, func(s string) bool { return !slices.Contains(given.Scopes, s) }), nil
}

// showConsent is GET /consent/{id}.
func (o *OAuth) showConsent(w http.ResponseWriter, r *http.Request) error {
	flow, a, err := o.flow(r)
	if err != nil {
		return err
	}
	var at standing
	err = o.Store.View(r.Context(), a.site.Path, func(tx store.Tx) (err error) {
		at, err = o.decide(tx, r, a, &flow)
		return err
	})
	switch {
	case err != nil:
		return o.respondError(w, r, a, err)
	case at.next == needSignIn:
		return o.signIn(w, r, a, &flow, at.wanted)
	case at.next == issueCode:
		return web.SeeOther(w, r, a.site.Base()+"/oauth/authorize/"+url.PathEscape(flow.ID))
	}
	key, err := o.Keys.Secret(r.Context(), a.site.Path, secretConsent)
	if err != nil {
		return err
	}
	page := templates.ConsentPage{
		Frame: o.Web.Frame(r), Action: a.site.Base() + "/consent/" + url.PathEscape(flow.ID), CSRF: consentToken(key, a, flow, at.session),
		ClientName: a.client.Name, Company: a.client.Company, ClientURI: a.client.ClientURI, LogoURI: a.client.LogoURI,
		AgentName: at.agent.Name, AgentEmail: at.agent.Email, Scopes: scopeLines(a.scopes),
	}
	return o.Web.Render(w, r, http.StatusOK, page, a.formAction())
}

func scopeLines(scopes []string) []templates.ScopeLine {
	lines := make([]templates.ScopeLine, 0, len(scopes))
	all := policy.AllPermissions()
	for _, s := range scopes {
		line := templates.ScopeLine{Name: s, Sentence: s}
		if i := slices.IndexFunc(all, func(p policy.Permission) bool { return p.Name == s }); i >= 0 {
			line.Sentence = all[i].Sentence
		}
		lines = append(lines, line)
	}
	return lines
}

// consentToken binds the form to this flow, this session and what was displayed.
func consentToken(key []byte, a *authorizeRequest, flow store.SignIn, rec store.Session) string {
	h := hmac.New(sha256.New, key)
	for _, part := range []string{flow.ID, rec.Hash, a.client.ID, strings.Join(a.scopes, " ")} {
		h.Write([]byte(part))
		h.Write([]byte{0})
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// submitConsent is POST /consent/{id}. What is granted is what the flow asked
// for and the page showed; the form only says yes or no.
func (o *OAuth) submitConsent(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	flow, a, err := o.flow(r)
	if err != nil {
		return err
	}
	key, err := o.Keys.Secret(r.Context(), a.site.Path, secretConsent)
	if err != nil {
		return err
	}
	allow := form.Get("decision") == "allow"
	var at standing
	err = o.Store.Update(r.Context(), a.site.Path, func(tx store.Tx) (err error) {
		if at, err = o.decide(tx, r, a, &flow); err != nil || at.next == needSignIn {
			return err
		}
		if !hmac.Equal([]byte(consentToken(key, a, flow, at.session)), []byte(form.Get("csrf"))) {
			return ErrForged
		}
		if at.next = issueCode; !allow {
			return o.Audit.Record(r.Context(), tx, consentEvent(audit.ConsentDeny, a, &at))
		}
		if err := o.giveConsent(r, tx, a, &at); err != nil {
			return err
		}
		return o.issueCode(r.Context(), tx, a, &at)
	})
	switch {
	case errors.Is(err, ErrForged):
		return err
	case err != nil:
		return o.respondError(w, r, a, err)
	case at.next == needSignIn:
		return o.signIn(w, r, a, &flow, at.wanted)
	case !allow:
		o.Sessions.EndSignIn(w, r, flow.ID)
		return o.respondError(w, r, a, web.Public(ErrAccessDenied, "the agent did not agree"))
	}
	return o.finish(w, r, a, &flow, at)
}

// giveConsent remembers what was allowed, on top of what was allowed before.
func (o *OAuth) giveConsent(r *http.Request, tx store.Tx, a *authorizeRequest, at *standing) error {
	given, err := store.Consents.Get(tx, store.ConsentKey(at.agent.ID, a.client.ID))
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	if given.Given.Before(a.client.NotBefore) {
		given.Scopes = nil
	}
	given.AgentID, given.ClientID, given.Given = at.agent.ID, a.client.ID, o.Now().UTC()
	for _, s := range a.scopes {
		if !slices.Contains(given.Scopes, s) {
			given.Scopes = append(given.Scopes, s)
		}
	}
	if err := store.Consents.Put(tx, &given); err != nil {
		return err
	}
	return o.Audit.Record(r.Context(), tx, consentEvent(audit.ConsentGive, a, at))
}

func consentEvent(action string, a *authorizeRequest, at *standing) audit.Event {
	return audit.Event{
		Action: action, Actor: audit.Ref{Type: "agent", ID: at.agent.ID}, Object: clientRef(a.client),
		Changes: []audit.Change{{Field: "scope", New: strings.Join(a.scopes, " ")}},
	}
}
