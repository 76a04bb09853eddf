// Command prune takes out of a CPU profile, from standard input to standard output,
// the stacks that were seen once: chance, by which the compiler would inline what is
// seldom called, and make the program larger for nothing.
package main

import (
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"log"
	"os"
)

func main() {
	log.SetFlags(0)
	if err := prune(os.Stdin, os.Stdout); err != nil {
		log.Fatalf("prune: %v", err)
	}
}

var errForm = errors.New("this is no profile")

func prune(r io.Reader, w io.Writer) error {
	in, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	raw, err := io.ReadAll(in)
	if err != nil {
		return err
	}
	out, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	for len(raw) > 0 {
		f, rest, err := next(raw)
		if err != nil {
			return err
		}
		if f.number == sample && seen(f.value) < 2 {
			raw = rest
			continue
		}
		if _, err := out.Write(raw[:len(raw)-len(rest)]); err != nil {
			return err
		}
		raw = rest
	}
	return out.Close()
}

// Numbers of fields: of the message Profile, and of Sample (profile.proto).
const (
	sample = 2
	values = 2
)

type field struct {
	number uint64
	value  []byte // of a message or a packed list
}

// next reads a field of a message (Protocol Buffers, wire types 0 and 2).
func next(raw []byte) (f field, rest []byte, err error) {
	key, n := binary.Uvarint(raw)
	if n <= 0 {
		return f, nil, errForm
	}
	size, m := binary.Uvarint(raw[n:])
	if m <= 0 {
		return f, nil, errForm
	}
	f.number, rest = key>>3, raw[n+m:]
	switch key & 7 {
	case 0:
		f.value = raw[n : n+m]
		return f, rest, nil
	case 2:
		if size > uint64(len(rest)) {
			return f, nil, errForm
		}
		f.value = rest[:size]
		return f, rest[size:], nil
	}
	return f, nil, errForm
}

// seen is how often a stack was seen, its first value.
func seen(stack []byte) uint64 {
	for len(stack) > 0 {
		f, rest, err := next(stack)
		if err != nil {
			return 0
		}
		if f.number == values {
			n, _ := binary.Uvarint(f.value)
			return n
		}
		stack = rest
	}
	return 0
}
