package visitor

import (
	"context"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// SignedOut ends what a visitor has by a login that ended at the connection: all
// sessions with an upstream of that first part.
func (x *Visitors) SignedOut(ctx context.Context, tx store.Tx, _ *site.Site, connection, upstream string) error {
	key, err := x.Records.Upstream(tx, connection, upstream)
	if err != nil || key == "" {
		return err
	}
	var found []store.Visitor
	for rec, err := range store.Visitors.List(tx, "upstream", key) {
		if err != nil {
			return err
		}
		found = append(found, rec)
	}
	for _, rec := range found {
		over := func(one store.VisitorSession) bool {
			return one.Upstream == key
		}
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
			Action: audit.VisitorSignOut, Actor: audit.Ref{Type: "connection", ID: connection}, Object: visitorRef(rec.ID), Reason: reasonSignedOut,
		})
		if err != nil {
			return err
		}
	}
	return nil
}
