package main

import (
	"fmt"
	"runtime"
	"text/tabwriter"
)

// commands is the command line.
type commands struct {
	Serve       serveCommand       `cmd:"" help:"Answer browsers, clients and chat backends."`
	Demo        demoCommand        `cmd:"" help:"Serve a sample site with a small agent desk to click through."`
	CheckConfig checkConfigCommand `cmd:"" name:"check-config" help:"Check the settings and say where each comes from."`
	Apply       applyCommand       `cmd:"" help:"Make sites what a site file says, or export one."`
	Agent       agentCommands      `cmd:"" help:"List, add and change agents."`
	BreakGlass  breakGlassCommands `cmd:"" name:"break-glass" help:"Let a shut-out administrator in: lift one control for some minutes."`
	Client      clientCommands     `cmd:"" help:"List, add and change OAuth clients."`
	Connection  connectionCommands `cmd:"" help:"Show, test and trace the customer's own logins."`
	Domain      domainCommands     `cmd:"" help:"Show how a site's domains are proven, and prove one by DNS."`
	Visitor     visitorCommands    `cmd:"" help:"Ban, show and forget visitors."`
	Keys        keysCommands       `cmd:"" help:"List, rotate and withdraw signing keys."`
	Mail        mailCommands       `cmd:"" help:"Try the way to the mail server."`
	Audit       auditCommands      `cmd:"" help:"Verify and export the audit log."`
	Backup      backupCommand      `cmd:"" help:"Write a backup of the whole store, also while it is served."`
	Restore     restoreCommand     `cmd:"" help:"Make an empty store what a backup was; revives no token, session or link."`
	Check       checkCommand       `cmd:"" help:"Read the whole store and say whether it is undamaged."`
	Version     versionCommand     `cmd:"" help:"Say which version this is."`
}

func newCommands() *commands {
	c := &commands{}
	all := []*settingsFlags{&c.Serve.Settings, &c.Demo.Settings, &c.CheckConfig.Settings}
	for _, f := range all {
		*f = newSettingsFlags()
	}
	for _, f := range []*settingsFlags{
		&c.Apply.Settings, &c.Agent.Settings, &c.BreakGlass.Settings, &c.Client.Settings, &c.Connection.Settings, &c.Visitor.Settings, &c.Keys.Settings, &c.Audit.Settings,
		&c.Backup.Settings, &c.Restore.Settings, &c.Check.Settings,
	} {
		*f = newSettingsFlags(storeSettings...)
	}
	c.Domain.Settings = newSettingsFlags(append(storeSettings[:len(storeSettings):len(storeSettings)], "dns.server")...)
	c.Mail.Settings = newSettingsFlags(mailSettings...)
	return c
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(t *terminal) error {
	t.say("chatelaine %s (%s, %s/%s)", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}

type checkConfigCommand struct {
	Settings settingsFlags `embed:""`
}

// Run prints every setting with its source; a fault is exit code 2.
func (c *checkConfigCommand) Run(t *terminal) error {
	cfg, err := c.Settings.load(t)
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(t.out, 0, 0, 2, ' ', 0)
	for _, s := range settings() {
		from := cfg.sources[s.name]
		if from == "" {
			from = "default"
		}
		value := s.show(cfg)
		if value == "" {
			value = "-"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", s.name, value, from)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, warning := range cfg.warnings {
		t.note("warning: %s", warning)
	}
	t.say("The settings can be used.")
	return nil
}
