package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/rs/zerolog"

	"github.com/chatelaine-id/chatelaine/store"
)

type restoreCommand struct {
	Settings settingsFlags `embed:""`
	File     string        `arg:"" help:"Backup to restore."`
}

// Run fills an empty store from a backup. It needs the master key that the
// backup was made with, and no server on the store.
func (c *restoreCommand) Run(ctx context.Context, t *terminal) error {
	file, err := os.Open(c.File)
	if err != nil {
		return usagef("%s", plainFileError(err))
	}
	defer file.Close()
	cfg, err := c.Settings.load(t)
	if err != nil {
		return err
	}
	if err := nobodyServes(ctx, cfg, "a restore needs an empty store"); err != nil {
		return err
	}
	records, err := restoreInto(ctx, cfg, file)
	if err != nil {
		return err
	}
	err = withControl(ctx, t, cfg, false, func(ctl *control) error { return ctl.do(ctx, request{op: "restored"}) })
	if err != nil {
		return fmt.Errorf("everything was restored, but not written into the audit log: %w", err)
	}
	t.say("restored %d records; everybody signs in anew", records)
	t.say("recovery codes of agents and offline codes of break-glass are void, since they may have been used: have new ones made")
	return nil
}

func nobodyServes(ctx context.Context, cfg *config, why string) error {
	conn, running, err := dialControl(ctx, cfg.data)
	if err != nil {
		return err
	}
	if running {
		_ = conn.Close()
		return fmt.Errorf("a server is running on %s, and %s: stop it first", cfg.data, why)
	}
	return nil
}

// restoreInto leaves no half-made file behind when it made it.
func restoreInto(ctx context.Context, cfg *config, file *os.File) (records int, err error) {
	fresh, err := storeIsMissing(cfg)
	if err != nil {
		return 0, err
	}
	sealer, err := loadSealer(cfg, false)
	if err != nil {
		return 0, err
	}
	h := &house{cfg: cfg, fatal: make(chan error, 1)}
	if h.store, err = h.openStore(ctx); err != nil {
		return 0, err
	}
	records, err = store.Restore(ctx, h.store, sealer, file, time.Now())
	if err = errors.Join(err, h.store.Close()); err != nil && fresh {
		err = errors.Join(err, os.Remove(cfg.boltPath()))
	}
	return records, err
}

type masterCommand struct {
	ForgetOld bool `help:"Remove the old keys from the file afterwards. Backups that they made need a copy of them."`
}

// Run puts a new master key before the old ones and seals everything anew.
func (c *masterCommand) Run(ctx context.Context, t *terminal, of *keysCommands) error {
	cfg, err := of.Settings.load(t)
	if err != nil {
		return err
	}
	if !cfg.masterKey.empty() {
		return usagef("the master keys come from the setting master_key: keep them in a file (master_key_file) to rotate them")
	}
	if err := nobodyServes(ctx, cfg, "it holds the old master key"); err != nil {
		return err
	}
	if err := store.AddMasterKey(cfg.masterKeyFile); err != nil {
		return err
	}
	h, err := openHouse(ctx, cfg, houseOptions{log: zerolog.Nop()})
	if err != nil {
		return err
	}
	n, err := h.reseal(ctx)
	if err = errors.Join(err, h.store.Close()); err != nil {
		return err
	}
	t.say("a new master key seals from now on; %d records were sealed anew", n)
	if c.ForgetOld {
		return store.RemoveOldMasterKeys(cfg.masterKeyFile)
	}
	return nil
}

func (h *house) reseal(ctx context.Context) (total int, err error) {
	sealer, err := loadSealer(h.cfg, false)
	if err != nil {
		return 0, err
	}
	sites := []string{store.House}
	err = h.store.View(ctx, store.House, func(tx store.Tx) error {
		sites = sites[:1]
		for rec, err := range store.Sites.All(tx, "") {
			if err != nil {
				return err
			}
			sites = append(sites, rec.Path)
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	for _, path := range sites {
		n, err := store.Reseal(ctx, h.store, sealer, path)
		if total += n; err != nil {
			return total, err
		}
	}
	return total, nil
}
