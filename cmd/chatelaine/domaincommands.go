package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
)

type domainCommands struct {
	Settings settingsFlags `embed:""`
	On       onSite        `embed:""`
	List     domainList    `cmd:"" help:"List a site's domains, and the DNS records that prove those that nobody vouches for."`
	Check    domainCheck   `cmd:"" help:"Look for a domain's record now. A server also looks every ten minutes."`
}

// domain is one as operators see it.
type domain struct {
	Domain string    `json:"domain"`
	By     string    `json:"proven_by,omitempty"`
	Proven time.Time `json:"proven,omitzero"`
	Record string    `json:"record,omitempty"`
	Text   string    `json:"text,omitempty"`
	Found  []string  `json:"found,omitempty"`
	Fault  string    `json:"fault,omitempty"`
}

func (d *domain) proof() string {
	switch d.By {
	case "site_file":
		return "the site file"
	case "dns":
		return "DNS, " + d.Proven.UTC().Format(time.DateOnly)
	}
	return "not yet"
}

func (d *domain) txt() string {
	if d.Record == "" {
		return "-"
	}
	return fmt.Sprintf("%s TXT %q", d.Record, d.Text)
}

type domainList struct{}

// Run lists domains.
func (*domainList) Run(ctx context.Context, t *terminal, of *domainCommands) error {
	var out struct {
		Domains []domain `json:"domains"`
	}
	if err := operate(ctx, t, of.Settings, false, request{op: "domains/list", in: map[string]any{"site": of.On.Site}, out: &out}); err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	if !of.On.JSON {
		_, _ = fmt.Fprintln(w, "DOMAIN\tPROVEN BY\tRECORD")
	}
	for _, d := range out.Domains {
		if of.On.JSON {
			if err := printJSON(t, d); err != nil {
				return err
			}
			continue
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", d.Domain, d.proof(), d.txt())
	}
	if len(out.Domains) == 0 && !of.On.JSON {
		t.note("the site names no domain: put them in domains or dns_domains of the site file")
		return nil
	}
	return w.Flush()
}

// errNoRecord makes the exit code say that the record is not there.
var errNoRecord = errors.New("the record is not there as it should be; a change of the DNS may take as long as the old answer lives")

type domainCheck struct {
	Domain string `arg:"" help:"The domain."`
}

// Run looks a record up.
func (c *domainCheck) Run(ctx context.Context, t *terminal, of *domainCommands) error {
	var out domain
	if err := operate(ctx, t, of.Settings, false, request{op: "domains/check", in: map[string]any{"site": of.On.Site, "domain": c.Domain}, out: &out}); err != nil {
		return err
	}
	if of.On.JSON {
		if err := printJSON(t, out); err != nil {
			return err
		}
	} else {
		t.say("%s: proven by %s", out.Domain, strings.Replace(out.proof(), "not yet", "nothing yet", 1))
		if out.Fault != "" {
			t.say("  needed  %s", out.txt())
			t.say("  found   %s", out.found())
		}
	}
	if out.Fault != "" {
		return errNoRecord
	}
	return nil
}

// found is what the DNS says: a stranger's words.
func (d *domain) found() string {
	words := []string{d.Fault}
	for _, text := range d.Found {
		words = append(words, fmt.Sprintf("%q", text))
	}
	return strings.Join(words, ", ")
}
