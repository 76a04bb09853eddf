package oauth

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// reasonRevoked is the feed's and the audit log's word for it.
const reasonRevoked = "revoked_by_client"

// revoke is POST /oauth/revoke (RFC 7009). A client revokes what is its own: an
// access token alone, a refresh token with its whole family. Whatever is not
// its own, or is no token, has no effect and the same empty answer. The hint is
// not needed: a token shows its kind.
//
// With sid instead of token, one of the site's own clients ends a whole session
// that it takes part in.
func (o *OAuth) revoke(w http.ResponseWriter, r *http.Request) error {
	s := site.From(r.Context())
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	client, err := o.AuthenticateClient(r, form)
	if err != nil {
		return basicChallenge(w, s, err)
	}
	token, sid := form.Get("token"), form.Get("sid")
	switch {
	case (token == "") == (sid == ""):
		err = web.Public(web.ErrBadRequest, "send either token or sid")
	case sid != "":
		err = o.revokeSession(r.Context(), s, client, sid)
	case strings.HasPrefix(token, refreshPrefix):
		err = o.revokeFamily(r.Context(), s, client, token)
	default:
		err = o.revokeAccess(r.Context(), s, client, token)
	}
	if err != nil {
		return err
	}
	web.NoStore(w)
	w.WriteHeader(http.StatusOK)
	return nil
}

// revokeFamily ends the family that the token belongs to, whichever generation
// it is: only its own client can have any. It looks before it writes, so that
// junk costs no commit.
func (o *OAuth) revokeFamily(ctx context.Context, s *site.Site, client *store.Client, raw string) error {
	token, ok, err := o.readRefreshToken(ctx, s, raw)
	if err != nil || !ok {
		return err
	}
	own := func(tx store.Tx) (store.Grant, bool, error) {
		g, err := store.Grants.Get(tx, token.family)
		if errors.Is(err, store.ErrNotFound) {
			return g, false, nil
		}
		return g, err == nil && g.ClientID == client.ID && !g.Revoked, err
	}
	var found bool
	err = o.Store.View(ctx, s.Path, func(tx store.Tx) error {
		var err error
		_, found, err = own(tx)
		return err
	})
	if err != nil || !found {
		return err
	}
	return o.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		g, found, err := own(tx)
		if err != nil || !found {
			return err
		}
		if err := o.Sessions.RevokeGrant(ctx, tx, s, g, reasonRevoked); err != nil {
			return err
		}
		return o.Audit.Record(ctx, tx, revocation(client, "grant", g.ID))
	})
}

func revocation(client *store.Client, kind, id string) audit.Event {
	return audit.Event{
		Action: audit.TokenRevoke, Actor: clientRef(client),
		Object: audit.Ref{Type: kind, ID: id}, Result: audit.Success, Reason: reasonRevoked,
	}
}

func (o *OAuth) revokeAccess(ctx context.Context, s *site.Site, client *store.Client, raw string) error {
	v, err := o.genuine(ctx, s, raw)
	if errors.Is(err, ErrInactive) || err == nil && (v.claims.ClientID != client.ID || v.claims.SubjectType == policy.Visitor) {
		return nil
	}
	if err != nil {
		return err
	}
	expires := time.Unix(v.claims.Expires, 0)
	return o.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		denied, err := store.AllSpent.Has(tx, deniedKey(v.claims.ID))
		if err != nil || denied {
			return err
		}
		if err := o.denyJTI(tx, v.claims.ID, expires); err != nil {
			return err
		}
		if !strings.Contains(raw, ".") {
			if err := store.OpaqueTokens.Delete(tx, opaqueKey(raw)); err != nil {
				return err
			}
		}
		return o.Audit.Record(ctx, tx, revocation(client, "token", v.claims.ID))
	})
}

// denyJTI makes one access token dead here and for everyone who follows the feed.
func (o *OAuth) denyJTI(tx store.Tx, jti string, expires time.Time) error {
	if err := store.AllSpent.Put(tx, &store.Spent{Key: deniedKey(jti), Expires: expires}); err != nil {
		return err
	}
	now := o.Now()
	return session.Announce(tx, now, store.Revocation{JTI: jti, Reason: reasonRevoked, Before: now, Expires: expires})
}

// revokeSession ends a session for one of the site's own clients that has a
// grant in it. Any other sid has no effect, so nothing is learnt from the answer.
func (o *OAuth) revokeSession(ctx context.Context, s *site.Site, client *store.Client, sid string) error {
	if !client.FirstParty || client.Public() {
		return web.Public(ErrUnauthorizedClient, "only a first-party client that authenticates may end a session")
	}
	if len(sid) > 128 || strings.ContainsRune(sid, 0) {
		return nil
	}
	return o.Store.Update(ctx, s.Path, func(tx store.Tx) error {
		member, err := takesPart(tx, client, sid)
		if err != nil || !member {
			return err
		}
		_, err = o.Sessions.EndSID(ctx, tx, s, sid, reasonRevoked)
		return err
	})
}

func takesPart(tx store.Tx, client *store.Client, sid string) (bool, error) {
	for g, err := range store.Grants.List(tx, "sid", sid) {
		if err != nil {
			return false, err
		}
		if g.ClientID == client.ID && !g.Revoked {
			return true, nil
		}
	}
	return false, nil
}
