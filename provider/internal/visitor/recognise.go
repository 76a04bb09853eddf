package visitor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/jwt"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// recognition is one visitor's being recognised, in one transaction.
type recognition struct {
	*starting
	tx     store.Tx
	ev     *evidence
	before *renewal // what the visitor held; nil: nothing that counts

	rec      store.Visitor
	person   *records.Person
	was      policy.BanFacts // by what was known of them until now
	identity string          // MAC of the jti
	upstream string          // MAC, as the session has it
	index    string          // likewise
	fresh    bool            // the record is new
	alias    string          // the name that has just become one
	same     bool            // before was this visitor, and known
}

// recognise gives a visitor who has shown who they are a token. take takes what they
// show, once, and says what it says.
func (x *Visitors) recognise(ctx context.Context, q *starting, take func(store.Tx) (*evidence, error)) (*answer, error) {
	var before *renewal
	if q.Renew != "" {
		before, _ = x.open(ctx, q.site, q.Renew, q.now) // one that is of no use is as good as none
	}
	var out *renewal
	var person *records.Person
	var refused error
	err := x.Store.Update(ctx, q.site.Path, func(tx store.Tx) (err error) {
		refused = nil
		r := &recognition{starting: q, tx: tx, before: before}
		if r.ev, err = take(tx); err != nil {
			var no *Refusal
			if errors.As(err, &no) && q.Proof != "" { // it is used up all the same
				refused = err
				return nil
			}
			return err
		}
		if err := x.load(r); err != nil {
			return err
		}
		if err := x.judge(ctx, r); err != nil {
			return err
		}
		out, err = x.enter(ctx, r)
		person = r.person
		return err
	})
	if err = errors.Join(err, refused); err != nil {
		return nil, err
	}
	return x.give(ctx, q, out, personOf(person))
}

// load finds the visitor's record, or begins one.
func (x *Visitors) load(r *recognition) (err error) {
	r.rec, err = x.Records.BySubject(r.tx, r.ev.subject)
	switch {
	case errors.Is(err, store.ErrNotFound):
		r.fresh = true
		r.rec = store.Visitor{ID: uuid.Must(uuid.NewV7()).String(), Created: r.now}
		r.person = &records.Person{Subjects: []records.Known{{Subject: r.ev.subject}}}
		if id, ok := strings.CutPrefix(r.ev.subject.Subject, "sub:"); ok && r.ev.fields == nil {
			r.person.ExternalID, r.person.Subjects[0].ExternalID = id, id
		}
	case err != nil:
		return err
	default:
		if r.person, err = x.Records.Person(r.site.Path, &r.rec); err != nil {
			return err
		}
		if r.was, err = x.Records.Facts(r.tx, r.rec.ID, r.person); err != nil {
			return err
		}
	}
	if r.ev.fields != nil {
		r.person.VisitorFields = *r.ev.fields
		r.person.Knows(r.ev.known())
	}
	return nil
}

// judge refuses a banned visitor, by the name that they come with too, and a token
// that was used before by somebody else.
func (x *Visitors) judge(ctx context.Context, r *recognition) error {
	facts, err := x.Records.Facts(r.tx, r.rec.ID, r.person)
	if err != nil {
		return err
	}
	facts.ExternalIDs, facts.Emails = append(facts.ExternalIDs, r.was.ExternalIDs...), append(facts.Emails, r.was.Emails...)
	if r.before != nil {
		names, err := x.Records.Names(r.tx, r.before.Visitor)
		if err != nil {
			return err
		}
		facts.VisitorIDs = append(facts.VisitorIDs, names...)
	}
	typed := r.typed()
	if r.held() >= 0 { // what another has typed in this browser is not on this one
		typed = r.typedOr(r.before.Given)
	}
	if err := x.banned(r.starting, facts, typed); err != nil {
		return err
	}
	if r.upstream, r.index, err = x.Records.Upstream(r.tx, r.ev.subject.Connection, r.ev.upstream); err != nil || r.ev.jti == "" {
		return err
	}
	if r.identity, err = x.Records.Identity(r.tx, r.ev.subject.Connection, r.ev.jti); err != nil {
		return err
	}
	err = store.AllSpent.Create(r.tx, &store.Spent{Key: spentKey(r.ev), Expires: r.ev.until.UTC()})
	if !errors.Is(err, store.ErrExists) {
		return err
	}
	if i := r.held(); i >= 0 && r.rec.Sessions[i].Identity == r.identity {
		one := r.rec.Sessions[i]
		if _, err := rotated(&one, r.before, r.now); err == nil {
			return nil // the page was loaded again
		}
	}
	return unproven("token_replayed", "the visitor JWT was used before: make one for each start")
}

