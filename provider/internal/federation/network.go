package federation

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Signin judges the network, by all roles that the agent has then. A provider's word
// changes the account before that, so it is judged here too, and what would be refused
// there changes nothing and uses nothing up.

// pathway is that of the client that the sign-in is for.
func (x *Federation) pathway(r *http.Request, s *site.Site, signIn store.SignIn) (policy.Pathway, error) {
	query, err := web.ParseParameters(signIn.Query)
	if err != nil || query.Get("client_id") == "" {
		return policy.Console, err
	}
	client, err := x.Sites.Client(r.Context(), s, query.Get("client_id"))
	switch {
	case errors.Is(err, site.ErrNoClient): // deleted since; the authorization endpoint says so
		return policy.Console, nil
	case err != nil:
		return policy.Console, err
	case client.ApplicationType == "native":
		return policy.Mobile, nil
	}
	return policy.Console, nil
}

// admit is a web.Refusal of an agent whom the allowlist does not let in from here.
func (x *Federation) admit(r *http.Request, at *attempt, agent *store.Agent, pathway policy.Pathway) error {
	now := x.Now()
	decision := policy.Admit(policy.Request{
		Now: now, Subject: policy.Subject{Type: policy.Agent, ID: agent.ID, Roles: agent.Roles, Active: !agent.Inactive, AuthTime: now},
		IP: web.ClientIP(r.Context()), Pathway: pathway, Allowlist: at.site.Allowlist,
	})
	if decision.Allowed {
		return nil
	}
	return &web.Refusal{Reason: decision.Reason}
}

// shut records the refusal, and says which rule it is.
func (x *Federation) shut(w http.ResponseWriter, r *http.Request, at *attempt, no *web.Refusal) error {
	x.trace(r, at, &fault{no.Reason, no.Error()})
	e := audit.Event{Action: audit.SignInRefused, Object: audit.Ref{Type: policy.Agent, ID: at.agent}, Result: audit.Refused, Reason: no.Reason}
	e.Actor = e.Object
	here := false // or would have been made
	err := x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) (err error) {
		if here, err = store.Agents.Has(tx, at.agent); err != nil || !here {
			return err
		}
		return x.Audit.Record(r.Context(), tx, e)
	})
	if err != nil {
		return err
	}
	if !here {
		e.Actor, e.Object = audit.Ref{}, connectionRef(at.conn)
		x.Audit.Count(at.site.Path, e)
	}
	page := templates.RefusedPage{Frame: x.Web.Frame(r), Reason: no.Reason, RequestID: web.RequestID(r.Context())}
	if at.flow.SignIn != "" {
		page.RetryURL = at.path(startPath(at.flow.SignIn))
	}
	if ip := web.ClientIP(r.Context()); ip.IsValid() {
		page.IP = ip.String()
	}
	return x.Web.Render(w, r, http.StatusForbidden, page)
}
