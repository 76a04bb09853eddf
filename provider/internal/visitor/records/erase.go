package records

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// reasonErased stands in the revocation feed.
const reasonErased = "erased"

// ErrNotSealed is an erasure that met records which are not in the chain yet, a
// second's worth, or a visitor who came in meanwhile; it is done by doing it again.
var ErrNotSealed = errors.New("the visitor is coming in, or the audit log is still being sealed: erase again in a moment")

// Shown is what is known of a visitor, for administrators and for the visitor.
type Shown struct {
	ID       string                 `json:"id"`
	Aliases  []string               `json:"aliases,omitempty"`
	Person   *Person                `json:"person"`
	Sessions []store.VisitorSession `json:"sessions,omitempty"`
	Created  time.Time              `json:"created"`
	Seen     time.Time              `json:"seen"`
	Banned   *store.Ban             `json:"banned,omitempty"` // whatever their address

	rec    store.Visitor
	marks  []string // of what is and was said of them
	secret []byte   // that they are made with
}

// Show tells what is known of the visitor with that id, or alias. store.ErrNotFound:
// nothing is, which is so of every anonymous one.
func (x *Records) Show(ctx context.Context, s *site.Site, id string) (shown Shown, err error) {
	bans, err := x.Bans(ctx, s)
	if err != nil {
		return shown, err
	}
	err = x.Store.View(ctx, s.Path, func(tx store.Tx) error {
		rec, err := x.Find(tx, id)
		if err != nil {
			return err
		}
		shown = Shown{ID: rec.ID, Sessions: slices.Clone(rec.Sessions), Created: rec.Created, Seen: rec.Seen, rec: rec}
		for i := range shown.Sessions {
			shown.Sessions[i].Identity = ""
		}
		if shown.Person, err = x.Person(s.Path, &rec); err != nil {
			return err
		}
		if shown.secret, err = x.Keys.SecretIn(tx, keys.SecretMark); err != nil {
			return err
		}
		shown.marks, shown.Person.Former = slices.Concat(rec.Marks, shown.Person.Former), nil
		facts, err := x.Facts(tx, rec.ID, shown.Person)
		if err != nil {
			return err
		}
		if shown.Aliases, err = x.Aliases(tx, rec.ID); err != nil {
			return err
		}
		if match, found := bans.Match(facts, x.Now()); found {
			b, err := store.Bans.Get(tx, match.ID)
			shown.Banned = &b
			return absent(err)
		}
		return nil
	})
	return shown, err
}

// Erase forgets the visitor with that id, or alias: the record with its aliases, and
// what of them stands beside the audit log, whose chain stays whole. What they hold
// ends. It can be done again where it was interrupted. store.ErrNotFound: nothing is
// known of them.
func (x *Records) Erase(ctx context.Context, s *site.Site, id string, by audit.Ref) error {
	shown, err := x.Show(ctx, s, id)
	if err != nil {
		return err
	}
	if err := x.eraseAudit(ctx, s.Path, &shown); err != nil {
		return err
	}
	return x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		switch now, err := store.Visitors.Get(tx, shown.ID); {
		case err != nil:
			return err
		case !reflect.DeepEqual(now, shown.rec): // they came in meanwhile, and that was written down
			return ErrNotSealed
		}
		aliases, err := x.Aliases(tx, shown.ID)
		if err != nil {
			return err
		}
		if len(aliases) != len(shown.Aliases) {
			return ErrNotSealed
		}
		if err := x.keepBanned(tx, s.Path, &shown.rec); err != nil {
			return err
		}
		if err := x.announce(tx, shown.ID, reasonErased); err != nil {
			return err
		}
		for _, name := range append(aliases, shown.ID) {
			if err := store.Visitors.Delete(tx, name); err != nil {
				return err
			}
			if err := x.Gone(tx, name); err != nil {
				return err
			}
		}
		return x.Audit.Record(ctx, tx, audit.Event{Action: audit.VisitorErase, Actor: by, Object: audit.Ref{Type: "visitor", ID: shown.ID}})
	})
}

