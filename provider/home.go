package provider

import (
	"cmp"
	"errors"
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// home is the site's front door: what this is, who is signed in, and the way to
// their account.
type home struct {
	web      *web.Web
	store    store.Store
	sessions *session.Sessions
}

// page is GET /. A session that may not be used from here, or no more, is none.
func (h home) page(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	account := s.Base() + "/account"
	page := templates.HomePage{
		Frame: h.web.Frame(r), SignInURL: account, AccountURL: account, SignOutURL: s.Base() + "/oauth/logout",
		Discovery: s.URL("/.well-known/openid-configuration"),
	}
	err := h.store.View(r.Context(), s.Path, func(tx store.Tx) error {
		page.AgentName = ""
		v, err := h.sessions.Visit(tx, r, s)
		var refused *web.Refusal
		if errors.Is(err, session.ErrNone) || errors.Is(err, session.ErrLacking) || errors.As(err, &refused) {
			return nil
		}
		page.AgentName = cmp.Or(v.Agent.Name, v.Agent.Email)
		return err
	})
	if err != nil {
		return err
	}
	return h.web.Render(w, r, http.StatusOK, page)
}
