package password

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the lists are of SHA-1 hashes
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
)

// breachedFile is a text file of SHA-1 hashes, in hex and sorted, one a line; what
// follows a hash after a colon is its count and is not read. It may be far larger
// than memory: a look-up reads a line in about thirty places.
//
// It is opened for every look-up, so that a newer one may be moved into its place.
type breachedFile struct{ path string }

// breachedLine is more bytes than a line has: a hash, a count, a line end.
const breachedLine = 128

const hashDigits = 2 * sha1.Size

var (
	errNotHashes = errors.New("its lines are not SHA-1 hashes in hex, as those of pwnedpasswords are")
	errNotSorted = errors.New("it is not sorted by hash")
)

// openBreachedFile looks at a few of the file's lines, so that a wrong file is
// found at start and not by letting every password pass.
func openBreachedFile(path string) (*breachedFile, error) {
	b := &breachedFile{path}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("the file of breached passwords %s: %w", path, err)
	}
	return b, nil
}

func (b *breachedFile) check() error {
	file, size, err := b.open()
	if err != nil {
		return err
	}
	defer file.Close()
	var before []byte
	const looks = 64
	for i := range int64(looks) {
		hash, _, _, err := lineAt(file, size, size/looks*i)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if bytes.Compare(hash, before) < 0 {
			return errNotSorted
		}
		before = hash
	}
	if before == nil {
		return errNotHashes
	}
	return nil
}

func (b *breachedFile) open() (*os.File, int64, error) {
	file, err := os.Open(b.path)
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a file")
	}
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, info.Size(), nil
}

// has looks for a hash by halving the file.
func (b *breachedFile) has(sum [sha1.Size]byte) (bool, error) {
	file, size, err := b.open()
	if err != nil {
		return false, fmt.Errorf("open the file of breached passwords: %w", err)
	}
	defer file.Close()
	want := bytes.ToUpper(hex.AppendEncode(nil, sum[:]))
	for low, high := int64(0), size; low < high; {
		// Of the lines that begin in [low, high) the one after the middle, or the
		// first, if none begins there.
		hash, begin, end, err := lineAt(file, size, low+(high-low)/2)
		if err == nil && begin >= high || errors.Is(err, io.EOF) {
			high = low + (high-low)/2
			continue
		}
		if err != nil {
			return false, fmt.Errorf("read the file of breached passwords: %w", err)
		}
		switch bytes.Compare(want, hash) {
		case 0:
			return true, nil
		case -1:
			high = low + (high-low)/2
		default:
			low = end
		}
	}
	return false, nil
}

// lineAt reads the first line that begins at or after a place: its hash in
// capitals, and where the line begins and the next one does. io.EOF if there is
// none.
func lineAt(file io.ReaderAt, size, at int64) (hash []byte, begin, end int64, err error) {
	buf := make([]byte, 2*breachedLine)
	from := max(at-1, 0) // a line begins here if the byte before ends one
	n, err := file.ReadAt(buf, from)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, 0, 0, err
	}
	buf = buf[:n]
	begin = from
	if at > 0 {
		i := bytes.IndexByte(buf, '\n')
		if i < 0 || i+1 == len(buf) {
			if from+int64(n) >= size {
				return nil, 0, 0, io.EOF
			}
			return nil, 0, 0, errNotHashes
		}
		buf, begin = buf[i+1:], from+int64(i)+1
	}
	if len(buf) == 0 {
		return nil, 0, 0, io.EOF
	}
	line, _, ended := bytes.Cut(buf, []byte("\n"))
	end = begin + int64(len(line)) + 1
	if !ended && end <= size {
		return nil, 0, 0, errNotHashes
	}
	hash, err = hashOf(line)
	return hash, begin, end, err
}

// hashOf is the hash that a line begins with, in capitals.
func hashOf(line []byte) ([]byte, error) {
	hash, _, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\r")), []byte(":"))
	if len(hash) != hashDigits {
		return nil, errNotHashes
	}
	for _, c := range hash {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
			return nil, errNotHashes
		}
	}
	return bytes.ToUpper(hash), nil
}
