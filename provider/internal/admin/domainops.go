package admin

import (
	"context"
	"errors"

	"github.com/chatelaine-id/chatelaine/provider/internal/domain"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
)

// listDomains says how each of a site's domains is proven, and by which record the
// others would be.
func (a *Admin) listDomains(ctx context.Context, in siteInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	list, err := a.Domains.List(ctx, in.Site)
	return struct {
		Domains []domain.State `json:"domains"`
	}{list}, err
}

// checkDomain looks a domain's record up now.
func (a *Admin) checkDomain(ctx context.Context, in struct {
	Site   string `json:"site"`
	Domain string `json:"domain"`
}, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	name, err := web.CanonicalHost(in.Domain)
	if err != nil {
		return nil, usage("%q is not a domain name", in.Domain)
	}
	state, err := a.Domains.Check(ctx, in.Site, name, operator(ctx))
	if errors.Is(err, domain.ErrUnknown) {
		return nil, usage("the site does not name %s: put it in dns_domains of the site file, and apply that", name)
	}
	return state, err
}
