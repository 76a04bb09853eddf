package federation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Whose account a subject is. A link says so, and nothing else: an address serves
// once, to make the link, and only where the connection may speak for its domain.
// An administrator is never linked here, nor made.

// account is the agent of the identity: linked, found by a proven address, or
// made. It brings their roles and name up to date.
func (x *Federation) account(ctx context.Context, tx store.Tx, at *attempt, id *identity) (*store.Agent, error) {
	link, err := store.Links.Get(tx, store.LinkKey(at.conn.ID, id.Subject))
	if err := at.stillTheirs(id); err != nil {
		return nil, err
	}
	switch {
	case err == nil:
		return x.linkedAccount(ctx, tx, at, id, &link)
	case !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("find the link: %w", err)
	}
	email, err := at.provenEmail(id)
	if err == nil {
		err = x.notElsewhere(at, email)
	}
	if err != nil {
		return nil, err
	}
	agent, err := store.Agents.Find(tx, "email", email)
	switch {
	case err == nil:
		at.agent = agent.ID
		return x.linkByEmail(ctx, tx, at, id, &agent, email)
	case !errors.Is(err, store.ErrNotFound):
		return nil, fmt.Errorf("find the agent: %w", err)
	}
	return x.makeAccount(ctx, tx, at, id, email)
}

func (x *Federation) linkedAccount(ctx context.Context, tx store.Tx, at *attempt, id *identity, link *store.Link) (*store.Agent, error) {
	agent, err := store.Agents.Get(tx, link.AgentID)
	if errors.Is(err, store.ErrNotFound) {
		return nil, refuse(codeNoUser, "the linked account was deleted")
	}
	if err != nil {
		return nil, fmt.Errorf("load the linked agent: %w", err)
	}
	at.agent = agent.ID
	if agent.Inactive {
		return nil, refuse(codeInactive, "the linked account is inactive")
	}
	if err := x.notElsewhere(at, agent.Email); err != nil {
		return nil, err
	}
	if err := x.stillCounts(at, id, &agent); err != nil {
		return nil, err
	}
	if slices.Contains(agent.Roles, policy.Administrators) && !link.Rehearsed {
		return nil, refuse(codeAdministrator, "the account became an administrator's after an address had linked it: a rehearsal links it anew")
	}
	link.Used = x.Now().UTC()
	if email, err := web.CanonicalEmail(id.Profile.Email); err == nil {
		link.Email = email
	}
	if err := store.Links.Put(tx, link); err != nil {
		return nil, err
	}
	return x.refresh(ctx, tx, at, id, agent)
}

// notElsewhere refuses whom another connection signs in alone: nothing of theirs is
// this one's to change. A rehearsal may still link them, or nothing could ever be
// enforced in that one's place.
func (x *Federation) notElsewhere(at *attempt, email string) error {
	c := at.site.Enforcing(email, x.Now())
	if c == nil || c.ID == at.conn.ID {
		return nil
	}
	at.check("email_domain", false, "one that no other connection is enforced for", "enforced for "+c.ID)
	return refuse(codeElsewhere, "addresses of that domain sign in through connection %s alone", c.ID)
}

// stillCounts refuses a word from before the agent's sessions were ended.
func (x *Federation) stillCounts(at *attempt, id *identity, agent *store.Agent) error {
	if id.proven(x.Now().UTC(), at.skew()).Before(agent.NotBefore) {
		return refuse(codeExpired, "the account's sessions were ended since the provider said so")
	}
	return nil
}

// byAddress begins the subject of a person of whom a login page says no more than an
// address.
const byAddress = "email:"

// stillTheirs holds such an address to what would link it, each time: there is nothing
// else that says who comes.
func (at *attempt) stillTheirs(id *identity) error {
	if !strings.HasPrefix(id.Subject, byAddress) || at.conn.Kind != store.ConnectionJWT {
		return nil
	}
	_, err := at.provenEmail(id)
	return err
}