// keepBanned notes in every ban that is on the visitor, wherever they are, who they
// were to their connections: to be forgotten lifts no ban.
func (x *Records) keepBanned(tx store.Tx, path string, rec *store.Visitor) error {
	person, err := x.Person(path, rec)
	if err != nil {
		return err
	}
	facts, err := x.Facts(tx, rec.ID, person)
	if err != nil {
		return err
	}
	var on []store.Ban
	for b, err := range store.Bans.All(tx, "") {
		if err != nil {
			return err
		}
		who := Policy(&b)
		who.Network = ""
		if len(policy.Preview(who, []policy.BanFacts{facts})) > 0 {
			on = append(on, b)
		}
	}
	for _, b := range on {
		for _, m := range rec.Subjects {
			b.Subjects = added(b.Subjects, m)
		}
		if err := store.Bans.Put(tx, &b); err != nil {
			return err
		}
	}
	if len(on) == 0 {
		return nil
	}
	return site.Changed(tx)
}

// RenewalLife is how long a visitor is known again.
const RenewalLife = 30 * 24 * time.Hour

// Gone ends the name of a visitor, so that what they renew by is of no use, although
// nothing is known of them.
func (x *Records) Gone(tx store.Tx, id string) error {
	return store.AllSpent.Put(tx, &store.Spent{Key: goneKey(id), Expires: x.Now().UTC().Add(RenewalLife)})
}

// IsGone reports whether the name is no anonymous visitor's: a known one has it, or
// nobody any more.
func (x *Records) IsGone(tx store.Tx, id string) (bool, error) {
	known, err := store.Visitors.Has(tx, id)
	if err != nil || known {
		return known, err
	}
	return store.AllSpent.Has(tx, goneKey(id))
}

func goneKey(id string) string { return "visitor:" + id }

// eraseAudit removes the personal values of all records about the visitor.
func (x *Records) eraseAudit(ctx context.Context, path string, shown *Shown) error {
	unsealed := false
	for at := (audit.Place{}); !at.Done; {
		found, next, err := x.Audit.Search(ctx, path, audit.Filter{}, at)
		if err != nil {
			return err
		}
		at = next
		found = slices.DeleteFunc(found, func(e audit.Entry) bool { return !shown.concerned(&e) })
		if len(found) == 0 {
			continue
		}
		err = x.Store.Update(ctx, path, func(tx store.Tx) error {
			for _, e := range found {
				fields := shown.personal(&e)
				if len(fields) == 0 {
					continue
				}
				if e.Sequence == 0 {
					unsealed = true
					continue
				}
				if err := x.Audit.Erase(tx, e.Sequence, fields...); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("erase a visitor: %w", err)
		}
	}
	if unsealed {
		return ErrNotSealed
	}
	return nil
}

func (s *Shown) is(typ, id string) bool {
	return typ == "visitor" && (id == s.ID || slices.Contains(s.Aliases, id))
}

// concerned: the visitor did it, or it was done to them, or it is a login that they
// came by, or a ban that names them.
func (s *Shown) concerned(e *audit.Entry) bool {
	if s.is(e.ActorType, e.ActorID) || s.is(e.Object, e.ObjectID) {
		return true
	}
	if e.Action == audit.VisitorBan {
		return slices.ContainsFunc(e.Changes, s.named)
	}
	return e.Action == audit.FederationVisitor && slices.ContainsFunc(e.Changes, func(c audit.Change) bool { return c.Field == "subject" && slices.Contains(s.rec.Subjects, c.New) })
}

// named: a ban's criterion is, or was, the visitor's own.
func (s *Shown) named(c audit.Change) bool {
	mark := ""
	switch c.Field {
	case "email":
		mark = sum(s.secret, "email", plainEmail(c.New))
	case "external_id":
		mark = sum(s.secret, "external", c.New)
	}
	return c.New != "" && slices.Contains(s.marks, mark)
}

// personal are the fields of a record that are the visitor's: all of them, but for
// the address of an administrator who did it.
func (s *Shown) personal(e *audit.Entry) (fields []string) {
	theirs := s.is(e.ActorType, e.ActorID) || e.Action == audit.FederationVisitor
	add := func(name string) {
		if (theirs || name != "ip" && name != "user_agent") && !slices.Contains(e.Erased, name) && !slices.Contains(fields, name) {
			fields = append(fields, name)
		}
	}
	for name := range e.Personal {
		add(name)
	}
	if e.IP != "" {
		add("ip")
	}
	if e.UserAgent != "" {
		add("user_agent")
	}
	for i, c := range e.Changes {
		if e.Action == audit.VisitorBan && s.named(c) {
			add("new." + strconv.Itoa(i)) // as audit names what is personal of a change
		}
	}
	return fields
}
