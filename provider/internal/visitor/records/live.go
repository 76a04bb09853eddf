package records

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Granted begins the sid of a token that was given for a JWT at the token endpoint:
// there is no session of it.
const Granted = "g."

// Token is what a visitor's token says of itself.
type Token struct {
	Subject, SID string
	Anonymous    bool
	IP           netip.Addr // of who shows it; the zero Addr: not known
}

// Judge says whether the visitor may still come in with that token: they are who they
// were, their session goes on, and no ban is on them.
func (x *Records) Judge(ctx context.Context, s *site.Site, t Token) (policy.Decision, error) {
	now := x.Now()
	bans, err := x.Bans(ctx, s)
	if err != nil {
		return policy.Decision{}, err
	}
	facts := policy.BanFacts{VisitorIDs: []string{t.Subject}}
	reason := ""
	err = x.Store.View(ctx, s.Path, func(tx store.Tx) error {
		reason = ""
		rec, err := store.Visitors.Get(tx, t.Subject)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if !t.Anonymous { // erased
				reason = policy.ReasonSubjectInactive
			}
			return nil
		case err != nil:
			return err
		case rec.Alias != "":
			facts.VisitorIDs = append(facts.VisitorIDs, rec.Alias)
			reason = policy.ReasonRevoked
			return nil
		}
		if t.SID != "" && !strings.HasPrefix(t.SID, Granted) && !slices.ContainsFunc(rec.Sessions, func(one store.VisitorSession) bool { return one.SID == t.SID }) {
			reason = policy.ReasonRevoked
		}
		person, err := x.Person(s.Path, &rec)
		if err != nil {
			return err
		}
		facts, err = x.Facts(tx, rec.ID, person)
		return err
	})
	if err != nil {
		return policy.Decision{}, err
	}
	facts.IP = t.IP
	if d := bans.Judge(facts, now); !d.Allowed {
		if d.Until.IsZero() || d.Until.After(now.Add(policy.DefaultKeep)) {
			d.Until = now.Add(policy.DefaultKeep) // it may be lifted
		}
		return d, nil
	}
	if reason != "" {
		return policy.Refuse(reason, now.Add(policy.DefaultKeep)), nil
	}
	return policy.Decision{Allowed: true, Reason: policy.ReasonAllowed, Until: now.Add(policy.DefaultKeep)}, nil
}
