package factor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/policy"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// PasskeysPossible reports whether browsers make passkeys for the site's address.
func PasskeysPossible(s *site.Site) bool {
	_, err := party(s)
	return err == nil
}

func party(s *site.Site) (mfa.Party, error) {
	p, err := mfa.PartyOf(s.Issuer, s.Settings.Name)
	if err != nil {
		return p, fmt.Errorf("%w: %w", ErrNoPasskeys, err)
	}
	return p, nil
}

// handle is how authenticators know an agent: it says nothing about them, and is
// another in each site of one host.
func handle(s *site.Site, agentID string) []byte {
	sum := sha256.Sum256(fmt.Appendf(nil, "passkey handle %d:%s %s", len(s.ID), s.ID, agentID))
	return sum[:]
}

// BeginPasskey returns the options of navigator.credentials.create, as JSON. A
// View is enough. owner is the session or sign-in that asks. ErrNoPasskeys,
// ErrTooMany.
func (x *Factors) BeginPasskey(_ context.Context, tx store.Tx, s *site.Site, agent store.Agent, owner string) ([]byte, error) {
	p, err := party(s)
	if err != nil {
		return nil, err
	}
	all, err := authenticators(tx, agent.ID)
	if err != nil {
		return nil, err
	}
	if len(all) >= MaxAuthenticators {
		return nil, ErrTooMany
	}
	challenge, err := x.challenge(tx, binding{toCreate, owner, agent.ID})
	if err != nil {
		return nil, err
	}
	who := mfa.Person{Handle: handle(s, agent.ID), Name: agent.Email, DisplayName: cmp.Or(agent.Name, agent.Email)}
	return p.CreationOptions(challenge, who, passkeys(all))
}

func passkeys(all []store.Authenticator) (list []mfa.Passkey) {
	for _, a := range all {
		if a.Type == store.FactorPasskey {
			list = append(list, passkey(a))
		}
	}
	return list
}

func passkey(a store.Authenticator) mfa.Passkey {
	return mfa.Passkey{
		ID: a.CredentialID, PublicKey: a.PublicKey, Counter: a.Counter, AAGUID: a.AAGUID,
		Transports: a.Transports, Synced: a.Synced, BackedUp: a.BackedUp, OnThisDevice: a.OnThisDevice,
	}
}

// FinishPasskey adds the passkey that answered BeginPasskey's options. The
// challenge is used up also if it is refused. ErrName, ErrNoPasskeys, ErrTooMany.
func (x *Factors) FinishPasskey(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, owner string, answer []byte, name string) (Added, error) {
	name, err := cleanName(name)
	if err != nil {
		return Added{}, err
	}
	p, err := party(s)
	if err != nil {
		return Added{}, err
	}
	k, err := x.created(ctx, tx, p, s, agent.ID, owner, answer)
	if err != nil {
		return Added{Reason: ReasonPasskey}, x.wrong(ctx, err)
	}
	if _, err := store.Authenticators.Find(tx, "credential", store.CredentialKey(k.ID)); err == nil {
		return Added{Reason: ReasonExists}, nil
	} else if !errors.Is(err, store.ErrNotFound) {
		return Added{}, fmt.Errorf("find a passkey: %w", err)
	}
	added, err := x.add(ctx, tx, &store.Authenticator{
		ID: randomText(16), AgentID: agent.ID, Type: store.FactorPasskey, Name: name, Created: x.Now().UTC(),
		CredentialID: k.ID, PublicKey: k.PublicKey, Counter: k.Counter, AAGUID: k.AAGUID,
		Transports: k.Transports, Synced: k.Synced, BackedUp: k.BackedUp, OnThisDevice: k.OnThisDevice,
	}, nil)
	added.AMR = methods(k.Synced)
	return added, err
}

func (x *Factors) created(ctx context.Context, tx store.Tx, p mfa.Party, s *site.Site, agentID, owner string, answer []byte) (mfa.Passkey, error) {
	read, err := mfa.ReadCreated(answer)
	if err != nil {
		return mfa.Passkey{}, err
	}
	if err := x.spend(ctx, tx, binding{toCreate, owner, agentID}, read.Challenge); err != nil {
		return mfa.Passkey{}, err
	}
	return read.Check(p, read.Challenge, handle(s, agentID))
}

