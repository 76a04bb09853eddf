package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// traceConnection opens what was checked in the last attempts, the newest last.
func (a *Admin) traceConnection(ctx context.Context, in connectionInput, _ *call) (any, error) {
	if err := a.hasConnection(ctx, in); err != nil {
		return nil, err
	}
	var out struct {
		Attempts []store.TraceRecord `json:"attempts"`
	}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		var list []store.Trace
		for rec, err := range store.Traces.List(tx, "connection", in.ID) {
			if err != nil {
				return err
			}
			if a.Now().Before(rec.Expires) {
				list = append(list, rec)
			}
		}
		arrange.By(list, func(a, b store.Trace) int { return strings.Compare(a.ID, b.ID) })
		out.Attempts = []store.TraceRecord{}
		for _, rec := range list {
			plain, err := a.Sealer.Open(in.Site, store.Traces.Kind, rec.ID, rec.Sealed)
			if err != nil {
				return fmt.Errorf("open a trace: %w", err)
			}
			var attempt store.TraceRecord
			if err := json.Unmarshal(plain, &attempt); err != nil {
				return fmt.Errorf("read a trace: %w", err)
			}
			out.Attempts = append(out.Attempts, attempt)
		}
		return nil
	})
	return out, err
}

type listLinksInput struct {
	Site  string `json:"site"`
	ID    string `json:"connection"`
	After string `json:"after"` // the subject that the last page ended with
	Limit int    `json:"limit"`
}

type linkInfo struct {
	Subject string    `json:"subject"`
	AgentID string    `json:"agent"`
	Email   string    `json:"email,omitempty"`          // ours
	Theirs  string    `json:"provider_email,omitempty"` // as the provider said it last
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
}

func (a *Admin) listLinks(ctx context.Context, in listLinksInput, _ *call) (any, error) {
	if err := a.hasConnection(ctx, connectionInput{in.Site, in.ID}); err != nil {
		return nil, err
	}
	if in.Limit < 1 || in.Limit > maxPage {
		return nil, usage("limit is 1 to %d", maxPage)
	}
	var out struct {
		Links []linkInfo `json:"links"`
		Next  string     `json:"next,omitempty"`
	}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		out.Links, out.Next = []linkInfo{}, ""
		for rec, err := range store.Links.List(tx, "connection", in.ID) {
			if err != nil {
				return err
			}
			if in.After != "" && rec.Subject <= in.After {
				continue
			}
			if len(out.Links) == in.Limit {
				out.Next = out.Links[in.Limit-1].Subject
				return nil
			}
			agent, err := store.Agents.Get(tx, rec.AgentID)
			if err != nil && !isNotFound(err) {
				return err
			}
			out.Links = append(out.Links, linkInfo{rec.Subject, rec.AgentID, agent.Email, rec.Email, rec.Created, rec.Used})
		}
		return nil
	})
	return out, err
}

type unlinkInput struct {
	Site       string `json:"site"`
	Email      string `json:"email"`
	Connection string `json:"connection"`
	Last       bool   `json:"last"` // also the last administrator of a connection that is enforced
}

// lastLinked reports whether no other administrator gets in: by a rehearsed link to the
// connection, or because it is not enforced for their address.
func lastLinked(tx store.Tx, s *site.Site, c *store.Connection, agentID string) (bool, error) {
	for other, err := range store.Agents.List(tx, "role", policy.Administrators) {
		if err != nil {
			return false, err
		}
		if other.ID == agentID || other.Inactive {
			continue
		}
		if _, domain, _ := strings.Cut(other.Email, "@"); !c.Enforces(domain, s.Proven) {
			return false, nil
		}
		if linked, err := rehearsedBy(tx, other.ID, c.ID); linked || err != nil {
			return false, err
		}
	}
	return true, nil
}

