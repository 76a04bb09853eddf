package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

type connectionCommands struct {
	Settings settingsFlags      `embed:""`
	On       onSite             `embed:""`
	List     connectionList     `cmd:"" help:"List connections."`
	Show     connectionShow     `cmd:"" help:"Show one, with the addresses that its provider has to be told."`
	Check    connectionCheck    `cmd:"" help:"Test a configuration, disabled or not, and sign nobody in."`
	Trace    connectionTrace    `cmd:"" help:"Show what was checked in the sign-ins of the last ten minutes, and what did not match."`
	Rehearse connectionRehearse `cmd:"" help:"Print where an administrator rehearses it, which enforce waits for."`
	Links    connectionLinks    `cmd:"" help:"List the agents who are linked to it."`
	RollOver connectionRollOver `cmd:"" help:"Make our next key pair of a SAML connection."`
}

// connection is one as operators see it.
type connection struct {
	ID          string    `json:"id"`
	Kind        string    `json:"kind"`
	For         string    `json:"for"`
	Name        string    `json:"name"`
	Disabled    bool      `json:"disabled"`
	Domains     []string  `json:"domains,omitempty"`
	Unproven    []string  `json:"unproven_domains,omitempty"`
	Default     bool      `json:"default"`
	Create      bool      `json:"create"`
	Enforce     bool      `json:"enforce"`
	Enforced    bool      `json:"enforced"`
	Links       int       `json:"links"`
	Sessions    int       `json:"sessions"`
	Changed     time.Time `json:"changed"`
	Rehearsed   time.Time `json:"rehearsed,omitzero"`
	RehearsedBy string    `json:"rehearsed_by,omitempty"`
	Ready       bool      `json:"ready"`

	Give []struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	} `json:"give,omitempty"`
	Provider     string            `json:"provider,omitempty"`
	Certificates []certificateLine `json:"certificates,omitempty"`
	Own          []certificateLine `json:"own_certificates,omitempty"`
	Keys         []struct {
		KID        string   `json:"kid,omitempty"`
		Kind       string   `json:"kind"`
		Algorithms []string `json:"algorithms"`
	} `json:"keys,omitempty"`
	Fetched *struct {
		URL   string    `json:"url"`
		At    time.Time `json:"at,omitzero"`
		Tried time.Time `json:"tried,omitzero"`
		Fault string    `json:"fault,omitempty"`
	} `json:"fetched,omitempty"`
}

type certificateLine struct {
	Fingerprint string    `json:"sha256"`
	From        time.Time `json:"from"`
	Until       time.Time `json:"until"`
	Signs       time.Time `json:"signs,omitzero"`
}

// say is the certificate in a line; one that has ended, or will within a month, is
// marked.
func (c certificateLine) say(now time.Time) string {
	const soon = 30 * 24 * time.Hour
	text := fmt.Sprintf("%s until %s", shortened(c.Fingerprint), c.Until.UTC().Format(time.DateOnly))
	switch left := c.Until.Sub(now); {
	case left <= 0:
		return text + ": HAS ENDED"
	case left <= soon:
		return fmt.Sprintf("%s: ends in %s", text, plural(int(left/(24*time.Hour)), "day"))
	case now.Before(c.Signs):
		return text + ", signs from " + clock(c.Signs)
	case now.Before(c.From):
		return text + ", from " + c.From.UTC().Format(time.DateOnly)
	}
	return text
}

func shortened(fingerprint string) string {
	return "SHA-256 " + fingerprint[:min(len(fingerprint), 16)] + "…"
}

func (c *connection) state() string {
	switch {
	case c.Disabled:
		return "disabled"
	case c.Enforced:
		return "enforced"
	case c.Enforce:
		return "enforce waits"
	}
	return "enabled"
}

func (c *connection) rehearsal() string {
	switch {
	case c.For != "agents":
		return "-"
	case c.Rehearsed.IsZero():
		return "no"
	case !c.Ready:
		return "before the last change"
	}
	return "yes"
}

type connectionList struct{}

