package federation

import (
	"context"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// RollOver makes our next key pair of a SAML connection. It is published and decrypts
// at once, and signs from then on; the one before decrypts until the next rollover. To
// forget is for a key that somebody else may have: the new one is then the only one.
// ErrNoConnection is returned for what is none, or of another kind.
func (x *Federation) RollOver(ctx context.Context, path, id string, activates time.Time, forget bool, by audit.Ref) error {
	s, err := x.Sites.Load(ctx, path)
	if err != nil {
		return err
	}
	c := s.Connection(id)
	if c == nil || c.Kind != store.ConnectionSAML {
		return ErrNoConnection
	}
	at := &attempt{site: s, conn: c, step: "check"}
	if _, err := x.makePair(ctx, at); err != nil {
		return err
	}
	now := x.Now().UTC()
	if forget || activates.Before(now) {
		activates = now
	}
	rec, err := x.newPair(at, strconv.FormatInt(now.UnixNano(), 10), activates.UTC())
	if err != nil {
		return err
	}
	return x.Store.Update(ctx, path, func(tx store.Tx) error {
		before, err := x.settle(tx, id, forget)
		if err != nil {
			return err
		}
		if err := store.ConnectionKeys.Create(tx, &rec); err != nil {
			return err
		}
		if err := site.Changed(tx); err != nil {
			return err
		}
		return x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.ConnectionRollOver, Actor: by, Object: connectionRef(c), Result: audit.Success,
			Changes: []audit.Change{{Field: "key", Old: before, New: rec.ID}, {Field: "activates", New: rec.Activates.Format(time.RFC3339)}},
		})
	})
}

// settle leaves of a connection's pairs the one that signs, or none if they are to be
// forgotten, and names it.
func (x *Federation) settle(tx store.Tx, connection string, forget bool) (signing string, err error) {
	var all []string
	var last time.Time
	for rec, err := range store.ConnectionKeys.List(tx, "connection", connection) {
		if err != nil {
			return "", err
		}
		if rec.Activates.After(x.Now()) && !forget {
			return "", web.Public(web.ErrBadRequest, "its next key is published already, and signs from "+rec.Activates.UTC().Format(time.RFC3339))
		}
		if all = append(all, rec.ID); !rec.Activates.Before(last) {
			signing, last = rec.ID, rec.Activates
		}
	}
	for _, id := range all {
		if id == signing && !forget {
			continue
		}
		if err := store.ConnectionKeys.Delete(tx, id); err != nil {
			return "", err
		}
	}
	return signing, nil
}
