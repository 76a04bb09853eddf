package federation

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
	"github.com/chatelaine-id/chatelaine/templates"
)

// answerLife is how long a verified answer waits for its browser: a redirect's
// time, or, where nobody had asked, a person's.
const answerLife = 5 * time.Minute

// receive keeps a verified answer and sends the browser back for it, by a GET that
// brings our cookies. message is what makes the answer one: it counts once, until
// it could not be accepted any more.
func (x *Federation) receive(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, message string, until time.Time) error {
	if err := at.mayBegin(id); err != nil {
		return err
	}
	handle := make([]byte, 32)
	rand.Read(handle)
	text := base64.RawURLEncoding.EncodeToString(handle)
	id.Checks, id.Said, id.Changed, id.Received = at.checks, at.said, at.conn.Changed, x.Now().UTC()
	plain, err := json.Marshal(id)
	if err != nil {
		return fmt.Errorf("encode an answer: %w", err)
	}
	rec := store.Answer{Hash: handleHash(text), Connection: at.conn.ID, Expires: x.Now().Add(answerLife).UTC()}
	if rec.Sealed, err = x.Sealer.Seal(at.site.Path, store.Answers.Kind, rec.Hash, plain); err != nil {
		return err
	}
	err = x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		if err := spend(tx, at.conn, message, until); err != nil {
			return err
		}
		return store.Answers.Put(tx, &rec)
	})
	if err != nil {
		return err
	}
	return web.SeeOther(w, r, at.path("/resume?handle="+text))
}

// mayBegin refuses an answer that nobody had asked for, unless the connection lets the
// provider begin.
func (at *attempt) mayBegin(id *identity) error {
	switch {
	case !id.unasked() || at.conn.IdPInitiated:
		return nil
	case at.conn.For != store.ForAgents:
		return refuse(codeNotForVisitors, "a visitor's sign-in begins at the widget")
	}
	return refuse(codeNotAsked, "nobody had asked for it, and idp_initiated is off")
}

// spend marks a one-time thing of a connection as used, or returns a fault.
func spend(tx store.Tx, c *store.Connection, message string, until time.Time) error {
	sum := sha256.Sum256([]byte(message))
	err := store.AllSpent.Create(tx, &store.Spent{Key: "fed:" + c.ID + ":" + hex.EncodeToString(sum[:]), Expires: until.UTC()})
	if errors.Is(err, store.ErrExists) {
		return refuse(codeReplayed, "it was used before")
	}
	return err
}

func handleHash(handle string) string {
	sum := sha256.Sum256([]byte(handle))
	return hex.EncodeToString(sum[:])
}

// answer reads the answer with that handle. It is taken by take.
func (x *Federation) answer(tx store.Tx, at *attempt, handle string) (*identity, error) {
	rec, err := store.Answers.Get(tx, handleHash(handle))
	if errors.Is(err, store.ErrNotFound) || err == nil && rec.Connection != at.conn.ID {
		return nil, refuse(codeExpired, "the answer is spent or too old")
	}
	if err != nil {
		return nil, fmt.Errorf("find the answer: %w", err)
	}
	plain, err := x.Sealer.Open(at.site.Path, store.Answers.Kind, rec.Hash, rec.Sealed)
	if err != nil {
		return nil, fmt.Errorf("open an answer: %w", err)
	}
	var id identity
	if err := json.Unmarshal(plain, &id); err != nil {
		return nil, fmt.Errorf("decode an answer: %w", err)
	}
	if !id.Changed.Equal(at.conn.Changed) {
		return nil, refuse(codeExpired, "the connection was changed since it was judged")
	}
	return &id, nil
}

