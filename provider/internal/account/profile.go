package account

import (
	"net/http"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// showProfile is GET /account/profile. What was typed before a sign-in came in
// between is there again, not saved yet.
func (x *Account) showProfile(w http.ResponseWriter, r *http.Request) error {
	return x.show(w, r, pathProfile, false, func(_ store.Tx, v *visit) (templates.Page, error) {
		typed := profileOf(&v.Agent)
		draft, err := x.kept(r, v.Agent.ID, pathProfile)
		if err != nil {
			return nil, err
		}
		if draft != nil {
			typed = parseProfile(draft)
			v.said.problem = "draft"
		}
		return x.profilePage(r, v, typed, nil), nil
	})
}

func (x *Account) profilePage(r *http.Request, v *visit, p profile, problems []string) templates.AccountProfilePage {
	page := templates.AccountProfilePage{
		AccountFrame: x.frame(r, v), Action: v.site.Base() + pathProfile, Problems: problems,
		Name: p["name"], GivenName: p["given_name"], FamilyName: p["family_name"],
	}
	for _, key := range v.Agent.Roles {
		if role, ok := v.site.Roles[key]; ok && role.Name != "" {
			key = role.Name
		}
		page.Roles = append(page.Roles, key)
	}
	for _, key := range v.Agent.Departments {
		if department, ok := v.site.Departments[key]; ok && department.Name != "" {
			key = department.Name
		}
		page.Departments = append(page.Departments, key)
	}
	return page
}

// submitProfile is POST /account/profile. The e-mail address is no part of it:
// the account is known and reset by it, and it is an administrator's to change.
func (x *Account) submitProfile(w http.ResponseWriter, r *http.Request) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	typed := parseProfile(form)
	problems := typed.problems()
	var page templates.Page
	err = x.update(r, form, func(tx store.Tx, v *visit) error {
		if page = nil; len(problems) > 0 {
			page = x.profilePage(r, v, typed, problems)
			return nil
		}
		return x.saveProfile(r, tx, v, typed)
	})
	if err != nil {
		return x.leadKeeping(w, r, pathProfile, pathProfile, typed.values(), err)
	}
	web.ClearCookie(w, r, draftCookie)
	if page != nil {
		return x.Web.Render(w, r, http.StatusUnprocessableEntity, page)
	}
	return x.done(w, r, pathProfile, "profile_saved")
}

// saveProfile writes what is different, and records what it was.
func (x *Account) saveProfile(r *http.Request, tx store.Tx, v *visit, p profile) error {
	agent := v.Agent
	changes := p.apply(&agent)
	if len(changes) == 0 {
		return nil
	}
	agent.Updated = v.now
	if err := store.Agents.Put(tx, &agent); err != nil {
		return err
	}
	err := x.Audit.Record(r.Context(), tx, audit.Event{Action: audit.AgentUpdate, Actor: v.me(), Object: v.me(), Changes: changes})
	if err != nil {
		return err
	}
	v.Agent = agent
	return x.tell(r.Context(), tx, v, templates.NoticeProfileChanged)
}
