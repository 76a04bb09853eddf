package federation

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// skew is how much another's clock may differ where no connection says more.
const skew = time.Minute

// finish ends a flow in what it is for: everything that it proves, consumes and
// writes is one transaction. handle is that of the answer that was kept; empty if
// it came directly.
func (x *Federation) finish(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, handle string) error {
	at.subject = id.Subject
	if err := at.fits(id); err != nil {
		return err
	}
	switch at.flow.Mode {
	case modeVisitor:
		return x.finishVisitor(w, r, at, id, handle)
	case modeRehearse:
		return x.finishRehearsal(w, r, at, id, handle)
	case modeAgent:
		return x.finishAgent(w, r, at, id, handle)
	}
	return refuse(codeExpired, "it answers a flow that is no sign-in")
}

// fits holds the answer to what the flow is.
func (at *attempt) fits(id *identity) error {
	f := at.flow
	if (f.Mode == modeVisitor) != (at.conn.For == store.ForVisitors) {
		return refuse(codeNotForVisitors, "the connection is for %s", at.conn.For)
	}
	if f.Fresh && f.Mode == modeAgent && at.askedUnknown(id) {
		at.check("auth_time", false, "when the provider asked (OpenID Connect Core 1.0, section 2)", "none")
		return refuse(codeProviderNo, "the provider was to ask anew and does not say when it did: have it send auth_time, or set assume_fresh")
	}
	if f.Fresh && !id.Asked.IsZero() && id.Asked.Before(f.Started.Add(-min(at.skew(), skew))) {
		at.check("auth_time", false, "not before "+f.Started.UTC().Format(time.RFC3339), id.Asked.UTC().Format(time.RFC3339))
		return refuse(codeProviderNo, "the provider was to ask anew and has not")
	}
	return nil
}

// askedUnknown reports whether nobody knows when the provider asked them last: that it
// knew the browser may be all that it says.
func (at *attempt) askedUnknown(id *identity) bool {
	return id.Asked.IsZero() && at.conn.OIDC != nil && !at.conn.OIDC.AssumeFresh
}

func (at *attempt) skew() time.Duration {
	if at.conn.SkewSeconds > 0 {
		return time.Duration(at.conn.SkewSeconds) * time.Second
	}
	return skew
}

// take uses up the flow, unless this request has done so already, and the answer if
// it was kept, in the caller's transaction. Of any number of tries one succeeds.
func (x *Federation) take(tx store.Tx, at *attempt, handle string) error {
	if err := at.stands(tx); err != nil {
		return err
	}
	if handle != "" {
		if _, err := x.answer(tx, at, handle); err != nil { // somebody beside us has taken it
			return err
		}
		if err := store.Answers.Delete(tx, handleHash(handle)); err != nil {
			return err
		}
	}
	if at.spent {
		return nil
	}
	return spendFlow(tx, at)
}

func spendFlow(tx store.Tx, at *attempt) error {
	return spend(tx, at.conn, "flow "+at.flow.State, at.flow.Expires.Add(time.Minute))
}

// stands refuses what was judged by a connection that has been removed, disabled or
// changed meanwhile: nothing of it may outlive that.
func (at *attempt) stands(tx store.Tx) error {
	now, err := store.Connections.Get(tx, at.conn.ID)
	switch {
	case errors.Is(err, store.ErrNotFound), err == nil && (now.Disabled || now.Since() != at.conn.Since()):
		return refuse(codeDisabled, "the connection was removed or disabled meanwhile")
	case err != nil:
		return fmt.Errorf("load the connection: %w", err)
	case !now.Changed.Equal(at.conn.Changed) && at.flow.Mode == modeRehearse:
		return refuse(codeRehearsal, "the connection was changed meanwhile")
	case !now.Changed.Equal(at.conn.Changed):
		return refuse(codeExpired, "the connection was changed meanwhile: begin again")
	}
	return nil
}

// finishAgent hands an agent over to signin.
func (x *Federation) finishAgent(w http.ResponseWriter, r *http.Request, at *attempt, id *identity, handle string) error {
	f := at.flow
	before := store.SignIn{Return: "/account", Started: f.Started} // of a sign-in that the provider began
	if f.SignIn != "" {
		var err error
		before, err = x.Sessions.SignIn(r, at.site, f.SignIn)
		if errors.Is(err, session.ErrNoFlow) {
			return refuse(codeExpired, "the sign-in that it was begun for is over")
		}
		if err != nil {
			return err
		}
	}
	pathway, err := x.pathway(r, at.site, before)
	if err != nil {
		return err
	}
	var half store.SignIn
	err = x.Store.Update(r.Context(), at.site.Path, func(tx store.Tx) error {
		if err := x.take(tx, at, handle); err != nil {
			return err
		}
		agent, err := x.account(r.Context(), tx, at, id)
		if err != nil {
			return err
		}
		if err := x.admit(r, at, agent, pathway); err != nil {
			return err
		}
		half = x.halfDone(at, id, before, agent)
		return store.SignIns.Put(tx, &store.SignIn{
			ID: half.ID, Started: half.Started, Expires: half.Expires, AgentID: half.AgentID, AMR: half.AMR, AuthTime: half.AuthTime,
			Login: half.Login, Asked: half.Asked, AskedUnknown: half.AskedUnknown,
		})
	})
	var no *web.Refusal
	if errors.As(err, &no) {
		return x.shut(w, r, at, no)
	}
	if err != nil {
		return err
	}
	x.trace(r, at, nil)
	x.clearFlow(w, r, f)
	x.Sessions.EndSignIn(w, r, f.SignIn)
	half.AgentID, half.AMR, half.AuthTime, half.Asked = "", nil, time.Time{}, time.Time{} // what is proven is not in the browser
	half.Login, half.AskedUnknown = store.Login{}, false
	if err := x.Sessions.UpdateSignIn(w, r, at.site, half); err != nil {
		return err
	}
	return web.SeeOther(w, r, at.site.Base()+"/sign-in/"+url.PathEscape(half.ID)+"/on")
}

// halfDone is the sign-in as it goes on, under a new id.
func (x *Federation) halfDone(at *attempt, id *identity, before store.SignIn, agent *store.Agent) store.SignIn {
	raw := make([]byte, 16)
	rand.Read(raw)
	half := before
	half.ID = base64.RawURLEncoding.EncodeToString(raw)
	now := x.Now().UTC()
	half.Expires = now.Add(session.FlowLifetime)
	half.AgentID, half.AMR, half.AuthTime, half.Asked = agent.ID, []string{policy.AMRFederated}, now, id.Asked
	if f := at.flow; f.Fresh && !half.Asked.IsZero() && half.Asked.Before(f.Started) { // by its clock, or in whole seconds: fits has let it pass
		half.Asked = f.Started
	}
	half.AskedUnknown = at.askedUnknown(id)
	if at.conn.TrustSecondFactor && id.SecondFactor {
		half.AMR = append(half.AMR, "mfa")
	}
	half.Login = store.Login{Connection: at.conn.ID, Subject: id.Subject, Upstream: id.Upstream, Hint: id.Hint}
	return half
}
