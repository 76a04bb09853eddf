package bolt

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"

	"github.com/chatelaine-id/chatelaine/store"
)

// The file's own format, as bbolt writes it (internal/common: page.go, meta.go,
// bucket.go), read here with every bound checked. Numbers stand in the byte
// order of the machine, which for all that we build for is little-endian.
const (
	pageHead    = 16
	elementHead = 16
	bucketHead  = 16
	metaSize    = 64
	metaMagic   = 0xED0CDAED
	metaVersion = 2

	branchPage   = 0x01
	leafPage     = 0x02
	metaPage     = 0x04
	freelistPage = 0x10
	bucketLeaf   = 0x01

	noFreelist = -1 // a meta page's, while nobody has written one
)

type meta struct {
	pageSize                    int64
	root, freelist, pages, txid int64 // pages is the number of pages in use or freed
}

func damaged(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), store.ErrDamaged)
}

func parseMeta(page []byte) (meta, error) {
	if len(page) < pageHead+metaSize {
		return meta{}, damaged("a meta page is cut short")
	}
	m := page[pageHead : pageHead+metaSize]
	sum := fnv.New64a()
	_, _ = sum.Write(m[:metaSize-8])
	le := binary.LittleEndian
	if le.Uint32(m) != metaMagic || le.Uint32(m[4:]) != metaVersion || le.Uint64(m[56:]) != sum.Sum64() || le.Uint16(page[8:])&metaPage == 0 {
		return meta{}, damaged("a meta page is not as it was written")
	}
	p := meta{
		pageSize: int64(le.Uint32(m[8:])), root: int64(le.Uint64(m[16:])),
		freelist: int64(le.Uint64(m[32:])), pages: int64(le.Uint64(m[40:])), txid: int64(le.Uint64(m[48:])),
	}
	if p.pageSize < 1024 || p.pageSize > 64<<10 || p.pageSize&(p.pageSize-1) != 0 {
		return meta{}, damaged("a page size of %d", p.pageSize)
	}
	return p, nil
}

// page is one page with its overflow, its header already verified.
type page struct {
	id       int64
	flags    uint16
	count    int
	overflow int64
	data     []byte // all of it, the header too
}

func parsePage(data []byte) page {
	le := binary.LittleEndian
	return page{id: int64(le.Uint64(data)), flags: le.Uint16(data[8:]), count: int(le.Uint16(data[10:])), overflow: int64(le.Uint32(data[12:])), data: data}
}

// bytes returns size bytes from offset, which counts from the page's start.
func (p page) bytes(offset, size int64) ([]byte, error) {
	if offset < pageHead || size < 0 || offset > int64(len(p.data)) || size > int64(len(p.data))-offset {
		return nil, damaged("page %d points outside itself", p.id)
	}
	return p.data[offset : offset+size : offset+size], nil
}

func (p page) element(i int) ([]byte, int64, error) {
	at := int64(pageHead + i*elementHead)
	e, err := p.bytes(at, elementHead)
	return e, at, err
}

// branch returns the i-th child and its least key.
func (p page) branch(i int) (key []byte, child int64, err error) {
	e, at, err := p.element(i)
	if err != nil {
		return nil, 0, err
	}
	le := binary.LittleEndian
	key, err = p.bytes(at+int64(le.Uint32(e)), int64(le.Uint32(e[4:])))
	return key, int64(le.Uint64(e[8:])), err
}

// leaf returns the i-th record.
func (p page) leaf(i int) (flags uint32, key, value []byte, err error) {
	e, at, err := p.element(i)
	if err != nil {
		return 0, nil, nil, err
	}
	le := binary.LittleEndian
	pos, ksize, vsize := at+int64(le.Uint32(e[4:])), int64(le.Uint32(e[8:])), int64(le.Uint32(e[12:]))
	if key, err = p.bytes(pos, ksize); err != nil {
		return 0, nil, nil, err
	}
	value, err = p.bytes(pos+ksize, vsize)
	return le.Uint32(e), key, value, err
}

// freed returns the pages that a freelist names.
func (p page) freed() ([]int64, error) {
	count, at := int64(p.count), int64(pageHead)
	if p.count == 0xFFFF {
		n, err := p.bytes(at, 8)
		if err != nil {
			return nil, err
		}
		count, at = int64(binary.LittleEndian.Uint64(n)), at+8
		if count < 0 || count > int64(len(p.data)) {
			return nil, damaged("the freelist is longer than its pages")
		}
	}
	ids, err := p.bytes(at, count*8)
	if err != nil {
		return nil, err
	}
	freed := make([]int64, count)
	for i := range freed {
		freed[i] = int64(binary.LittleEndian.Uint64(ids[i*8:]))
	}
	return freed, nil
}

func readAt(r io.ReaderAt, b []byte, offset int64) error {
	n, err := r.ReadAt(b, offset)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return damaged("the file ends at %d", offset+int64(n))
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
}
