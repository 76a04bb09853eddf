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
	leafPage []byte // where leaves are read one after the other, once records are
	done     int64
	sum      uint64
}

// header reads both meta pages. Both must be whole: falling back to the older
// one would silently undo a commit that was acknowledged.
func (c *checker) header() error {
	if c.size == 0 {
		return damaged("the file is empty")
	}
	first, second := make([]byte, pageHead+metaSize), make([]byte, pageHead+metaSize)
	if err := readAt(c.file, first, 0); err != nil {
		return err
	}
	zero, err := parseMeta(first)
	if err != nil {
		return err
	}
	if err := readAt(c.file, second, zero.pageSize); err != nil {
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

// free reads which pages are free: the library writes where the list says.
func (c *checker) free() error {
	c.seen = make([]bool, c.meta.pages)
	c.seen[0], c.seen[1], c.done = true, true, 2
	return c.freelist()
}

func (c *checker) run(ctx context.Context) error {
	if err := c.free(); err != nil {
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
		if !seen && c.meta.freelist != noFreelist {
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
		c.leafPage = make([]byte, c.pageSize)
		err = c.tree(ctx, root, nil, nil, 0, visit)
	}
	if err == nil && c.sum != want {
		err = damaged("records are missing or have come back")
	}
	return err
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
