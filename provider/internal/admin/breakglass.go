package admin

import (
	"context"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// lifted is what break-glass has lifted; without a control: nothing.
type lifted struct {
	Control string    `json:"control,omitempty"`
	By      string    `json:"by,omitempty"`
	How     string    `json:"how,omitempty"`
	Created time.Time `json:"created,omitzero"`
	Until   time.Time `json:"until,omitzero"`
	Codes   int       `json:"codes"` // offline codes that are left
	// Off says that the control that was lifted is not on: what shuts people out
	// is something else.
	Off bool `json:"off,omitempty"`
}

func (a *Admin) liftedNow(tx store.Tx, b store.BreakGlass) (l lifted, err error) {
	if b.Live(a.Now()) {
		l = lifted{Control: b.Control, By: b.By, How: b.How, Created: b.Created, Until: b.Until}
	}
	l.Codes, err = breakglass.CodesLeft(tx)
	return l, err
}

func (a *Admin) breakGlassStatus(ctx context.Context, in siteInput, _ *call) (any, error) {
	if _, err := a.site(ctx, in.Site); err != nil {
		return nil, err
	}
	var out lifted
	err := a.Store.View(ctx, in.Site, func(tx store.Tx) error {
		b, err := breakglass.Status(tx)
		if err != nil {
			return err
		}
		out, err = a.liftedNow(tx, b)
		return err
	})
	return out, err
}

type liftInput struct {
	Site    string `json:"site"`
	Control string `json:"control"`
	Minutes int    `json:"minutes"`
}

func (a *Admin) breakGlassLift(ctx context.Context, in liftInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(store.Controls(), in.Control) {
		return nil, usage("control is one of second_factor, allowlist, single_sign_on")
	}
	most := int(store.MaxBreakGlass / time.Minute)
	if in.Minutes < 1 || in.Minutes > most {
		return nil, usage("minutes is 1 to %d", most)
	}
	var b store.BreakGlass
	var out lifted
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) error {
		if b, err = breakglass.Status(tx); err != nil {
			return err
		}
		if b.Live(a.Now()) {
			return usage("%s is lifted already, until %s, by %s. One control at a time: chatelaine break-glass end puts it back",
				b.Control, b.Until.UTC().Format(time.RFC3339), b.By)
		}
		b, err = a.Glass.Lift(ctx, tx, s, in.Control, time.Duration(in.Minutes)*time.Minute, operator(ctx), breakglass.ByShell)
		if err != nil {
			return err
		}
		out, err = a.liftedNow(tx, b)
		return err
	})
	if err != nil {
		return nil, err
	}
	a.Glass.Said(s, b)
	out.Off = !isOn(s, in.Control)
	return out, nil
}

// isOn reports whether the site has the control on at all.
func isOn(s *site.Site, control string) bool {
	switch control {
	case store.ControlAllowlist:
		return s.Settings.Allowlist.Enabled
	case store.ControlSingleSignOn:
		return slices.ContainsFunc(s.AgentConnections(), func(c *store.Connection) bool {
			return slices.ContainsFunc(c.Domains, func(d string) bool { return c.Enforces(d, s.Proven) })
		})
	}
	return true // an agent's own second factor is asked for, whatever the roles say
}

func (a *Admin) breakGlassEnd(ctx context.Context, in siteInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var b store.BreakGlass
	var found bool
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) (err error) {
		b, found, err = a.Glass.End(ctx, tx, s, operator(ctx))
		return err
	})
	if err != nil || !found {
		return lifted{}, err
	}
	a.Glass.SaidEnded(s, b)
	return lifted{Control: b.Control, By: b.By, How: b.How, Created: b.Created, Until: b.Until}, nil
}

// breakGlassCodes makes new offline codes, shown this once; the old ones are void.
func (a *Admin) breakGlassCodes(ctx context.Context, in siteInput, _ *call) (any, error) {
	s, err := a.site(ctx, in.Site)
	if err != nil {
		return nil, err
	}
	var out struct {
		Codes []string `json:"codes"`
		Void  int      `json:"void"` // that there were before
		URL   string   `json:"url"`  // where one is typed
	}
	out.URL = s.URL("/break-glass")
	err = a.Store.Update(ctx, in.Site, func(tx store.Tx) (err error) {
		if out.Void, err = breakglass.CodesLeft(tx); err != nil {
			return err
		}
		out.Codes, err = a.Glass.NewCodes(ctx, tx, s, operator(ctx))
		return err
	})
	return out, err
}
