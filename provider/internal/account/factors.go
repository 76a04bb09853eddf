package account

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/chatelaine-id/chatelaine/provider/internal/factor"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// Notices that have no words of their own say that something has changed.
const (
	noticeFactorRenamed    = "factor_renamed"
	noticeDeviceForgotten  = "device_forgotten"
	noticeDevicesForgotten = "devices_forgotten"
	noticeAppRevoked       = "app_revoked"
)

// factors is GET /account/factors.
func (x *Account) factors(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathFactors, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		base := v.site.Base()
		page := templates.AccountFactorsPage{
			AccountFrame: x.frame(r, v), CodesLeft: v.held.Codes, Required: v.required(), AddTOTPURL: base + pathTOTP,
			RenameAction: base + pathRename, RemoveAction: base + pathRemove, CodesAction: base + pathCodes,
			ForgetAction: base + pathForget, ForgetAllAction: base + pathForgetAll,
		}
		if factor.PasskeysPossible(v.site) {
			page.AddPasskeyURL = base + pathPasskey
		}
		if err := x.listFactors(tx, v, &page); err != nil {
			return nil, err
		}
		devices, err := x.Factors.Devices(tx, v.Agent.ID, r)
		for _, d := range devices {
			page.Devices = append(page.Devices, templates.DeviceLine{
				ID: d.ID, UserAgent: d.UserAgent, Network: d.IP, Created: d.Created, Seen: d.Seen, Expires: d.Expires, This: d.This,
			})
		}
		return page, err
	})
}

func (x *Account) listFactors(tx store.Tx, v *visit, page *templates.AccountFactorsPage) error {
	list, err := x.Factors.List(tx, v.Agent.ID)
	if err != nil {
		return err
	}
	for _, f := range list {
		line := templates.FactorLine{ID: f.ID, Name: f.Name, Created: f.Created, Used: f.Used, Synced: f.Synced, OnThisDevice: f.OnThisDevice}
		if f.Type == store.FactorTOTP {
			page.TOTPs = append(page.TOTPs, line)
		} else {
			page.Passkeys = append(page.Passkeys, line)
		}
	}
	codes, err := store.RecoveryCodes.Get(tx, v.Agent.ID)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	page.CodesMade = codes.Created
	return err
}

// myFactor is the agent's authenticator of that id. web.ErrNotFound also for
// somebody else's.
func (x *Account) myFactor(tx store.Tx, v *visit, id string) (factor.Factor, error) {
	list, err := x.Factors.List(tx, v.Agent.ID)
	if err != nil {
		return factor.Factor{}, err
	}
	if i := slices.IndexFunc(list, func(f factor.Factor) bool { return f.ID == id }); i >= 0 {
		return list[i], nil
	}
	return factor.Factor{}, web.ErrNotFound
}

// rename is POST /account/factors/rename.
func (x *Account) rename(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	err = x.update(r, form, func(tx store.Tx, v *visit) error {
		f, err := x.myFactor(tx, v, form.Get("id"))
		if err != nil {
			return err
		}
		name := form.Get("name")
		if err := x.Factors.Rename(r.Context(), tx, v.site, v.Agent.ID, f.ID, name, v.me()); err != nil || strings.TrimSpace(name) == f.Name {
			return err
		}
		return x.tell(r.Context(), tx, v, noticeFactorRenamed)
	})
	if errors.Is(err, factor.ErrName) {
		return x.failed(w, r, pathFactors, "name_invalid")
	}
	if err != nil {
		return x.lead(w, r, pathFactors, err)
	}
	return x.done(w, r, pathFactors, "factor_renamed")
}

