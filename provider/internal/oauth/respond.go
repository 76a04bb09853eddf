package oauth

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/templates"
)

// authorizationRefused is the audit log's name for a refusal at the
// authorization endpoint.
const authorizationRefused = "authorization.refused"

// respond sends the answer to the redirect URI, with state byte for byte and the
// issuer (RFC 9207).
func (o *OAuth) respond(w http.ResponseWriter, r *http.Request, a *authorizeRequest, answer url.Values) error {
	if a.hasState {
		answer.Set("state", a.state)
	}
	answer.Set("iss", a.site.Issuer)
	if a.mode == modeQuery {
		separator := "?"
		if strings.Contains(a.redirect, "?") {
			separator = "&"
		}
		return web.SeeOther(w, r, a.redirect+separator+answer.Encode())
	}
	page := templates.FormPostPage{Frame: o.Web.Frame(r), Action: a.redirect, ClientName: a.client.Name}
	for _, name := range []string{"code", "error", "error_description", "state", "iss"} {
		if answer.Has(name) {
			page.Fields = append(page.Fields, templates.Field{Name: name, Value: answer.Get(name)})
		}
	}
	return o.Web.Render(w, r, http.StatusOK, page, a.formAction())
}

// formAction is what the Content-Security-Policy must allow for the way back.
func (a *authorizeRequest) formAction() string {
	if origin := web.Origin(a.redirect); strings.HasPrefix(origin, "http") {
		return origin
	}
	scheme, _, _ := strings.Cut(a.redirect, ":")
	return scheme + ":"
}

// respondError tells the client what it, or its agent, did wrong. A refusal by
// network is a page of ours, unless the request is silent; what is our own fault
// is an error like any other.
func (o *OAuth) respondError(w http.ResponseWriter, r *http.Request, a *authorizeRequest, err error) error {
	i := slices.IndexFunc(refusals, func(row web.ErrorRow) bool { return errors.Is(err, row.Err) })
	if i < 0 {
		return err
	}
	o.Audit.Count(a.site.Path, audit.Event{Action: authorizationRefused, Result: audit.Refused, Actor: clientRef(a.client), Reason: reasonOf(err)})
	text := web.PublicText(err)
	if byNetwork(text) && !a.prompts("none") {
		return o.refuseNetwork(w, r, text)
	}
	answer := url.Values{"error": {refusals[i].OAuth}}
	if text != "" {
		answer.Set("error_description", text)
	}
	return o.respond(w, r, a, answer)
}

func byNetwork(reason string) bool {
	return reason == policy.ReasonIPNotAllowed || reason == policy.ReasonIPUnknown
}

func (o *OAuth) refuseNetwork(w http.ResponseWriter, r *http.Request, reason string) error {
	page := templates.RefusedPage{Frame: o.Web.Frame(r), Reason: reason, RequestID: web.RequestID(r.Context())}
	if ip := web.ClientIP(r.Context()); ip.IsValid() {
		page.IP = ip.String()
	}
	return o.Web.Render(w, r, http.StatusForbidden, page)
}

// refusePage counts a request that cannot be answered by redirect; the error page
// is shown for what is returned.
func (o *OAuth) refusePage(s *site.Site, err error) error {
	if isRefusal(err) || errors.Is(err, web.ErrBadRequest) {
		o.Audit.Count(s.Path, audit.Event{Action: authorizationRefused, Result: audit.Refused, Reason: reasonOf(err)})
	}
	return err
}
