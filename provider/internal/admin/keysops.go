package admin

import (
	"context"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
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
