package visitor

import (
	"context"
	"errors"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// SignedOut ends what visitors have by a login that is over at its connection.
func (x *Visitors) SignedOut(ctx context.Context, tx store.Tx, _ *site.Site, gone session.UpstreamLogout) error {
	if err := x.Records.Over(tx, &gone); err != nil {
		return err
	}
	found, over, err := x.signedOut(tx, &gone)
	if err != nil {
		return err
	}
	for _, rec := range found {
		for _, one := range rec.Sessions {
			if !over(one) {
				continue
			}
			if err := session.Announce(tx, x.Now(), store.Revocation{SID: one.SID, Reason: reasonSignedOut}); err != nil {
				return err
			}
		}
		rec.Sessions = slices.DeleteFunc(slices.Clone(rec.Sessions), over)
		if err := store.Visitors.Put(tx, &rec); err != nil {
			return err
		}
		err := x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.VisitorSignOut, Actor: audit.Ref{Type: "connection", ID: gone.Connection.ID}, Object: visitorRef(rec.ID), Reason: reasonSignedOut,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// signedOut are the visitors whom it is about, and which of their sessions end.
func (x *Visitors) signedOut(tx store.Tx, gone *session.UpstreamLogout) (found []store.Visitor, over func(store.VisitorSession) bool, err error) {
	if gone.Name == "" {
		rec, err := x.Records.BySubject(tx, records.SubjectOf(gone.Connection, gone.Subject))
		if errors.Is(err, store.ErrNotFound) {
			return nil, nil, nil
		}
		over = func(one store.VisitorSession) bool { return one.Connection == gone.Connection.ID }
		return []store.Visitor{rec}, over, err
	}
	key, indexes, err := x.Records.LoggedOut(tx, gone)
	if err != nil {
		return nil, nil, err
	}
	over = func(one store.VisitorSession) bool {
		return one.Upstream == key && (len(indexes) == 0 || slices.Contains(indexes, one.Index))
	}
	for rec, err := range store.Visitors.List(tx, "upstream", key) {
		if err != nil {
			return nil, nil, err
		}
		if slices.ContainsFunc(rec.Sessions, over) {
			found = append(found, rec)
		}
	}
	return found, over, nil
}
