package oauth

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/session"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// errCredentials is a sign-in that the site's rules for credentials no longer
// take: the agent has to sign in again, and will be asked for what is missing.
var errCredentials = fmt.Errorf("credentials lack something: %w", ErrInvalidGrant)

// signedIn is how the agent signed in, of a session, a code or a family.
type signedIn struct {
	acr        string
	amr        []string
	remembered bool
	lifted     bool
	ssoLifted  bool
	at         time.Time
}

func signedInBy(a *store.Authorization) signedIn {
	return signedIn{a.ACR, a.AMR, a.Remembered, a.Lifted, a.SingleSignOnLifted, a.AuthTime}
}

// mayIssue is the one gate before every code and token for an agent. begun is
// when what is being used began: a session, a code, a family. ip is the address
// that PRODUCT says is judged; the zero Addr is an unknown one.
func mayIssue(s *site.Site, client *store.Client, agent *store.Agent, how signedIn, begun time.Time, ip netip.Addr, now time.Time) error {
	for _, limit := range []time.Time{agent.NotBefore, client.NotBefore, s.Settings.NotBefore} {
		if begun.Before(limit) {
			return web.Public(ErrInvalidGrant, "what this was granted by has been ended")
		}
	}
	decision := policy.Admit(policy.Request{
		Now: now, Subject: policy.Subject{Type: policy.Agent, ID: agent.ID, Roles: agent.Roles, Active: !agent.Inactive},
		IP: ip, Pathway: pathway(client), Allowlist: s.Allowlist,
	})
	switch {
	case decision.Allowed:
		return credentialsOK(s, agent, how, now)
	case decision.Reason == policy.ReasonSubjectInactive:
		return web.Public(ErrInvalidGrant, decision.Reason)
	}
	return web.Public(ErrAccessDenied, decision.Reason)
}

// credentialsOK holds the sign-in to the rules as they are now. Where no sign-in
// has met the demand for a second factor yet, grace counts from this one.
func credentialsOK(s *site.Site, agent *store.Agent, how signedIn, now time.Time) error {
	if how.ssoLifted && s.Enforcing(agent.Email, now) != nil {
		return web.Public(errCredentials, "the agent has to sign in through the company's own login")
	}
	who := site.CredentialFacts(agent)
	who.ACR, who.AMR, who.Remembered, who.Lifted = how.acr, how.amr, how.remembered, how.lifted
	if who.GraceStart.IsZero() {
		who.GraceStart = how.at
	}
	switch due := policy.CredentialsDue(s.CredentialRules(now), who, now); {
	case !due.Blocks:
		return nil
	case due.Password != "":
		return web.Public(errCredentials, "the agent has to change the password first")
	}
	return web.Public(errCredentials, "the agent has to sign in with a second factor")
}

// address is where the agent is. A public client runs on the agent's own device:
// it is where the request comes from. A confidential client's request comes from
// its server: it is the browser's latest address, or what a client says that is
// trusted to (may_assert_ip).
func (x *exchange) address(browser string) (netip.Addr, error) {
	if x.client.Public() {
		return x.ip, nil
	}
	if x.client.MayAssertIP && x.form.Has("agent_ip") {
		ip, err := netip.ParseAddr(x.form.Get("agent_ip"))
		if err != nil || ip.Zone() != "" {
			return netip.Addr{}, web.Public(ErrInvalidRequest, "agent_ip is not an address")
		}
		return ip.Unmap(), nil
	}
	ip, err := netip.ParseAddr(browser)
	if err != nil {
		return netip.Addr{}, nil //nolint:nilerr // not known: that is the zero Addr
	}
	return ip, nil
}

// liveSession is the session that a code was issued in, if it still is in force.
func (o *OAuth) liveSession(x *exchange, sid string) (store.Session, error) {
	rec, err := store.Sessions.Find(x.tx, "sid", sid)
	if err == nil {
		rec, err = o.Sessions.Live(x.tx, x.site, rec.Hash)
	}
	if errors.Is(err, store.ErrNotFound) || errors.Is(err, session.ErrNone) {
		return rec, web.Public(ErrInvalidGrant, "the session is over")
	}
	return rec, err
}
