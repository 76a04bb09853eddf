package postgres

import (
	"bytes"
	"context"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

const (
	dumpPage = `select site, kind, key, value from chatelaine_records
	where (site, kind, key) > ($1, $2, $3) order by site, kind, key limit $4`
	loadAll = `insert into chatelaine_records (site, kind, key, value, expires)
	select * from unnest($1::bytea[], $2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[])
	on conflict (site, kind, key) do update set value = excluded.value, expires = excluded.expires`
)

// Dump yields every record, as of one moment.
func (s *Store) Dump(ctx context.Context, fn func(store.Record) error) error {
	t, err := s.begin(ctx, store.House)
	if err != nil {
		return err
	}
	defer t.end()
	site, kind, key := []byte{}, []byte{}, []byte{}
	for {
		var page []store.Record
		var b batch
		b.queue(dumpPage, site, kind, key, fullPage)
		if err := t.send(ctx, &b, func(r *results) error {
			return r.rows(func(columns [][]byte) error {
				page = append(page, store.Record{
					Site: string(columns[0]), Kind: store.Kind(columns[1]), Key: bytes.Clone(columns[2]), Value: bytes.Clone(columns[3]),
				})
				return nil
			})
		}); err != nil {
			return err
		}
		for _, r := range page {
			if r.Value, r.Expires, err = store.OpenFrame(r.Site, r.Kind, r.Key, r.Value); err != nil {
				return err
			}
			if err := fn(r); err != nil {
				return err
			}
			site, kind, key = []byte(r.Site), []byte(r.Kind), r.Key
		}
		if len(page) < fullPage {
			return nil
		}
	}
}

// Load writes records of any sites in one commit.
func (s *Store) Load(ctx context.Context, records []store.Record) error {
	if len(records) == 0 {
		return nil
	}
	var sites, kinds, keys, frames [][]byte
	var expires []int64
	for _, r := range records {
		if err := store.CheckPlace(r.Site, r.Kind, r.Key); err != nil {
			return err
		}
		sites, kinds, keys = append(sites, []byte(r.Site)), append(kinds, []byte(r.Kind)), append(keys, r.Key)
		frames = append(frames, store.AppendFrame(nil, r.Site, r.Kind, r.Key, r.Value, r.Expires))
		expires = append(expires, millis(r.Expires))
	}
	ctx, cancel := context.WithTimeout(ctx, 6*callTimeout)
	defer cancel()
	if err := s.pool.do(ctx, loadAll, []any{sites, kinds, keys, frames, expires}, done); err != nil {
		return unavailable(err)
	}
	return nil
}

func millis(at time.Time) int64 {
	if at.IsZero() {
		return 0
	}
	return at.UnixMilli()
}

// Check verifies every record; the pages beneath are the server's to check.
func (s *Store) Check(ctx context.Context, progress func(done, total int64)) error {
	var read, total int64
	err := s.pool.do(ctx, "select count(*) from chatelaine_records", nil, func(r *results) error {
		return r.rows(func(columns [][]byte) (err error) {
			total, err = number(columns[0])
			return err
		})
	})
	if err != nil {
		return unavailable(err)
	}
	return s.Dump(ctx, func(store.Record) error {
		if read++; progress != nil {
			progress(read, max(read, total))
		}
		return nil
	})
}
