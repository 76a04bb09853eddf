package account

import (
	"net/http"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/password"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// overview is GET /account.
func (x *Account) overview(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathAccount, false, func(tx store.Tx, v *visit) (templates.Page, error) {
		page := templates.AccountPage{
			AccountFrame: x.frame(r, v), HasPassword: v.Agent.PasswordHash != "", PasswordChanged: v.Agent.PasswordChanged,
			TOTPs: v.held.TOTP, Passkeys: v.held.Passkeys, CodesLeft: v.held.Codes,
		}
		page.PasswordsOff = v.passwordsOff()
		if v.administers() {
			page.BreakGlassURL = v.site.Base() + pathBreakGlass
		}
		var age policy.PasswordState
		age, page.PasswordDays = v.passwordAge()
		page.PasswordExpired = age == policy.PasswordExpired
		devices, err := x.Factors.Devices(tx, v.Agent.ID, r)
		if err != nil {
			return nil, err
		}
		sessions, err := x.Sessions.List(tx, v.site, v.Agent.ID)
		if err != nil {
			return nil, err
		}
		if page.Links, err = x.myLinks(tx, v); err != nil {
			return nil, err
		}
		apps, err := x.myApps(tx, v)
		if err != nil {
			return nil, err
		}
		page.Devices, page.Sessions, page.Apps = len(devices), len(sessions), len(apps)
		list, err := store.ListActivities(tx, v.Agent.ID, "", activityFew)
		if err != nil {
			return nil, err
		}
		page.Activity, err = x.lines(tx, list)
		return page, err
	})
}

// passwordAge is how old the password is by the site's rules, and in how many
// days it has to be changed, where that is soon.
func (v *visit) passwordAge() (policy.PasswordState, int) {
	if v.Agent.PasswordHash == "" {
		return policy.PasswordFresh, 0
	}
	return policy.PasswordAge(password.RulesOf(v.site.Settings.Password), v.Agent.PasswordChanged, v.now)
}
