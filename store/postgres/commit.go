package postgres

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

const (
	upsert = `insert into chatelaine_records (site, kind, key, value, expires)
	select $1, * from unnest($2::bytea[], $3::bytea[], $4::bytea[], $5::bigint[])
	on conflict (site, kind, key) do update set value = excluded.value, expires = excluded.expires`
	remove = `delete from chatelaine_records r using unnest($2::bytea[], $3::bytea[]) as d(kind, key)
	where r.site = $1 and r.kind = d.kind and r.key = d.key`
	markOutcome = `insert into chatelaine_outcomes (id) values ($1)`
	// claimOutcome waits while a transaction that marked the same outcome is
	// still undecided on the server.
	claimOutcome = `insert into chatelaine_outcomes (id) values ($1) on conflict do nothing`
)

// commit sends the writes and the commit in one exchange. Should the answer not
// come, the outcome is found out before anybody is told one.
func (t *tx) commit() error {
	if len(t.writes.Keys) == 0 {
		return t.commitReads()
	}
	b, id := t.batch(), outcomeID(t.now)
	b.queue(markOutcome, id)
	b.queue("commit")
	// Sent is sent: from here on the caller's giving up no longer counts.
	ctx := context.WithoutCancel(t.ctx)
	t.ctx = ctx
	err := t.send(ctx, b, func(r *results) error {
		for range b.statements {
			if _, err := r.exec(); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, errLost) || errors.Is(err, context.DeadlineExceeded) {
		t.end() // or those who hold all connections would wait for one more
		return t.s.resolve(ctx, id)
	}
	return err
}

// commitReads lets the server say whether what was read was serializable.
func (t *tx) commitReads() error {
	if t.conn == nil {
		return nil
	}
	var b batch
	b.queue("commit")
	return t.send(t.ctx, &b, done)
}

func (t *tx) batch() *batch {
	var puts, gone struct{ kinds, keys [][]byte }
	var frames [][]byte
	var expires []int64
	for i, full := range t.writes.Keys {
		kind, key := []byte(full[1:1+full[0]]), []byte(full[1+full[0]:])
		w := t.writes.Writes[i]
		if w.Frame == nil {
			gone.kinds, gone.keys = append(gone.kinds, kind), append(gone.keys, key)
			continue
		}
		puts.kinds, puts.keys, frames = append(puts.kinds, kind), append(puts.keys, key), append(frames, w.Frame)
		expires = append(expires, millis(w.Expires))
	}
	b := &batch{}
	if len(puts.keys) > 0 {
		b.queue(upsert, []byte(t.site), puts.kinds, puts.keys, frames, expires)
	}
	if len(gone.keys) > 0 {
		b.queue(remove, []byte(t.site), gone.kinds, gone.keys)
	}
	return b
}

// outcomeID begins with the time, so that old ones are swept as a range.
func outcomeID(now time.Time) []byte {
	id := binary.BigEndian.AppendUint64(make([]byte, 0, 24), uint64(now.UnixMilli()))
	id = id[:24]
	rand.Read(id[8:])
	return id
}

const (
	resolveFor     = 20 * time.Second
	outcomesLive   = time.Hour
	outcomesBatch  = 5000
	outcomesPeriod = time.Minute
)

// resolve finds out whether a commit whose answer was lost took place. Writing
// the same mark waits for the lost transaction if it still lives; after that
// either its mark is there, or ours is and it can never commit.
func (s *Store) resolve(ctx context.Context, id []byte) error {
	ctx, cancel := context.WithTimeout(ctx, resolveFor)
	defer cancel()
	for {
		var claimed int64
		err := s.pool.do(ctx, claimOutcome, []any{id}, changed(&claimed))
		switch {
		case err == nil && claimed == 0:
			return nil // it did
		case err == nil:
			return errAgain // it did not and will not: run again
		}
		select {
		case <-time.After(200 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%w: the connection was lost in the commit, whose outcome is unknown: %w", store.ErrUnavailable, err)
		}
	}
}

// forgetOutcomes removes marks that nobody can ask for any more.
func (s *Store) forgetOutcomes(ctx context.Context) {
	tick := time.NewTicker(outcomesPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		before := outcomeID(s.now().Add(-outcomesLive))
		_ = s.pool.do(ctx, `delete from chatelaine_outcomes where id in
			(select id from chatelaine_outcomes where id < $1 order by id limit $2)`, []any{before, outcomesBatch}, done)
		s.pool.tidyUp()
	}
}
