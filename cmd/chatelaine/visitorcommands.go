package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

type visitorCommands struct {
	Settings settingsFlags `embed:""`
	On       onSite        `embed:""`
	Ban      visitorBan    `cmd:"" help:"Keep visitors away: all criteria that are given must fit. Ends what they hold."`
	Unban    visitorUnban  `cmd:"" help:"Lift a ban."`
	Bans     visitorBans   `cmd:"" help:"List the bans in force."`
	Show     visitorShow   `cmd:"" help:"Show what is kept of a visitor."`
	Erase    visitorErase  `cmd:"" help:"Forget a visitor for good, also in the audit log, whose chain stays whole."`
}

// ban is one as operators see it.
type ban struct {
	ID          string    `json:"id"`
	Visitor     string    `json:"visitor,omitempty"`
	ExternalID  string    `json:"external_id,omitempty"`
	Email       string    `json:"email,omitempty"`
	EmailDomain string    `json:"email_domain,omitempty"`
	Network     string    `json:"network,omitempty"`
	Reason      string    `json:"reason"`
	By          string    `json:"by,omitempty"`
	InFile      bool      `json:"in_file,omitempty"`
	Created     time.Time `json:"created,omitzero"`
	Until       time.Time `json:"until,omitzero"`

	Known    int      `json:"known_visitors,omitempty"`
	More     bool     `json:"more,omitempty"`
	Warning  string   `json:"warning,omitempty"`
	IDs      []string `json:"known_visitor_ids,omitempty"`
	Visitors []struct {
		ID   string `json:"id"`
		Name string `json:"name,omitempty"`
	} `json:"visitors,omitempty"`
	DryRun  bool `json:"dry_run,omitempty"`
	Refused bool `json:"refused,omitempty"`
}

func (b *ban) whom() string {
	var words []string
	for _, w := range [][2]string{{"visitor", b.Visitor}, {"external id", b.ExternalID}, {"e-mail", b.Email}, {"domain", b.EmailDomain}, {"network", b.Network}} {
		if w[1] != "" {
			words = append(words, w[0]+" "+clean(w[1]))
		}
	}
	return strings.Join(words, " and ")
}

func (b *ban) end() string {
	if b.Until.IsZero() {
		return "for good"
	}
	return "until " + b.Until.UTC().Format(time.RFC3339)
}

type visitorBan struct {
	Visitor     string  `help:"This visitor, by their id or an earlier one." placeholder:"ID"`
	ExternalID  string  `name:"external-id" help:"Whom the customer calls so." placeholder:"ID"`
	Email       string  `help:"Whoever has this address, with or without +tag." placeholder:"ADDRESS"`
	EmailDomain string  `name:"email-domain" help:"Whoever has an address of this domain or one below it." placeholder:"DOMAIN"`
	IP          string  `name:"ip" help:"Whoever comes from this address, or CIDR; of one IPv6 address it is the /64." placeholder:"ADDRESS"`
	Reason      string  `help:"Why, for those who read the list later." required:"" placeholder:"TEXT"`
	For         *period `help:"For how long, such as 24h or 30d; without it for good." placeholder:"TIME"`
	Until       string  `help:"Until when, such as 2030-01-31T12:00:00Z." placeholder:"TIME"`
	Wide        bool    `help:"Ban also where everybody, a whole provider or a free mail service is meant."`
	DryRun      bool    `help:"Only say whom it would hit."`
}

// period is a length of time, also in days.
type period time.Duration

