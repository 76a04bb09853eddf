package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// onSite is the site that a command is about.
type onSite struct {
	Site string `help:"The site's path; empty is the root site." placeholder:"PATH"`
	JSON bool   `name:"json" help:"Answer as JSON."`
}

type agentCommands struct {
	Settings     settingsFlags   `embed:""`
	On           onSite          `embed:""`
	List         agentList       `cmd:"" help:"List agents."`
	Show         agentShow       `cmd:"" help:"Show one agent."`
	Add          agentAdd        `cmd:"" help:"Add an agent; the password is read from standard input, or they are invited to choose one."`
	Invite       agentInvite     `cmd:"" help:"Invite an agent to choose a password: by mail, or by a link that is printed."`
	Unlock       agentUnlock     `cmd:"" help:"Let an agent try again who is locked after failed sign-ins."`
	ResetFactors agentReset      `cmd:"" help:"Take away second factors that were lost; ends the agent's sessions."`
	Deactivate   agentDeactivate `cmd:"" help:"Keep an agent out and end their sessions."`
	Activate     agentActivate   `cmd:"" help:"Let an agent in again."`
	Delete       agentDelete     `cmd:"" help:"Remove an agent and what is theirs for good; deactivate keeps the record."`
	SetRoles     agentSetRoles   `cmd:"" help:"Give an agent these roles and no others."`
	SetPassword  agentPassword   `cmd:"" help:"Set a password, read from standard input; ends the agent's sessions."`
	Sessions     agentSessions   `cmd:"" help:"List an agent's sessions."`
	Unlink       agentUnlink     `cmd:"" help:"Part an agent from who they are at a connection; ends the sessions from there."`
	EndSessions  agentEnd        `cmd:"" help:"End an agent's sessions, or one, and revoke their tokens."`
	SetUpLink    agentSetUp      `cmd:"" help:"Make a new one-time link to create the first administrator."`
}

type agentInfo struct {
	ID          string   `json:"id"`
	Email       string   `json:"email"`
	Name        string   `json:"name"`
	Roles       []string `json:"roles"`
	Departments []string `json:"departments"`
	Active      bool     `json:"active"`
	HasPassword bool     `json:"has_password"`
	Sessions    int      `json:"sessions"`
	Created     string   `json:"created"`

	TOTP        int        `json:"totp"`
	Passkeys    int        `json:"passkeys"`
	Codes       int        `json:"recovery_codes"`
	LockedUntil *time.Time `json:"locked_until,omitempty"`
	InvitedTill *time.Time `json:"invited_until,omitempty"`
}

type agentList struct {
	Role string `help:"Only agents with this role." placeholder:"KEY"`
}

// pageSize is how many records a list asks for at once.
const pageSize = 500

// Run lists agents, page by page.
func (c *agentList) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	cfg, err := of.Settings.load(t)
	if err != nil {
		return err
	}
	return withControl(ctx, t, cfg, false, func(ctl *control) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		if !of.On.JSON {
			_, _ = fmt.Fprintln(w, "EMAIL\tNAME\tROLES\tDEPARTMENTS\tSTATE")
		}
		for after := ""; ; {
			var page struct {
				Agents []agentInfo `json:"agents"`
				Next   string      `json:"next"`
			}
			in := map[string]any{"site": of.On.Site, "role": c.Role, "after": after, "limit": pageSize}
			if err := ctl.do(ctx, request{op: "agents/list", in: in, out: &page}); err != nil {
				return err
			}
			for _, a := range page.Agents {
				if of.On.JSON {
					if err := printJSON(t, a); err != nil {
						return err
					}
					continue
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", a.Email, dash(a.Name), dash(strings.Join(a.Roles, ",")), dash(strings.Join(a.Departments, ",")), activeWord(a.Active))
			}
			if after = page.Next; after == "" {
				return w.Flush()
			}
		}
	})
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func activeWord(active bool) string {
	if active {
		return "active"
	}
	return "inactive"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func printJSON(t *terminal, v any) error {
	raw, err := json.Marshal(v)
	if err == nil {
		t.say("%s", raw)
	}
	return err
}

type agentShow struct {
	Email string `arg:"" help:"The agent's e-mail address."`
}

// Run shows an agent.
func (c *agentShow) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var a agentInfo
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/show", in: c.in(of), out: &a}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, a)
	}
	for _, row := range [][2]string{
		{"email", a.Email}, {"id", a.ID}, {"name", dash(a.Name)}, {"roles", dash(strings.Join(a.Roles, ", "))}, {"departments", dash(strings.Join(a.Departments, ", "))},
		{"state", a.state()}, {"password", a.passwordWords()}, {"factors", factorWords(a.TOTP, a.Passkeys, a.Codes)}, {"sessions", fmt.Sprint(a.Sessions)}, {"created", a.Created},
	} {
		t.say("%-12s %s", row[0], row[1])
	}
	return nil
}

