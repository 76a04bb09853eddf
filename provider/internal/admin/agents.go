package admin

import (
	"context"
	"errors"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// agentInfo is an agent as operators see one: no hash, no seed.
type agentInfo struct {
	ID          string    `json:"id"`
	Email       string    `json:"email"`
	Name        string    `json:"name,omitempty"`
	Roles       []string  `json:"roles"`
	Departments []string  `json:"departments"`
	Active      bool      `json:"active"`
	HasPassword bool      `json:"has_password"`
	Sessions    int       `json:"sessions"`
	Created     time.Time `json:"created"`

	// Only of one agent, not in lists.
	TOTP         int       `json:"totp,omitempty"`
	Passkeys     int       `json:"passkeys,omitempty"`
	Codes        int       `json:"recovery_codes,omitempty"`
	LockedUntil  time.Time `json:"locked_until,omitzero"`
	InvitedUntil time.Time `json:"invited_until,omitzero"`
}

func infoOf(a *store.Agent) agentInfo {
	return agentInfo{
		ID: a.ID, Email: a.Email, Name: a.Name, Roles: a.Roles, Departments: a.Departments, Active: !a.Inactive,
		HasPassword: a.PasswordHash != "", Created: a.Created,
	}
}

type listAgentsInput struct {
	Site  string `json:"site"`
	Role  string `json:"role"`
	After string `json:"after"` // the id that the last page ended with
	Limit int    `json:"limit"`
}

type agentPage struct {
	Agents []agentInfo `json:"agents"`
	Next   string      `json:"next,omitempty"`
}

// maxPage bounds one page of a list, so that a read transaction stays short.
const maxPage = 1000

func (a *Admin) listAgents(ctx context.Context, in listAgentsInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	if in.Limit < 1 || in.Limit > maxPage {
		return nil, usage("limit is 1 to %d", maxPage)
	}
	page := agentPage{}
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		page = agentPage{Agents: []agentInfo{}}
		list := store.Agents.All(tx, in.After)
		if in.Role != "" {
			list = store.Agents.List(tx, "role", in.Role)
		}
		for rec, err := range list {
			if err != nil {
				return err
			}
			if in.Role != "" && rec.ID <= in.After {
				continue
			}
			if len(page.Agents) == in.Limit {
				page.Next = page.Agents[in.Limit-1].ID
				return nil
			}
			page.Agents = append(page.Agents, infoOf(&rec))
		}
		return nil
	})
	return page, err
}

type agentInput struct {
	Site  string `json:"site"`
	Email string `json:"email"`
}

// findAgent finds an agent by what somebody typed.
func findAgent(tx store.Tx, typed string) (store.Agent, error) {
	email, err := web.CanonicalEmail(typed)
	if err != nil {
		return store.Agent{}, usage("%q is not an e-mail address", typed)
	}
	rec, err := store.Agents.Find(tx, "email", email)
	if errors.Is(err, store.ErrNotFound) {
		return rec, notFound("agent", email)
	}
	return rec, err
}

func (a *Admin) showAgent(ctx context.Context, in agentInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var info agentInfo
	err = a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		rec, err := findAgent(tx, in.Email)
		if err != nil {
			return err
		}
		info = infoOf(&rec)
		return a.describe(tx, s, &rec, &info)
	})
	return info, err
}

// describe adds what is kept beside an agent.
func (a *Admin) describe(tx store.Tx, s *site.Site, rec *store.Agent, info *agentInfo) error {
	live, err := a.Sessions.List(tx, s, rec.ID)
	if err != nil {
		return err
	}
	held, err := a.Factors.Has(tx, rec.ID)
	if err != nil {
		return err
	}
	tries, err := a.failures(tx, rec)
	if err != nil {
		return err
	}
	info.Sessions, info.TOTP, info.Passkeys, info.Codes, info.LockedUntil = len(live), held.TOTP, held.Passkeys, held.Codes, tries.LockedUntil
	link, err := store.PasswordLinks.Get(tx, rec.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if link.Invites && link.Hash != "" && a.Now().Before(link.Expires) {
		info.InvitedUntil = link.Expires
	}
	return err
}

type addAgentInput struct {
	Site        string   `json:"site"`
	Email       string   `json:"email"`
	Name        string   `json:"name"`
	Roles       []string `json:"roles"`
	Departments []string `json:"departments"`
	Password    string   `json:"password"`
}

// addAgent and its kin are small site files, so that one path holds the rules.
func (a *Admin) addAgent(ctx context.Context, in addAgentInput, c *call) (any, error) {
	agent := fileAgent{Email: in.Email, Roles: orEmpty(in.Roles), Departments: orEmpty(in.Departments)}
	if in.Name != "" {
		agent.Name = &in.Name
	}
	if in.Password != "" {
		agent.Password.set(in.Password)
	}
	return a.applyAgent(ctx, in.Site, agent, mustNotExist, c)
}

func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

func (a *Admin) applyAgent(ctx context.Context, path string, agent fileAgent, must existence, c *call) (any, error) {
	return a.applyOne(ctx, fileSite{Path: &path, Agents: []fileAgent{agent}}, must, c)
}

func (a *Admin) applyOne(ctx context.Context, s fileSite, must existence, c *call) (*Applied, error) {
	if _, err := a.site(ctx, deref(s.Path)); err != nil {
		return nil, err
	}
	out, err := a.apply(ctx, &siteFile{Sites: []fileSite{s}}, nil, how{must: must}, c)
	var file *FileError
	if errors.As(err, &file) { // there is no file: its faults are the operator's
		return nil, usage("%s", joinFaults(file.Faults))
	}
	return out, err
}

func joinFaults(faults []Fault) string {
	text := ""
	for i, f := range faults {
		if i > 0 {
			text += "; "
		}
		text += f.Message
	}
	return text
}

func (a *Admin) activateAgent(ctx context.Context, in agentInput, c *call) (any, error) {
	yes := true
	return a.applyAgent(ctx, in.Site, fileAgent{Email: in.Email, Active: &yes}, mustExist, c)
}

func (a *Admin) deactivateAgent(ctx context.Context, in agentInput, c *call) (any, error) {
	no := false
	return a.applyAgent(ctx, in.Site, fileAgent{Email: in.Email, Active: &no}, mustExist, c)
}

type setRolesInput struct {
	Site  string   `json:"site"`
	Email string   `json:"email"`
	Roles []string `json:"roles"`
}

func (a *Admin) setRoles(ctx context.Context, in setRolesInput, c *call) (any, error) {
	return a.applyAgent(ctx, in.Site, fileAgent{Email: in.Email, Roles: orEmpty(in.Roles)}, mustExist, c)
}

// setUpLink answers with an empty URL if the site has an administrator.
func (a *Admin) setUpLink(ctx context.Context, in siteInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	link, err := a.SetUpLink(ctx, in.Site)
	return map[string]string{"url": link}, err
}
