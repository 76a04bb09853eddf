package main

import (
	"context"
	"strings"
	"time"
)

type breakGlassCommands struct {
	Settings settingsFlags    `embed:""`
	On       onSite           `embed:""`
	Lift     breakGlassLift   `cmd:"" help:"Lift one control, for everybody, for at most 15 minutes."`
	End      breakGlassEnd    `cmd:"" help:"Put the lifted control back now."`
	Status   breakGlassStatus `cmd:"" help:"Say what is lifted, and how many offline codes are left."`
	Codes    breakGlassCodes  `cmd:"" help:"Make new offline codes to print and lock away; the old ones are void."`
}

// liftedControl is what break-glass has lifted.
type liftedControl struct {
	Control string    `json:"control,omitempty"`
	By      string    `json:"by,omitempty"`
	How     string    `json:"how,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Codes   int       `json:"codes"`
	Off     bool      `json:"off,omitempty"`
}

// controlWords says of each control what does not hold while it is lifted.
func controlWords(control string) string {
	switch control {
	case "second_factor":
		return "nobody is asked for a second factor"
	case "allowlist":
		return "agents may come from any network"
	case "single_sign_on":
		return "agents may sign in with a password in place of single sign-on"
	}
	return control + " does not hold"
}

type breakGlassLift struct {
	Control string `help:"What to lift: second_factor (it was lost), allowlist (it shuts you out) or single_sign_on (it is down)." required:"" placeholder:"CONTROL"`
	Minutes int    `help:"For how long, 1 to 15." default:"15"`
}

// Run lifts a control.
func (c *breakGlassLift) Run(ctx context.Context, t *terminal, of *breakGlassCommands) error {
	var l liftedControl
	c.Control = strings.ReplaceAll(strings.ToLower(c.Control), "-", "_")
	in := map[string]any{"site": of.On.Site, "control": c.Control, "minutes": c.Minutes}
	if err := operate(ctx, t, of.Settings, false, request{op: "break-glass/lift", in: in, out: &l}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, l)
	}
	t.say("%s is lifted for %s, until %s.", c.Control, plural(c.Minutes, "minute"), clock(l.Until))
	t.say("Until then %s. Passwords, locks and all other rules still hold.", controlWords(c.Control))
	t.say("Sign in now and mend the cause. This is in the audit log, and every administrator is told by mail, if mail is set up.")
	t.say("To put it back sooner: chatelaine break-glass end")
	if l.Off {
		t.note("warning: this site has %s switched off, so something else shuts you out: look for the reason in chatelaine audit export --action sign_in", c.Control)
	}
	return nil
}

type breakGlassEnd struct{}

// Run puts the control back.
func (c *breakGlassEnd) Run(ctx context.Context, t *terminal, of *breakGlassCommands) error {
	var l liftedControl
	if err := operate(ctx, t, of.Settings, false, request{op: "break-glass/end", in: map[string]any{"site": of.On.Site}, out: &l}); err != nil {
		return err
	}
	switch {
	case of.On.JSON:
		return printJSON(t, l)
	case l.Control == "":
		t.say("nothing was lifted: every control holds")
	default:
		t.say("%s holds again", l.Control)
	}
	return nil
}

type breakGlassStatus struct{}

// Run says what is lifted.
func (c *breakGlassStatus) Run(ctx context.Context, t *terminal, of *breakGlassCommands) error {
	var l liftedControl
	if err := operate(ctx, t, of.Settings, false, request{op: "break-glass/status", in: map[string]any{"site": of.On.Site}, out: &l}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, l)
	}
	if l.Control == "" {
		t.say("nothing is lifted: every control holds")
	} else {
		t.say("%s is lifted until %s: %s", l.Control, clock(l.Until), controlWords(l.Control))
		t.say("by %s (%s), since %s", l.By, l.How, clock(l.Created))
	}
	switch l.Codes {
	case 0:
		t.say("there are no offline codes: chatelaine break-glass codes makes them")
	default:
		t.say("%s left", plural(l.Codes, "offline code"))
	}
	return nil
}

type breakGlassCodes struct{}

// Run makes offline codes.
func (c *breakGlassCodes) Run(ctx context.Context, t *terminal, of *breakGlassCommands) error {
	var out struct {
		Codes []string `json:"codes"`
		Void  int      `json:"void"`
		URL   string   `json:"url"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "break-glass/codes", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	t.say("Offline codes. Print them and lock them away: they are not shown again.\n")
	for _, code := range out.Codes {
		t.say("  %s", code)
	}
	t.say("\nEach one lifts one control for 15 minutes, once, by an administrator who knows their password:\n  %s", out.URL)
	if out.Void > 0 {
		t.say("Codes that were made before work no more.")
	}
	return nil
}