// UnmarshalText reads 24h, 90m or 30d.
func (p *period) UnmarshalText(text []byte) error {
	if days, found := strings.CutSuffix(string(text), "d"); found {
		n, err := strconv.Atoi(days)
		if err != nil || n < 0 || n > 36500 {
			return errPeriod
		}
		*p = period(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	*p = period(d)
	if err != nil {
		return errPeriod
	}
	return nil
}

var errPeriod = errors.New("a time is written as 30d, 24h or 90m")

// Run bans visitors.
func (c *visitorBan) Run(ctx context.Context, t *terminal, of *visitorCommands) error {
	until, err := c.until(time.Now())
	if err != nil {
		return err
	}
	in := map[string]any{
		"site": of.On.Site, "visitor": c.Visitor, "external_id": c.ExternalID, "email": c.Email, "email_domain": c.EmailDomain, "network": c.IP,
		"reason": c.Reason, "until": until, "wide": c.Wide, "dry_run": c.DryRun,
	}
	var b ban
	if err := operate(ctx, t, of.Settings, false, request{op: "visitors/ban", in: in, out: &b}); err != nil {
		return err
	}
	switch {
	case of.On.JSON:
		if err := printJSON(t, b); err != nil || !b.Refused {
			return err
		}
	case b.DryRun:
		t.say("would be banned %s: %s; %s%s", b.end(), b.whom(), b.known(), b.anonymous())
		b.names(t)
	case !b.Refused:
		t.say("banned %s: %s; %s", b.end(), b.whom(), b.known())
		b.names(t)
		t.say("to lift it: chatelaine visitor unban %s", b.ID)
	}
	if b.Warning != "" {
		t.note("warning: %s", b.Warning)
	}
	if b.Refused {
		return usagef("nobody was banned: %s; %s%s. If all of them are meant, say --wide", b.whom(), b.known(), b.anonymous())
	}
	return nil
}

func (b *ban) known() string {
	known := plural(b.Known, "known visitor")
	if b.More {
		return "more than " + known
	}
	return known
}

// anonymous are those of whom nothing is kept to say how many they are.
func (b *ban) anonymous() string {
	if b.Visitor != "" || b.ExternalID != "" {
		return ""
	}
	return ", and any number of anonymous ones"
}

// names are the first of the known ones.
func (b *ban) names(t *terminal) {
	for _, v := range b.Visitors {
		t.say("  %s  %s", v.ID, clean(v.Name))
	}
	if more := b.Known - len(b.Visitors); more > 0 && len(b.Visitors) > 0 {
		t.say("  and %d more", more)
	}
}

func (c *visitorBan) until(now time.Time) (at time.Time, err error) {
	switch {
	case c.For != nil && *c.For <= 0:
		return at, usagef("--for is a time to come, such as 24h; to lift a ban: chatelaine visitor unban BAN")
	case c.For != nil && c.Until != "":
		return at, usagef("give --for or --until, not both")
	case c.For != nil:
		return now.Add(time.Duration(*c.For)).UTC().Truncate(time.Second), nil
	case c.Until == "":
		return at, nil
	}
	for _, form := range []string{time.RFC3339, time.DateOnly} {
		if at, err = time.Parse(form, c.Until); err == nil {
			return at.UTC(), nil
		}
	}
	return at, usagef("--until is a time such as 2030-01-31T12:00:00Z, or a day such as 2030-01-31")
}

type visitorUnban struct {
	ID string `arg:"" name:"ban" help:"The ban's id, as visitor bans lists it."`
}

// Run lifts a ban.
func (c *visitorUnban) Run(ctx context.Context, t *terminal, of *visitorCommands) error {
	var b ban
	in := map[string]any{"site": of.On.Site, "ban": c.ID}
	if err := operate(ctx, t, of.Settings, false, request{op: "visitors/unban", in: in, out: &b}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, b)
	}
	t.say("lifted: %s", b.whom())
	if b.InFile {
		t.note("warning: it stands in the site file: take it out there too, or the next apply makes it again")
	}
	return nil
}

type visitorBans struct{}

// Run lists bans, page by page.
func (c *visitorBans) Run(ctx context.Context, t *terminal, of *visitorCommands) error {
	cfg, err := of.Settings.load(t)
	if err != nil {
		return err
	}
	return withControl(ctx, t, cfg, false, func(ctl *control) error {
		w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
		if !of.On.JSON {
			_, _ = fmt.Fprintln(w, "BAN\tWHOM\tUNTIL\tSINCE\tREASON")
		}
		for after := ""; ; {
			var page struct {
				Bans []ban  `json:"bans"`
				Next string `json:"next"`
			}
			in := map[string]any{"site": of.On.Site, "after": after, "limit": pageSize}
			if err := ctl.do(ctx, request{op: "visitors/bans", in: in, out: &page}); err != nil {
				return err
			}
			for _, b := range page.Bans {
				if of.On.JSON {
					if err := printJSON(t, b); err != nil {
						return err
					}
					continue
				}
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", b.ID, b.whom(), strings.TrimPrefix(b.end(), "until "), day(b.Created), clean(b.Reason))
			}
			if after = page.Next; after == "" {
				return w.Flush()
			}
		}
	})
}

type visitorShow struct {
	ID         string `arg:"" optional:"" name:"visitor" help:"The visitor's id, or one that they had before."`
	ExternalID string `name:"external-id" help:"In place of it: what the customer calls them." placeholder:"ID"`
	Email      string `help:"In place of it: their address, if no other has it." placeholder:"ADDRESS"`
}

func (c *visitorShow) in(of *visitorCommands) map[string]any {
	return map[string]any{"site": of.On.Site, "visitor": c.ID, "external_id": c.ExternalID, "email": c.Email}
}

// knownVisitor is what is kept of one.
type knownVisitor struct {
	ID      string   `json:"id"`
	Aliases []string `json:"aliases,omitempty"`
	Person  struct {
		ExternalID    string `json:"external_id,omitempty"`
		Name          string `json:"name,omitempty"`
		Email         string `json:"email,omitempty"`
		EmailVerified bool   `json:"email_verified,omitempty"`
		Phone         string `json:"phone,omitempty"`
		Picture       string `json:"picture,omitempty"`
		Locale        string `json:"locale,omitempty"`
		Custom        []struct {
			Name  string `json:"name"`
			Value string `json:"value"`
		} `json:"custom,omitempty"`
		Subjects []struct {
			Connection string `json:"connection"`
			Subject    string `json:"subject"`
		} `json:"subjects"`
	} `json:"person"`
	Sessions []struct {
		Connection string    `json:"connection"`
		Assurance  string    `json:"assurance"`
		AuthTime   time.Time `json:"auth_time,omitzero"`
		Shown      time.Time `json:"shown"`
		Rotated    time.Time `json:"rotated"`
	} `json:"sessions,omitempty"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Banned  *ban      `json:"banned,omitempty"`
}

// Run shows a visitor.
func (c *visitorShow) Run(ctx context.Context, t *terminal, of *visitorCommands) error {
	var v knownVisitor
	if err := operate(ctx, t, of.Settings, false, request{op: "visitors/show", in: c.in(of), out: &v}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, v)
	}
	for _, row := range v.rows() {
		if row[1] != "" {
			t.say("%-12s %s", row[0], clean(row[1]))
		}
	}
	return nil
}

// rows are what is said of a visitor; those without a text are left out.
func (v *knownVisitor) rows() [][2]string {
	p, verified, banned := &v.Person, "", ""
	if p.Email != "" {
		verified = yesNo(p.EmailVerified)
	}
	if v.Banned != nil {
		banned = v.Banned.end() + ": " + v.Banned.Reason
	}
	rows := [][2]string{
		{"visitor", v.ID}, {"before", strings.Join(v.Aliases, ", ")}, {"external id", p.ExternalID}, {"name", p.Name}, {"e-mail", p.Email},
		{"verified", verified}, {"phone", p.Phone}, {"picture", p.Picture}, {"locale", p.Locale},
	}
	for _, f := range p.Custom {
		rows = append(rows, [2]string{"custom." + f.Name, f.Value})
	}
	for _, s := range p.Subjects {
		rows = append(rows, [2]string{"known as", s.Subject + " at " + s.Connection})
	}
	for _, s := range v.Sessions {
		rows = append(rows, [2]string{"session", s.Assurance + " by " + s.Connection + ", last shown " + clock(s.Shown)})
	}
	return append(rows, [2]string{"first seen", clock(v.Created)}, [2]string{"last seen", clock(v.Seen)}, [2]string{"banned", banned})
}

type visitorErase struct{ visitorShow }

// Run forgets a visitor.
func (c *visitorErase) Run(ctx context.Context, t *terminal, of *visitorCommands) error {
	var out struct {
		Erased string `json:"erased"`
		Banned string `json:"banned,omitempty"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "visitors/erase", in: c.in(of), out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		return printJSON(t, out)
	}
	t.say("%s is forgotten: their record, their earlier names, and what the audit log said of them as a person", out.Erased)
	if out.Banned != "" {
		t.note("ban %s is still on them; to lift it, and with it the last that is kept of them: chatelaine visitor unban %s", out.Banned, out.Banned)
	}
	t.note("backups that were made before still hold it, until they are gone")
	return nil
}