// askRemove says which factor goes. The last one of somebody whose role demands
// one stays: another has to be added first, so that nobody is ever without.
func (x *Account) askRemove(tx store.Tx, _ *http.Request, v *visit, id string) (templates.ConfirmPage, error) {
	f, err := x.myFactor(tx, v, id)
	if err != nil {
		return templates.ConfirmPage{}, err
	}
	page := templates.ConfirmPage{Kind: "remove_" + f.Type, Name: f.Name, Count: 1}
	if v.held.TOTP+v.held.Passkeys == 1 {
		if v.required() {
			return page, &refusal{"factor_required"}
		}
		page.Kind = "remove_last"
	}
	return page, nil
}

// remove ends all that was begun elsewhere, too: whoever removes a factor may have
// lost it.
func (x *Account) remove(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, id string) (finish, error) {
	if _, err := x.Factors.Remove(ctx, tx, v.site, v.Agent.ID, id, v.me()); err != nil {
		return nil, err
	}
	after, err := x.factorsChanged(ctx, tx, v, templates.NoticeFactorRemoved)
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		x.hand(w, r, after)
		return x.done(w, r, pathFactors, "factor_removed")
	}, nil
}

// factorsChanged ends what was begun under the factors as they were, tells the
// agent, and renews this session. amr is what the agent has proven in the change.
func (x *Account) factorsChanged(ctx context.Context, tx store.Tx, v *visit, kind string, amr ...string) (renewed, error) {
	if _, err := x.Sessions.EndOthers(ctx, tx, v.site, v.Agent.ID, v.Session.Hash, "factors_changed", v.me()); err != nil {
		return renewed{}, err
	}
	if err := x.tell(ctx, tx, v, kind); err != nil {
		return renewed{}, err
	}
	return x.renew(ctx, tx, v, v.Session.Hash, amr...)
}

// hand gives the browser its session's new cookie, and takes that of a device
// which is remembered no more.
func (x *Account) hand(w http.ResponseWriter, r *http.Request, n renewed) {
	x.Sessions.SetCookie(w, r, n.value, n.session)
	factor.ClearDevice(w, r)
}

func (x *Account) askForget(tx store.Tx, r *http.Request, v *visit, id string) (templates.ConfirmPage, error) {
	d, err := x.myDevice(tx, r, v, id)
	return templates.ConfirmPage{Kind: "forget_device", Name: d.IP, Count: 1}, err
}

func (x *Account) myDevice(tx store.Tx, r *http.Request, v *visit, id string) (factor.Device, error) {
	list, err := x.Factors.Devices(tx, v.Agent.ID, r)
	if err != nil {
		return factor.Device{}, err
	}
	if i := slices.IndexFunc(list, func(d factor.Device) bool { return d.ID == id }); i >= 0 {
		return list[i], nil
	}
	return factor.Device{}, web.ErrNotFound
}

func (x *Account) forget(ctx context.Context, tx store.Tx, r *http.Request, v *visit, id string) (finish, error) {
	d, err := x.myDevice(tx, r, v, id)
	if err != nil {
		return nil, err
	}
	if err := x.Factors.Forget(ctx, tx, v.Agent.ID, id, v.me()); err != nil {
		return nil, err
	}
	if err := x.tell(ctx, tx, v, noticeDeviceForgotten); err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		if d.This {
			factor.ClearDevice(w, r)
		}
		return x.done(w, r, pathFactors, "device_forgotten")
	}, nil
}

func (x *Account) askForgetAll(tx store.Tx, r *http.Request, v *visit, _ string) (templates.ConfirmPage, error) {
	list, err := x.Factors.Devices(tx, v.Agent.ID, r)
	return templates.ConfirmPage{Kind: "forget_devices", Count: len(list)}, err
}

func (x *Account) forgetAll(ctx context.Context, tx store.Tx, _ *http.Request, v *visit, _ string) (finish, error) {
	n, err := x.Factors.ForgetAll(ctx, tx, v.Agent.ID, v.me())
	if err == nil && n > 0 {
		err = x.tell(ctx, tx, v, noticeDevicesForgotten)
	}
	if err != nil {
		return nil, err
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		factor.ClearDevice(w, r)
		return x.done(w, r, pathFactors, "devices_forgotten")
	}, nil
}
