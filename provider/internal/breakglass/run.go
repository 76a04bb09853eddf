package breakglass

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/store"
)

// look is how often Run looks for what another node lifted.
const look = 30 * time.Second

// Run records the end of what was lifted when its time is over, until ctx ends.
// The control itself holds again by the clock, whether this runs or not.
func (g *Glass) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.wake:
		case <-timer.C:
		}
		next, err := g.endDue(ctx)
		if err != nil && ctx.Err() == nil {
			g.Log.Error().Err(err).Msg("break-glass: an end was not recorded; it is tried again")
		}
		timer.Reset(min(look, max(next.Sub(g.Now()), 0)+time.Millisecond))
	}
}

// endDue ends what is over, and says when the next will be.
func (g *Glass) endDue(ctx context.Context) (next time.Time, err error) {
	next = g.Now().Add(look)
	sites, err := g.Sites.All(ctx)
	if err != nil {
		return next, err
	}
	for _, rec := range sites {
		until, err2 := g.endSite(ctx, rec.Path)
		if err2 != nil {
			err = errors.Join(err, fmt.Errorf("site %q: %w", "/"+rec.Path, err2))
		} else if !until.IsZero() && until.Before(next) {
			next = until
		}
	}
	return next, err
}

func (g *Glass) endSite(ctx context.Context, path string) (until time.Time, err error) {
	var b store.BreakGlass
	err = g.Store.View(ctx, path, func(tx store.Tx) error {
		b, err = Status(tx)
		return err
	})
	if err != nil || b.Control == "" {
		return time.Time{}, err
	}
	if b.Live(g.Now()) {
		return b.Until, nil
	}
	s, err := g.Sites.Load(ctx, path)
	if err != nil {
		return time.Time{}, err
	}
	ended := false
	err = g.Store.Update(ctx, path, func(tx store.Tx) error {
		ended = false
		if b, err = Status(tx); err != nil || b.Control == "" || b.Live(g.Now()) {
			return err
		}
		ended = true
		return g.end(ctx, tx, s, b, audit.Ref{}, "time_over")
	})
	if err == nil && ended {
		g.SaidEnded(s, b)
	}
	return time.Time{}, err
}
