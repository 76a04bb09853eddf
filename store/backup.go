package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// Backup writes everything that is stored, as of one moment, sealed with the
// current master key, and returns how many records that were. Other
// transactions go on meanwhile. The caller makes w a file with mode 0600 on a
// local disk, and keeps it only if there was no error.
func Backup(ctx context.Context, s Engine, sealer *Sealer, w io.Writer) (records int, err error) {
	chunks, err := newChunkWriter(w, sealer)
	if err != nil {
		return 0, err
	}
	var buf []byte
	err = s.Dump(ctx, func(r Record) error {
		records++
		buf = appendRecord(buf[:0], r)
		_, err := chunks.Write(buf)
		return err
	})
	if err != nil {
		return records, fmt.Errorf("backup: %w", err)
	}
	if _, err := chunks.Write(binary.AppendUvarint([]byte{0}, uint64(records))); err != nil {
		return records, err
	}
	return records, chunks.Close()
}

// appendRecord writes a 1, the four parts with their lengths and the expiry in
// milliseconds, 0 for never.
func appendRecord(b []byte, r Record) []byte {
	b = append(b, 1)
	for _, part := range [][]byte{[]byte(r.Site), []byte(r.Kind), r.Key, r.Value} {
		b = binary.AppendUvarint(b, uint64(len(part)))
		b = append(b, part...)
	}
	var at int64
	if !r.Expires.IsZero() {
		at = expiryMillis(r.Expires)
	}
	return binary.AppendVarint(b, at)
}

// readBackup yields a backup's records; what it yields is authentic, but only
// its return says that it was all.
func readBackup(r io.Reader, sealer *Sealer, fn func(Record) error) error {
	chunks, err := newChunkReader(r, sealer)
	if err != nil {
		return err
	}
	in := bufio.NewReaderSize(chunks, chunkSize)
	for count := uint64(0); ; count++ {
		tag, err := in.ReadByte()
		if err != nil {
			return broken(err)
		}
		if tag == 0 {
			want, err := binary.ReadUvarint(in)
			if err != nil || want != count {
				return broken(err)
			}
			if _, err := in.ReadByte(); err != io.EOF {
				return broken(err)
			}
			return nil
		}
		rec, err := readRecord(in)
		if err != nil {
			return broken(err)
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
}

func broken(err error) error {
	if err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: it ends too early", ErrBackup)
	}
	return err
}

func readRecord(in *bufio.Reader) (r Record, err error) {
	var parts [4][]byte
	for i, limit := range []uint64{MaxName, MaxName, MaxKey, MaxValue} {
		n, err := binary.ReadUvarint(in)
		if err != nil {
			return r, err
		}
		if n > limit {
			return r, ErrBackup
		}
		parts[i] = make([]byte, n)
		if _, err := io.ReadFull(in, parts[i]); err != nil {
			return r, err
		}
	}
	at, err := binary.ReadVarint(in)
	if at != 0 {
		r.Expires = time.UnixMilli(at).UTC()
	}
	r.Site, r.Kind, r.Key, r.Value = string(parts[0]), Kind(parts[1]), parts[2], parts[3]
	return r, err
}
