package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/federation/saml"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// When administrators are told that a provider's last certificate ends, and with
// it every sign-in through the connection.
var warnings = []time.Duration{7 * 24 * time.Hour, 30 * 24 * time.Hour}

// warn tells the administrators of a connection's certificate that ends soon, once
// for each of warnings.
func (x *Federation) warn(ctx context.Context, s *site.Site, c *store.Connection) error {
	at := &attempt{site: s, conn: c, step: "check"}
	idp, err := x.idp(ctx, at)
	if faultOf(err) != nil {
		return nil // said elsewhere
	}
	if err != nil {
		return err
	}
	now := x.Now()
	for _, within := range warnings {
		if end, soon := saml.Ending(idp.Certificates, now, within); soon && !end.IsZero() {
			return x.warnOnce(ctx, at, end, within)
		}
	}
	return nil
}

// errWarned undoes a warning that was given before.
var errWarned = errors.New("it was said before")

func (x *Federation) warnOnce(ctx context.Context, at *attempt, end time.Time, within time.Duration) error {
	err := x.Store.Update(ctx, at.site.Path, func(tx store.Tx) error {
		mark := fmt.Sprintf("warned:%s:%d:%d", at.conn.ID, end.Unix(), int(within.Hours()/24))
		err := store.AllSpent.Create(tx, &store.Spent{Key: mark, Expires: end.UTC()})
		if errors.Is(err, store.ErrExists) {
			return errWarned
		}
		if err != nil {
			return err
		}
		if err := x.tellAdministrators(ctx, tx, at, end); err != nil {
			return err
		}
		return x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.ConnectionEnding, Object: connectionRef(at.conn), Result: audit.Success,
			Changes: []audit.Change{{Field: "certificate", New: end.UTC().Format(time.RFC3339)}},
		})
	})
	if errors.Is(err, errWarned) {
		return nil
	}
	return err
}

func (x *Federation) tellAdministrators(ctx context.Context, tx store.Tx, at *attempt, end time.Time) error {
	if x.Tell == nil {
		return nil
	}
	var all []store.Agent
	for agent, err := range store.Agents.List(tx, "role", policy.Administrators) {
		if err != nil {
			return err
		}
		all = append(all, agent)
	}
	for _, agent := range slices.DeleteFunc(all, func(a store.Agent) bool { return a.Inactive }) {
		if err := x.Tell(ctx, tx, at.site, agent, templates.NoticeMail{Kind: templates.NoticeCertificateEnding, Detail: at.conn.Name, Until: end}); err != nil {
			return err
		}
	}
	return nil
}
