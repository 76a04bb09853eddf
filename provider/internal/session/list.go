package session

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// List is the agent's sessions that are in force, the latest used first.
func (x *Sessions) List(tx store.Tx, s *site.Site, agentID string) ([]store.Session, error) {
	var failed error
	all := collect(store.Sessions.List(tx, "agent", agentID), &failed)
	if failed != nil {
		return nil, fmt.Errorf("list sessions: %w", failed)
	}
	live := all[:0]
	for _, rec := range all {
		_, err := x.Live(tx, s, rec.Hash)
		if errors.Is(err, ErrNone) {
			continue
		}
		if err != nil {
			return nil, err
		}
		live = append(live, rec)
	}
	slices.SortFunc(live, func(a, b store.Session) int {
		return cmp.Or(b.Seen.Compare(a.Seen), cmp.Compare(a.SID, b.SID))
	})
	return live, nil
}