// wrong leaves a refused answer in the log of the request and lets the
// transaction commit; anything else is an error.
func (x *Factors) wrong(ctx context.Context, err error) error {
	if errors.Is(err, mfa.ErrPasskey) || errors.Is(err, errChallenge) || errors.Is(err, store.ErrNotFound) {
		web.Log(ctx).Debug().Err(err).Msg("a passkey is refused")
		return nil
	}
	return err
}

// BeginLogin returns the options of navigator.credentials.get, as JSON. A View is
// enough. owner is the sign-in that asks. Without agentID any passkey may answer
// (also by autofill, mediation "conditional"), and the options are the same for
// everybody; with it the agent's own. ErrNoPasskeys.
func (x *Factors) BeginLogin(_ context.Context, tx store.Tx, s *site.Site, owner, agentID string) ([]byte, error) {
	p, err := party(s)
	if err != nil {
		return nil, err
	}
	var allowed []mfa.Passkey
	if agentID != "" {
		all, err := authenticators(tx, agentID)
		if err != nil {
			return nil, err
		}
		if allowed = passkeys(all); len(allowed) == 0 {
			return nil, ErrNoFactor
		}
	}
	challenge, err := x.challenge(tx, binding{toSignIn, owner, agentID})
	if err != nil {
		return nil, err
	}
	return p.RequestOptions(challenge, allowed)
}

// FinishLogin checks the answer to BeginLogin's options; owner and agentID are
// the same as there. Proof.AgentID says who it is; whether they may sign in is
// the caller's to ask. The challenge is used up also if the answer is refused. A
// passkey needs no budget: there is nothing to guess.
func (x *Factors) FinishLogin(ctx context.Context, tx store.Tx, s *site.Site, owner, agentID string, answer []byte) (Proof, error) {
	p, err := party(s)
	if err != nil {
		return Proof{}, err
	}
	a, err := x.asserted(ctx, tx, p, s, owner, agentID, answer)
	if errors.Is(err, mfa.ErrCounter) {
		return Proof{Reason: ReasonCounter, AgentID: a.AgentID, AuthenticatorID: a.ID, Type: store.FactorPasskey, Alert: true},
			x.record(ctx, tx, audit.FactorClone, a, nil)
	}
	if err != nil {
		return Proof{Reason: ReasonPasskey, Type: store.FactorPasskey}, x.wrong(ctx, err)
	}
	if err := store.Authenticators.Put(tx, &a); err != nil {
		return Proof{}, fmt.Errorf("note the use of a passkey: %w", err)
	}
	return Proof{
		OK: true, AgentID: a.AgentID, Type: store.FactorPasskey, AuthenticatorID: a.ID, AMR: methods(a.Synced), ACR: policy.ACRPasskey,
	}, nil
}

// methods are what a passkey proves: that of one which may be on several devices
// is no key in hardware.
func methods(synced bool) []string {
	if synced {
		return []string{"swk", "user", "mfa"}
	}
	return []string{"hwk", "user", "mfa"}
}

// asserted returns the passkey as it is to be kept. With ErrCounter it is as it
// was.
func (x *Factors) asserted(ctx context.Context, tx store.Tx, p mfa.Party, s *site.Site, owner, agentID string, answer []byte) (store.Authenticator, error) {
	read, err := mfa.ReadAsserted(answer)
	if err != nil {
		return store.Authenticator{}, err
	}
	if err := x.spend(ctx, tx, binding{toSignIn, owner, agentID}, read.Challenge); err != nil {
		return store.Authenticator{}, err
	}
	a, err := store.Authenticators.Find(tx, "credential", store.CredentialKey(read.CredentialID))
	if err != nil {
		return store.Authenticator{}, fmt.Errorf("find the passkey: %w", err)
	}
	theirs := handle(s, a.AgentID)
	if agentID != "" && a.AgentID != agentID || agentID == "" && len(read.Handle) == 0 || len(read.Handle) > 0 && !bytes.Equal(read.Handle, theirs) {
		return store.Authenticator{}, fmt.Errorf("%w: it is another agent's", mfa.ErrPasskey)
	}
	k, err := read.Check(p, read.Challenge, theirs, passkey(a))
	if err != nil {
		return a, err
	}
	a.Counter, a.BackedUp, a.Used = k.Counter, k.BackedUp, x.Now().UTC()
	return a, nil
}
