package admin

import (
	"context"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// sessionInfo is a session as operators see one: nothing that opens it.
type sessionInfo struct {
	SID        string    `json:"sid"`
	Created    time.Time `json:"created"`
	Seen       time.Time `json:"seen"`
	Expires    time.Time `json:"expires"`
	IP         string    `json:"ip,omitempty"`
	UserAgent  string    `json:"user_agent,omitempty"`
	ACR        string    `json:"acr,omitempty"`
	AMR        []string  `json:"amr,omitempty"`
	Remembered bool      `json:"remembered,omitempty"`
}

func (a *Admin) listSessions(ctx context.Context, in agentInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out struct {
		Sessions []sessionInfo `json:"sessions"`
	}
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		out.Sessions = []sessionInfo{}
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		live, err := a.Sessions.List(tx, s, rec.ID)
		for _, x := range live {
			out.Sessions = append(out.Sessions, sessionInfo{x.SID, x.Created, x.Seen, x.Expires, x.IP, x.UserAgent, x.ACR, x.AMR, x.Remembered})
		}
		return err
	})
	return out, err
}

type endSessionsInput struct {
	Site  string `json:"site"`
	Email string `json:"email"`
	SID   string `json:"sid"` // empty: all of them
}

func (a *Admin) endSessions(ctx context.Context, in endSessionsInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out ended
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		if in.SID != "" {
			out.Ended = 1
			return a.endOne(ctx, tx, s, &rec, in.SID)
		}
		if out.Ended, err = a.Sessions.EndAll(ctx, tx, s, rec.ID, "ended_by_operator", operator(ctx)); err != nil || out.Ended == 0 { // audited there
			return err
		}
		return a.notify(ctx, tx, s, rec, templates.NoticeSessionsEnded)
	})
	return out, err
}

// endOne ends one session of that agent and nobody else's.
func (a *Admin) endOne(ctx context.Context, tx store.Tx, s *site.Site, agent *store.Agent, sid string) error {
	live, err := a.Sessions.List(tx, s, agent.ID)
	if err != nil {
		return err
	}
	for _, x := range live {
		if x.SID == sid {
			return a.Sessions.End(ctx, tx, s, x, "ended_by_operator", operator(ctx))
		}
	}
	return notFound("session", sid+" of "+agent.Email)
}