// unlinkAgent parts an agent from who they are at a connection, and ends what began
// there.
func (a *Admin) unlinkAgent(ctx context.Context, in unlinkInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out struct {
		ended
		Subjects []string `json:"subjects"`
		// NoWayIn says that the agent has neither a password nor a passkey nor another
		// link.
		NoWayIn bool `json:"no_way_in,omitempty"`
		// Enforced is the connection by which alone an administrator who was unlinked from
		// it could sign in: what is left to them is break-glass.
		Enforced string `json:"enforced,omitempty"`
	}
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		agent, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		gone, left, err := linksOf(tx, agent.ID, in.Connection)
		if err != nil {
			return err
		}
		if len(gone) == 0 {
			return notFound("link", fmt.Sprintf("of %s to connection %s", agent.Email, in.Connection))
		}
		out.Subjects = nil
		for _, link := range gone {
			out.Subjects = append(out.Subjects, link.Subject)
			if err := store.Links.Delete(tx, store.LinkKey(link.Connection, link.Subject)); err != nil {
				return fmt.Errorf("remove a link: %w", err)
			}
		}
		held, err := a.Factors.Has(tx, agent.ID)
		if err != nil {
			return err
		}
		if c := s.Enforcing(agent.Email, a.Now()); c != nil && c.ID == in.Connection && slices.Contains(agent.Roles, policy.Administrators) {
			out.Enforced = c.ID
			last, err := lastLinked(tx, s, c, agent.ID)
			if err != nil {
				return err
			}
			if last && !in.Last {
				return usage("%s is the last administrator who can sign in through %s, which is enforced: afterwards only break-glass lets one in. If that is meant, say --last", agent.Email, c.ID)
			}
		}
		out.NoWayIn = agent.PasswordHash == "" && held.Passkeys == 0 && left == 0
		if out.Ended, err = a.endUnlinked(ctx, tx, s, agent.ID, in.Connection); err != nil {
			return err
		}
		err = a.Audit.Record(ctx, tx, audit.Event{
			Action: audit.AgentUnlink, Actor: operator(ctx), Object: audit.Ref{Type: "agent", ID: agent.ID}, Result: audit.Success,
			Changes: []audit.Change{{Field: "connection", Old: in.Connection}},
		})
		if err != nil {
			return err
		}
		return a.notify(ctx, tx, s, agent, templates.NoticeUnlinked)
	})
	return out, err
}

// linksOf are an agent's links to that connection, and how many others there are.
func linksOf(tx store.Tx, agentID, connection string) (there []store.Link, others int, err error) {
	for link, err := range store.Links.List(tx, "agent", agentID) {
		if err != nil {
			return nil, 0, fmt.Errorf("list links: %w", err)
		}
		if link.Connection == connection {
			there = append(there, link)
		} else {
			others++
		}
	}
	return there, others, nil
}

// endUnlinked ends the agent's sessions that began at the connection, what outlives
// such a session, and sign-ins from there that are half done.
func (a *Admin) endUnlinked(ctx context.Context, tx store.Tx, s *site.Site, agentID, connection string) (n int, err error) {
	live, err := a.Sessions.List(tx, s, agentID)
	if err != nil {
		return 0, err
	}
	for _, rec := range live {
		if rec.Connection != connection {
			continue
		}
		if err := a.Sessions.End(ctx, tx, s, rec, "unlinked", operator(ctx)); err != nil {
			return n, err
		}
		n++
	}
	if err := a.Sessions.RevokeUnlinked(ctx, tx, s, agentID, connection, "", "unlinked", operator(ctx)); err != nil {
		return n, err
	}
	var halfDone []string
	for rec, err := range store.SignIns.List(tx, "agent", agentID) {
		if err != nil {
			return n, err
		}
		if rec.Connection == connection {
			halfDone = append(halfDone, rec.ID)
		}
	}
	for _, id := range halfDone {
		if err := store.SignIns.Delete(tx, id); err != nil {
			return n, err
		}
	}
	return n, nil
}
