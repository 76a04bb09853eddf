package admin

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

type banInput struct {
	Site        string    `json:"site"`
	Visitor     string    `json:"visitor"`
	ExternalID  string    `json:"external_id"`
	Email       string    `json:"email"`
	EmailDomain string    `json:"email_domain"`
	Network     string    `json:"network"` // an address or a CIDR
	Reason      string    `json:"reason"`
	Until       time.Time `json:"until"`
	Wide        bool      `json:"wide"` // also where many more are meant than is usual
	DryRun      bool      `json:"dry_run"`
}

// banInfo is a ban, and whom it would hit.
type banInfo struct {
	store.Ban
	Known   int      `json:"known_visitors"`    // of those with a record
	More    bool     `json:"more,omitempty"`    // there are more than Known
	Warning string   `json:"warning,omitempty"` // it is wider than is usually meant
	IDs     []string `json:"known_visitor_ids,omitempty"`
	// Visitors are the first of them.
	Visitors []namedVisitor `json:"visitors,omitempty"`
	DryRun   bool           `json:"dry_run,omitempty"`
	Refused  bool           `json:"refused,omitempty"` // nobody was banned: it is wide, and that was not said
}

type namedVisitor struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // as the customer's login says it
}

// mostShown is how many visitors of a ban are named.
const mostShown = 10

// firstOf names the first visitors.
func (a *Admin) firstOf(ctx context.Context, s *site.Site, ids []string) (list []namedVisitor, err error) {
	for _, id := range ids[:min(len(ids), mostShown)] {
		shown, err := a.Visitors.Show(ctx, s, id)
		if isNotFound(err) { // gone meanwhile
			continue
		}
		if err != nil {
			return nil, err
		}
		list = append(list, namedVisitor{shown.ID, shown.Person.Name})
	}
	return list, nil
}

// banVisitors keeps visitors away. A dry run only says whom.
func (a *Admin) banVisitors(ctx context.Context, in banInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	b := store.Ban{
		VisitorID: in.Visitor, ExternalID: in.ExternalID, Email: in.Email, EmailDomain: in.EmailDomain, Network: in.Network, Reason: in.Reason, Until: in.Until,
	}
	out := banInfo{DryRun: in.DryRun}
	if b.Email != "" {
		if b.Email, err = web.CanonicalEmail(b.Email); err != nil {
			return nil, usage("%q is not an e-mail address", in.Email)
		}
	}
	if b.EmailDomain != "" {
		if b.EmailDomain, err = web.CanonicalHost(b.EmailDomain); err != nil {
			return nil, usage("%q is not a domain", in.EmailDomain)
		}
	}
	if addr, err := netip.ParseAddr(b.Network); err == nil && addr.Zone() == "" {
		b.Network = web.Network(addr).String()
	}
	if _, err := policy.CompileBans([]policy.Ban{records.Policy(&b)}); err != nil {
		var fault *policy.BanError
		if errors.As(err, &fault) {
			return nil, usage("%v", fault.Err)
		}
		return nil, usage("%v", err)
	}
	out.Warning = policy.Wide(records.Policy(&b))
	ids, all, err := a.Visitors.Preview(ctx, in.Site, b)
	if err != nil {
		return nil, err
	}
	out.Known, out.More, out.IDs, out.Ban = len(ids), !all, ids, b
	if out.Visitors, err = a.firstOf(ctx, s, ids); err != nil {
		return nil, err
	}
	if out.Refused = !in.DryRun && !in.Wide && out.Warning != ""; in.DryRun || out.Refused {
		return out, nil
	}
	out.Ban, err = a.Visitors.Ban(ctx, s, b, operator(ctx))
	if text := web.PublicText(err); text != "" {
		return nil, usage("%s", text)
	}
	return out, err
}

type banIDInput struct {
	Site string `json:"site"`
	ID   string `json:"ban"`
}

func (a *Admin) unbanVisitors(ctx context.Context, in banIDInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var b store.Ban
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		b, err = store.Bans.Get(tx, in.ID)
		return err
	})
	if err == nil {
		err = a.Visitors.Unban(ctx, s, in.ID, operator(ctx))
	}
	if isNotFound(err) {
		return nil, notFound("ban", in.ID)
	}
	return b, err
}

type listBansInput struct {
	Site  string `json:"site"`
	After string `json:"after"`
	Limit int    `json:"limit"`
}

