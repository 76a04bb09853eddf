package signin

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// How long the links work.
const (
	resetLife      = 30 * time.Minute
	invitationLife = 7 * 24 * time.Hour
)

// newLink makes the agent's link and voids the one before. signIn is the sign-in
// that was left to ask for it; "" for none.
func (x *SignIn) newLink(tx store.Tx, s *site.Site, agent store.Agent, invites, mailed bool, signIn string) (string, error) {
	before, err := store.PasswordLinks.Get(tx, agent.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return "", fmt.Errorf("find the link before: %w", err)
	}
	before.Spend(store.LinkReplaced)
	secret := make([]byte, 32)
	rand.Read(secret)
	text := base64.RawURLEncoding.EncodeToString(secret)
	now := x.Now().UTC()
	link := store.PasswordLink{
		AgentID: agent.ID, Hash: linkHash(text), Email: agent.Email, Invites: invites, Mailed: mailed, SignIn: signIn, Created: now, Expires: now.Add(life(invites)),
		Former: before.Former,
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

// spend makes the agent's live link a former one, if there is one.
func spend(tx store.Tx, agentID, why string) error {
	link, err := store.PasswordLinks.Get(tx, agentID)
	if errors.Is(err, store.ErrNotFound) || err == nil && link.Hash == "" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("find the link: %w", err)
	}
	link.Spend(why)
	return store.PasswordLinks.Put(tx, &link)
}

// Why a link is spent, where that is known. Only who holds its secret learns it.
var (
	errLinkCut      = fmt.Errorf("%w: it is not whole", ErrLinkSpent)
	errLinkOld      = fmt.Errorf("%w: it has expired", ErrLinkSpent)
	errLinkUsed     = fmt.Errorf("%w: it was used", ErrLinkSpent)
	errLinkReplaced = fmt.Errorf("%w: there is a newer one", ErrLinkSpent)
)

// linkSpent is the page of a link that does not work: what became of it, and what
// to do next. Any other error is returned.
func (x *SignIn) linkSpent(w http.ResponseWriter, r *http.Request, err error) error {
	var sso *elsewhere
	switch {
	case errors.As(err, &sso):
		return x.showElsewhere(w, r, sso)
	case !errors.Is(err, ErrLinkSpent):
		return err
	}
	s := site.From(r.Context())
	page := templates.LinkSpentPage{Frame: x.Web.Frame(r), SignInURL: s.Base() + "/account"}
	for _, known := range []struct {
		err error
		why string
	}{{errLinkCut, "cut"}, {errLinkOld, "expired"}, {errLinkUsed, store.LinkUsed}, {errLinkReplaced, store.LinkReplaced}} {
		if errors.Is(err, known.err) {
			page.Why = known.why
		}
	}
	if x.mails() {
		page.ForgotURL = s.Base() + "/forgot"
	}
	return x.Web.Render(w, r, http.StatusGone, page)
}

// findLink returns the live link with that secret and its agent, or ErrLinkSpent, of
// which elsewhere is one. Nothing but the secret says whose it is.
func (x *SignIn) findLink(tx store.Tx, s *site.Site, secret string) (store.PasswordLink, store.Agent, error) {
	if secret != "" && len(secret) != base64.RawURLEncoding.EncodedLen(32) {
		return store.PasswordLink{}, store.Agent{}, errLinkCut
	}
	hash := linkHash(secret)
	link, err := store.PasswordLinks.Find(tx, "hash", hash)
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
	switch why := link.Why(hash); {
	case agent.ID == "" || agent.Inactive || agent.Email != link.Email, link.Created.Before(s.Settings.NotBefore), why == store.LinkVoid:
		err = ErrLinkSpent
	case why == store.LinkUsed:
		err = errLinkUsed
	case why == store.LinkReplaced:
		err = errLinkReplaced
	case link.Created.Before(agent.PasswordChanged):
		err = ErrLinkSpent
	case !x.Now().Before(link.Expires):
		err = errLinkOld
	}
	if err == nil {
		err = x.passwordsOff(tx, s, &agent, link)
	}
	return link, agent, err
}

// Invite makes an invitation for an agent, in the caller's transaction, and mails
// it if mail is set up. Otherwise the caller hands the link over.
func (x *SignIn) Invite(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, by audit.Ref) (link string, mailed bool, err error) {
	mailed = x.mails()
	if link, err = x.newLink(tx, s, agent, true, mailed, ""); err != nil {
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
