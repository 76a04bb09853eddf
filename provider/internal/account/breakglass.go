package account

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/breakglass"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// administers reports whether the agent may lift controls. For anybody else the
// page is not there.
func (v *visit) administers() bool { return slices.Contains(v.Agent.Roles, policy.Administrators) }

// showBreakGlass is GET /account/break-glass: an administrator who is in helps
// another who is shut out.
func (x *Account) showBreakGlass(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathBreakGlass, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		if !v.administers() {
			return nil, web.ErrNotFound
		}
		if err := v.prove(); err != nil {
			return nil, err
		}
		return x.breakGlassPage(tx, r, v)
	})
}

func (x *Account) breakGlassPage(tx store.Tx, r *http.Request, v *visit) (templates.Page, error) {
	page := templates.AccountBreakGlassPage{
		AccountFrame: x.frame(r, v), Action: v.site.Base() + pathBreakGlass,
		Controls: store.Controls(), Minutes: int(store.MaxBreakGlass / time.Minute),
	}
	b, err := breakglass.Status(tx)
	if b.Live(v.now) {
		page.Lifted, page.Until = b.Control, b.Until
	}
	return page, err
}

// submitBreakGlass is POST /account/break-glass: it lifts one control, or puts
// back the one that is lifted.
func (x *Account) submitBreakGlass(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	var said func()
	notice := "glass_ended"
	err = x.within(r, x.Store.Update, func(tx store.Tx, v *visit) error {
		if !v.administers() {
			return web.ErrNotFound
		}
		if err := v.mayChange(form); err != nil {
			return err
		}
		said = func() {}
		if form.Get("act") == "end" {
			b, found, err := x.Glass.End(r.Context(), tx, v.site, v.me())
			if found {
				said = func() { x.Glass.SaidEnded(v.site, b) }
			}
			return err
		}
		b, err := x.Glass.Lift(r.Context(), tx, v.site, form.Get("control"), store.MaxBreakGlass, v.me(), breakglass.ByAdministrator)
		said, notice = func() { x.Glass.Said(v.site, b) }, "glass_lifted"
		return err
	})
	switch {
	case errors.Is(err, breakglass.ErrLifted):
		return x.failed(w, r, pathBreakGlass, "control_lifted")
	case errors.Is(err, breakglass.ErrControl):
		return x.failed(w, r, pathBreakGlass, "control_missing")
	case err != nil:
		return x.lead(w, r, pathBreakGlass, err)
	}
	said()
	return x.done(w, r, pathBreakGlass, notice)
}
