package store

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/cespare/xxhash/v2"
)

// A frame is what an engine stores for a value: its format, a checksum bound
// to the place it belongs to (site, kind and key), its expiry and the value.
//
//	1 byte   format: 1 without an expiry, 2 with one
//	8 bytes  XXH64 of place, format, expiry and value, big-endian
//	8 bytes  format 2 only: expiry in milliseconds since 1970, big-endian
//	rest     the value
const (
	frameForever  = 1
	frameExpiring = 2
	frameHead     = 1 + 8
)

// AppendFrame appends the frame of value to dst. Expiries are kept to the
// millisecond, rounded up; a zero one means never.
func AppendFrame(dst []byte, site string, kind Kind, key, value []byte, expires time.Time) []byte {
	start := len(dst)
	format := byte(frameForever)
	if !expires.IsZero() {
		format = frameExpiring
	}
	dst = append(dst, format, 0, 0, 0, 0, 0, 0, 0, 0)
	if format == frameExpiring {
		dst = binary.BigEndian.AppendUint64(dst, uint64(expiryMillis(expires)))
	}
	dst = append(dst, value...)
	frame := dst[start:]
	binary.BigEndian.PutUint64(frame[1:frameHead], frameSum(site, kind, key, format, frame[frameHead:]))
	return dst
}

// OpenFrame returns what AppendFrame was given for the same place, or
// ErrDamaged. The value is a part of frame.
func OpenFrame(site string, kind Kind, key, frame []byte) (value []byte, expires time.Time, err error) {
	if len(frame) < frameHead {
		return nil, expires, fmt.Errorf("%s: %w", kind, ErrDamaged)
	}
	body := frame[frameHead:]
	if binary.BigEndian.Uint64(frame[1:frameHead]) != frameSum(site, kind, key, frame[0], body) {
		return nil, expires, fmt.Errorf("%s: %w", kind, ErrDamaged)
	}
	switch {
	case frame[0] == frameForever:
		return body, expires, nil
	case frame[0] == frameExpiring && len(body) >= 8:
		return body[8:], time.UnixMilli(int64(binary.BigEndian.Uint64(body))).UTC(), nil
	}
	return nil, expires, fmt.Errorf("%s: format %d: %w", kind, frame[0], ErrDamaged)
}

// FrameSum returns the checksum that a frame carries, without verifying it.
func FrameSum(frame []byte) (sum uint64, ok bool) {
	if len(frame) < frameHead {
		return 0, false
	}
	return binary.BigEndian.Uint64(frame[1:frameHead]), true
}

func expiryMillis(t time.Time) int64 {
	ms := t.UnixMilli()
	if t.Sub(time.UnixMilli(ms)) > 0 {
		ms++
	}
	return ms
}

func frameSum(site string, kind Kind, key []byte, format byte, body []byte) uint64 {
	var d xxhash.Digest
	d.Reset()
	var head [7]byte
	binary.BigEndian.PutUint16(head[0:], uint16(len(site)))
	binary.BigEndian.PutUint16(head[2:], uint16(len(kind)))
	binary.BigEndian.PutUint16(head[4:], uint16(len(key)))
	head[6] = format
	_, _ = d.Write(head[:])
	_, _ = d.WriteString(site)
	_, _ = d.WriteString(string(kind))
	_, _ = d.Write(key)
	_, _ = d.Write(body)
	return d.Sum64()
}

// CheckPlace returns an error for a site, kind or key that no record can have.
func CheckPlace(site string, kind Kind, key []byte) error {
	switch {
	case len(site) > MaxName || len(kind) > MaxName || len(key) > MaxKey:
		return fmt.Errorf("%s: a key of %d bytes: %w", kind, len(key), ErrTooLarge)
	case len(kind) == 0 || len(key) == 0:
		return fmt.Errorf("%s: %w", kind, ErrNoKey)
	}
	return nil
}
