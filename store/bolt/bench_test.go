package bolt_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chatelaine-id/chatelaine/store"
)

var benchValue = []byte(strings.Repeat("v", 300))

func BenchmarkUpdate(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := open(b, filepath.Join(b.TempDir(), "db"), time.Now)
			var n atomic.Int64
			b.SetParallelism(max(1, writers/2)) // times GOMAXPROCS
			if writers == 1 {
				b.SetParallelism(1)
			}
			b.ReportAllocs()
			work := func() {
				i := n.Add(1)
				key := []byte(fmt.Sprintf("%016x", uint64(i)*0x9E3779B97F4A7C15))
				if err := s.Update(b.Context(), "", func(tx store.Tx) error {
					if _, err := tx.Get("thing", key); err == nil {
						return store.ErrExists
					}
					return tx.Put("thing", key, benchValue, time.Time{})
				}); err != nil {
					b.Error(err)
				}
			}
			if writers == 1 {
				for b.Loop() {
					work()
				}
				return
			}
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					work()
				}
			})
		})
	}
}

func BenchmarkViewGet(b *testing.B) {
	s := open(b, filepath.Join(b.TempDir(), "db"), time.Now)
	for i := range 100 {
		if err := s.Update(b.Context(), "", func(tx store.Tx) error {
			for j := range 100 {
				if err := tx.Put("thing", fmt.Appendf(nil, "%d-%d", i, j), benchValue, time.Time{}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		key := fmt.Appendf(nil, "%d-%d", i%100, i/100%100)
		if err := s.View(b.Context(), "", func(tx store.Tx) error {
			_, err := tx.Get("thing", key)
			return err
		}); err != nil {
			b.Fatal(err)
		}
	}
}
