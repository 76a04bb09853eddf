package signin

import (
	"context"
	"net/http"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Mail puts mails into the outbox, in the caller's transaction.
type Mail interface {
	// Configured reports whether any can be sent.
	Configured() bool
	// Allow counts a mail of that kind to the address, and says whether there may be
	// one more.
	Allow(tx store.Tx, kind, address string, now time.Time) (bool, error)
	// Link sends a link that sets a password: an invitation, or a reset.
	Link(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, url string, invites bool, life time.Duration) error
	// Notice tells the agent what has happened to the account.
	Notice(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string) error
}

func (x *SignIn) mails() bool { return x.Mail != nil && x.Mail.Configured() }

// notice tells the agent by mail what has happened, if mail is set up.
func (x *SignIn) notice(tx store.Tx, r *http.Request, s *site.Site, agent store.Agent, kind string) error {
	if !x.mails() {
		return nil
	}
	return x.Mail.Notice(r.Context(), tx, s, agent, kind)
}

// seldom is notice for what strangers can bring about as often as they like: the
// agent is told some times an hour.
func (x *SignIn) seldom(tx store.Tx, r *http.Request, s *site.Site, agent store.Agent, kind string) error {
	if !x.mails() {
		return nil
	}
	allowed, err := x.Mail.Allow(tx, kind, agent.Email, x.Now())
	if err != nil || !allowed {
		return err
	}
	return x.notice(tx, r, s, agent, kind)
}
