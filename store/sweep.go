package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"
)

// ExpiryKind is the index by which expired records are found: eight bytes of
// time, the record's kind, a NUL and its key. An entry stands at or before its
// record's expiry: a record that is given more time keeps its entry, and the
// sweep moves it when it gets there, so that extending costs one write.
const ExpiryKind = Kind("expiry")

// SweepBatch is how many records one commit removes at most; more would make
// writers wait.
const SweepBatch = 200

// Expirable is implemented by the engines' transactions: GetExpired is Get that
// sees an expired record until it is swept.
type Expirable interface {
	GetExpired(kind Kind, key []byte) ([]byte, error)
}

func getExpired(tx Tx, kind Kind, key []byte) ([]byte, error) {
	if e, ok := tx.(Expirable); ok {
		return e.GetExpired(kind, key)
	}
	return tx.Get(kind, key)
}

func expiryKey(at time.Time, kind Kind, key string) []byte {
	b := binary.BigEndian.AppendUint64(make([]byte, 0, 8+len(kind)+1+len(key)), uint64(at.UnixMilli()))
	b = append(b, kind...)
	b = append(b, 0)
	return append(b, key...)
}

func indexExpiry(tx Tx, t rows, key string, rec, old any) error {
	at, was := t.expiry(rec), t.expiry(old)
	if at.IsZero() || !was.IsZero() && !at.Before(was) {
		return nil
	}
	return tx.Put(ExpiryKind, expiryKey(at, t.Name(), key), nil, time.Time{})
}

// sweepOne removes the record if it has expired, or moves its entry on.
func sweepOne(tx Tx, t rows, key string, now time.Time) error {
	raw, err := getExpired(tx, t.Name(), []byte(key))
	if errors.Is(err, ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	rec := t.fresh()
	if err := decode(t, raw, rec); err != nil {
		return err
	}
	switch at := t.expiry(rec); {
	case at.IsZero():
		return nil
	case at.After(now):
		return tx.Put(ExpiryKind, expiryKey(at, t.Name(), key), nil, time.Time{})
	}
	return remove(tx, t, key)
}

// Sweep removes up to SweepBatch records of the site that have expired before
// now, with their lookups, in one Update. It returns how many entries it dealt
// with; fewer than SweepBatch means that nothing is left to do.
func Sweep(ctx context.Context, s Store, site string, now time.Time) (n int, err error) {
	byKind := map[Kind]rows{}
	for _, t := range tables() {
		byKind[t.Name()] = t
	}
	until := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli())+1)
	err = s.Update(ctx, site, func(tx Tx) error {
		n = 0
		for item, err := range tx.Scan(ExpiryKind, nil, until) {
			if err != nil {
				return err
			}
			if n == SweepBatch {
				return nil
			}
			n++
			kind, key, err := splitExpiry(item.Key)
			if err != nil {
				return err
			}
			if t, ok := byKind[kind]; ok {
				if err := sweepOne(tx, t, key, now); err != nil {
					return fmt.Errorf("sweep: %w", err)
				}
			}
			if err := tx.Delete(ExpiryKind, item.Key); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

func splitExpiry(b []byte) (Kind, string, error) {
	for i := 8; i < len(b); i++ {
		if b[i] == 0 {
			return Kind(b[8:i]), string(b[i+1:]), nil
		}
	}
	return "", "", fmt.Errorf("expiry index: %w", ErrDamaged)
}
