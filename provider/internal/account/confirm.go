package account

import (
	"context"
	"errors"
	"net/http"
	"net/url"

	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// danger is an act that takes something away. Its button leads to a page that
// says what will happen, and that page's button does it.
type danger struct {
	path string
	back string // the page that it belongs to
	// ask says what will happen to the thing with that id: the page's Kind, Name and
	// Count. web.ErrNotFound: there is no such thing of this agent's.
	ask func(tx store.Tx, r *http.Request, v *visit, id string) (templates.ConfirmPage, error)
	// do does it. What it returns is done after the commit.
	do func(ctx context.Context, tx store.Tx, r *http.Request, v *visit, id string) (finish, error)
}

// finish is the end of an act, after its commit.
type finish func(w http.ResponseWriter, r *http.Request) error

func (x *Account) dangers() []danger {
	return []danger{
		{pathRemove, pathFactors, x.askRemove, x.remove},
		{pathCodes, pathFactors, x.askCodes, x.renewCodes},
		{pathForget, pathFactors, x.askForget, x.forget},
		{pathForgetAll, pathFactors, x.askForgetAll, x.forgetAll},
		{pathEnd, pathSessions, x.askEnd, x.end},
		{pathEndOthers, pathSessions, x.askEndOthers, x.endOthers},
		{pathRevoke, pathApps, x.askRevoke, x.revoke},
		{pathUnlink, pathAccount, x.askUnlink, x.unlink},
	}
}

// again is the path that comes back to the question.
func (d danger) again(id string) string {
	if id == "" {
		return d.path
	}
	return d.path + "?" + url.Values{"id": {id}}.Encode()
}

// askFirst is GET: the question, also after a sign-in on the way.
func (x *Account) askFirst(w http.ResponseWriter, r *http.Request, d danger) error {
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	id := query.Get("id")
	err = x.show(w, r, d.again(id), true, func(tx store.Tx, v *visit) (templates.Page, error) {
		return x.question(tx, r, v, d, id)
	})
	return x.instead(w, r, d, id, err)
}

func (x *Account) question(tx store.Tx, r *http.Request, v *visit, d danger, id string) (templates.Page, error) {
	page, err := d.ask(tx, r, v, id)
	if err != nil {
		return nil, err
	}
	base := v.site.Base()
	page.AccountFrame, page.Action, page.CancelURL = x.frame(r, v), base+d.path, base+d.back
	if id != "" {
		page.Fields = []templates.Field{{Name: "id", Value: id}}
	}
	return page, nil
}

// doIt is POST: the question, and with its answer the act.
func (x *Account) doIt(w http.ResponseWriter, r *http.Request, d danger) error {
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	id := form.Get("id")
	if form.Get("confirm") != "yes" {
		return x.askNow(w, r, d, form)
	}
	var after finish
	err = x.update(r, form, func(tx store.Tx, v *visit) (err error) {
		if _, err := d.ask(tx, r, v, id); err != nil { // it is still there, and still may be done
			return err
		}
		after, err = d.do(r.Context(), tx, r, v, id)
		return err
	})
	if err != nil {
		return x.instead(w, r, d, id, err)
	}
	return after(w, r)
}

func (x *Account) askNow(w http.ResponseWriter, r *http.Request, d danger, form url.Values) error {
	var page templates.Page
	id := form.Get("id")
	err := x.view(r, func(tx store.Tx, v *visit) (err error) {
		if err := v.mayChange(form); err != nil {
			return err
		}
		page, err = x.question(tx, r, v, d, id)
		return err
	})
	if err != nil {
		return x.instead(w, r, d, id, err)
	}
	return x.Web.Render(w, r, http.StatusOK, page)
}

// refusal is an act that a rule forbids: problem says which, on the page that it
// belongs to.
type refusal struct{ problem string }

func (e *refusal) Error() string { return "refused: " + e.problem }

func (x *Account) instead(w http.ResponseWriter, r *http.Request, d danger, id string, err error) error {
	var no *refusal
	if errors.As(err, &no) {
		return x.failed(w, r, d.back, no.problem)
	}
	return x.lead(w, r, d.again(id), err)
}

// finished leads to a page that says what has been done.
func (x *Account) finished(page, notice string) finish {
	return func(w http.ResponseWriter, r *http.Request) error { return x.done(w, r, page, notice) }
}
