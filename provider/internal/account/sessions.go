package account

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// reasonAgent is why the agent's own sessions end from here, in the audit log and
// on the feed.
const reasonAgent = "ended_by_agent"

// sessions is GET /account/sessions.
func (x *Account) sessions(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathSessions, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		all, err := x.Sessions.List(tx, v.site, v.Agent.ID)
		if err != nil {
			return nil, err
		}
		page := templates.AccountSessionsPage{
			AccountFrame: x.frame(r, v), EndAction: v.site.Base() + pathEnd, EndOthersAction: v.site.Base() + pathEndOthers,
		}
		for i := range all {
			page.Sessions = append(page.Sessions, sessionLine(&all[i], v))
		}
		arrange.By(page.Sessions, func(a, b templates.SessionLine) int { return cmp.Compare(order(a), order(b)) })
		return page, nil
	})
}

// order puts this session first.
func order(l templates.SessionLine) int {
	if l.This {
		return 0
	}
	return 1
}

func sessionLine(rec *store.Session, v *visit) templates.SessionLine {
	return templates.SessionLine{
		ID: rec.SID, UserAgent: rec.UserAgent, Network: rec.IP, Created: rec.Created, Seen: rec.Seen, ACR: rec.ACR,
		This: rec.Hash == v.Session.Hash, Federated: slices.Contains(rec.AMR, policy.AMRFederated), ConnectionName: v.site.ConnectionName(rec.Connection),
	}
}

// mySession is the agent's session of that name. web.ErrNotFound also for
// somebody else's.
func mySession(tx store.Tx, v *visit, sid string) (store.Session, error) {
	rec, err := store.Sessions.Find(tx, "sid", sid)
	if errors.Is(err, store.ErrNotFound) || err == nil && (rec.AgentID != v.Agent.ID || sid == "") {
		return store.Session{}, web.ErrNotFound
	}
	return rec, err
}

func (x *Account) askEnd(tx store.Tx, _ *http.Request, v *visit, sid string) (templates.ConfirmPage, error) {
	rec, err := mySession(tx, v, sid)
	return templates.ConfirmPage{Kind: "end_session", Name: rec.IP, Count: 1}, err
}

func (x *Account) end(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, sid string) (finish, error) {
	rec, err := mySession(tx, v, sid)
	if err != nil {
		return nil, err
	}
	if err := x.Sessions.End(ctx, tx, v.site, rec, reasonAgent, v.me()); err != nil {
		return nil, err
	}
	if rec.Hash == v.Session.Hash {
		return func(w http.ResponseWriter, r *http.Request) error {
			x.Sessions.ClearCookie(w, r)
			return web.SeeOther(w, r, v.site.Base()+"/")
		}, nil
	}
	return x.finished(pathSessions, "session_ended"), x.tell(ctx, tx, v, templates.NoticeSessionsEnded)
}

func (x *Account) askEndOthers(tx store.Tx, _ *http.Request, v *visit, _ string) (templates.ConfirmPage, error) {
	all, err := x.Sessions.List(tx, v.site, v.Agent.ID)
	return templates.ConfirmPage{Kind: "end_others", Count: max(0, len(all)-1)}, err
}

func (x *Account) endOthers(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, _ string) (finish, error) {
	n, err := x.Sessions.EndOthers(ctx, tx, v.site, v.Agent.ID, v.Session.Hash, reasonAgent, v.me())
	if err != nil || n == 0 {
		return x.finished(pathSessions, "sessions_ended"), err
	}
	return x.finished(pathSessions, "sessions_ended"), x.tell(ctx, tx, v, templates.NoticeSessionsEnded)
}
