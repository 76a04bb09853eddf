package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/store"
)

func (a *Admin) listKeys(ctx context.Context, in siteInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	list, err := a.Keys.List(ctx, in.Site)
	return map[string]any{"keys": list}, err
}

type rotateKeysInput struct {
	Site string `json:"site"`
	Alg  string `json:"alg"` // or all
}

// rotateKeys is audited by the keys themselves, in the transaction of each.
func (a *Admin) rotateKeys(ctx context.Context, in rotateKeysInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	list, err := a.Keys.List(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var done []string
	seen := map[string]bool{}
	for _, k := range list {
		if seen[k.Alg] || in.Alg != "all" && in.Alg != k.Alg {
			continue
		}
		seen[k.Alg] = true
		err := a.Keys.Rotate(ctx, in.Site, k.Alg)
		var under *keys.NotYetActive
		if errors.As(err, &under) {
			if in.Alg == "all" {
				continue
			}
			return nil, usage("a rotation is under way: %v", under)
		}
		if err != nil {
			return nil, fmt.Errorf("rotate %s: %w", k.Alg, err)
		}
		done = append(done, k.Alg)
	}
	if len(done) == 0 {
		return nil, usage("nothing to rotate: the site has no %s key that signs, or its rotation is under way", in.Alg)
	}
	return map[string]any{"rotated": done}, nil
}

// withdrawKeys is for a signing key that somebody else may hold.
func (a *Admin) withdrawKeys(ctx context.Context, in rotateKeysInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	err := a.Keys.Withdraw(ctx, in.Site, in.Alg)
	if errors.Is(err, keys.ErrNoKey) {
		return nil, usage("the site has no %s key", in.Alg)
	}
	return struct{}{}, err
}

// announceWithdrawal tells verifiers, in the transaction that withdraws a key,
// that no token of before counts: one that the key signed may be forged.
func (a *Admin) announceWithdrawal(_ context.Context, tx store.Tx, c keys.Change) error {
	if c.Action != "withdraw" {
		return nil
	}
	return session.Announce(tx, a.Now(), store.Revocation{All: true, Reason: "key_withdrawn"})
}
