package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"
)

// operate loads the settings, reaches the operations and does one.
func operate(ctx context.Context, t *terminal, flags settingsFlags, create bool, r request) error {
	cfg, err := flags.load(t)
	if err != nil {
		return err
	}
	return withControl(ctx, t, cfg, create, func(c *control) error { return c.do(ctx, r) })
}

func withControl(ctx context.Context, t *terminal, cfg *config, create bool, fn func(*control) error) error {
	ctl, err := reach(ctx, t, cfg, create)
	if err != nil {
		return err
	}
	return errors.Join(fn(ctl), ctl.close())
}

type applied struct {
	Changes []struct {
		Site string `json:"site"`
		Text string `json:"text"`
	} `json:"changes"`
	Invitations []invitation `json:"invitations"`
	Warnings    []string     `json:"warnings"`
	DryRun      bool         `json:"dry_run"`
}

func (a applied) print(t *terminal) {
	site := "\x00"
	several := len(a.Changes) > 0 && a.Changes[0].Site != a.Changes[len(a.Changes)-1].Site
	for _, c := range a.Changes {
		if several && c.Site != site {
			site = c.Site
			t.say("site /%s", site)
		}
		t.say("%s", c.Text)
	}
	for _, in := range a.Invitations {
		in.print(t)
	}
	for _, w := range a.Warnings {
		t.note("warning: %s", w)
	}
	switch {
	case len(a.Changes) == 0:
		t.say("nothing to change")
	case a.DryRun:
		t.say("nothing was changed (--dry-run)")
	}
}

// made reports whether that was made now: "agent ana@acme.example".
func (a applied) made(what string) bool {
	for _, c := range a.Changes {
		if c.Text == "+ "+what {
			return true
		}
	}
	return false
}

type applyCommand struct {
	Settings settingsFlags `embed:""`
	File     string        `arg:"" optional:"" help:"Site file to apply, or to write with --export (- is standard input or output)."`
	Prune    bool          `help:"Remove what lists of the file no longer name."`
	DryRun   bool          `help:"Only say what would change."`
	Export   bool          `help:"Write the sites as a site file, without secrets."`
	Site     *string       `help:"Export this site only (its path)." placeholder:"PATH"`
}

// Run applies or exports a site file.
func (c *applyCommand) Run(ctx context.Context, t *terminal) error {
	if c.Export {
		return c.export(ctx, t)
	}
	if c.File == "" {
		return usagef("which file? chatelaine apply site.yaml (or apply --export)")
	}
	raw, err := readSiteFile(t, c.File)
	if err != nil {
		return err
	}
	cfg, err := c.Settings.load(t)
	if err != nil {
		return err
	}
	if c.DryRun {
		remove, err := rehearse(cfg)
		if err != nil {
			return err
		}
		defer remove()
	}
	return withControl(ctx, t, cfg, true, func(ctl *control) error {
		out, err := applySite(ctx, ctl, c.File, raw, c.Prune, c.DryRun)
		if err == nil {
			out.print(t)
		}
		return err
	})
}

// rehearse lets a dry run of a first file happen in an empty store that is thrown
// away: nothing is made where there is nothing yet.
func rehearse(cfg *config) (remove func(), err error) {
	missing, err := storeIsMissing(cfg)
	if err != nil || !missing {
		return func() {}, err
	}
	dir, err := os.MkdirTemp("", "chatelaine-dry-run-")
	if err != nil {
		return nil, fmt.Errorf("make a throw-away folder: %w", err)
	}
	cfg.data, cfg.masterKeyFile, cfg.auditCheckpoints = dir, filepath.Join(dir, "master.key"), filepath.Join(dir, "checkpoints")
	cfg.masterKey = secret{}
	cfg.database.hide("bolt://" + filepath.Join(dir, "chatelaine.db"))
	return func() { _ = os.RemoveAll(dir) }, nil
}

func applySite(ctx context.Context, ctl *control, name string, raw []byte, prune, dryRun bool) (applied, error) {
	var out applied
	err := ctl.do(ctx, request{op: "apply", in: map[string]bool{"prune": prune, "dry_run": dryRun}, body: strings.NewReader(string(raw)), out: &out})
	var f *failure
	if errors.As(err, &f) {
		f.file = name
	}
	return out, err
}

// maxSiteFile is a little more than the most that apply takes, in bytes.
const maxSiteFile = 17 << 20

func readSiteFile(t *terminal, name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(io.LimitReader(t.in, maxSiteFile))
	}
	raw, err := readLimited(name, maxSiteFile)
	if err != nil {
		return nil, usagef("%s", plainFileError(err))
	}
	return raw, nil
}

func (c *applyCommand) export(ctx context.Context, t *terminal) error {
	if c.Prune || c.DryRun {
		return usagef("--export goes with neither --prune nor --dry-run")
	}
	in := map[string]any{}
	if c.Site != nil {
		in["site"] = *c.Site
	}
	if c.File == "" || c.File == "-" {
		return operate(ctx, t, c.Settings, false, request{op: "export", in: in, bytes: t.out})
	}
	return writeNew(c.File, func(w io.Writer) error {
		return operate(ctx, t, c.Settings, false, request{op: "export", in: in, bytes: w})
	})
}

// writeNew writes a file of mode 0600 whole before it gets its name. One that is
// there already is left alone.
func writeNew(path string, fill func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already and was left alone", path)
	}
	temp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return errors.New(plainFileError(err))
	}
	defer os.Remove(temp.Name())
	w := bufio.NewWriterSize(temp, 1<<20)
	err = fill(w)
	if err = errors.Join(err, w.Flush(), temp.Sync(), temp.Close()); err != nil {
		return err
	}
	if err := os.Link(temp.Name(), path); err != nil {
		return fmt.Errorf("name the file: %w", err)
	}
	return syncDir(filepath.Dir(path))
}

type backupCommand struct {
	Settings settingsFlags `embed:""`
	File     string        `arg:"" help:"File to write (mode 0600); it must not be there yet."`
}

// Run writes a backup.
func (c *backupCommand) Run(ctx context.Context, t *terminal) error {
	var out struct {
		Records int64 `json:"records"`
	}
	err := writeNew(c.File, func(w io.Writer) error {
		return operate(ctx, t, c.Settings, false, request{op: "backup", bytes: w, out: &out})
	})
	if err != nil {
		return err
	}
	t.say("wrote %s (%d records); keep the master key apart from it: neither is of use alone", c.File, out.Records)
	return nil
}

type checkCommand struct {
	Settings settingsFlags `embed:""`
}

// Run checks the store.
func (c *checkCommand) Run(ctx context.Context, t *terminal) error {
	if err := operate(ctx, t, c.Settings, false, request{op: "check"}); err != nil {
		return err
	}
	t.say("the store is undamaged")
	return nil
}

// readSecret reads one line: a password. On a terminal it asks, without echo.
func readSecret(t *terminal, prompt string) (string, error) {
	if f, ok := t.in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		_, _ = fmt.Fprint(t.err, prompt+": ")
		raw, err := term.ReadPassword(int(f.Fd()))
		_, _ = fmt.Fprintln(t.err)
		return string(raw), err
	}
	raw, err := io.ReadAll(io.LimitReader(t.in, 64<<10))
	if err != nil {
		return "", err
	}
	line, rest, _ := strings.Cut(string(raw), "\n")
	if strings.TrimSpace(rest) != "" {
		return "", usagef("standard input must hold one line, the password")
	}
	return strings.TrimSuffix(line, "\r"), nil
}
