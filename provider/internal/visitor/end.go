package visitor

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// reasonEnded is a sign-out at the widget.
const reasonEnded = "sign_out"

// end is POST /visitors/end: what a visitor who is known has in one browser is over.
// As with RFC 7009, section 2.2, a renewal token that is of no use is no error, and
// neither is an anonymous visitor's: nothing of theirs is here.
func (x *Visitors) end(w http.ResponseWriter, r *http.Request) error {
	q, err := x.read(w, r)
	if err != nil {
		return err
	}
	v, err := x.open(r.Context(), q.site, q.Renew, q.now)
	if err == nil && v.Assurance != Anonymous {
		err = x.signOut(r.Context(), q.site, v)
	}
	if err != nil && !errors.Is(err, ErrGrant) {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, struct{}{})
}

func (x *Visitors) signOut(ctx context.Context, s *site.Site, v *renewal) error {
	return x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		rec, err := x.Records.Find(tx, v.Visitor)
		if err != nil {
			return ignoreNotFound(err)
		}
		i := slices.IndexFunc(rec.Sessions, func(one store.VisitorSession) bool { return one.SID == v.SID })
		if i < 0 {
			return nil
		}
		if err := x.drop(tx, &rec, i, reasonEnded); err != nil {
			return err
		}
		if err := store.Visitors.Put(tx, &rec); err != nil {
			return err
		}
		return x.Audit.Record(ctx, tx, audit.Event{Action: audit.VisitorSignOut, Actor: visitorRef(rec.ID), Object: visitorRef(rec.ID), Reason: reasonEnded})
	})
}
