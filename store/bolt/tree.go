package bolt

import (
	"bytes"
	"context"
)

type visit func(flags uint32, key, value []byte) error

// tree walks a page and what is below it; its keys lie in [lo, hi).
func (c *checker) tree(ctx context.Context, id int64, lo, hi []byte, depth int, fn visit) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if depth > 64 {
		return damaged("page %d: the tree is too deep", id)
	}
	p, err := c.page(id)
	if err != nil {
		return err
	}
	switch p.flags {
	case leafPage:
		return c.leaf(p, lo, hi, fn)
	case branchPage:
		return c.branch(ctx, p, lo, hi, depth, fn)
	}
	return damaged("page %d is of kind %#x", id, p.flags)
}

func (c *checker) branch(ctx context.Context, p page, lo, hi []byte, depth int, fn visit) error {
	if p.count == 0 {
		return damaged("page %d is empty", p.id)
	}
	key, child, err := p.branch(0)
	for i := 1; ; i++ {
		if err != nil {
			return err
		}
		if bytes.Compare(key, lo) < 0 || hi != nil && bytes.Compare(key, hi) >= 0 {
			return damaged("page %d is out of order", p.id)
		}
		end, after := hi, int64(0)
		if i < p.count {
			if end, after, err = p.branch(i); err != nil {
				return err
			}
			if bytes.Compare(key, end) >= 0 {
				return damaged("page %d is out of order", p.id)
			}
		}
		if err := c.tree(ctx, child, key, end, depth+1, fn); err != nil || i == p.count {
			return err
		}
		key, child = end, after
	}
}

func (c *checker) leaf(p page, lo, hi []byte, fn visit) error {
	for i := range p.count {
		flags, key, value, err := p.leaf(i)
		if err != nil {
			return err
		}
		if i == 0 && bytes.Compare(key, lo) < 0 || i > 0 && bytes.Compare(key, lo) <= 0 || hi != nil && bytes.Compare(key, hi) >= 0 {
			return damaged("page %d is out of order", p.id)
		}
		if err := fn(flags, key, value); err != nil {
			return err
		}
		lo = key
	}
	return nil
}

func (c *checker) freelist() error {
	if c.meta.freelist == noFreelist { // what the tree does not use is free
		return nil
	}
	p, err := c.page(c.meta.freelist)
	if err != nil {
		return err
	}
	if p.flags != freelistPage {
		return damaged("page %d is no freelist", p.id)
	}
	freed, err := p.freed()
	if err != nil {
		return err
	}
	for _, id := range freed {
		if err := c.use(id, 1); err != nil {
			return err
		}
	}
	return nil
}

// page reads a page that nothing else uses.
func (c *checker) page(id int64) (page, error) {
	if id < 2 || id >= c.meta.pages {
		return page{}, damaged("page %d does not exist", id)
	}
	data := c.leafPage
	if data == nil {
		data = make([]byte, c.pageSize)
	}
	if err := readAt(c.file, data, id*c.pageSize); err != nil {
		return page{}, err
	}
	p := parsePage(data)
	if p.flags != leafPage { // its keys are needed while those below it are read
		p.data = bytes.Clone(data)
	}
	if p.id != id {
		return page{}, damaged("page %d says that it is page %d", id, p.id)
	}
	if err := c.use(id, p.overflow+1); err != nil {
		return page{}, err
	}
	if p.overflow > 0 {
		p.data = make([]byte, c.pageSize*(p.overflow+1))
		if err := readAt(c.file, p.data, id*c.pageSize); err != nil {
			return page{}, err
		}
	}
	return p, nil
}

func (c *checker) use(id, count int64) error {
	if id < 2 || count > c.meta.pages || id > c.meta.pages-count {
		return damaged("page %d does not exist", id)
	}
	for i := id; i < id+count; i++ {
		if c.seen[i] {
			return damaged("page %d is used twice", i)
		}
		c.seen[i] = true
	}
	if c.done += count; c.progress != nil {
		c.progress(c.done, c.meta.pages)
	}
	return nil
}
