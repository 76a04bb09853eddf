package visitor

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

const (
	// grace is how long a renewal token that was used gives the same successor again:
	// its answer may have been lost.
	grace = 10 * time.Second
	// maxSessions is in how many browsers a visitor is known; the oldest goes.
	maxSessions = 10
	// maxAliases is how many names of a visitor are kept, and maxSubjects how many
	// whom they are to connections: a merge that would make more is none.
	maxAliases  = 100
	maxSubjects = 20
)

// Reasons in the revocation feed and the audit log.
const (
	reasonReused   = "renewal_reused"
	reasonUpgraded = "visitor_upgraded"
	reasonMerged   = "visitor_merged"
	reasonReplaced = "visitor_replaced"

	reasonSignedOut = "upstream_sign_out"
)

var errStale = web.Public(ErrGrant, "the renewal token was used before, or the visitor has been signed out")

// banned refuses whom a ban is on. An address that is only typed counts too: it can
// do the visitor no good.
func (x *Visitors) banned(q *starting, facts policy.BanFacts, typed *given) error {
	facts.IP = q.ip
	if typed != nil {
		if email, err := web.CanonicalEmail(typed.Email); err == nil {
			facts.Emails = append(facts.Emails, email)
		}
	}
	d := q.bans.Judge(facts, q.now)
	if d.Allowed {
		return nil
	}
	return &Refusal{Reason: d.Reason, Until: d.Until}
}

// renewKnown gives a visitor who is known the next token, if theirs is the newest
// renewal token.
func (x *Visitors) renewKnown(ctx context.Context, q *starting, v *renewal) (*answer, error) {
	var person *records.Person
	var refused error
	out := *v
	err := x.Store.Update(ctx, q.site.Path, func(tx store.Tx) error { // it may be run again
		refused = nil
		rec, i, err := x.session(tx, q.site, v, q.now)
		if err != nil {
			return err
		}
		if person, err = x.Records.Person(q.site.Path, &rec); err != nil {
			return err
		}
		facts, err := x.Records.Facts(tx, rec.ID, person)
		if err != nil {
			return err
		}
		if err := x.banned(q, facts, q.typedOr(v.Given)); err != nil {
			return err
		}
		next, err := rotated(&rec.Sessions[i], v, q.now)
		if err != nil { // an older one: somebody has a copy
			refused = err
			return x.endReused(ctx, tx, &rec, i)
		}
		out.Visitor, out.Generation = rec.ID, next
		rec.Seen = q.now
		return store.Visitors.Put(tx, &rec)
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	return x.give(ctx, q, &out, personOf(person))
}

// session finds the visitor's record and the session that the renewal token is of.
func (x *Visitors) session(tx store.Tx, s *site.Site, v *renewal, now time.Time) (rec store.Visitor, i int, err error) {
	rec, err = x.Records.Find(tx, v.Visitor)
	if errors.Is(err, store.ErrNotFound) {
		return rec, 0, errStale
	}
	if err != nil {
		return rec, 0, err
	}
	i = slices.IndexFunc(rec.Sessions, func(one store.VisitorSession) bool { return one.SID == v.SID })
	if i < 0 {
		return rec, 0, errStale
	}
	one := &rec.Sessions[i]
	switch c := connectionOfSession(s, one); {
	case c == nil || !signsIn(s) || slices.Contains(v.AMR, byUserHash) && !takesUserHash(s, c):
		return rec, 0, web.Public(ErrGrant, "the site's visitors no longer sign in that way")
	case !now.Before(one.Shown.Add(renewalLife)):
		return rec, 0, web.Public(ErrGrant, "the visitor has to show who they are once in 30 days")
	}
	return rec, i, nil
}

// connectionOfSession is the one by which it began; nil if that is visitors' no more,
// another with its name, or was switched off in between.
func connectionOfSession(s *site.Site, one *store.VisitorSession) *store.Connection {
	if c := s.Connection(one.Connection); c != nil && c.For == store.ForVisitors && c.Since() == one.Since && one.Shown.After(c.Resumed) {
		return c
	}
	return nil
}

// rotated is the generation of the next renewal token. The one before the newest
// gives the newest again, for a moment.
func rotated(one *store.VisitorSession, v *renewal, now time.Time) (uint64, error) {
	switch {
	case v.Generation == one.Generation:
		one.Generation++
		one.Rotated = now
		return one.Generation, nil
	case v.Generation+1 == one.Generation && now.Sub(one.Rotated) < grace:
		return one.Generation, nil
	}
	return 0, errStale
}

// endReused ends a session of which an older renewal token came, tells the verifiers
// and writes it down.
func (x *Visitors) endReused(ctx context.Context, tx store.Tx, rec *store.Visitor, i int) error {
	if err := x.drop(tx, rec, i, reasonReused); err != nil {
		return err
	}
	if err := store.Visitors.Put(tx, rec); err != nil {
		return err
	}
	return x.Audit.Record(ctx, tx, audit.Event{Action: audit.VisitorRefused, Result: audit.Refused, Actor: visitorRef(rec.ID), Object: visitorRef(rec.ID), Reason: reasonReused})
}

func visitorRef(id string) audit.Ref { return audit.Ref{Type: "visitor", ID: id} }

// signsIn reports whether the site's visitors may sign in.
func signsIn(s *site.Site) bool {
	return s.Settings.Visitors.SignIn == store.SignInOptional || s.Settings.Visitors.SignIn == store.SignInRequired
}
