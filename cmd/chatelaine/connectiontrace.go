package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// check is one thing that was looked at.
type check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Expected string `json:"expected,omitempty"`
	Got      string `json:"got,omitempty"`
	Absent   bool   `json:"absent,omitempty"`
}

// print says what was found; of what does not hold also what was expected. Some of
// it may be a stranger's words.
func (c check) print(t *terminal) {
	if c.Absent {
		t.say("  -     %-20s not sent; looked for %s", c.Name, clean(c.Expected))
		return
	}
	if c.OK {
		t.say("  ok    %-20s %s", c.Name, clean(c.Got))
		return
	}
	t.say("  FAILS %-20s expected %s", c.Name, clean(c.Expected))
	t.say("        %-20s got      %s", "", clean(c.Got))
}

// clean shows what a stranger said without letting it drive the terminal.
func clean(text string) string {
	if text == "" {
		return "-"
	}
	quoted := fmt.Sprintf("%q", text)
	if quoted[1:len(quoted)-1] == text {
		return text
	}
	return quoted
}

// errCheckFailed makes the exit code say that something does not hold.
var errCheckFailed = errors.New("the connection does not work as it is configured")

type connectionCheck struct{ connectionShow }

// Run tests a connection.
func (c *connectionCheck) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	var out struct {
		Checks []check `json:"checks"`
		OK     bool    `json:"ok"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/check", in: c.in(of), out: &out}); err != nil {
		return err
	}
	switch {
	case of.On.JSON:
		if err := printJSON(t, out); err != nil {
			return err
		}
	default:
		for _, one := range out.Checks {
			one.print(t)
		}
	}
	if !out.OK {
		return errCheckFailed
	}
	return nil
}

// attempt is one sign-in through a connection, as far as it came.
type attempt struct {
	Time      time.Time           `json:"time"`
	RequestID string              `json:"request_id"`
	IP        string              `json:"ip,omitempty"`
	Step      string              `json:"step"`
	Result    string              `json:"result"`
	Reason    string              `json:"reason,omitempty"`
	Subject   string              `json:"subject,omitempty"`
	Checks    []check             `json:"checks,omitempty"`
	Claims    map[string][]string `json:"claims,omitempty"`
}

func (a *attempt) print(t *terminal) {
	t.say("%s  %s: %s", clock(a.Time), a.Step, a.Result)
	for _, row := range [][2]string{{"request", a.RequestID}, {"from", a.IP}, {"subject", a.Subject}, {"reason", a.Reason}} {
		if row[1] != "" {
			t.say("  %-8s %s", row[0], clean(row[1]))
		}
	}
	for _, one := range a.Checks {
		one.print(t)
	}
	if len(a.Claims) == 0 {
		return
	}
	t.say("  the provider said:")
	for _, name := range sortedKeys(a.Claims) {
		values := make([]string, len(a.Claims[name]))
		for i, v := range a.Claims[name] {
			values[i] = clean(v)
		}
		t.say("    %s = %s", clean(name), strings.Join(values, " | "))
	}
}

type connectionTrace struct{ connectionShow }

// Run shows the last attempts, the newest last.
func (c *connectionTrace) Run(ctx context.Context, t *terminal, of *connectionCommands) error {
	var out struct {
		Attempts []attempt `json:"attempts"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "connections/trace", in: c.in(of), out: &out}); err != nil {
		return err
	}
	for i := range out.Attempts {
		if of.On.JSON {
			if err := printJSON(t, out.Attempts[i]); err != nil {
				return err
			}
			continue
		}
		if i > 0 {
			t.say("")
		}
		out.Attempts[i].print(t)
	}
	if len(out.Attempts) == 0 && !of.On.JSON {
		t.note("nobody has tried to sign in through %s in the last ten minutes", c.ID)
	}
	return nil
}
