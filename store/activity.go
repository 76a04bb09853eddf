package store

import (
	"fmt"
	"strings"
	"time"
)

// Activity is an agent's own copy of an audit record about them, as their page
// of recent activity shows it. It says no more than the record and does not
// last.
type Activity struct {
	Key       string    `json:"key"` // ActivityKey
	Time      time.Time `json:"time"`
	Action    string    `json:"action"` // the audit record's
	Result    string    `json:"result,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	By        string    `json:"by,omitempty"`    // the type of who did it; empty: the agent
	What      string    `json:"what,omitempty"`  // the name of a factor, the id of a client
	Count     int       `json:"count,omitempty"` // so many in a minute
	IP        string    `json:"ip,omitempty"`
	UserAgent string    `json:"user_agent,omitempty"`
	Expires   time.Time `json:"expires"`
}

// Activities are found by their keys, an agent's latest first.
var Activities = Table[Activity]{
	Kind: "activity", Key: func(a *Activity) string { return a.Key }, Expires: func(a *Activity) time.Time { return a.Expires },
}

// ActivityKey orders an agent's activities from the latest to the oldest. id is
// the audit record's.
func ActivityKey(agentID string, at time.Time, id string) string {
	return fmt.Sprintf("%s%012x %s", activityPrefix(agentID), 1<<48-1-at.UnixMilli(), id)
}

func activityPrefix(agentID string) string { return agentID + " " }

// ListActivities returns up to most of the agent's activities that come after the
// one with that key, the latest first; with "" it begins at the latest.
func ListActivities(tx Tx, agentID, after string, most int) (list []Activity, err error) {
	prefix := activityPrefix(agentID)
	if !strings.HasPrefix(after, prefix) {
		after = prefix
	}
	for a, err := range Activities.All(tx, after) {
		if err != nil {
			return nil, err
		}
		if len(list) == most || !strings.HasPrefix(a.Key, prefix) {
			break
		}
		list = append(list, a)
	}
	return list, nil
}

// DeleteActivities removes all of an agent's, as their erasure must.
func DeleteActivities(tx Tx, agentID string) error {
	for {
		list, err := ListActivities(tx, agentID, "", SweepBatch)
		if err != nil || len(list) == 0 {
			return err
		}
		for _, a := range list {
			if err := Activities.Delete(tx, a.Key); err != nil {
				return err
			}
		}
	}
}