// linkByEmail makes the link that was not there. Whatever was put into the account
// before its address was ever proven goes: somebody else may have put it there.
func (x *Federation) linkByEmail(ctx context.Context, tx store.Tx, at *attempt, id *identity, agent *store.Agent, email string) (*store.Agent, error) {
	switch {
	case agent.Inactive:
		return nil, refuse(codeInactive, "the account with that address is inactive")
	case slices.Contains(agent.Roles, policy.Administrators):
		return nil, refuse(codeAdministrator, "an administrator links their own account, by a rehearsal")
	}
	if err := x.stillCounts(at, id, agent); err != nil {
		return nil, err
	}
	if err := notLinkedYet(tx, at.conn.ID, agent.ID); err != nil {
		return nil, err
	}
	if !agent.EmailVerified {
		if err := x.dropCredentials(ctx, tx, at, agent); err != nil {
			return nil, err
		}
		agent.EmailVerified = true
	}
	if err := x.link(ctx, tx, at, id, agent, email, false); err != nil {
		return nil, err
	}
	return x.refresh(ctx, tx, at, id, *agent)
}

// notLinkedYet refuses a second subject of the same connection for one account: a
// person who was made anew there, or another who was given the address.
func notLinkedYet(tx store.Tx, connection, agentID string) error {
	for link, err := range store.Links.List(tx, "agent", agentID) {
		if err != nil {
			return fmt.Errorf("list the agent's links: %w", err)
		}
		if link.Connection == connection {
			return refuse(codeLinked, "the account is linked to another subject of this connection: unlink it first if this is the same person")
		}
	}
	return nil
}

// link writes the link, its record and its notice.
func (x *Federation) link(ctx context.Context, tx store.Tx, at *attempt, id *identity, agent *store.Agent, email string, rehearsed bool) error {
	now := x.Now().UTC()
	err := store.Links.Create(tx, &store.Link{Connection: at.conn.ID, Subject: id.Subject, AgentID: agent.ID, Email: email, Rehearsed: rehearsed, Created: now, Used: now})
	if err != nil {
		return fmt.Errorf("link the account: %w", err)
	}
	ref := audit.Ref{Type: policy.Agent, ID: agent.ID}
	err = x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.AgentLink, Actor: ref, Object: ref, Result: audit.Success, Changes: []audit.Change{{Field: "connection", New: at.conn.ID}},
	})
	if err != nil || x.Tell == nil {
		return err
	}
	return x.Tell(ctx, tx, at.site, *agent, templates.NoticeMail{Kind: templates.NoticeLinked, Detail: at.conn.Name})
}

// dropCredentials takes away what somebody may have put into an account whose
// address was never proven: password, second factors, remembered browsers, links,
// sessions, grants, and what they allowed applications.
func (x *Federation) dropCredentials(ctx context.Context, tx store.Tx, at *attempt, agent *store.Agent) error {
	connection := connectionRef(at.conn)
	if _, err := x.Sessions.EndAll(ctx, tx, at.site, agent.ID, "linked", connection); err != nil {
		return err
	}
	if err := dropLinks(tx, agent.ID); err != nil {
		return err
	}
	if err := x.dropConsents(ctx, tx, agent.ID, connection); err != nil {
		return err
	}
	now, err := store.Agents.Get(tx, agent.ID)
	if err != nil {
		return err
	}
	*agent = now
	agent.PasswordHash, agent.PasswordHistory, agent.MustChangePassword = "", nil, false
	if _, err := x.Factors.Reset(ctx, tx, at.site, agent.ID, connection); err != nil {
		return err
	}
	return store.PasswordLinks.Delete(tx, agent.ID)
}

func dropLinks(tx store.Tx, agentID string) error {
	var keys []string
	for link, err := range store.Links.List(tx, "agent", agentID) {
		if err != nil {
			return fmt.Errorf("list the agent's links: %w", err)
		}
		keys = append(keys, store.LinkKey(link.Connection, link.Subject))
	}
	for _, key := range keys {
		if err := store.Links.Delete(tx, key); err != nil {
			return err
		}
	}
	return nil
}

