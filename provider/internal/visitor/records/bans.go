package records

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// ErrBan is a ban that cannot be made.
var ErrBan = errors.New("this cannot be banned")

// reasonBanned stands in the revocation feed.
const reasonBanned = policy.ReasonBanned

// maxNamed is how many visitors one ban names in the feed; for more, every visitor of
// the site has to renew, and those who are banned are refused.
const maxNamed = 1000

// maxReason is how long a ban's reason may be, in bytes.
const maxReason = 500

type bansKey struct{}

// compiled is a snapshot's bans. They are compiled once, by the first who asks: of a
// hundred thousand that takes an eighth of a second, and everybody comes at once.
type compiled struct {
	mu   sync.Mutex
	bans atomic.Pointer[policy.Bans]
}

// Bans are the site's, as its snapshot has them.
func (x *Records) Bans(ctx context.Context, s *site.Site) (*policy.Bans, error) {
	v, err := s.Cached(bansKey{}, func() (any, error) { return &compiled{}, nil })
	if err != nil {
		return nil, err
	}
	c := v.(*compiled)
	if bans := c.bans.Load(); bans != nil {
		return bans, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if bans := c.bans.Load(); bans != nil {
		return bans, nil
	}
	bans, err := x.compile(ctx, s.Path)
	if err == nil {
		c.bans.Store(bans)
	}
	return bans, err
}

func (x *Records) compile(ctx context.Context, path string) (*policy.Bans, error) {
	var all []policy.Ban
	err := x.Store.View(ctx, path, func(tx store.Tx) error {
		all = all[:0]
		for rec, err := range store.Bans.All(tx, "") {
			if err != nil {
				return err
			}
			all = append(all, Policy(&rec))
			for _, subject := range rec.Subjects {
				all = append(all, policy.Ban{ID: rec.ID, VisitorID: bySubject + subject, Network: rec.Network, Reason: rec.Reason, Until: rec.Until})
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the bans: %w", err)
	}
	// One that cannot be read any more was one when it was made: the others hold.
	bans, _ := policy.CompileBans(all)
	return bans, nil
}

// bySubject begins what stands for an erased visitor among the ids that bans name: no
// id of ours has a colon.
const bySubject = "subject:"

// Policy is a stored ban as policy reads it.
func Policy(b *store.Ban) policy.Ban {
	return policy.Ban{
		ID: b.ID, VisitorID: b.VisitorID, ExternalID: b.ExternalID, Email: b.Email, EmailDomain: b.EmailDomain,
		Network: b.Network, Reason: b.Reason, Until: b.Until,
	}
}

// Ban is BanIn in a transaction of its own.
func (x *Records) Ban(ctx context.Context, s *site.Site, b store.Ban, by audit.Ref) (made store.Ban, err error) {
	err = x.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		made, err = x.BanIn(ctx, tx, b, by)
		return err
	})
	return made, err
}

// BanIn makes a ban, or another of a ban with the same id: no token any more for whom
// it is on, and those they hold end. What cannot be banned is an ErrBan with a
// sentence for the administrator.
func (x *Records) BanIn(ctx context.Context, tx store.Tx, b store.Ban, by audit.Ref) (store.Ban, error) {
	if err := x.complete(&b, by); err != nil {
		return b, err
	}
	if err := store.Bans.Put(tx, &b); err != nil {
		return b, err
	}
	if err := x.cutOff(tx, &b); err != nil {
		return b, err
	}
	if err := site.Changed(tx); err != nil {
		return b, err
	}
	e := audit.Event{Action: audit.VisitorBan, Actor: by, Object: audit.Ref{Type: "ban", ID: b.ID}, Reason: b.Reason}
	for field, value := range map[string]string{"visitor": b.VisitorID, "external_id": b.ExternalID, "email": b.Email, "email_domain": b.EmailDomain, "network": b.Network} {
		if value != "" {
			e.Changes = append(e.Changes, audit.Change{Field: field, New: value, Personal: field != "visitor"})
		}
	}
	if !b.Until.IsZero() {
		e.Changes = append(e.Changes, audit.Change{Field: "until", New: b.Until.Format("2006-01-02T15:04:05Z")})
	}
	return b, x.Audit.Record(ctx, tx, e)
}

func (x *Records) complete(b *store.Ban, by audit.Ref) (err error) {
	now := x.Now().UTC()
	if b.ID == "" {
		b.ID = uuid.Must(uuid.NewV7()).String()
	}
	if b.Created.IsZero() {
		b.Created = now
	}
	if b.By == "" {
		b.By = by.ID
	}
	b.Until = b.Until.UTC()
	switch b.Reason = strings.TrimSpace(b.Reason); {
	case b.Reason == "":
		return web.Public(ErrBan, "say why: a ban has a reason")
	case len(b.Reason) > maxReason:
		return web.Public(ErrBan, fmt.Sprintf("a reason has at most %d bytes", maxReason))
	case !b.Until.IsZero() && !b.Until.After(now):
		return web.Public(ErrBan, "the time until which it would be has passed")
	}
	if b.Email != "" {
		if b.Email, err = web.CanonicalEmail(b.Email); err != nil {
			return web.Public(ErrBan, "that is not an e-mail address")
		}
	}
	if b.EmailDomain != "" {
		if b.EmailDomain, err = web.CanonicalHost(b.EmailDomain); err != nil {
			return web.Public(ErrBan, "that is not a domain")
		}
	}
	if b.Network != "" {
		network, err := policy.BanNetwork(b.Network)
		if err != nil {
			return web.Public(ErrBan, err.Error())
		}
		b.Network = network.String()
	}
	if _, err := policy.CompileBans([]policy.Ban{Policy(b)}); err != nil {
		return web.Public(ErrBan, strings.TrimPrefix(err.Error(), "ban 1: "))
	}
	return nil
}

// Unban is UnbanIn in a transaction of its own.
func (x *Records) Unban(ctx context.Context, s *site.Site, id string, by audit.Ref) error {
	return x.Store.Update(ctx, s.Path, func(tx store.Tx) error { return x.UnbanIn(ctx, tx, id, by) })
}

// UnbanIn lifts a ban; store.ErrNotFound: there is none with that id.
func (x *Records) UnbanIn(ctx context.Context, tx store.Tx, id string, by audit.Ref) error {
	if _, err := store.Bans.Get(tx, id); err != nil {
		return err
	}
	if err := store.Bans.Delete(tx, id); err != nil {
		return err
	}
	if err := site.Changed(tx); err != nil {
		return err
	}
	return x.Audit.Record(ctx, tx, audit.Event{Action: audit.VisitorUnban, Actor: by, Object: audit.Ref{Type: "ban", ID: id}})
}

// Heard is how long another node may go on without knowing of a ban, or of a
// connection's end: what it gives until then ends too.
const Heard = 2 * site.MaxAge

// announce ends all tokens of a visitor that were issued until now, under every name.
func (x *Records) announce(tx store.Tx, id, reason string) error {
	aliases, err := x.Aliases(tx, id)
	if err != nil {
		return err
	}
	for _, name := range append(aliases, id) {
		if err := session.Announce(tx, x.Now(), store.Revocation{Subject: name, Reason: reason, Before: x.Now().UTC().Add(Heard)}); err != nil {
			return err
		}
	}
	return nil
}