// Run lists connections.
func (*connectionList) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	var out struct {
		Connections []connection `json:"connections"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/list", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !of.On.JSON {
		_, _ = fmt.Fprintln(w, "CONNECTION\tKIND\tFOR\tNAME\tDOMAINS\tLINKS\tREHEARSED\tSTATE")
	}
	for _, c := range out.Connections {
		if of.On.JSON {
			if err := printJSON(t, c); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\n", c.ID, c.Kind, c.For, c.Name, dash(strings.Join(c.Domains, ",")), c.Links, c.rehearsal(), c.state())
	}
	return w.Flush()
}

type connectionShow struct {
	ID string `arg:"" name:"connection" help:"The connection's id."`
}

func (c *connectionShow) in(of *connectionCommands) map[string]any {
	return map[string]any{"site": of.On.Site, "connection": c.ID}
}

// Run shows a connection.
func (c *connectionShow) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	var out connection
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/show", in: c.in(of), out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	out.print(t)
	return nil
}

func (c *connection) print(t *terminal) {
	row := func(name, format string, args ...any) { t.say("%-21s %s", name, fmt.Sprintf(format, args...)) }
	row("connection", "%s", c.ID)
	row("name", "%s", c.Name)
	row("kind", "%s for %s", c.Kind, c.For)
	row("state", "%s", c.state())
	if c.Provider != "" {
		row("provider", "%s", c.Provider)
	}
	if c.For == "agents" {
		row("domains", "%s", dash(strings.Join(c.Domains, ", ")))
		if len(c.Unproven) > 0 {
			row("", "not among the site's domains, and so for nothing: %s", strings.Join(c.Unproven, ", "))
		}
		row("makes accounts", "%s", yesNo(c.Create))
		row("rehearsed", "%s", c.rehearsalWords())
		row("links", "%d", c.Links)
		row("sessions", "%d", c.Sessions)
	}
	c.printKeys(row)
	t.say("\nWhat the provider is told:")
	for _, g := range c.Give {
		row("  "+g.Name, "%s", g.URL)
	}
}

func (c *connection) rehearsalWords() string {
	if c.Rehearsed.IsZero() {
		return "no: chatelaine connection rehearse " + c.ID
	}
	words := clock(c.Rehearsed)
	if c.RehearsedBy != "" {
		words += " by " + c.RehearsedBy
	}
	if !c.Ready {
		words += ", but it has changed since, " + clock(c.Changed)
	}
	return words
}

func (c *connection) printKeys(row func(name, format string, args ...any)) {
	now := time.Now()
	for _, x := range c.Certificates {
		row("its certificate", "%s", x.say(now))
	}
	for _, x := range c.Own {
		row("our certificate", "%s", x.say(now))
	}
	for _, k := range c.Keys {
		row("key "+k.KID, "%s, %s", strings.ReplaceAll(k.Kind, "_", " "), strings.Join(k.Algorithms, " "))
	}
	if c.Fetched == nil {
		return
	}
	row("read from", "%s", c.Fetched.URL)
	if !c.Fetched.At.IsZero() {
		row("", "this one came %s", clock(c.Fetched.At))
	}
	if c.Fetched.Fault != "" {
		row("", "the last try failed, %s: %s", clock(c.Fetched.Tried), c.Fetched.Fault)
	}
}

type connectionRehearse struct{ connectionShow }

// Run says where to rehearse.
func (c *connectionRehearse) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	var out struct {
		URL         string    `json:"url"`
		Ready       bool      `json:"ready"`
		Rehearsed   time.Time `json:"rehearsed,omitzero"`
		RehearsedBy string    `json:"rehearsed_by,omitempty"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/rehearse", in: c.in(of), out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	t.say("%s", out.URL)
	t.note("an administrator with a second factor opens this, signs in here once more, and then through the connection; it links their account, and changes nothing else")
	if out.Ready {
		t.note("it was rehearsed since its last change, %s: enforce: true can be applied", clock(out.Rehearsed))
	}
	return nil
}

type connectionRollOver struct {
	connectionShow
	After  time.Duration `help:"When it signs; until then its certificate is published beside the one that does." default:"168h"`
	Forget bool          `help:"Somebody else may have the key: forget it, and sign with the new one at once."`
}

// Run makes a key pair.
func (c *connectionRollOver) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	in := c.in(of)
	in["after"], in["forget"] = int(c.After/time.Second), c.Forget
	var out connection
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/roll-over", in: in, out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	out.print(t)
	if c.Forget {
		t.note("have the provider read our metadata now: it knows the key that was forgotten, and until then neither takes our requests nor encrypts for us")
	} else {
		t.note("have the provider read our metadata before %s", clock(time.Now().Add(c.After)))
	}
	return nil
}

type connectionLinks struct{ connectionShow }

// Run lists who is linked, page by page.
func (c *connectionLinks) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	cfg, err := of.Settings.load(t)
	if err != nil {
		return err
	}
	return withControl(ctx, t, cfg, false, func(ctl *control) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		if !of.On.JSON {
			_, _ = fmt.Fprintln(w, "EMAIL\tSUBJECT\tEMAIL THERE\tSINCE\tLAST USED")
		}
		for after := ""; ; {
			var page struct {
				Links []link `json:"links"`
				Next  string `json:"next"`
			}
			in := c.in(of)
			in["after"], in["limit"] = after, pageSize
			if err := ctl.do(ctx, request{op: "connections/links", in: in, out: &page}); err != nil {
				return err
			}
			for _, l := range page.Links {
				if of.On.JSON {
					if err := printJSON(t, l); err != nil {
						return err
					}
					continue
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", dash(l.Email), l.Subject, dash(l.Theirs), day(l.Created), day(l.Used))
			}
			if after = page.Next; after == "" {
				return w.Flush()
			}
		}
	})
}

type link struct {
	Subject string    `json:"subject"`
	Agent   string    `json:"agent"`
	Email   string    `json:"email,omitempty"`
	Theirs  string    `json:"provider_email,omitempty"`
	Created time.Time `json:"created"`
	Used    time.Time `json:"used,omitzero"`
}

func day(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format(time.DateOnly)
}

type agentUnlink struct {
	agentShow
	Connection string `help:"The connection to part the agent from." required:"" placeholder:"ID"`
	Last       bool   `help:"Also the last administrator who can sign in through a connection that is enforced."`
}

// Run parts an agent from a connection.
func (c *agentUnlink) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		Ended    int      `json:"ended"`
		Subjects []string `json:"subjects"`
		NoWayIn  bool     `json:"no_way_in"`
		Enforced string   `json:"enforced"`
	}
	in := c.in(of)
	in["connection"], in["last"] = c.Connection, c.Last
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/unlink", in: in, out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	t.say("%s is no longer %s at connection %s; %s", c.Email, strings.Join(out.Subjects, ", "), c.Connection, endedWords(out.Ended))
	switch {
	case out.Enforced != "":
		t.note("warning: %s is an administrator, and %s is enforced: only break-glass lets them in, to rehearse it", c.Email, out.Enforced)
	case out.NoWayIn:
		t.note("warning: %s has no other way in now: chatelaine agent invite %s", c.Email, c.Email)
	}
	return nil
}
