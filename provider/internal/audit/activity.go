package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// activityLife is how long agents can look back on their own account.
const activityLife = 180 * 24 * time.Hour

// activity gives the agent that an event is about a copy of it. The log itself is
// ordered by time alone, and to look for one agent in it means to read all of it.
func activity(ctx context.Context, tx store.Tx, id string, e *Event, at time.Time, count int) error {
	agentID := about(e)
	if agentID == "" || !ofAnAccount(e.Action) {
		return nil
	}
	a := store.Activity{
		Key: store.ActivityKey(clean(agentID, maxName), at, id), Time: at.UTC(), Action: clean(e.Action, maxName), Reason: clean(e.Reason, maxName),
		What: what(e), Count: count, UserAgent: web.UserAgent(ctx), Expires: at.Add(activityLife).UTC(),
	}
	if e.Result != Success {
		a.Result = clean(e.Result, maxName)
	}
	if e.Actor.Type != "" && e.Actor.ID != agentID {
		a.By = clean(e.Actor.Type, maxName)
	}
	if ip := web.ClientIP(ctx); ip.IsValid() {
		a.IP = ip.String()
	}
	if err := store.Activities.Put(tx, &a); err != nil {
		return fmt.Errorf("audit: note an agent's activity: %w", err)
	}
	return nil
}

// about is the agent whose account an event is about: its object, or the one
// whose session, factor or device it is, or else who has done it.
func about(e *Event) string {
	if e.Object.Type == "agent" {
		return e.Object.ID
	}
	for _, c := range e.Changes {
		if c.Field == "agent" && !c.Personal {
			return c.New
		}
	}
	if e.Actor.Type == "agent" {
		return e.Actor.ID
	}
	return ""
}

// ofAnAccount reports whether an action is one that somebody would want to know
// of their account. Codes and tokens are too many, and say no more than the
// sign-in and the consent before them.
func ofAnAccount(action string) bool {
	area, _, _ := strings.Cut(action, ".")
	return action != PasswordRehash && slices.Contains([]string{
		"sign_in", "session", "consent", "agent", "password", "factor", "recovery_codes", "device", "set_up", "reset", "invitation", "break_glass",
	}, area)
}

// what names the thing that an event is about, if that is not the agent.
func what(e *Event) string {
	if e.Object.Type == "client" {
		return clean(e.Object.ID, maxName)
	}
	for _, c := range e.Changes {
		if c.Field == "name" && e.Object.Type == "authenticator" {
			return clean(c.New, maxName)
		}
	}
	return ""
}
