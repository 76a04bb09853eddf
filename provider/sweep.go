package provider

import (
	"context"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// sweepEvery is how often expired records are removed.
const sweepEvery = 30 * time.Second

// sweep removes expired records until ctx ends: a small commit at a time, so
// that no sign-in waits for it. Expired records are invisible before, too.
func (s *Server) sweep(ctx context.Context) error {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		if err := s.sweepAll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error().Err(err).Msg("expired records were not removed; tried again in half a minute")
		}
	}
}

func (s *Server) sweepAll(ctx context.Context) error {
	all, err := s.sites.All(ctx)
	if err != nil {
		return err
	}
	for _, rec := range append(all, store.Site{Path: store.House}) {
		for n := store.SweepBatch; n == store.SweepBatch && ctx.Err() == nil; {
			if n, err = store.Sweep(ctx, s.engine, rec.Path, s.now()); err != nil {
				return err
			}
		}
	}
	return nil
}