// dropConsents takes back what applications were allowed in the agent's name: they
// would get new tokens without a question.
func (x *Federation) dropConsents(ctx context.Context, tx store.Tx, agentID string, by audit.Ref) error {
	var given []store.Consent
	for c, err := range store.Consents.List(tx, "agent", agentID) {
		if err != nil {
			return fmt.Errorf("list the agent's consents: %w", err)
		}
		given = append(given, c)
	}
	for _, c := range given {
		if err := store.Consents.Delete(tx, store.ConsentKey(c.AgentID, c.ClientID)); err != nil {
			return err
		}
		err := x.Audit.Record(ctx, tx, audit.Event{
			Action: audit.ConsentRevoke, Actor: by, Object: audit.Ref{Type: "client", ID: c.ClientID},
			Changes: []audit.Change{{Field: "agent", New: agentID}, {Field: "scope", Old: strings.Join(c.Scopes, " ")}},
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// makeAccount makes the agent at their first sign-in, where the connection may.
func (x *Federation) makeAccount(ctx context.Context, tx store.Tx, at *attempt, id *identity, email string) (*store.Agent, error) {
	if !at.conn.Create {
		return nil, refuse(codeNoUser, "nobody has the address, and the connection makes no accounts")
	}
	now := x.Now().UTC()
	newID, err := uuid.NewV7()
	if err != nil {
		return nil, err
	}
	agent := store.Agent{ID: newID.String(), Email: email, EmailVerified: true, Created: now, Updated: now}
	at.describe(id, &agent)
	agent.Roles = grantable(id.Profile.Roles)
	if len(agent.Roles) == 0 {
		agent.Roles = []string{policy.Agents}
	}
	agent.Departments = id.Profile.Departments
	at.knownHere(&agent)
	if err := store.Agents.Create(tx, &agent); err != nil {
		return nil, fmt.Errorf("make the agent: %w", err)
	}
	at.agent = agent.ID
	err = x.Audit.Record(ctx, tx, audit.Event{
		Action: audit.AgentCreate, Actor: connectionRef(at.conn), Object: audit.Ref{Type: policy.Agent, ID: agent.ID}, Result: audit.Success,
		Personal: map[string]string{"email": email},
		Changes:  []audit.Change{{Field: "roles", New: strings.Join(agent.Roles, " ")}, {Field: "departments", New: strings.Join(agent.Departments, " ")}},
	})
	if err != nil {
		return nil, err
	}
	return &agent, x.link(ctx, tx, at, id, &agent, email, false)
}

// provenEmail is the address that the identity may be known by: one of a domain
// that the site has proven and the connection names, and that the provider has
// verified.
func (at *attempt) provenEmail(id *identity) (string, error) {
	said := id.Profile.Email
	if said == "" {
		at.check("email", false, "an address", "none")
		return "", refuse(codeEmailMissing, "the provider names no address, and the subject is not linked")
	}
	email, err := web.CanonicalEmail(said)
	if err != nil {
		at.check("email", false, "an address", said)
		return "", refuse(codeEmailMissing, "what the provider calls an address is none")
	}
	_, domain, _ := strings.Cut(email, "@")
	proven := at.conn.Proves(domain, at.site.Proven)
	at.check("email_domain", proven, "a domain of the connection that the site has proven", domain)
	if !proven {
		return "", refuse(codeEmailUnproven, "the connection may not speak for addresses of %s: name the domain in its `domains` and in the site's", domain)
	}
	if at.conn.Kind == store.ConnectionOIDC || id.Profile.EmailVerified != nil {
		verified := id.Profile.EmailVerified != nil && *id.Profile.EmailVerified ||
			id.Profile.EmailVerified == nil && at.conn.OIDC != nil && at.conn.OIDC.AssumeVerified
		at.check("email_verified", verified, "true", verifiedWord(id.Profile.EmailVerified))
		if !verified {
			return "", refuse(codeEmailUnproven, "the provider does not say that it has verified the address")
		}
	}
	return email, nil
}

func verifiedWord(v *bool) string {
	if v == nil {
		return "not said"
	}
	return fmt.Sprint(*v)
}
