package store

import (
	"context"
	"errors"
	"time"
)

// Record is one stored value with its place, as backups carry it.
type Record struct {
	Site    string
	Kind    Kind
	Key     []byte
	Value   []byte
	Expires time.Time
}

// Engine is what both engines are beside a Store.
type Engine interface {
	Store
	// Dump yields every record of every site, as of one moment. Slices are
	// valid until fn returns.
	Dump(ctx context.Context, fn func(Record) error) error
	// Load writes records of any sites in one commit.
	Load(ctx context.Context, records []Record) error
	// Check verifies all that is stored; progress may be nil.
	Check(ctx context.Context, progress func(done, total int64)) error
}

var (
	// ErrNotEmpty says that a restore needs a store that nothing is in.
	ErrNotEmpty = errors.New("the store to restore into is not empty")
	// ErrBackup says that a backup was not made with any of our master keys, is
	// cut short or has been changed.
	ErrBackup = errors.New("this is no whole backup made with this master key")
)
