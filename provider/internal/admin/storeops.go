package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// engine is the store underneath what watches it for changes.
func (a *Admin) engine() (store.Engine, error) {
	s := a.Store
	for {
		if e, ok := s.(store.Engine); ok {
			return e, nil
		}
		inner, ok := s.(interface{ Unwrap() store.Store })
		if !ok {
			return nil, errors.New("this store can be neither backed up nor checked")
		}
		s = inner.Unwrap()
	}
}

type counted struct {
	Records int `json:"records"`
}

// backup streams a sealed copy of everything. Each site's log says that its
// records have left the house, before they do.
func (a *Admin) backup(ctx context.Context, _ struct{}, c *call) (any, error) {
	e, err := a.engine()
	if err != nil {
		return nil, err
	}
	if err := a.recordEverywhere(ctx, audit.BackupMake); err != nil {
		return nil, err
	}
	out := &progressWriter{call: c}
	n, err := store.Backup(ctx, e, a.Sealer, out)
	return counted{n}, err
}

func (a *Admin) recordEverywhere(ctx context.Context, action string) error {
	sites, err := a.Sites.All(ctx)
	if err != nil {
		return err
	}
	for _, rec := range sites {
		err := a.Store.Update(ctx, rec.Path, func(tx store.Tx) error {
			return a.record(ctx, tx, action, audit.Ref{Type: "site", ID: "/" + rec.Path}, Change{})
		})
		if err != nil {
			return fmt.Errorf("record it for site %q: %w", "/"+rec.Path, err)
		}
	}
	return nil
}

// progressWriter tells how many bytes have gone.
type progressWriter struct {
	call    *call
	written int64
}

func (w *progressWriter) Write(p []byte) (int, error) {
	n, err := w.call.Write(p)
	w.written += int64(n)
	w.call.Progress("bytes", w.written, 0)
	return n, err
}

// restored is called once, by the command that has filled this store from a
// backup: it writes that into each log and tells the checkpoints outside.
func (a *Admin) restored(ctx context.Context, _ struct{}, _ *call) (any, error) {
	sites, err := a.Sites.All(ctx)
	if err != nil {
		return nil, err
	}
	for _, rec := range sites {
		if err := a.Audit.Restored(ctx, rec.Path); err != nil {
			return nil, err
		}
	}
	return struct{}{}, a.recordEverywhere(ctx, audit.BackupRestore)
}

func (a *Admin) check(ctx context.Context, _ struct{}, c *call) (any, error) {
	e, err := a.engine()
	if err != nil {
		return nil, err
	}
	var last int64
	return struct{}{}, e.Check(ctx, func(done, total int64) {
		if percent := done * 100 / max(total, 1); percent != last { // a page is read in microseconds
			last = percent
			c.Progress("checking", done, total)
		}
	})
}
