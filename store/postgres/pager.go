package postgres

import (
	"bytes"

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
	var b batch
	b.queue(selectPage, []byte(p.t.site), []byte(p.kind), p.next, p.to, p.size)
	if err := p.t.send(p.t.ctx, &b, p.take); err != nil {
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
func (p *pager) take(r *results) error {
	return r.rows(func(columns [][]byte) error {
		p.items = append(p.items, store.Item{Key: bytes.Clone(columns[0]), Value: bytes.Clone(columns[1])})
		return nil
	})
}

func (p *pager) verify() (err error) {
	for i, item := range p.items {
		if p.items[i].Value, p.items[i].Expires, err = store.OpenFrame(p.t.site, p.kind, item.Key, item.Value); err != nil {
			return err
		}
	}
	return nil
}
