package visitor

import (
	"context"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Reasons of a Refusal.
const (
	reasonSignInRequired = "sign_in_required"
	reasonSignInOff      = "sign_in_off"
)

// starting is one start.
type starting struct {
	request
	site   *site.Site
	origin string // of the page; empty at the token endpoint
	ip     netip.Addr
	bans   *policy.Bans
	now    time.Time
}

// start is POST /visitors/start.
func (x *Visitors) start(w http.ResponseWriter, r *http.Request) error {
	q, err := x.read(w, r)
	if err != nil {
		return err
	}
	if q.Resource != "" && !known(q.site, q.Resource) {
		return web.Public(ErrTarget, "the site has no such resource")
	}
	a, err := x.begin(r.Context(), q)
	return x.reply(w, q.site, a, err)
}

// read is a widget's request: of a page of the site's, and not one too many.
func (x *Visitors) read(w http.ResponseWriter, r *http.Request) (*starting, error) {
	s := site.From(r.Context())
	origin, ok := allowOrigin(w, r, s)
	if !ok && r.Header["Origin"] != nil { // what is no page of a browser has none
		return nil, web.Public(ErrOrigin, "pages of this origin do not stand in the site's `visitors.origins`")
	}
	q, err := x.enterRequest(w, r, s)
	if err != nil {
		return nil, err
	}
	q.origin = origin
	q.request, err = readRequest(r)
	return q, err
}

// refuse tells the widget why, so that it can hide itself or have its visitor sign in.
func refuse(w http.ResponseWriter, no *Refusal) error {
	body := struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
		Reason      string `json:"reason"`
		Until       string `json:"until,omitempty"`
	}{Error: "access_denied", Description: no.Text, Reason: no.Reason}
	status := http.StatusForbidden
	if no.Unproven {
		body.Error, status = "invalid_grant", http.StatusBadRequest
	}
	if !no.Until.IsZero() {
		body.Until = no.Until.UTC().Format(time.RFC3339)
	}
	return web.WriteJSON(w, status, body)
}

// begin finds out who the visitor is and gives them a token.
func (x *Visitors) begin(ctx context.Context, q *starting) (*answer, error) {
	switch {
	case q.Identity != "":
		return x.signed(ctx, q)
	case q.UserHash != "":
		return x.userHash(ctx, q)
	case q.Proof != "":
		return x.proof(ctx, q)
	case q.Renew != "":
		return x.renew(ctx, q)
	}
	return x.anonymous(ctx, q)
}

// anonymous begins with a visitor of whom nothing is known. Nothing is stored.
func (x *Visitors) anonymous(ctx context.Context, q *starting) (*answer, error) {
	if err := x.banned(q, policy.BanFacts{}, q.typed()); err != nil {
		return nil, err
	}
	if !mayBeAnonymous(q.site) {
		return nil, &Refusal{Reason: reasonSignInRequired}
	}
	v := &renewal{Visitor: uuid.Must(uuid.NewV7()).String(), SID: random(16), Assurance: Anonymous, AuthTime: q.now.Unix()}
	return x.give(ctx, q, v, nil)
}

// mayBeAnonymous: the site allows it, demands no sign-in, and has no connection that
// demands a visitor JWT.
func mayBeAnonymous(s *site.Site) bool {
	rules := s.Settings.Visitors
	return rules.Anonymous && rules.SignIn != store.SignInRequired && !demandsIdentity(s)
}

type demandKey struct{}

// demandsIdentity: a connection of the site's takes nobody without a visitor JWT.
func demandsIdentity(s *site.Site) bool {
	demanded, err := s.Cached(demandKey{}, func() (any, error) {
		return slices.ContainsFunc(s.Connections(), func(c *store.Connection) bool {
			return c.For == store.ForVisitors && !c.Disabled && c.JWT != nil && c.JWT.Required
		}), nil
	})
	return err != nil || demanded == true
}

// takesUserHash: the connection does, and nothing stronger is demanded.
func takesUserHash(s *site.Site, c *store.Connection) bool {
	return c.JWT != nil && c.JWT.UserHash && !demandsIdentity(s)
}

// renew gives the visitor of a renewal token the next.
func (x *Visitors) renew(ctx context.Context, q *starting) (*answer, error) {
	v, err := x.open(ctx, q.site, q.Renew, q.now)
	if err != nil {
		return nil, err
	}
	if v.Assurance != Anonymous {
		return x.renewKnown(ctx, q, v)
	}
	if err := x.banned(q, policy.BanFacts{VisitorIDs: []string{v.Visitor}}, q.typedOr(v.Given)); err != nil {
		return nil, err
	}
	if !mayBeAnonymous(q.site) {
		return nil, &Refusal{Reason: reasonSignInRequired}
	}
	if err := x.stillAnonymous(ctx, q.site, v.Visitor); err != nil {
		return nil, err
	}
	return x.give(ctx, q, v, nil)
}

// stillAnonymous: nobody has turned out to be this visitor. Then the renewal token
// would be another's.
func (x *Visitors) stillAnonymous(ctx context.Context, s *site.Site, id string) error {
	return x.Store.View(ctx, s.Path, func(tx store.Tx) error {
		gone, err := x.Records.IsGone(tx, id)
		if err == nil && gone {
			err = errStale
		}
		return err
	})
}

// typed is what the visitor types now; nil: nothing.
func (q *starting) typed() *given {
	if q.Name == "" && q.Email == "" {
		return nil
	}
	return &given{Name: q.Name, Email: q.Email}
}

// typedOr is that, or what they typed before.
func (q *starting) typedOr(before *given) *given {
	if now := q.typed(); now != nil {
		return now
	}
	return before
}

// give makes the answer.
func (x *Visitors) give(ctx context.Context, q *starting, v *renewal, p *person) (*answer, error) {
	if q.Resource != "" {
		v.Resource = q.Resource
	}
	v.Given = q.typedOr(v.Given)
	a, err := x.sign(ctx, q, v, p)
	if err != nil {
		return nil, err
	}
	a.Renew, err = x.seal(ctx, q.site, v, q.now)
	return a, err
}
