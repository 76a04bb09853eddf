package postgres

import (
	"github.com/jackc/pgx/v5"

	"github.com/chatelaine-id/chatelaine/store"
)

// A scan asks for few records first, since most lookups have one, and for more
// each time. What it did not ask for does not count as read.
const (
	firstPage = 8
	fullPage  = 512
)

// pager reads one kind's records from next to to.
type pager struct {
	t     *tx
	kind  store.Kind
	next  []byte
	to    []byte
	size  int
	items []store.Item
	ended bool
}

const selectPage = `select key, value from chatelaine_records
	where site = $1 and kind = $2 and key >= $3 and ($4::bytea = '' or key < $4) order by key limit $5`

// read returns the next record, nil at the end.
func (p *pager) read() (*store.Item, error) {
	if len(p.items) == 0 && !p.ended {
		if err := p.fetch(); err != nil {
			return nil, p.t.fail(err)
		}
	}
	if len(p.items) == 0 {
		return nil, nil
	}
	item := p.items[0]
	p.items = p.items[1:]
	return &item, nil
}

func (p *pager) fetch() error {
	to := p.to
	if to == nil {
		to = []byte{}
	}
	next := p.next
	if next == nil {
		next = []byte{}
	}
	batch := &pgx.Batch{}
	batch.Queue(selectPage, []byte(p.t.site), []byte(p.kind), next, to, p.size)
	if err := p.t.send(p.t.ctx, batch, p.take); err != nil {
		return err
	}
	p.ended = len(p.items) < p.size
	p.size = min(p.size*8, fullPage)
	if n := len(p.items); n > 0 {
		p.next = append(append([]byte(nil), p.items[n-1].Key...), 0)
	}
	return p.verify()
}

// take reads the page's rows; each Value is still a frame.
func (p *pager) take(r pgx.BatchResults) error {
	rows, err := r.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var item store.Item
		if err := rows.Scan(&item.Key, &item.Value); err != nil {
			return err
		}
		p.items = append(p.items, item)
	}
	return rows.Err()
}

func (p *pager) verify() (err error) {
	for i, item := range p.items {
		if p.items[i].Value, p.items[i].Expires, err = store.OpenFrame(p.t.site, p.kind, item.Key, item.Value); err != nil {
			return err
		}
	}
	return nil
}
