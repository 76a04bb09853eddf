package records

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Granted begins the sid of a token that was given for a JWT at the token endpoint:
// there is no session of it.
const Granted = "g."

// Token is what a visitor's token says of itself. Of a visitor who is asked about
// without one, only the Subject is known.
type Token struct {
	Subject, SID string
	ID           string // the jti
	Issued       time.Time
	Anonymous    bool
	Typed        string     // the address that the visitor has typed; empty: none
	IP           netip.Addr // of who shows it; the zero Addr: not known
}

// Standing is how a visitor, or their token, stands.
type Standing struct {
	Bans  *policy.Bans
	Facts policy.BanFacts // but for the address
	// Reason is why the token is good no longer, whatever the bans; empty: it is.
	Reason string
}

// Admit is policy.Admit for the visitor, at that address; the zero Addr: not known.
func (x *Standing) Admit(r policy.Request) policy.Decision {
	r.Bans, r.Known = x.Bans, x.Facts
	d := policy.Admit(r)
	if d.Allowed && x.Reason != "" {
		return policy.Refuse(x.Reason, d.Until)
	}
	return d
}

// Judge says whether the visitor may still come in with that token: they are who they
// were, their session goes on, and no ban is on them.
func (x *Records) Judge(ctx context.Context, s *site.Site, t Token) (policy.Decision, error) {
	standing, err := x.Stand(ctx, s, t)
	if err != nil {
		return policy.Decision{}, err
	}
	return standing.Admit(policy.Request{
		Now: x.Now(), Subject: policy.Subject{Type: policy.Visitor, ID: t.Subject, Active: true}, IP: t.IP,
	}), nil
}

// Stand looks up how the visitor stands, in one View.
func (x *Records) Stand(ctx context.Context, s *site.Site, t Token) (out Standing, err error) {
	if out.Bans, err = x.Bans(ctx, s); err != nil {
		return out, err
	}
	err = x.Store.View(ctx, s.Path, func(tx store.Tx) (err error) {
		out.Facts, out.Reason = policy.BanFacts{VisitorIDs: []string{t.Subject}}, ""
		rec, err := x.Find(tx, t.Subject)
		switch {
		case errors.Is(err, store.ErrNotFound):
			if out.Reason, err = x.gone(tx, &t); err != nil {
				return err
			}
		case err != nil:
			return err
		default:
			if out.Facts, err = x.known(tx, s, &rec); err != nil {
				return err
			}
			out.Reason = t.lost(&rec)
		}
		if typed, bad := web.CanonicalEmail(t.Typed); bad == nil {
			out.Facts.Emails = append(out.Facts.Emails, typed) // it can do the visitor no good
		}
		if out.Reason == "" && t.shown() {
			out.Reason, err = t.announced(tx)
		}
		return err
	})
	return out, err
}

func (x *Records) known(tx store.Tx, s *site.Site, rec *store.Visitor) (policy.BanFacts, error) {
	person, err := x.Person(s.Path, rec)
	if err != nil {
		return policy.BanFacts{}, err
	}
	return x.Facts(tx, rec.ID, person)
}

// gone says why a token of a visitor without a record is good no longer.
func (x *Records) gone(tx store.Tx, t *Token) (string, error) {
	switch {
	case !t.shown():
		return "", nil
	case !t.Anonymous: // erased
		return policy.ReasonSubjectInactive, nil
	}
	gone, err := x.IsGone(tx, t.Subject)
	if err != nil || !gone {
		return "", err
	}
	return policy.ReasonRevoked, nil
}

// shown: there is a token. All of ours have a sid.
func (t *Token) shown() bool { return t.SID != "" }

// lost says why the token is none of the visitor's any more: it has another name of
// theirs, or its session is over.
func (t *Token) lost(rec *store.Visitor) string {
	switch {
	case !t.shown() || t.Subject == rec.ID && strings.HasPrefix(t.SID, Granted):
		return ""
	case t.Subject != rec.ID, !slices.ContainsFunc(rec.Sessions, func(one store.VisitorSession) bool { return one.SID == t.SID }):
		return policy.ReasonRevoked
	}
	return ""
}

// announced says what verifiers have heard of the token.
func (t *Token) announced(tx store.Tx) (string, error) {
	network, _, _ := strings.Cut(t.ID, ".")
	for _, name := range []string{store.RevokedJTI(network), store.RevokedSubject(t.Subject), store.RevokedClient(ClientID)} {
		for r, err := range store.Revocations.List(tx, "of", name) {
			if err != nil {
				return "", err
			}
			if r.JTI != "" || !t.Issued.After(r.Before) {
				return policy.ReasonRevoked, nil
			}
		}
	}
	return "", nil
}
