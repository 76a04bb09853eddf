package account

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// myLinks are the customer's own logins that say who the agent is, by name. An
// agent is linked to a connection once, so that its id names the link.
func (x *Account) myLinks(tx store.Tx, v *visit) (lines []templates.AccountLink, err error) {
	for link, err := range store.Links.List(tx, "agent", v.Agent.ID) {
		if err != nil {
			return nil, fmt.Errorf("list links: %w", err)
		}
		line := templates.AccountLink{
			ID: link.Connection, ConnectionName: link.Connection, Email: link.Email, Used: link.Used,
			RemoveURL: v.site.Base() + pathUnlink + "?" + url.Values{"id": {link.Connection}}.Encode(),
		}
		if c := v.site.Connection(link.Connection); c != nil {
			line.ConnectionName = c.Name
		}
		lines = append(lines, line)
	}
	for i := range lines {
		if stays(v, lines[i].ID, len(lines)) {
			lines[i].RemoveURL = ""
		}
	}
	arrange.By(lines, func(a, b templates.AccountLink) int {
		return strings.Compare(a.ConnectionName+"\x00"+a.ID, b.ConnectionName+"\x00"+b.ID)
	})
	return lines, nil
}

// stays reports whether the link, one of n, is the last way in, or the one that the
// site demands.
func stays(v *visit, id string, n int) bool {
	enforced := v.site.Enforcing(v.Agent.Email, v.now)
	return enforced != nil && enforced.ID == id || v.Agent.PasswordHash == "" && v.held.Passkeys == 0 && n == 1
}

func (x *Account) myLink(tx store.Tx, v *visit, connection string) (found store.Link, err error) {
	for link, err := range store.Links.List(tx, "agent", v.Agent.ID) {
		if err != nil {
			return found, fmt.Errorf("list links: %w", err)
		}
		if link.Connection == connection {
			found = link
		}
	}
	if found.AgentID == "" {
		return found, web.ErrNotFound
	}
	return found, nil
}

// askUnlink refuses to take a link that stays.
func (x *Account) askUnlink(tx store.Tx, _ *http.Request, v *visit, id string) (templates.ConfirmPage, error) {
	if _, err := x.myLink(tx, v, id); err != nil {
		return templates.ConfirmPage{}, err
	}
	lines, err := x.myLinks(tx, v)
	if err != nil {
		return templates.ConfirmPage{}, err
	}
	if stays(v, id, len(lines)) {
		return templates.ConfirmPage{}, &refusal{"last_way_in"}
	}
	page := templates.ConfirmPage{Kind: "unlink"}
	for _, line := range lines {
		if line.ID == id {
			page.Name = line.ConnectionName
		}
	}
	return page, nil
}

// unlink removes the link and ends the agent's other sessions from there, and what
// outlives such a session.
func (x *Account) unlink(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, id string) (finish, error) {
	link, err := x.myLink(tx, v, id)
	if err != nil {
		return nil, err
	}
	if err := store.Links.Delete(tx, store.LinkKey(link.Connection, link.Subject)); err != nil {
		return nil, fmt.Errorf("remove a link: %w", err)
	}
	all, err := x.Sessions.List(tx, v.site, v.Agent.ID)
	if err != nil {
		return nil, err
	}
	for _, rec := range all {
		if rec.Connection != id || rec.Hash == v.Session.Hash {
			continue
		}
		if err := x.Sessions.End(ctx, tx, v.site, rec, "unlinked", v.me()); err != nil {
			return nil, err
		}
	}
	if err := x.Sessions.RevokeUnlinked(ctx, tx, v.site, v.Agent.ID, id, v.Session.SID, "unlinked", v.me()); err != nil {
		return nil, err
	}
	err = x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.AgentUnlink, Actor: v.me(), Object: v.me(), Changes: []audit.Change{{Field: "connection", Old: id}},
	})
	if err != nil {
		return nil, err
	}
	return x.finished(pathAccount, "unlinked"), x.tell(ctx, tx, v, templates.NoticeUnlinked)
}
