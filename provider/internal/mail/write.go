package mail

import (
	"context"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Link sends the agent a link that sets a password: an invitation, or a reset.
func (m *Mail) Link(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, url string, invites bool, life time.Duration) error {
	until := m.now().UTC().Add(life)
	msg := message(agent, templates.ResetMail{URL: url, Until: until})
	if invites {
		msg.Page = templates.InvitationMail{URL: url, Until: until}
	}
	msg.Expires = until
	return m.Queue(ctx, tx, s, msg)
}

// Notice tells the agent what has happened to the account.
func (m *Mail) Notice(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string) error {
	return m.Tell(ctx, tx, s, agent, templates.NoticeMail{Kind: kind})
}

// Tell is Notice with more to say. The notice's URL is chosen by its kind if it
// has none.
func (m *Mail) Tell(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, n templates.NoticeMail) error {
	n.Kind = noticeKind(n.Kind)
	if n.URL == "" {
		n.URL = s.URL(noticePath(n.Kind))
	}
	return m.Queue(ctx, tx, s, message(agent, n))
}

// BreakGlass tells an administrator that a control was lifted, or holds again.
func (m *Mail) BreakGlass(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, kind string, b store.BreakGlass) error {
	return m.Tell(ctx, tx, s, agent, templates.NoticeMail{Kind: kind, Detail: b.Control, Until: b.Until})
}

func message(agent store.Agent, page templates.MailPage) Message {
	return Message{To: agent.Email, Name: agent.Name, Locale: agent.Locale, AgentID: agent.ID, Page: page}
}

// noticeKind gives the many ways to come to a new password one name.
func noticeKind(kind string) string {
	if strings.HasPrefix(kind, "password_") && kind != templates.NoticePasswordReset {
		return templates.NoticePasswordChanged
	}
	return kind
}

// noticePath is where the reader goes who has not done it: to a new password
// where the old one may be known to somebody, else to the account.
func noticePath(kind string) string {
	switch kind {
	case templates.NoticePasswordChanged, templates.NoticePasswordReset, templates.NoticeLocked, templates.NoticeTooManyCodes:
		return "/forgot"
	case templates.NoticeSSOOnly:
		return "/"
	}
	return "/account"
}
