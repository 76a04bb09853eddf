package main

import (
	"context"
	"fmt"
	"net/url"
)

// mailSettings are what a test mail needs.
var mailSettings = []string{"smtp.url", "mail.from", "public_url"}

type mailCommands struct {
	Settings settingsFlags `embed:""`
	Test     mailTest      `cmd:"" help:"Send a test mail at once, and say what the mail server answered."`
}

type mailTest struct {
	Address string `arg:"" help:"Whom to send it to." placeholder:"ADDRESS"`
}

// Run sends a test mail.
func (c *mailTest) Run(ctx context.Context, t *terminal, of *mailCommands) error {
	cfg, err := of.Settings.load(t)
	if err != nil {
		return err
	}
	if cfg.smtpURL.empty() {
		return usagef("smtp.url is empty, so no mail is sent: name a mail server first")
	}
	server := serverName(cfg)
	t.note("asking %s to take a mail from %s to %s", server, cfg.mailFrom, c.Address)
	answer, err := cfg.mail().Try(ctx, cfg.publicURL, c.Address)
	if err != nil {
		return fmt.Errorf("%s did not take the mail: %w", server, err)
	}
	t.say("%s took the mail and said: %s", server, answer)
	t.say("Look whether it arrives at %s, also among the unwanted mail.", c.Address)
	return nil
}

// serverName is smtp.url without what is secret in it.
func serverName(c *config) string {
	u, err := url.Parse(c.smtpURL.reveal())
	if err != nil {
		return "the mail server"
	}
	return u.Scheme + "://" + u.Host
}
