package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"runtime/debug"

	"github.com/chatelaine-id/chatelaine/store"
)

// Check reads the whole file as of now and returns ErrDamaged, saying where, if
// a page, a record or the sum over all records is not what was written. The
// progress function may be nil. Writing goes on meanwhile.
func (s *Store) Check(ctx context.Context, progress func(done, total int64)) error {
	for {
		err := s.checkOnce(ctx, progress)
		if !errors.Is(err, errMoved) {
			return err
		}
	}
}

func (s *Store) checkOnce(ctx context.Context, progress func(done, total int64)) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	t, err := s.begin(ctx, store.House) // keeps the snapshot's pages from being used again
	if err != nil {
		return err
	}
	defer t.end()
	f, err := os.Open(s.path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c := &checker{file: f, size: info.Size(), snapshot: int64(t.b.ID()), progress: progress}
	if err := c.header(); err != nil {
		return err
	}
	return c.run(ctx)
}

// errMoved says that two commits came between the snapshot and the reading of
// its meta page.
var errMoved = errors.New("the snapshot's meta page has been written over")

// checker verifies a file by reading it, never through the library.
type checker struct {
	file     io.ReaderAt
	size     int64
	snapshot int64 // a transaction's id; 0: the latest
	progress func(done, total int64)

	pageSize int64
	meta     meta
	seen     []bool // by page
	done     int64
	sum      uint64
}

// header reads both meta pages. Both must be whole: falling back to the older
// one would silently undo a commit that was acknowledged.
func (c *checker) header() error {
	if c.size == 0 {
		return damaged("the file is empty")
	}
	first, err := readAt(c.file, pageHead+metaSize, 0)
	if err != nil {
		return err
	}
	zero, err := parseMeta(first)
	if err != nil {
		return err
	}
	second, err := readAt(c.file, pageHead+metaSize, zero.pageSize)
	if err != nil {
		return err
	}
	one, err := parseMeta(second)
	if err != nil {
		return err
	}
	if apart := zero.txid - one.txid; zero.pageSize != one.pageSize || apart != 1 && apart != -1 {
		return damaged("the meta pages do not belong together")
	}
	c.meta, c.pageSize = zero, zero.pageSize
	if one.txid > zero.txid {
		c.meta = one
	}
	if c.snapshot != 0 {
		switch c.snapshot {
		case zero.txid:
			c.meta = zero
		case one.txid:
			c.meta = one
		default:
			return errMoved
		}
	}
	if c.meta.pages < 4 || c.meta.pages > c.size/c.pageSize {
		return damaged("the file has %d bytes and should have %d pages of %d", c.size, c.meta.pages, c.pageSize)
	}
	return nil
}

func (c *checker) run(ctx context.Context) error {
	c.seen = make([]bool, c.meta.pages)
	c.seen[0], c.seen[1], c.done = true, true, 2
	if err := c.freelist(); err != nil {
		return err
	}
	found := false
	err := c.tree(ctx, c.meta.root, nil, nil, 0, func(flags uint32, key, value []byte) error {
		if flags != bucketLeaf || !bytes.Equal(key, recordsBucket) || found {
			return damaged("a bucket that nobody made")
		}
		found = true
		return c.records(ctx, value)
	})
	switch {
	case err != nil:
		return err
	case !found:
		return damaged("the records are gone")
	}
	for id, seen := range c.seen {
		if !seen {
			return damaged("page %d is neither used nor free", id)
		}
	}
	return nil
}

func (c *checker) records(ctx context.Context, bucket []byte) error {
	if len(bucket) < bucketHead {
		return damaged("the head of the records is cut short")
	}
	root, want := int64(binary.LittleEndian.Uint64(bucket)), binary.LittleEndian.Uint64(bucket[8:])
	visit := func(flags uint32, key, frame []byte) error {
		site, kind, own, ok := splitKey(key)
		if !ok || flags != 0 {
			return damaged("a key that nobody wrote")
		}
		if _, _, err := store.OpenFrame(site, kind, own, frame); err != nil {
			return err
		}
		sum, _ := store.FrameSum(frame)
		c.sum += sum
		return nil
	}
	var err error
	if root == 0 { // few records live inside the bucket's own value
		if len(bucket) < bucketHead+pageHead {
			return damaged("the records are cut short")
		}
		err = c.leaf(parsePage(bucket[bucketHead:]), nil, nil, visit)
	} else {
		err = c.tree(ctx, root, nil, nil, 0, visit)
	}
	if err == nil && c.sum != want {
		err = damaged("records are missing or have come back")
	}
	return err
}

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
	data, err := readAt(c.file, c.pageSize, id*c.pageSize)
	if err != nil {
		return page{}, err
	}
	p := parsePage(data)
	if p.id != id {
		return page{}, damaged("page %d says that it is page %d", id, p.id)
	}
	if err := c.use(id, p.overflow+1); err != nil {
		return page{}, err
	}
	if p.overflow > 0 {
		if p.data, err = readAt(c.file, c.pageSize*(p.overflow+1), id*c.pageSize); err != nil {
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

// splitKey takes a record's place out of its key in the bucket.
func splitKey(full []byte) (site string, kind store.Kind, key []byte, ok bool) {
	if len(full) < 1 || len(full) < 2+int(full[0]) {
		return "", "", nil, false
	}
	n := int(full[0])
	site, rest := string(full[1:1+n]), full[1+n:]
	m := int(rest[0])
	if len(rest) < 1+m+1 || m == 0 {
		return "", "", nil, false
	}
	return site, store.Kind(rest[1 : 1+m]), rest[1+m:], true
}