func (a *Admin) listBans(ctx context.Context, in listBansInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	if in.Limit < 1 || in.Limit > maxPage {
		return nil, usage("limit is 1 to %d", maxPage)
	}
	var out struct {
		Bans []store.Ban `json:"bans"`
		Next string      `json:"next,omitempty"`
	}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		out.Bans, out.Next = []store.Ban{}, ""
		for rec, err := range store.Bans.All(tx, in.After) {
			if err != nil {
				return err
			}
			if !rec.Until.IsZero() && !a.Now().Before(rec.Until) {
				continue
			}
			if len(out.Bans) == in.Limit {
				out.Next = out.Bans[in.Limit-1].ID
				return nil
			}
			out.Bans = append(out.Bans, rec)
		}
		return nil
	})
	return out, err
}

// visitorInput names one visitor, by one of these.
type visitorInput struct {
	Site       string `json:"site"`
	ID         string `json:"visitor"`
	ExternalID string `json:"external_id"`
	Email      string `json:"email"`
}

// maxNamed is how many are named where there may be many.
const maxNamed = 5

// visitorOf is the id of the only visitor whom the input names; an exact address is no
// other one's with a +tag.
func (a *Admin) visitorOf(ctx context.Context, in visitorInput, exact bool) (string, error) {
	given := 0
	for _, name := range []string{in.ID, in.ExternalID, in.Email} {
		if name != "" {
			given++
		}
	}
	switch {
	case given != 1:
		return "", usage("name the visitor by their id, their external id or their e-mail address")
	case in.ID != "":
		return in.ID, nil
	}
	b := store.Ban{ExternalID: in.ExternalID}
	if in.Email != "" {
		var err error
		if b.Email, err = web.CanonicalEmail(in.Email); err != nil {
			return "", usage("%q is not an e-mail address", in.Email)
		}
	}
	ids, all, err := a.Visitors.Preview(ctx, in.Site, b)
	if err == nil && exact && b.Email != "" && len(ids) == 1 {
		if said, err := a.Visitors.Addressed(ctx, in.Site, ids[0], b.Email); err != nil || !said {
			return "", cmp.Or(err, usage("nobody is known by that very address; by one with another +tag is %s: name them by their id if they are meant", ids[0]))
		}
	}
	switch {
	case err != nil:
		return "", err
	case len(ids) == 0:
		return "", noVisitor(in.ExternalID + in.Email)
	case len(ids) == 1 && all:
		return ids[0], nil
	}
	more := ""
	if len(ids) > maxNamed {
		ids, more = ids[:maxNamed], ", …"
	}
	return "", usage("more visitors than one are known by it, name one by their id: %s%s", strings.Join(ids, ", "), more)
}

func (a *Admin) showVisitor(ctx context.Context, in visitorInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	id, err := a.visitorOf(ctx, in, false)
	if err != nil {
		return nil, err
	}
	shown, err := a.Visitors.Show(ctx, s, id)
	if isNotFound(err) {
		return nil, noVisitor(id)
	}
	return shown, err
}

func noVisitor(name string) error {
	return notFound("visitor", name+" of whom anything is kept (nothing is of anonymous ones)")
}

// eraseVisitor forgets a visitor for good.
func (a *Admin) eraseVisitor(ctx context.Context, in visitorInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	id, err := a.visitorOf(ctx, in, true)
	if err != nil {
		return nil, err
	}
	shown, err := a.Visitors.Show(ctx, s, id)
	if isNotFound(err) {
		return nil, noVisitor(id)
	}
	if err == nil {
		err = a.erase(ctx, func() error { return a.Visitors.Erase(ctx, s, id, operator(ctx)) })
	}
	if isNotFound(err) {
		return nil, noVisitor(id)
	}
	banned := ""
	if shown.Banned != nil {
		banned = shown.Banned.ID
	}
	return struct {
		Erased string `json:"erased"`
		Banned string `json:"banned,omitempty"` // a ban that is still on them
	}{id, banned}, err
}

// erase waits for the audit log to be sealed, which is a second's matter.
func (a *Admin) erase(ctx context.Context, do func() error) error {
	const tries, pause = 10, 500 * time.Millisecond
	for i := 0; ; i++ {
		err := do()
		if !errors.Is(err, records.ErrNotSealed) || i == tries {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
	}
}