// held is which of the record's sessions the visitor's renewal token is of; -1: none.
func (r *recognition) held() int {
	if r.before == nil || r.before.Assurance == Anonymous {
		return -1
	}
	return slices.IndexFunc(r.rec.Sessions, func(one store.VisitorSession) bool { return one.SID == r.before.SID })
}

// enter goes on with the session that the visitor has, or begins one.
func (x *Visitors) enter(ctx context.Context, r *recognition) (*renewal, error) {
	if i := r.held(); i >= 0 {
		one := &r.rec.Sessions[i]
		next, err := rotated(one, r.before, r.now)
		if err == nil && one.Connection == r.ev.subject.Connection && one.Since == r.ev.subject.Since && one.Assurance == r.ev.assurance {
			if one.Identity == "" || one.Identity != r.identity { // else the page was loaded again
				one.Identity, one.AuthTime, one.Shown = r.identity, r.ev.authTime, r.now
			}
			r.rec.Seen = r.now
			if r.upstream != "" {
				one.Upstream, one.Index = r.upstream, r.index
			}
			v := *r.before
			v.Visitor, v.Generation, v.AuthTime, v.AMR = r.rec.ID, next, unix(one.AuthTime), r.ev.amr
			return &v, x.Records.Write(r.tx, &r.rec, r.person)
		}
		r.same = true
		if err := x.drop(r.tx, &r.rec, i, reasonReplaced); err != nil {
			return nil, err
		}
	} else if err := x.leave(ctx, r); err != nil {
		return nil, err
	}
	return x.newSession(ctx, r)
}

// newSession begins a family of tokens. What was typed into the page goes on only with
// those who were known before: whoever planted an anonymous visitor in this browser, or
// sat here before, says nothing of this one.
func (x *Visitors) newSession(ctx context.Context, r *recognition) (*renewal, error) {
	if perVisitor.spend(&r.rec.Whole, r.now) > 0 {
		return nil, web.Public(ErrThrottled, "the visitor signs in anew too often: keep `renew`, and send it along")
	}
	one := store.VisitorSession{
		SID: random(16), Connection: r.ev.subject.Connection, Since: r.ev.subject.Since, Assurance: r.ev.assurance, Identity: r.identity, Upstream: r.upstream, Index: r.index,
		AuthTime: r.ev.authTime, Shown: r.now, Generation: 1, Rotated: r.now,
	}
	for len(r.rec.Sessions) >= maxSessions {
		oldest := 0
		for i, one := range r.rec.Sessions {
			if one.Shown.Before(r.rec.Sessions[oldest].Shown) {
				oldest = i
			}
		}
		if err := x.drop(r.tx, &r.rec, oldest, reasonReplaced); err != nil {
			return nil, err
		}
	}
	r.rec.Sessions = append(r.rec.Sessions, one)
	r.rec.Seen = r.now
	if err := x.Records.Write(r.tx, &r.rec, r.person); err != nil {
		return nil, err
	}
	v := &renewal{Visitor: r.rec.ID, SID: one.SID, Assurance: one.Assurance, Generation: 1, AuthTime: unix(one.AuthTime), AMR: r.ev.amr, Was: r.alias}
	if r.same {
		v.Resource, v.Given = r.before.Resource, r.before.Given
	}
	return v, x.Audit.Record(ctx, r.tx, audit.Event{
		Action: audit.VisitorSignIn, Actor: visitorRef(r.rec.ID), Object: visitorRef(r.rec.ID),
		Changes: []audit.Change{{Field: "connection", New: one.Connection}, {Field: "assurance", New: one.Assurance}},
	})
}

// drop ends a session without writing the record.
func (x *Visitors) drop(tx store.Tx, rec *store.Visitor, i int, reason string) error {
	sid := rec.Sessions[i].SID
	rec.Sessions = slices.Delete(slices.Clone(rec.Sessions), i, i+1)
	return session.Announce(tx, x.Now(), store.Revocation{SID: sid, Reason: reason})
}

// minVerifier and maxVerifier are RFC 7636's, section 4.1.
const minVerifier, maxVerifier = 43, 128

// codeInvalid is a proof that is of no use.
func codeInvalid() error {
	return unproven(jwt.CodeInvalid, "the code is unknown, was used before, has ended, or is another page's")
}

// proven is the evidence of a proof that federation left for the widget.
func proven(q *starting, conn *store.Connection, p *store.VisitorProof, said *store.VisitorProven) *evidence {
	at := p.AuthTime
	if at.After(q.now) {
		at = q.now
	}
	return &evidence{
		subject: records.SubjectOf(conn, said.Subject), fields: &said.Fields, mapped: said.Fields.ExternalID != "" && mapsExternalID(conn), assurance: Federated,
		upstream: said.Upstream, authTime: at.Truncate(time.Second),
	}
}
