package oauth

import (
	"net/http"
	"net/url"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// grantVisitor is RFC 7523, section 2.1: a visitor JWT is the grant.
const grantVisitor = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// VisitorGrant answers a request whose grant is a visitor JWT, of which the form
// has one assertion.
type VisitorGrant func(w http.ResponseWriter, r *http.Request, form url.Values) error

// visitorGrant hands the request over. The assertion speaks for itself, so that a
// client need not (RFC 7523, section 3.1); one that does has to do it right.
func (o *OAuth) visitorGrant(w http.ResponseWriter, r *http.Request, s *site.Site, form url.Values) error {
	if speaksForItself(r, form) {
		if _, err := o.AuthenticateClient(r, form); err != nil {
			return basicChallenge(w, s, err)
		}
	}
	err := oneAssertion(form)
	if err == nil {
		err = o.VisitorGrant(w, r, form)
	}
	if isRefusal(err) {
		o.Audit.Count(s.Path, audit.Event{Action: audit.TokenRefused, Result: audit.Refused, Reason: reasonOf(err)})
	}
	return err
}

func speaksForItself(r *http.Request, form url.Values) bool {
	return r.Header["Authorization"] != nil || form.Has("client_id") || form.Has("client_secret") || form.Has("client_assertion") || form.Has("client_assertion_type")
}

func oneAssertion(form url.Values) error {
	if form.Get("assertion") == "" {
		return web.Public(ErrInvalidRequest, "assertion is missing")
	}
	return oneTarget(form)
}

// grantsOf are the grant types that the site knows.
func (o *OAuth) grantsOf(s *site.Site) []string {
	grants := []string{grantCode, grantRefresh, grantClient}
	if o.VisitorGrant == nil || s.Settings.Visitors.SignIn == store.SignInOff || s.Settings.Visitors.SignIn == "" {
		return grants
	}
	for _, c := range s.Connections() {
		if c.For == store.ForVisitors && c.JWT != nil && !c.Disabled {
			return append(grants, grantVisitor)
		}
	}
	return grants
}
