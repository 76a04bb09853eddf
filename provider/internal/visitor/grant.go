package visitor

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/visitor/records"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Grant answers at the token endpoint for a visitor's JWT (RFC 7523, section 2.1): an
// access token and no more, since the next JWT gives the next. No browser is
// remembered.
func (x *Visitors) Grant(w http.ResponseWriter, r *http.Request, form url.Values) error {
	s := site.From(r.Context())
	q, err := x.enterRequest(w, r, s)
	if err != nil {
		return err
	}
	q.Identity, q.Resource = form.Get("assertion"), form.Get("resource")
	if len(q.Identity) > maxBody {
		return web.ErrTooLarge
	}
	a, err := x.granted(r.Context(), q)
	return x.reply(w, s, a, err)
}

func (x *Visitors) granted(ctx context.Context, q *starting) (*answer, error) {
	if q.Resource != "" && !known(q.site, q.Resource) {
		return nil, web.Public(ErrTarget, "the site has no such resource")
	}
	ev, err := x.identity(ctx, q.site, q.Identity, "", q.now)
	if err != nil {
		return nil, err
	}
	var v *renewal
	var person *records.Person
	err = x.Store.Update(ctx, q.site.Path, func(tx store.Tx) error {
		r := &recognition{starting: q, tx: tx, ev: ev}
		if err := x.load(r); err != nil {
			return err
		}
		if err := x.judge(ctx, r); err != nil {
			return err
		}
		r.rec.Seen = q.now
		if err := x.Records.Write(tx, &r.rec, r.person); err != nil {
			return err
		}
		v = &renewal{Visitor: r.rec.ID, SID: records.Granted + random(16), Assurance: ev.assurance, AuthTime: unix(ev.authTime)}
		person = r.person
		return nil
	})
	if err != nil {
		return nil, err
	}
	if q.Resource != "" {
		v.Resource = q.Resource
	}
	return x.sign(ctx, q, v, personOf(person))
}

// enterRequest counts a request and finds what it is judged by.
func (x *Visitors) enterRequest(w http.ResponseWriter, r *http.Request, s *site.Site) (*starting, error) {
	q := &starting{site: s, ip: web.ClientIP(r.Context()), now: x.now()}
	if wait := x.rates.take(s.Path, q.ip, q.now); wait > 0 {
		w.Header().Set("Retry-After", seconds(wait))
		return nil, ErrThrottled
	}
	var err error
	q.bans, err = x.Records.Bans(r.Context(), s)
	return q, err
}

// reply writes the answer, or a Refusal, which is counted by its reason.
func (x *Visitors) reply(w http.ResponseWriter, s *site.Site, a *answer, err error) error {
	var no *Refusal
	if errors.As(err, &no) {
		x.Audit.Count(s.Path, audit.Event{Action: audit.VisitorRefused, Result: audit.Refused, Reason: no.Reason})
		return refuse(w, no)
	}
	if errors.Is(err, ErrThrottled) {
		w.Header().Set("Retry-After", seconds(perVisitor.every))
	}
	if err != nil {
		return err
	}
	return web.WriteJSON(w, http.StatusOK, a)
}

func seconds(d time.Duration) string {
	return strconv.Itoa(int((d + time.Second - 1) / time.Second))
}
