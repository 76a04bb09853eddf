package audit

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/store"
)

// tail checks the records that are not in the chain yet.
func (v *verifier) tail(ctx context.Context, s store.Store) error {
	after := ""
	for {
		seen := 0
		err := s.View(ctx, v.path, func(tx store.Tx) error {
			seen = 0
			for item, err := range tx.Scan(store.UnsealedAudits.Kind, []byte(after+"\x00"), nil) {
				if err != nil {
					v.bad(0, "unsealed records after "+after, "%v", err)
					return nil
				}
				seen++
				after = string(item.Key)
				v.unsealed(item)
				if seen == verifyPage {
					return nil
				}
			}
			return nil
		})
		if err != nil && !errors.Is(err, store.ErrDamaged) {
			return fmt.Errorf("verify the unsealed audit records: %w", err)
		}
		if seen < verifyPage {
			return nil
		}
	}
}

func (v *verifier) unsealed(item store.Item) {
	if v.report.Unsealed++; v.report.Unsealed == 1 {
		v.report.FirstUnsealed = string(item.Key)
	}
	where := "unsealed record " + string(item.Key)
	rec, err := store.Canonical(&store.UnsealedAudits, item.Value)
	if err != nil {
		v.bad(0, where, "%v", err)
		return
	}
	var b body
	err = json.Unmarshal(rec.Body, &b)
	switch {
	case rec.ID != string(item.Key) || !hmac.Equal(rec.MAC, recordMAC(v.key, rec.ID, rec.Body)):
		v.bad(0, where, "its MAC is wrong")
	case err != nil || len(b.Personal) != len(rec.Personal):
		v.bad(0, where, "its personal values are not what it commits to")
	default:
		for i, value := range rec.Personal {
			if value.Erased != nil || commitTo(value) != b.Personal[i] {
				v.bad(0, where, "its %s is not what it commits to", value.Field)
			}
		}
	}
}
