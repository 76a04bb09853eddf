package site

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/store"
)

// ErrNoClient is a client_id that the site does not know.
var ErrNoClient = errors.New("no such client")

// Client returns a client as it stood when the snapshot was made, or ErrNoClient.
// Decoded clients are kept with the snapshot; unknown ids are not, so that
// guesses take no memory.
func (sites *Sites) Client(ctx context.Context, s *Site, id string) (*store.Client, error) {
	if c, ok := s.clients.Load(id); ok {
		return c.(*store.Client), nil
	}
	if id == "" || len(id) > store.MaxKey {
		return nil, ErrNoClient
	}
	var c store.Client
	err := sites.store.View(ctx, s.Path, func(tx store.Tx) error {
		var err error
		c, err = store.Clients.Get(tx, id)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		return nil, ErrNoClient
	}
	if err != nil {
		return nil, fmt.Errorf("load client: %w", err)
	}
	s.clients.Store(id, &c)
	return &c, nil
}
