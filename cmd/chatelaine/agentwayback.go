package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

// What an operator does for an agent who cannot get in, or should not be in.

// invitation is a link with which an agent chooses a password.
type invitation struct {
	Email   string `json:"email"`
	URL     string `json:"url"`
	Mailed  bool   `json:"mailed"`
	Warning string `json:"warning,omitempty"`
}

func (in invitation) print(t *terminal) {
	switch {
	case in.Mailed:
		t.say("an invitation goes to %s by mail", in.Email)
	case in.URL != "":
		t.say("invitation for %s (once, within 7 days; hand it over yourself, no mail is set up):\n  %s", in.Email, in.URL)
	default:
		t.say("%s would be invited to choose a password", in.Email)
	}
}

type agentInvite struct{ agentShow }

// Run invites an agent.
func (c *agentInvite) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var in invitation
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/invite", in: c.in(of), out: &in}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, in)
	}
	in.print(t)
	if in.Warning != "" {
		t.note("warning: %s", in.Warning)
	}
	return nil
}

type agentUnlock struct{ agentShow }

// Run unlocks an account.
func (c *agentUnlock) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		Failures    int        `json:"failures"`
		LockedUntil *time.Time `json:"locked_until"`
		WrongCodes  int        `json:"wrong_codes"`
		Inactive    bool       `json:"inactive"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/unlock", in: c.in(of), out: &out}); err != nil {
		return err
	}
	switch {
	case out.LockedUntil != nil:
		t.say("%s was locked until %s and may try again now", c.Email, clock(*out.LockedUntil))
	case out.Failures+out.WrongCodes > 0:
		t.say("%s was not locked", c.Email)
	default:
		t.say("%s was not locked, and nothing counted against them", c.Email)
	}
	if out.Failures+out.WrongCodes > 0 {
		t.say("forgotten: %s, %s", plural(out.Failures, "failed sign-in"), plural(out.WrongCodes, "wrong code"))
	}
	if out.Inactive {
		t.note("warning: %s is inactive and cannot sign in: chatelaine agent activate %s", c.Email, c.Email)
	}
	return nil
}

type agentReset struct{ agentShow }

// Run takes an agent's second factors away.
func (c *agentReset) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		TOTP     int  `json:"totp"`
		Passkeys int  `json:"passkeys"`
		Codes    int  `json:"recovery_codes"`
		Ended    int  `json:"ended"`
		Required bool `json:"required"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/reset-factors", in: c.in(of), out: &out}); err != nil {
		return err
	}
	t.say("%s has no second factor any more (there were: %s); %s", c.Email, factorWords(out.TOTP, out.Passkeys, out.Codes), endedWords(out.Ended))
	if out.Required {
		t.say("the site demands one of them: the next sign-in asks to set it up")
	}
	return nil
}

func factorWords(totp, passkeys, codes int) string {
	var words []string
	for _, w := range []struct {
		n    int
		what string
	}{{totp, "authenticator app"}, {passkeys, "passkey"}, {codes, "recovery code"}} {
		if w.n > 0 {
			words = append(words, plural(w.n, w.what))
		}
	}
	if len(words) == 0 {
		return "none"
	}
	return strings.Join(words, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// clock is a time as it stands on the operator's own clock, and in UTC.
func clock(at time.Time) string {
	local := at.Local()
	if _, offset := local.Zone(); offset == 0 {
		return at.UTC().Format("15:04:05 UTC (2006-01-02)")
	}
	return local.Format("15:04:05 MST") + at.UTC().Format(" (2006-01-02 15:04:05 UTC)")
}

func (a agentInfo) state() string {
	state := activeWord(a.Active)
	if a.LockedUntil != nil {
		state += ", locked until " + clock(*a.LockedUntil)
	}
	return state
}

func (a agentInfo) passwordWords() string {
	words := yesNo(a.HasPassword)
	if a.InvitedTill != nil {
		words += ", invited to choose one until " + clock(*a.InvitedTill)
	}
	return words
}

type agentSessions struct{ agentShow }

// Run lists an agent's sessions, the last used first.
func (c *agentSessions) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		Sessions []struct {
			SID        string   `json:"sid"`
			Created    string   `json:"created"`
			Seen       string   `json:"seen"`
			Expires    string   `json:"expires"`
			IP         string   `json:"ip,omitempty"`
			UserAgent  string   `json:"user_agent,omitempty"`
			ACR        string   `json:"acr,omitempty"`
			AMR        []string `json:"amr,omitempty"`
			Remembered bool     `json:"remembered,omitempty"`
		} `json:"sessions"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/sessions", in: c.in(of), out: &out}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !of.On.JSON {
		_, _ = fmt.Fprintln(w, "SESSION\tSINCE\tLAST SEEN\tFROM\tBY\tBROWSER")
	}
	for _, s := range out.Sessions {
		if of.On.JSON {
			if err := printJSON(t, s); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", s.SID, seconds(s.Created), seconds(s.Seen), dash(s.IP), dash(strings.Join(s.AMR, "+")), dash(cut(s.UserAgent, 60)))
	}
	return w.Flush()
}

// seconds is a time of an answer without what follows its seconds.
func seconds(text string) string {
	at, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return text
	}
	return at.UTC().Format(time.RFC3339)
}

// cut keeps a text that a browser chose harmless on a terminal, and short.
func cut(text string, most int) string {
	clean := []rune(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f {
			return -1
		}
		return r
	}, text))
	return string(clean[:min(len(clean), most)])
}

type agentEnd struct {
	agentShow
	SID string `name:"session" help:"Only this session; agent sessions lists them." placeholder:"ID"`
}

// Run ends an agent's sessions.
func (c *agentEnd) Run(ctx context.Context, t *terminal, of *agentCommands) error {
	var out struct {
		Ended int `json:"ended"`
	}
	in := c.in(of)
	in["sid"] = c.SID
	if err := operate(ctx, t, of.Settings, false, request{op: "agents/end-sessions", in: in, out: &out}); err != nil {
		return err
	}
	t.say("%s", endedWords(out.Ended))
	return nil
}
