package account

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// What was typed into a form is not lost to the sign-in that comes between: it
// waits in a sealed cookie, for that agent and that page. Passwords and codes
// never do.
const (
	draftCookie = "account-draft"
	draftLife   = 30 * time.Minute
	maxDraft    = 3000 // bytes of the cookie; a longer draft is lost

	secretDraft = "account-draft"
)

// leadKeeping is lead from a form of that page; typed is put aside on the way, if
// it is known who typed it.
func (x *Account) leadKeeping(w http.ResponseWriter, r *http.Request, page, back string, typed url.Values, err error) error {
	var must *mustSignIn
	if errors.As(err, &must) && must.AgentHint != "" {
		if err := x.keep(w, r, must.AgentHint, page, typed); err != nil {
			return err
		}
	}
	return x.lead(w, r, back, err)
}

func (x *Account) keep(w http.ResponseWriter, r *http.Request, agentID, page string, typed url.Values) error {
	box, err := x.Keys.Box(r.Context(), site.From(r.Context()).Path, secretDraft)
	if err != nil {
		return err
	}
	value := box.Seal([]byte(typed.Encode()), draftData(r, agentID, page))
	if len(value) <= maxDraft {
		web.SetCookie(w, r, draftCookie, value, draftLife)
	}
	return nil
}

// kept is what keep has put aside for that agent and page; nil: nothing.
func (x *Account) kept(r *http.Request, agentID, page string) (url.Values, error) {
	value, ok := web.Cookie(r, draftCookie)
	if !ok || len(value) > maxDraft {
		return nil, nil
	}
	box, err := x.Keys.Box(r.Context(), site.From(r.Context()).Path, secretDraft)
	if err != nil {
		return nil, err
	}
	plain, ok := box.Open(value, draftData(r, agentID, page))
	if !ok {
		return nil, nil // not ours, or not theirs
	}
	return web.ParseParameters(string(plain))
}

// draftData binds a draft to its site, its page and its agent.
func draftData(r *http.Request, agentID, page string) []byte {
	path := site.From(r.Context()).Path
	return fmt.Appendf(nil, "account draft %d:%s %s %s", len(path), path, page, agentID)
}
