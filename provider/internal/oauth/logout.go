package oauth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// logoutRequest is what a client asked, checked (OpenID Connect RP-Initiated
// Logout 1.0). Only what is registered is in it.
type logoutRequest struct {
	client *store.Client // who asks; nil: nobody that we know
	sid    string        // the session that the hint proves; empty: none
	target string        // where to go afterwards, byte for byte as registered; empty: nowhere
	state  string
}

// logout is GET and POST /oauth/logout. With a hint that proves that the client
// knows this very session it ends at once; anything else asks the person first
// and never redirects by itself.
func (o *OAuth) logout(w http.ResponseWriter, r *http.Request) error {
	switch r.Method {
	case http.MethodPost:
		return o.logoutByGet(w, r)
	case http.MethodHead: // it must not change anything
		return web.ErrMethod
	}
	s := site.From(r.Context())
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	request, err := o.readLogout(r.Context(), s, query)
	if err != nil {
		return err
	}
	rec, err := o.findSession(r, s)
	switch {
	case errors.Is(err, session.ErrNone):
		if request.sid != "" && request.target != "" {
			return o.signedOut(w, r, request)
		}
		return o.signedOutPage(w, r, request)
	case err != nil:
		return err
	case request.sid != rec.SID:
		return o.confirmLogout(w, r, s, rec, request)
	}
	if err := o.endSession(w, r, s, rec); err != nil {
		return err
	}
	if left, err := o.elsewhere(w, r, s, rec, request); left || err != nil {
		return err
	}
	return o.signedOut(w, r, request)
}

// logoutByGet: a POST from the client's page comes without our Lax cookie, so
// the browser is asked to come again by GET.
func (o *OAuth) logoutByGet(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	query := url.Values{}
	for _, name := range []string{"id_token_hint", "client_id", "post_logout_redirect_uri", "state", "ui_locales"} {
		if form.Has(name) {
			query.Set(name, form.Get(name))
		}
	}
	target := site.From(r.Context()).Base() + "/oauth/logout"
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	return web.SeeOther(w, r, target)
}

// logoutConfirmed is POST /oauth/logout/confirm, from our own page only.
func (o *OAuth) logoutConfirmed(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	request, err := o.readLogout(r.Context(), s, form)
	if err != nil {
		return err
	}
	rec, err := o.findSession(r, s)
	if errors.Is(err, session.ErrNone) {
		return o.signedOutPage(w, r, request)
	}
	if err != nil {
		return err
	}
	token, err := o.logoutToken(r.Context(), s, rec)
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(token), []byte(form.Get("csrf"))) {
		return o.confirmLogout(w, r, s, rec, request)
	}
	if err := o.endSession(w, r, s, rec); err != nil {
		return err
	}
	if left, err := o.elsewhere(w, r, s, rec, request); left || err != nil {
		return err
	}
	return o.signedOutPage(w, r, request)
}

// readLogout checks what was asked. A fault takes away what it would have
// proven; it is never an error page, since a person must be able to sign out.
func (o *OAuth) readLogout(ctx context.Context, s *site.Site, p url.Values) (logoutRequest, error) {
	var request logoutRequest
	id := p.Get("client_id")
	if raw := p.Get("id_token_hint"); raw != "" {
		hint, err := o.readHint(ctx, s, raw)
		if err != nil || hint == nil {
			return request, err
		}
		if id == "" && len(hint.Audience) == 1 {
			id = hint.Audience[0]
		}
		if !slices.Contains(hint.Audience, id) {
			return request, nil
		}
		request.sid = hint.SID
	}
	if id == "" {
		return request, nil
	}
	client, err := o.Sites.Client(ctx, s, id)
	if errors.Is(err, site.ErrNoClient) || err == nil && client.Disabled {
		return logoutRequest{}, nil
	}
	if err != nil {
		return request, err
	}
	request.client = client
	if uri := p.Get("post_logout_redirect_uri"); uri != "" {
		if !slices.Contains(client.PostLogoutRedirectURIs, uri) {
			request.sid = "" // somebody tampers: ask the person
			return request, nil
		}
		request.target, request.state = uri, p.Get("state")
	}
	return request, nil
}

// hintClaims is what an ID token shown as a hint must prove.
type hintClaims struct {
	Issuer   string          `json:"iss"`
	RawAud   json.RawMessage `json:"aud"`
	SID      string          `json:"sid"`
	Audience []string        `json:"-"`
}

