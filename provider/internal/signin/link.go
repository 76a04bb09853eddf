package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// How long the links work.
const (
	resetLife      = 30 * time.Minute
	invitationLife = 7 * 24 * time.Hour
)

// newLink makes the agent's link and voids the one before.
func (x *SignIn) newLink(tx store.Tx, s *site.Site, agent store.Agent, invites, mailed bool) (string, error) {
	secret := make([]byte, 32)
	rand.Read(secret)
	text := base64.RawURLEncoding.EncodeToString(secret)
	now := x.Now().UTC()
	link := store.PasswordLink{
		AgentID: agent.ID, Hash: linkHash(text), Email: agent.Email, Invites: invites, Mailed: mailed, Created: now, Expires: now.Add(life(invites)),
	}
	path := "/reset/"
	if invites {
		path = "/invitation/"
	}
	if err := store.PasswordLinks.Put(tx, &link); err != nil {
		return "", fmt.Errorf("store the link: %w", err)
	}
	return s.URL(path + text), nil
}

func life(invites bool) time.Duration {
	if invites {
		return invitationLife
	}
	return resetLife
}

func linkHash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// findLink returns the live link with that secret and its agent, or ErrLinkSpent.
// Nothing but the secret says whose it is.
func (x *SignIn) findLink(tx store.Tx, s *site.Site, secret string) (store.PasswordLink, store.Agent, error) {
	if len(secret) != base64.RawURLEncoding.EncodedLen(32) {
		return store.PasswordLink{}, store.Agent{}, ErrLinkSpent
	}
	link, err := store.PasswordLinks.Find(tx, "hash", linkHash(secret))
	if errors.Is(err, store.ErrNotFound) {
		return link, store.Agent{}, ErrLinkSpent
	}
	if err != nil {
		return link, store.Agent{}, fmt.Errorf("find the link: %w", err)
	}
	agent, err := agentOrNone(tx, link.AgentID)
	if err != nil {
		return link, agent, err
	}
	void := agent.ID == "" || agent.Inactive || agent.Email != link.Email || !x.Now().Before(link.Expires) ||
		link.Created.Before(s.Settings.NotBefore) || link.Created.Before(agent.PasswordChanged)
	if void {
		return link, agent, ErrLinkSpent
	}
	return link, agent, nil
}

// Invite makes an invitation for an agent, in the caller's transaction, and mails
// it if mail is set up. Otherwise the caller hands the link over.
func (x *SignIn) Invite(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, by audit.Ref) (link string, mailed bool, err error) {
	mailed = x.mails()
	if link, err = x.newLink(tx, s, agent, true, mailed); err != nil {
		return "", false, err
	}
	err = x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.AgentInvite, Actor: by, Object: audit.Ref{Type: policy.Agent, ID: agent.ID}, Result: audit.Success,
	})
	if err != nil || !mailed {
		return link, false, err
	}
	return link, true, x.Mail.Link(ctx, tx, s, agent, link, true, invitationLife)
}