// resume is GET /resume: the browser comes for the answer that was kept, or for what
// was wrong with it.
func (x *Federation) resume(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "finish")
	if err != nil {
		return err
	}
	query, err := web.ReadQuery(r)
	if err != nil {
		return err
	}
	if query.Has("fault") {
		return x.failed(w, r, at, query.Get("fault"))
	}
	handle := query.Get("handle")
	id, err := x.peek(r, at, handle)
	if err != nil {
		return x.end(w, r, at, err)
	}
	if id.unasked() {
		return x.end(w, r, at, x.askWhetherToGoOn(w, r, at, id, handle))
	}
	if at.flow, err = x.flowOf(r, at, id); err != nil {
		return err
	}
	if at.flow == nil {
		return x.end(w, r, at, refuse(codeExpired, "this browser has not asked for it, or asked too long ago"))
	}
	return x.end(w, r, at, x.finish(w, r, at, id, handle))
}

func (x *Federation) peek(r *http.Request, at *attempt, handle string) (id *identity, err error) {
	err = x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) (err error) {
		id, err = x.answer(tx, at, handle)
		return err
	})
	if err != nil {
		return nil, err
	}
	at.checks, at.said, at.subject = id.Checks, id.Said, id.Subject
	return id, nil
}

// flowOf is this browser's flow that the answer fits; nil: there is none.
func (x *Federation) flowOf(r *http.Request, at *attempt, id *identity) (*flow, error) {
	all, err := x.flows(r, at.site)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		if f.begunAt(at.conn) && f.Mode != modeLogout && (id.State == "" || f.State == id.State) && f.Request == id.Request {
			return f, nil
		}
	}
	return nil, nil
}

// askWhetherToGoOn is the page before a sign-in that the provider began: nobody is
// signed in as somebody without having seen as whom.
func (x *Federation) askWhetherToGoOn(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, handle string) error {
	if at.conn.For != store.ForAgents {
		return refuse(codeNotForVisitors, "a visitor's sign-in begins at the widget")
	}
	page := templates.FederationConfirmPage{
		Frame: x.Web.Frame(r), Action: at.path("/resume"), Handle: handle, ConnectionName: at.conn.Name, Email: id.Profile.Email, CancelURL: at.site.Base() + "/",
	}
	err := x.Store.View(r.Context(), at.site.Path, func(tx store.Tx) error {
		link, err := store.Links.Get(tx, store.LinkKey(at.conn.ID, id.Subject))
		if err == nil { // it is this account, whatever address they have there
			agent, err := store.Agents.Get(tx, link.AgentID)
			if err != nil && !errors.Is(err, store.ErrNotFound) {
				return err
			}
			page.Email = agent.Email
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		rec, err := x.Sessions.Find(tx, r, at.site)
		if errors.Is(err, session.ErrNone) {
			return nil
		}
		if err != nil {
			return err
		}
		agent, err := store.Agents.Get(tx, rec.AgentID)
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if link.AgentID != agent.ID {
			page.CurrentEmail = agent.Email
		}
		return err
	})
	if err != nil {
		return err
	}
	return x.Web.Render(w, r, http.StatusOK, page)
}

// confirm is POST /resume: somebody goes on with a sign-in that the provider began.
// It is a sign-in of this browser from here on.
func (x *Federation) confirm(w http.ResponseWriter, r *http.Request) error {
	at, err := x.begin(r, "finish")
	if err != nil {
		return err
	}
	form, err := web.ReadForm(r)
	if err != nil {
		return err
	}
	handle := form.Get("handle")
	id, err := x.peek(r, at, handle)
	if err == nil && (!id.unasked() || at.conn.For != store.ForAgents) {
		err = refuse(codeExpired, "it answers a flow")
	}
	if err == nil {
		err = at.mayBegin(id)
	}
	if err != nil {
		return x.end(w, r, at, err)
	}
	at.flow = x.newFlow(at, modeAgent)
	return x.end(w, r, at, x.finish(w, r, at, id, handle))
}

// startPath is where a flow for that sign-in begins.
func startPath(signIn string) string { return "/start?" + url.Values{"flow": {signIn}}.Encode() }
