package visitor

import (
	"context"
	"errors"
	"slices"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/store"
)

// leave ends what the visitor was in this browser until now: an anonymous one becomes
// a name of the one they are; another who is known is either shown to be the same
// person, or signed out here.
func (x *Visitors) leave(ctx context.Context, r *recognition) error {
	switch {
	case r.before == nil:
		return nil
	case r.before.Assurance == Anonymous:
		return x.upgrade(ctx, r)
	}
	other, err := x.Records.Find(r.tx, r.before.Visitor)
	if err != nil || other.ID == r.rec.ID {
		return ignoreNotFound(err)
	}
	i := slices.IndexFunc(other.Sessions, func(one store.VisitorSession) bool { return one.SID == r.before.SID })
	if i < 0 {
		return nil
	}
	if _, err := rotated(&other.Sessions[i], r.before, r.now); err != nil {
		return nil // a copy of an old one proves nothing
	}
	person, err := x.Records.Person(r.site.Path, &other)
	if err != nil {
		return err
	}
	// A browser is lent: that both were shown here is not enough by itself.
	if r.sameAs(&other.Sessions[i], person) {
		facts, err := x.Records.Facts(r.tx, other.ID, person)
		if err != nil {
			return err
		}
		if err := x.banned(r.starting, facts, nil); err != nil {
			return err
		}
		return x.merge(ctx, r, other, i, person)
	}
	if err := x.drop(r.tx, &other, i, reasonReplaced); err != nil {
		return err
	}
	return store.Visitors.Put(r.tx, &other)
}

// sameAs: the connection of that session and the one that speaks now both say so, by a
// verified address, or by an external id that each was told where to find. What a third
// connection has said of either counts for nothing, nor does a subject alone: it is a
// number that anybody may have given.
func (r *recognition) sameAs(one *store.VisitorSession, other *records.Person) bool {
	c := connectionOfSession(r.site, one)
	if c == nil || c.ID == r.ev.subject.Connection || r.ev.fields == nil || len(other.Subjects)+len(r.person.Subjects) > maxSubjects {
		return false
	}
	b := r.ev.known()
	return slices.ContainsFunc(other.Subjects, func(a records.Known) bool {
		return a.Connection == one.Connection && a.Since == one.Since &&
			(a.Email != "" && a.Email == b.Email && a.Verified && b.Verified || a.Mapped && b.Mapped && a.ExternalID == b.ExternalID)
	})
}

// mapsExternalID: the connection was told where to find one, and has no other for
// those who lack it.
func mapsExternalID(c *store.Connection) bool {
	return slices.ContainsFunc(c.Attributes, func(a store.Attribute) bool {
		return a.Field == "external_id" && len(a.From) > 0 && a.Constant == "" && !slices.Contains(a.From, "sub")
	})
}

// upgrade makes the anonymous visitor a name of the known one. Their tokens end and
// their renewal token is of no use any more, so that whoever planted it in this
// browser, or has a copy of it, gains nothing.
func (x *Visitors) upgrade(ctx context.Context, r *recognition) error {
	if err := session.Announce(r.tx, x.Now(), store.Revocation{SID: r.before.SID, Reason: reasonUpgraded}); err != nil {
		return err
	}
	gone, err := x.Records.IsGone(r.tx, r.before.Visitor)
	if err != nil || gone { // it is a name already, and of the one who was first, or nobody's any more
		return err
	}
	aliases, err := x.Records.Aliases(r.tx, r.rec.ID)
	if err != nil {
		return err
	}
	if len(aliases) >= maxAliases { // it ends, and is nobody's name
		return x.Records.Gone(r.tx, r.before.Visitor)
	}
	if err := store.Visitors.Put(r.tx, &store.Visitor{ID: r.before.Visitor, Alias: r.rec.ID, Created: r.now, Seen: r.now}); err != nil {
		return err
	}
	r.alias = r.before.Visitor
	return x.Audit.Record(ctx, r.tx, audit.Event{
		Action: audit.VisitorUpgrade, Actor: visitorRef(r.rec.ID), Object: visitorRef(r.rec.ID),
		Changes: []audit.Change{{Field: "alias", New: r.before.Visitor}},
	})
}

// merge makes one of two visitors who are known: the older, with what both are to
// their connections. Sessions in other browsers go on as the one that is left.
func (x *Visitors) merge(ctx context.Context, r *recognition, other store.Visitor, i int, was *records.Person) error {
	if err := x.drop(r.tx, &other, i, reasonMerged); err != nil {
		return err
	}
	kept, gone := other, r.rec
	if !r.fresh && r.rec.Created.Before(other.Created) {
		kept, gone = r.rec, other
	}
	kept.Sessions = append(slices.Clone(kept.Sessions), gone.Sessions...)
	r.person.Absorb(was)
	if !r.fresh {
		if err := x.rename(r.tx, gone.ID, kept.ID); err != nil {
			return err
		}
		if err := store.Visitors.Delete(r.tx, gone.ID); err != nil {
			return err
		}
		if err := store.Visitors.Put(r.tx, &store.Visitor{ID: gone.ID, Alias: kept.ID, Created: gone.Created, Seen: r.now}); err != nil {
			return err
		}
		if err := session.Announce(r.tx, x.Now(), store.Revocation{Subject: gone.ID, Reason: reasonMerged}); err != nil {
			return err
		}
	}
	if r.before.Visitor != kept.ID {
		r.alias = r.before.Visitor
	}
	r.rec, r.fresh, r.same = kept, false, true
	return x.Audit.Record(ctx, r.tx, audit.Event{
		Action: audit.VisitorMerge, Actor: visitorRef(kept.ID), Object: visitorRef(kept.ID),
		Changes: []audit.Change{{Field: "alias", New: gone.ID}},
	})
}

// rename makes the names of one visitor those of another.
func (x *Visitors) rename(tx store.Tx, from, to string) error {
	aliases, err := x.Records.Aliases(tx, from)
	if err != nil {
		return err
	}
	for _, id := range aliases {
		rec, err := store.Visitors.Get(tx, id)
		if err != nil {
			return err
		}
		rec.Alias = to
		if err := store.Visitors.Put(tx, &rec); err != nil {
			return err
		}
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}