// readHint accepts an ID token with our signature, also an expired one; nil if
// it is anything else.
func (o *OAuth) readHint(ctx context.Context, s *site.Site, raw string) (*hintClaims, error) {
	payload, _, err := o.Keys.Verify(ctx, s, raw, idTokenType)
	if err != nil {
		if err = notOurs(err); errors.Is(err, ErrInactive) {
			return nil, nil
		}
		return nil, err
	}
	var hint hintClaims
	if json.Unmarshal(payload, &hint) != nil || hint.Issuer != s.Issuer || hint.SID == "" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(hint.RawAud, &one) == nil {
		hint.Audience = []string{one}
	} else if json.Unmarshal(hint.RawAud, &hint.Audience) != nil {
		return nil, nil
	}
	return &hint, nil
}

func (o *OAuth) findSession(r *http.Request, s *site.Site) (store.Session, error) {
	var rec store.Session
	err := o.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		var err error
		rec, err = o.Sessions.Find(tx, r, s)
		return err
	})
	return rec, err
}

func (o *OAuth) endSession(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.Session) error {
	err := o.Store.Update(r.Context(), s.Path, func(tx store.Tx) error {
		return o.Sessions.End(r.Context(), tx, s, rec, "sign_out")
	})
	if err != nil {
		return err
	}
	o.Sessions.ClearCookie(w, r)
	w.Header().Set("Clear-Site-Data", `"cache"`)
	return nil
}

// signedOut goes where the client asked, or says that it is done.
func (o *OAuth) signedOut(w http.ResponseWriter, r *http.Request, request logoutRequest) error {
	if request.target == "" {
		return o.signedOutPage(w, r, request)
	}
	return web.SeeOther(w, r, request.back())
}

// back is where the client asked to go, with its state; empty: nowhere.
func (request logoutRequest) back() string {
	if request.target == "" || request.state == "" {
		return request.target
	}
	separator := "?"
	if strings.Contains(request.target, "?") {
		separator = "&"
	}
	return request.target + separator + url.Values{"state": {request.state}}.Encode()
}

// elsewhere goes on to sign out at the login that the session came from, which
// comes back to where the client asked to go; left says that it does.
func (o *OAuth) elsewhere(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.Session, request logoutRequest) (left bool, err error) {
	target, err := o.Sessions.LeaveSignedOut(w, r, s, rec, request.back())
	if err != nil || target == "" {
		return false, err
	}
	return true, web.SeeOther(w, r, target)
}

func (o *OAuth) signedOutPage(w http.ResponseWriter, r *http.Request, request logoutRequest) error {
	page := templates.SignedOutPage{Frame: o.logoutFrame(r, request)}
	if request.client != nil && request.target != "" {
		page.ReturnURL, page.ClientName = request.target, request.client.Name
	}
	return o.Web.Render(w, r, http.StatusOK, page)
}

// confirmLogout asks. What was asked travels in the form and is checked again.
func (o *OAuth) confirmLogout(w http.ResponseWriter, r *http.Request, s *site.Site, rec store.Session, request logoutRequest) error {
	token, err := o.logoutToken(r.Context(), s, rec)
	if err != nil {
		return err
	}
	page := templates.SignOutPage{Frame: o.logoutFrame(r, request), Action: s.Base() + "/oauth/logout/confirm", CSRF: token, CancelURL: s.Base() + "/account"}
	if c := s.Connection(rec.Connection); c != nil {
		page.ConnectionName = c.Name
	}
	if request.client != nil {
		page.ClientName = request.client.Name
		page.Fields = append(page.Fields, templates.Field{Name: "client_id", Value: request.client.ID})
	}
	if request.target != "" {
		page.Fields = append(page.Fields, templates.Field{Name: "post_logout_redirect_uri", Value: request.target})
	}
	err = o.Store.View(r.Context(), s.Path, func(tx store.Tx) error {
		agent, err := store.Agents.Get(tx, rec.AgentID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		page.AgentName = agent.Name
		return err
	})
	if err != nil {
		return err
	}
	return o.Web.Render(w, r, http.StatusOK, page)
}

// logoutFrame is the page's frame with links that repeat only what was checked.
func (o *OAuth) logoutFrame(r *http.Request, request logoutRequest) templates.Frame {
	query := url.Values{}
	if locales := r.URL.Query().Get("ui_locales"); locales != "" {
		query.Set("ui_locales", locales)
	}
	if request.client != nil {
		query.Set("client_id", request.client.ID)
	}
	if request.target != "" {
		query.Set("post_logout_redirect_uri", request.target)
	}
	checked := r.Clone(r.Context())
	checked.URL.Path, checked.URL.RawQuery = "/oauth/logout", query.Encode()
	return o.Web.Frame(checked)
}

// logoutToken binds the confirmation form to the session.
func (o *OAuth) logoutToken(ctx context.Context, s *site.Site, rec store.Session) (string, error) {
	key, err := o.Keys.Secret(ctx, s.Path, "logout-csrf")
	if err != nil {
		return "", err
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(rec.SID))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil)), nil
}
