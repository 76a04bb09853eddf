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
	for _, t := range tables() {
		for after, more := "", true; more; {
			var n int
			var last string
			if err := s.Update(ctx, site, func(tx Tx) (err error) {
				last, n, err = resealSome(tx, t, sealer, after)
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

// resealSome does the records after a key, as many as fit a commit; an empty last
// says that there are no more.
func resealSome(tx Tx, t rows, sealer *Sealer, after string) (last string, n int, err error) {
	if !t.seals() {
		return "", 0, nil
	}
	var from []byte
	if after != "" {
		from = append([]byte(after), 0)
	}
	seen := 0
	for item, err := range tx.Scan(t.Name(), from, nil) {
		rec := t.fresh()
		if err == nil {
			err = decode(t, item.Value, rec)
		}
		if err != nil {
			return "", n, err
		}
		changed, err := resealOne(tx, t, sealer, rec)
		if err != nil {
			return "", n, err
		}
		if changed {
			n++
		}
		if seen++; seen == resealBatch {
			return t.key(rec), n, nil
		}
	}
	return "", n, nil
}

func resealOne(tx Tx, t rows, sealer *Sealer, rec any) (changed bool, err error) {
	key := t.key(rec)
	for _, field := range t.sealed(rec) {
		if len(*field) == 0 || sealer.Current(*field) {
			continue
		}
		plain, err := sealer.Open(tx.Site(), t.Name(), key, *field)
		if err != nil {
			return false, fmt.Errorf("%s: %w", key, err)
		}
		if *field, err = sealer.Seal(tx.Site(), t.Name(), key, plain); err != nil {
			return false, err
		}
		changed = true
	}
	if !changed {
		return false, nil
	}
	return true, put(tx, t, rec)
}
