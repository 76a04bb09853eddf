package audit

import (
	"fmt"

	"github.com/chatelaine-id/chatelaine/store"
)

// beside is the personal values next to a page of entries.
type beside map[string][]byte // by key

// besides reads the values for the entries after the verifier's last, a page of
// them; to "" means all that there are.
func besides(tx store.Tx, after uint64, to string) (beside, error) {
	rows := beside{}
	for item, err := range tx.Scan(store.AuditPersonals.Kind, []byte(store.AuditKey(after)+"\x00"), []byte(to)) {
		if err != nil {
			return nil, err
		}
		rows[string(item.Key)] = item.Value
		if len(rows) > 2*verifyPage {
			return nil, fmt.Errorf("more personal values than entries: %w", store.ErrDamaged)
		}
	}
	return rows, nil
}

// take returns the entry's row, which is the zero one if there is none.
func (b beside) take(sequence uint64) (row store.AuditPersonal, err error) {
	key := store.AuditKey(sequence)
	raw, ok := b[key]
	if !ok {
		return row, nil
	}
	delete(b, key)
	return store.Canonical(&store.AuditPersonals, raw)
}
