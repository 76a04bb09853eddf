package store

import (
	"context"
	"fmt"
)

const resealBatch = 100

// Reseal seals everything of the site anew that an older master key sealed, in
// small commits, and returns how many records that were. Run it for House and
// every site after AddMasterKey.
func Reseal(ctx context.Context, s Store, sealer *Sealer, site string) (total int, err error) {
	for _, t := range Tables() {
		for after, more := "", true; more; {
			var n int
			var last string
			if err := s.Update(ctx, site, func(tx Tx) (err error) {
				last, n, err = t.reseal(tx, sealer, after)
				return err
			}); err != nil {
				return total, fmt.Errorf("reseal %s: %w", t.Name(), err)
			}
			total += n
			after, more = last, last != ""
		}
	}
	return total, nil
}

// reseal does the records after a key, as many as fit a commit; an empty last
// says that there are no more.
func (t Table[T]) reseal(tx Tx, sealer *Sealer, after string) (last string, n int, err error) {
	if t.Sealed == nil {
		return "", 0, nil
	}
	seen := 0
	for rec, err := range t.All(tx, after) {
		if err != nil {
			return "", n, err
		}
		key := t.Key(&rec)
		changed := false
		for _, field := range t.Sealed(&rec) {
			if len(*field) == 0 || sealer.Current(*field) {
				continue
			}
			plain, err := sealer.Open(tx.Site(), t.Kind, key, *field)
			if err != nil {
				return "", n, fmt.Errorf("%s: %w", key, err)
			}
			if *field, err = sealer.Seal(tx.Site(), t.Kind, key, plain); err != nil {
				return "", n, err
			}
			changed = true
		}
		if changed {
			n++
			if err := t.Put(tx, &rec); err != nil {
				return "", n, err
			}
		}
		if seen++; seen == resealBatch {
			return key, n, nil
		}
	}
	return "", n, nil
}
