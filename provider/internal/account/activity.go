package account

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

const (
	activityPage = 30 // events on one page
	activityFew  = 5  // on the overview
)

// activity is GET /account/activity. The parameter after is where the page before
// ended.
func (x *Account) activity(w http.ResponseWriter, r *http.Request) error {
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	after := query.Get("after")
	if len(after) > 100 {
		return web.ErrBadRequest
	}
	return x.show(w, r, pathActivity, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		page := templates.AccountActivityPage{AccountFrame: x.frame(r, v)}
		from := ""
		if after != "" {
			from = place(v) + after
		}
		list, err := store.ListActivities(tx, v.Agent.ID, from, activityPage+1)
		if err != nil {
			return nil, err
		}
		if len(list) > activityPage {
			list = list[:activityPage]
			last, _ := strings.CutPrefix(list[activityPage-1].Key, place(v))
			page.MoreURL = v.site.Base() + pathActivity + "?" + url.Values{"after": {last}}.Encode()
		}
		page.Events, err = x.lines(tx, list)
		return page, err
	})
}

// place is what the keys of the agent's activities begin with.
func place(v *visit) string { return v.Agent.ID + " " }

// lines names what the activities are about.
func (x *Account) lines(tx store.Tx, list []store.Activity) ([]templates.ActivityLine, error) {
	lines := make([]templates.ActivityLine, 0, len(list))
	for i := range list {
		a := &list[i]
		line := templates.ActivityLine{
			Action: a.Action, Result: a.Result, Time: a.Time, UserAgent: a.UserAgent, Network: a.IP, Object: a.What, Alert: alarming(a),
		}
		if line.Result == "" {
			line.Result = audit.Success
		}
		if a.Action == audit.PasswordChange && a.Result == audit.Refused {
			line.Action = audit.SignInFailure // a wrong password was typed, and nothing was changed
		}
		if a.What != "" && strings.HasPrefix(a.Action, "consent.") {
			client, err := store.Clients.Get(tx, a.What)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return nil, err
			}
			if client.Name != "" {
				line.Object = client.Name
			}
		}
		lines = append(lines, line)
	}
	return lines, nil
}

// alarming reports whether an event is worth a second look: somebody was refused,
// or took a protection away.
func alarming(a *store.Activity) bool {
	switch a.Action {
	case audit.SignInLocked, audit.DeviceStolen, audit.FactorClone, audit.FactorReset, audit.TokenReuse:
		return true
	}
	return a.Result == audit.Refused
}
