package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

type clientCommands struct {
	Settings     settingsFlags `embed:""`
	On           onSite        `embed:""`
	List         clientList    `cmd:"" help:"List clients."`
	Show         clientShow    `cmd:"" help:"Show one client."`
	Add          clientAdd     `cmd:"" help:"Add a client; its secret is made and shown once."`
	RotateSecret clientRotate  `cmd:"" help:"Make a new secret and show it once; the old one lives on for a while."`
	Disable      clientDisable `cmd:"" help:"Refuse a client and what it got."`
	Enable       clientEnable  `cmd:"" help:"Accept a client again."`
	Delete       clientDelete  `cmd:"" help:"Remove a client and revoke what it got."`
}

type clientInfo struct {
	ID           string   `json:"client_id"`
	Name         string   `json:"client_name"`
	Company      string   `json:"company"`
	AuthMethod   string   `json:"token_endpoint_auth_method"`
	GrantTypes   []string `json:"grant_types"`
	RedirectURIs []string `json:"redirect_uris"`
	Scope        string   `json:"scope"`
	FirstParty   bool     `json:"first_party"`
	Disabled     bool     `json:"disabled"`
	Secrets      []struct {
		Hint    string    `json:"hint"`
		Created time.Time `json:"created"`
		Expires time.Time `json:"expires"`
	} `json:"secrets"`
}

func (c clientInfo) state() string {
	if c.Disabled {
		return "disabled"
	}
	return "enabled"
}

type clientList struct{}

// Run lists clients.
func (*clientList) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	var out struct {
		Clients []clientInfo `json:"clients"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "clients/list", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !of.On.JSON {
		_, _ = fmt.Fprintln(w, "CLIENT\tNAME\tCOMPANY\tGRANTS\tSTATE")
	}
	for _, c := range out.Clients {
		if of.On.JSON {
			if err := printJSON(t, c); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", c.ID, dash(c.Name), dash(c.Company), strings.Join(c.GrantTypes, ","), c.state())
	}
	return w.Flush()
}

type clientShow struct {
	ID string `arg:"" name:"client-id" help:"The client's client_id."`
}

func (c *clientShow) in(of *clientCommands) map[string]any {
	return map[string]any{"site": of.On.Site, "client_id": c.ID}
}

// Run shows a client.
func (c *clientShow) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	var out clientInfo
	if err := operate(ctx, t, of.Settings, false, request{op: "clients/show", in: c.in(of), out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	for _, row := range [][2]string{
		{"client_id", out.ID}, {"name", dash(out.Name)}, {"company", dash(out.Company)}, {"state", out.state()}, {"first party", yesNo(out.FirstParty)},
		{"grant types", strings.Join(out.GrantTypes, ", ")}, {"sign-in by", out.AuthMethod}, {"scope", dash(out.Scope)}, {"redirect to", dash(strings.Join(out.RedirectURIs, ", "))},
	} {
		t.say("%-12s %s", row[0], row[1])
	}
	for _, s := range out.Secrets {
		until := "until it is rotated"
		if !s.Expires.IsZero() {
			until = "until " + s.Expires.Format(time.RFC3339)
		}
		t.say("%-12s no. %s, made %s, %s", "secret", s.Hint, s.Created.Format(time.RFC3339), until)
	}
	return nil
}

type clientAdd struct {
	clientShow
	Name        string   `help:"Name that agents see." placeholder:"TEXT"`
	Company     string   `help:"Company behind it." placeholder:"TEXT"`
	RedirectURI []string `name:"redirect-uri" help:"Where the browser returns to (again for more)." placeholder:"URI"`
	LogoutURI   []string `name:"post-logout-redirect-uri" help:"Where it may return to after sign-out (again for more)." placeholder:"URI"`
	Grant       []string `help:"Grant type (again for more): authorization_code, refresh_token, client_credentials." default:"authorization_code" placeholder:"TYPE"`
	Scope       string   `help:"The most it may ask for, by spaces." default:"openid profile email" placeholder:"TEXT"`
	Public      bool     `help:"It cannot keep a secret: a browser or mobile app."`
	Native      bool     `help:"It runs on the agent's device: application_type native."`
	FirstParty  bool     `help:"It is yours: no consent page, and it may have the scope chat."`
	Resource    string   `help:"Default resource of its tokens." placeholder:"URI"`
}

type withSecret struct {
	applied
	Secret string `json:"client_secret"`
}

func (w withSecret) print(t *terminal) {
	w.applied.print(t)
	if w.Secret != "" {
		t.say("client_secret: %s", w.Secret)
		t.note("this secret is shown once")
	}
}

// Run adds a client.
func (c *clientAdd) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	in := c.in(of)
	for name, v := range map[string]any{
		"name": c.Name, "company": c.Company, "redirect_uris": c.RedirectURI, "post_logout_redirect_uris": c.LogoutURI, "grant_types": c.Grant,
		"scope": c.Scope, "public": c.Public, "native": c.Native, "first_party": c.FirstParty, "default_resource": c.Resource,
	} {
		in[name] = v
	}
	var out withSecret
	if err := operate(ctx, t, of.Settings, false, request{op: "clients/add", in: in, out: &out}); err != nil {
		return err
	}
	out.print(t)
	return nil
}

type clientRotate struct {
	clientShow
	Overlap time.Duration `help:"How long the old secret still works; 0 ends it at once." default:"24h"`
}

// Run rotates a client's secret.
func (c *clientRotate) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	in := c.in(of)
	in["overlap_seconds"] = int(c.Overlap.Seconds())
	var out withSecret
	if err := operate(ctx, t, of.Settings, false, request{op: "clients/rotate-secret", in: in, out: &out}); err != nil {
		return err
	}
	t.say("client_secret: %s", out.Secret)
	if c.Overlap > 0 {
		t.note("this secret is shown once; the old one works for another %s", c.Overlap)
	} else {
		t.note("this secret is shown once; the old one works no longer")
	}
	return nil
}

type clientDisable struct{ clientShow }

// Run disables a client.
func (c *clientDisable) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "clients/disable", in: c.in(of)})
}

type clientEnable struct{ clientShow }

// Run enables a client.
func (c *clientEnable) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "clients/enable", in: c.in(of)})
}

type clientDelete struct{ clientShow }

// Run deletes a client.
func (c *clientDelete) Run(ctx context.Context, t *terminal, of *clientCommands) error {
	return operateApplied(ctx, t, of.Settings, request{op: "clients/delete", in: c.in(of)})
}
