package password

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"fmt"

	"github.com/FastFilter/xorfilter"
	"github.com/cespare/xxhash/v2"
)

// The list is a binary fuse filter of 16-bit fingerprints: 2.3 bytes a password,
// and of passwords that are not in it one in 65,536 is taken for one that is.
//
//go:generate go run ./makecommon
//go:embed common.bin
var commonList []byte

// commonPasswords are what many people use, in the form of policy.FoldPassword.
type commonPasswords struct {
	filter *xorfilter.BinaryFuse[uint16]
	length int // how many there are
}

func readCommon(list []byte) (commonPasswords, error) {
	if len(list) < 4 {
		return commonPasswords{}, fmt.Errorf("the list of common passwords has %d bytes", len(list))
	}
	filter, err := xorfilter.LoadBinaryFuse[uint16](bytes.NewReader(list[4:]))
	if err != nil {
		return commonPasswords{}, fmt.Errorf("read the list of common passwords: %w", err)
	}
	return commonPasswords{filter, int(binary.LittleEndian.Uint32(list))}, nil
}

func (c commonPasswords) has(folded string) bool {
	return c.filter.Contains(xxhash.Sum64String(folded))
}