func (c *agentShow) in(of *agentCommands) map[string]any {
	return map[string]any{"site": of.On.Site, "email": c.Email}
}

type agentAdd struct {
	Email        string   `arg:"" help:"The agent's e-mail address."`
	Name         string   `help:"The agent's name." placeholder:"TEXT"`
	Role         []string `help:"Role to give (again for more)." default:"agents" placeholder:"KEY"`
	Department   []string `help:"Department to join (again for more)." placeholder:"KEY"`
	Passwordless bool     `name:"no-password" aliases:"invite" help:"Ask for no password: invite the agent to choose one."`
}

// Run adds an agent.
func (c *agentAdd) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	in := map[string]any{"site": of.On.Site, "email": c.Email, "name": c.Name, "roles": c.Role, "departments": c.Department}
	if !c.Passwordless {
		password, err := readSecret(t, "Password for "+c.Email)
		if err != nil {
			return err
		}
		in["password"] = password
	}
	return operateApplied(ctx, t, of.Settings, request{op: "agents/add", in: in})
}

// operateApplied does an operation that says what changed.
func operateApplied(ctx context.Context, t *terminal, flags settingsFlags, r request) error {
	var out applied
	r.out = &out
	if err := operate(ctx, t, flags, false, r); err != nil {
		return err
	}
	out.print(t)
	return nil
}

type agentDeactivate struct{ agentShow }

// Run deactivates an agent.
func (c *agentDeactivate) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "agents/deactivate", in: c.in(of)})
}

type agentDelete struct{ agentShow }

// Run removes an agent.
func (c *agentDelete) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "agents/delete", in: c.in(of)})
}

type agentActivate struct{ agentShow }

// Run activates an agent.
func (c *agentActivate) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "agents/activate", in: c.in(of)})
}

type agentSetRoles struct {
	agentShow
	Roles []string `arg:"" optional:"" help:"Role keys; none takes all roles away."`
}

// Run sets an agent's roles.
func (c *agentSetRoles) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	in := c.in(of)
	in["roles"] = append([]string{}, c.Roles...)
	return operateApplied(ctx, t, of.Settings, request{op: "agents/set-roles", in: in})
}

type agentPassword struct{ agentShow }

// Run sets an agent's password.
func (c *agentPassword) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	password, err := readSecret(t, "New password for "+c.Email)
	if err != nil {
		return err
	}
	in := c.in(of)
	in["password"] = password
	var out struct {
		Ended   int    `json:"ended"`
		Warning string `json:"warning"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/set-password", in: in, out: &out}); err != nil {
		return err
	}
	t.say("the password of %s was set; %s", c.Email, endedWords(out.Ended))
	if out.Warning != "" {
		t.note("warning: %s", out.Warning)
	}
	return nil
}

func endedWords(n int) string {
	if n == 1 {
		return "1 session ended"
	}
	return fmt.Sprintf("%d sessions ended", n)
}

type agentSetUp struct{}

// Run prints a link for the first administrator.
func (c *agentSetUp) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		URL string `json:"url"`
	}
	if err := operate(ctx, t, of.Settings, true, request{op: "set-up-link", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	if out.URL == "" {
		return usagef("the site has an administrator already: chatelaine agent add")
	}
	t.say("%s", out.URL)
	return nil
}
