package signin

import (
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showSessions is GET /sign-in/{id}/sessions: which sessions will end.
func (x *SignIn) showSessions(w http.ResponseWriter, r *http.Request) error {
	f, h, err := x.due(r, StepSessions)
	if err != nil {
		return x.away(w, r, f, err)
	}
	page := templates.SessionsFullPage{
		Frame: x.Web.Frame(r), Action: h.path(h.site, "/sessions"), ClientName: h.clientName(), Limit: h.site.Settings.Sessions.MaxAtOnce, CancelURL: h.cancelURL(h.site),
	}
	err = x.Store.View(r.Context(), h.site.Path, func(tx store.Tx) error {
		ending, err := x.Sessions.Over(tx, h.site, h.agent.ID, session.Presented(r))
		page.Sessions = nil
		for _, rec := range ending {
			page.Sessions = append(page.Sessions, templates.SessionLine{
				ID: rec.SID, UserAgent: rec.UserAgent, Network: rec.IP, Created: rec.Created, Seen: rec.Seen, ACR: rec.ACR,
				Federated: slices.Contains(rec.AMR, policy.AMRFederated), ConnectionName: h.site.ConnectionName(rec.Connection),
			})
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.Web.Render(w, r, http.StatusOK, page, h.formActions()...)
}

// submitSessions is POST /sign-in/{id}/sessions: let them end.
func (x *SignIn) submitSessions(w http.ResponseWriter, r *http.Request) error {
	f, _, err := x.submitted(r)
	if err != nil {
		return err
	}
	out, err := x.take(r, f, StepSessions, func(_ store.Tx, h *half, _ *outcome) error {
		h.Skipped = append(slices.Clone(h.Skipped), string(StepSessions))
		return nil
	})
	if err != nil {
		return x.away(w, r, f, err)
	}
	return x.goOn(w, r, f, out)
}
