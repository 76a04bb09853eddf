package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/store/internal/overlay"
)

// tx is one transaction. It begins on the server together with its first read
// and ends together with its writes, so that an Update with one read takes two
// exchanges.
type tx struct {
	s        *Store
	ctx      context.Context
	conn     *conn // nil until the first read
	site     string
	now      time.Time
	writes   *overlay.Overlay // nil in a View
	err      error            // the first engine error
	finished bool
}

func (t *tx) Site() string { return t.site }

func (t *tx) usable() error {
	if t.finished {
		return store.ErrFinished
	}
	return t.err
}

func (t *tx) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

// end gives the connection back; one in doubt is closed by that.
func (t *tx) end() {
	t.finished = true
	if t.conn == nil {
		return
	}
	conn := t.conn
	t.conn = nil
	if !conn.IsClosed() && conn.TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.ctx), callTimeout)
		defer cancel()
		_ = conn.do(ctx, "rollback", nil, done)
	}
	conn.release()
}

// send runs the statements in one exchange, beginning the transaction first if
// that has not been done; read takes the answers.
func (t *tx) send(ctx context.Context, b *batch, read func(*results) error) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	opening := 0
	if t.conn == nil {
		conn, err := t.s.pool.acquire(ctx)
		if err != nil {
			return t.classify(err)
		}
		t.conn = conn
		first := t.opening()
		opening = len(first)
		b = &batch{append(first, b.statements...)}
	}
	answers := b.sendTo(ctx, t.conn.PgConn)
	var err error
	for i := 0; i < opening && err == nil; i++ {
		_, err = answers.exec()
	}
	if err == nil {
		err = read(answers)
	}
	if closed := answers.close(); err == nil {
		err = closed
	}
	if err != nil {
		return t.classify(err)
	}
	return nil
}

func (t *tx) opening() []statement {
	begin := "begin isolation level serializable"
	if t.writes == nil {
		begin = "begin isolation level repeatable read read only"
	}
	var b batch
	b.queue(begin)
	b.queue("set local statement_timeout = '" + statementTimeout + "'")
	// A sequential scan would count as having read the whole table, and every
	// write as a conflict with it.
	b.queue("set local enable_seqscan = off")
	return b.statements
}

// classify makes an error of the driver one of the store's.
func (t *tx) classify(err error) error {
	if t.ctx.Err() != nil {
		return t.ctx.Err()
	}
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		if errors.Is(err, context.DeadlineExceeded) {
			return fmt.Errorf("%w: no answer from the database: %w", store.ErrUnavailable, err)
		}
		t.s.pool.Reset() // the others are probably gone too
		return fmt.Errorf("%w: %w", errLost, err)
	}
	switch {
	case pg.Code == "40001" || pg.Code == "40P01":
		return fmt.Errorf("%w: %w", errAgain, err)
	case pg.Code[:2] == "08" || pg.Code[:3] == "57P":
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}

func (t *tx) expired(at time.Time) bool { return !at.IsZero() && !at.After(t.now) }

func (t *tx) Get(kind store.Kind, key []byte) ([]byte, error) {
	value, expires, err := t.get(kind, key)
	if err == nil && t.expired(expires) {
		return nil, store.ErrNotFound
	}
	return value, err
}

// GetExpired is Get that sees expired records too, for the sweep.
func (t *tx) GetExpired(kind store.Kind, key []byte) ([]byte, error) {
	value, _, err := t.get(kind, key)
	return value, err
}

const selectOne = `select value from chatelaine_records where site = $1 and kind = $2 and key = $3`

func (t *tx) get(kind store.Kind, key []byte) (value []byte, expires time.Time, err error) {
	if err := t.usable(); err != nil {
		return nil, expires, err
	}
	if store.CheckPlace(t.site, kind, key) != nil {
		return nil, expires, store.ErrNotFound
	}
	if t.writes != nil {
		if w, ok := t.writes.Get(place(kind, key)); ok {
			if w.Frame == nil {
				return nil, expires, store.ErrNotFound
			}
			return w.Value, w.Expires, nil
		}
	}
	var frame []byte
	var b batch
	b.queue(selectOne, []byte(t.site), []byte(kind), key)
	missing := true
	err = t.send(t.ctx, &b, func(r *results) error {
		return r.rows(func(columns [][]byte) error {
			frame, missing = bytes.Clone(columns[0]), false
			return nil
		})
	})
	switch {
	case err != nil:
		return nil, expires, t.fail(err)
	case missing:
		return nil, expires, store.ErrNotFound
	}
	if value, expires, err = store.OpenFrame(t.site, kind, key, frame); err != nil {
		return nil, expires, t.fail(err)
	}
	return value, expires, nil
}

func (t *tx) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	if err := t.writable(kind, key); err != nil {
		return err
	}
	if len(value) > store.MaxValue {
		return fmt.Errorf("%s: a value of %d bytes: %w", kind, len(value), store.ErrTooLarge)
	}
	frame := store.AppendFrame(make([]byte, 0, len(value)+17), t.site, kind, key, value, expires)
	t.writes.Put(place(kind, key), overlay.Write{Frame: frame, Value: frame[len(frame)-len(value):], Expires: expires})
	return nil
}

func (t *tx) Delete(kind store.Kind, key []byte) error {
	if err := t.writable(kind, key); err != nil {
		return err
	}
	t.writes.Put(place(kind, key), overlay.Write{})
	return nil
}

func (t *tx) writable(kind store.Kind, key []byte) error {
	if err := t.usable(); err != nil {
		return err
	}
	if t.writes == nil {
		return store.ErrReadOnly
	}
	return store.CheckPlace(t.site, kind, key)
}

// place is a record's key in the overlay: its kind's length, its kind, its key.
func place(kind store.Kind, key []byte) []byte {
	b := make([]byte, 0, 1+len(kind)+len(key))
	b = append(append(b, byte(len(kind))), kind...)
	return append(b, key...)
}

func (t *tx) Scan(kind store.Kind, from, to []byte) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := t.usable(); err != nil {
			yield(store.Item{}, err)
			return
		}
		if len(kind) == 0 || len(kind) > store.MaxName {
			return
		}
		if err := t.scan(kind, from, to, yield); err != nil {
			yield(store.Item{}, err)
		}
	}
}

// scan walks the server's pages and the overlay side by side.
func (t *tx) scan(kind store.Kind, from, to []byte, yield func(store.Item, error) bool) error {
	pages := &pager{t: t, kind: kind, next: bytes.Clone(from), to: to, size: firstPage}
	head := 1 + len(kind)
	next := place(kind, from)
	hi := place(kind, to)
	if len(to) == 0 {
		hi = append(place(kind, nil), bytes.Repeat([]byte{0xFF}, store.MaxKey+1)...)
	}
	stored, err := pages.read()
	for err == nil {
		own, w, found := t.writes.Next(next, hi)
		if stored == nil && !found {
			return nil
		}
		var item store.Item
		live, same := true, true
		if key := []byte(own); found && (stored == nil || bytes.Compare(key[head:], stored.Key) <= 0) {
			same = stored != nil && bytes.Equal(key[head:], stored.Key)
			next = append(key, 0)
			item, live = store.Item{Key: key[head:], Value: w.Value, Expires: w.Expires}, w.Frame != nil
		} else {
			item = *stored
			next = append(place(kind, stored.Key), 0)
		}
		if live && !t.expired(item.Expires) && !yield(item, nil) {
			return nil
		}
		if err := t.usable(); err != nil {
			return err
		}
		if same {
			stored, err = pages.read()
		}
	}
	return err
}
