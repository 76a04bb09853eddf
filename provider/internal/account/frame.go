package account

import (
	"net/http"
	"slices"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// What has just been done, or not, is said on the next page. It comes there in a
// cookie of a word, so that no link can make a page say it.
const (
	noticeCookie  = "account-notice"
	problemCookie = "account-problem"
	saidFor       = 10 * time.Minute
)

func say(w http.ResponseWriter, r *http.Request, name, word string) {
	if word != "" {
		web.SetCookie(w, r, name, word, saidFor)
	}
}

// words are what the page before has left to be said.
type words struct{ notice, problem string }

func hear(r *http.Request) words {
	return words{heard(r, noticeCookie), heard(r, problemCookie)}
}

func heard(r *http.Request, name string) string {
	if word, ok := web.Cookie(r, name); ok && len(word) <= 64 {
		return word
	}
	return ""
}

// forget takes them back: they are said once.
func (said words) forget(w http.ResponseWriter, r *http.Request) {
	if said.notice != "" {
		web.ClearCookie(w, r, noticeCookie)
	}
	if said.problem != "" {
		web.ClearCookie(w, r, problemCookie)
	}
}

// frame is what a page of the account has around it.
func (x *Account) frame(r *http.Request, v *visit) templates.AccountFrame {
	name := v.Agent.Name
	if name == "" {
		name = v.Agent.Email
	}
	return templates.AccountFrame{
		Frame: x.Web.Frame(r), AgentName: name, AgentEmail: v.Agent.Email, CSRF: v.csrf,
		Notice: v.said.notice, Problem: v.said.problem, FactorBy: v.factorBy(),
		SignOutURL: v.site.Base() + "/oauth/logout",
	}
}

// factorBy is until when a second factor has to be enrolled; zero: not at all.
func (v *visit) factorBy() time.Time {
	who := site.CredentialFacts(&v.Agent)
	who.HasFactor, who.ACR, who.AMR = v.held.Any(), v.Session.ACR, v.Session.AMR
	if who.GraceStart.IsZero() {
		who.GraceStart = v.Session.AuthTime
	}
	if due := policy.CredentialsDue(v.site.CredentialRules(v.now), who, v.now); due.Enrol {
		return due.EnrolBy
	}
	return time.Time{}
}

// required reports whether a role of the agent's demands a second factor.
func (v *visit) required() bool {
	demanding := v.site.Settings.TwoFactor.RequiredRoles
	return slices.ContainsFunc(v.Agent.Roles, func(role string) bool { return slices.Contains(demanding, role) })
}

// show answers with a page that fn makes of what its View reads. A read may be
// tried again, so fn sets all of the page anew.
func (x *Account) show(w http.ResponseWriter, r *http.Request, back string, proven bool, fn func(tx store.Tx, v *visit) (templates.Page, error)) error {
	var page templates.Page
	said := hear(r)
	err := x.view(r, func(tx store.Tx, v *visit) (err error) {
		if proven {
			if err := v.prove(); err != nil {
				return err
			}
		}
		v.said = said
		page, err = fn(tx, v)
		return err
	})
	if err != nil {
		return x.lead(w, r, back, err)
	}
	said.forget(w, r)
	return x.Web.Render(w, r, http.StatusOK, page)
}
