package bolt

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// Dump yields every record. It holds one snapshot for as long as fn takes, and
// the file grows meanwhile: write to a local disk, not to a slow reader.
func (s *Store) Dump(ctx context.Context, fn func(store.Record) error) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	t, err := s.begin(ctx, store.House)
	if err != nil {
		return err
	}
	defer t.end()
	cursor := t.records.Cursor()
	r, more, err := t.record(cursor.First)
	for ; more && err == nil; r, more, err = t.record(cursor.Next) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if r.Site == store.House && r.Kind == engineKind {
			continue
		}
		if err := fn(r); err != nil {
			return err
		}
	}
	return err
}

func (t *tx) record(move func() (k, v []byte)) (r store.Record, more bool, err error) {
	defer t.guard(&err)
	k, frame := move()
	if k == nil {
		return r, false, nil
	}
	var ok bool
	if r.Site, r.Kind, r.Key, ok = splitKey(k); !ok {
		return r, false, fmt.Errorf("a key that nobody wrote: %w", store.ErrDamaged)
	}
	r.Value, r.Expires, err = store.OpenFrame(r.Site, r.Kind, r.Key, frame)
	return r, true, err
}

// Load writes records of any sites in one commit.
func (s *Store) Load(ctx context.Context, records []store.Record) error {
	o := &overlay.Overlay{}
	for _, r := range records {
		if err := store.CheckPlace(r.Site, r.Kind, r.Key); err != nil {
			return err
		}
		frame := store.AppendFrame(nil, r.Site, r.Kind, r.Key, r.Value, r.Expires)
		o.Put(fullKey(r.Site, r.Kind, string(r.Key)), overlay.Write{Frame: frame})
	}
	if len(o.Keys) == 0 {
		return nil
	}
	t, err := s.begin(ctx, store.House)
	if err != nil {
		return err
	}
	snapshot := uint64(t.b.ID())
	t.end()
	return s.submit(ctx, &request{snapshot: snapshot, writes: o, done: make(chan error, 1)})
}
