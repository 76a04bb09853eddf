package storetest

import (
	"context"
	"iter"
	"sync/atomic"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

// Failing wraps a store and makes its nth call fail, counting every View,
// Update, commit, Get, Put, Delete and Scan.
type Failing struct {
	store.Store
	Err   error        // what the failing call returns
	nth   atomic.Int64 // 0: never
	calls atomic.Int64
}

// NewFailing wraps s; nothing fails until FailAt.
func NewFailing(s store.Store, err error) *Failing { return &Failing{Store: s, Err: err} }

// FailAt makes the nth call from now fail, once; 0 switches it off.
func (f *Failing) FailAt(nth int) {
	f.calls.Store(0)
	f.nth.Store(int64(nth))
}

// Calls is how many calls there were since FailAt.
func (f *Failing) Calls() int { return int(f.calls.Load()) }

func (f *Failing) call() error {
	if f.calls.Add(1) == f.nth.Load() {
		return f.Err
	}
	return nil
}

// View is a store's.
func (f *Failing) View(ctx context.Context, site string, fn func(store.Tx) error) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.View(ctx, site, f.wrap(fn, false))
}

// Update is a store's; its commit is a call too.
func (f *Failing) Update(ctx context.Context, site string, fn func(store.Tx) error) error {
	if err := f.call(); err != nil {
		return err
	}
	return f.Store.Update(ctx, site, f.wrap(fn, true))
}

// wrap makes a failure stick as an engine's own does: the caller may swallow
// it, the transaction fails all the same.
func (f *Failing) wrap(fn func(store.Tx) error, commit bool) func(store.Tx) error {
	return func(tx store.Tx) error {
		t := &failingTx{Tx: tx, f: f}
		err := fn(t)
		if t.err != nil {
			return t.err
		}
		if err == nil && commit {
			err = f.call()
		}
		return err
	}
}

type failingTx struct {
	store.Tx
	f   *Failing
	err error
}

func (t *failingTx) call() error {
	if t.err == nil {
		t.err = t.f.call()
	}
	return t.err
}

func (t *failingTx) Get(kind store.Kind, key []byte) ([]byte, error) {
	if err := t.call(); err != nil {
		return nil, err
	}
	return t.Tx.Get(kind, key)
}

// GetExpired is Get that sees expired records.
func (t *failingTx) GetExpired(kind store.Kind, key []byte) ([]byte, error) {
	if err := t.call(); err != nil {
		return nil, err
	}
	if e, ok := t.Tx.(store.Expirable); ok {
		return e.GetExpired(kind, key)
	}
	return t.Tx.Get(kind, key)
}

func (t *failingTx) Put(kind store.Kind, key, value []byte, expires time.Time) error {
	if err := t.call(); err != nil {
		return err
	}
	return t.Tx.Put(kind, key, value, expires)
}

func (t *failingTx) Delete(kind store.Kind, key []byte) error {
	if err := t.call(); err != nil {
		return err
	}
	return t.Tx.Delete(kind, key)
}

func (t *failingTx) Scan(kind store.Kind, from, to []byte) iter.Seq2[store.Item, error] {
	return func(yield func(store.Item, error) bool) {
		if err := t.call(); err != nil {
			yield(store.Item{}, err)
			return
		}
		t.Tx.Scan(kind, from, to)(yield)
	}
}
