package provider

import (
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// home is the site's front door: what this is, and who is signed in.
type home struct {
	web      *web.Web
	store    store.Store
	sessions *session.Sessions
}

func (h home) page(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	page := templates.HomePage{Frame: h.web.Frame(r), Discovery: s.URL("/.well-known/openid-configuration")}
	err := h.store.View(r.Context(), s.Path, func(tx store.Tx) error {
		current, err := h.sessions.Find(tx, r, s)
		if errors.Is(err, session.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		agent, err := store.Agents.Get(tx, current.AgentID)
		if err != nil {
			return err
		}
		page.AgentName, page.SignOutURL = agent.Name, s.Base()+"/oauth/logout"
		if page.AgentName == "" {
			page.AgentName = agent.Email
		}
		return nil
	})
	if err != nil {
		return err
	}
	return h.web.Render(w, r, http.StatusOK, page)
}
