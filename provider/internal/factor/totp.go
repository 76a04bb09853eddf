package factor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html/template"

	"github.com/chatelaine-id/chatelaine/mfa"
	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/site"
	"github.com/chatelaine-id/chatelaine/store"
)

// Enrolment is an authenticator app that has to be confirmed. All but ID is
// secret: it goes into one page that nothing keeps.
type Enrolment struct {
	ID   string
	URI  string       // what the QR code says
	QR   template.URL // data:image/png
	Seed string       // to be typed, base32 in groups of four
}

// BeginTOTP makes a seed that counts for nothing until ConfirmTOTP. owner is the
// session or sign-in that begins it; one that it began before is gone.
func (x *Factors) BeginTOTP(_ context.Context, tx store.Tx, s *site.Site, agent store.Agent, owner string) (Enrolment, error) {
	if err := x.makeRoom(tx, agent.ID, owner); err != nil {
		return Enrolment{}, err
	}
	seed := mfa.NewSeed()
	rec := store.Enrolment{ID: randomText(16), AgentID: agent.ID, Owner: owner, Expires: x.Now().UTC().Add(EnrolmentTime)}
	var err error
	if rec.Seed, err = x.seal(tx, store.Enrolments.Kind, rec.ID, seed); err != nil {
		return Enrolment{}, fmt.Errorf("seal a seed: %w", err)
	}
	if err := store.Enrolments.Put(tx, &rec); err != nil {
		return Enrolment{}, fmt.Errorf("begin an enrolment: %w", err)
	}
	return drawn(rec.ID, s, agent, seed)
}

// makeRoom removes what this owner began before, and the agent's oldest.
func (x *Factors) makeRoom(tx store.Tx, agentID, owner string) error {
	var begun []store.Enrolment
	for e, err := range store.Enrolments.List(tx, "agent", agentID) {
		if err != nil {
			return fmt.Errorf("list enrolments: %w", err)
		}
		begun = append(begun, e)
	}
	arrange.By(begun, func(a, b store.Enrolment) int { return b.Expires.Compare(a.Expires) })
	kept := 0
	for _, e := range begun {
		if e.Owner != owner && kept < maxEnrolments-1 {
			kept++
			continue
		}
		if err := store.Enrolments.Delete(tx, e.ID); err != nil {
			return fmt.Errorf("remove an enrolment: %w", err)
		}
	}
	return nil
}

func drawn(id string, s *site.Site, agent store.Agent, seed []byte) (Enrolment, error) {
	uri := mfa.URI(s.Settings.Name, agent.Email, seed)
	qr, err := mfa.QR(uri)
	return Enrolment{ID: id, URI: uri, QR: template.URL(qr), Seed: mfa.SeedText(seed)}, err
}

// Enrolling shows what BeginTOTP began once more, after a wrong code, to the
// same owner only. ErrNoEnrolment.
func (x *Factors) Enrolling(tx store.Tx, s *site.Site, agent store.Agent, owner, id string) (Enrolment, error) {
	_, seed, err := x.enrolment(tx, agent.ID, owner, id)
	if err != nil {
		return Enrolment{}, err
	}
	return drawn(id, s, agent, seed)
}

func (x *Factors) enrolment(tx store.Tx, agentID, owner, id string) (rec store.Enrolment, seed []byte, err error) {
	rec, err = store.Enrolments.Get(tx, id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return rec, nil, fmt.Errorf("find the enrolment: %w", err)
	}
	if err != nil || rec.AgentID != agentID || rec.Owner != owner || owner == "" || !x.Now().Before(rec.Expires) {
		return rec, nil, ErrNoEnrolment
	}
	seed, err = x.open(tx, store.Enrolments.Kind, rec.ID, rec.Seed)
	return rec, seed, err
}

// ConfirmTOTP makes an authenticator of an enrolment if code is its code; that
// code counts for nothing else. Wrong ones are ReasonCode, and after ten the
// enrolment is gone. ErrNoEnrolment, ErrName, ErrTooMany.
func (x *Factors) ConfirmTOTP(ctx context.Context, tx store.Tx, s *site.Site, agent store.Agent, owner, id, code, name string) (Added, error) {
	name, err := cleanName(name)
	if err != nil {
		return Added{}, err
	}
	rec, seed, err := x.enrolment(tx, agent.ID, owner, id)
	if err != nil {
		return Added{}, err
	}
	now := x.Now().UTC()
	step, ok := mfa.Match(seed, asTyped(code), now, 0)
	if !ok {
		return Added{Reason: ReasonCode}, wrongConfirmation(tx, rec)
	}
	if err := store.Enrolments.Delete(tx, rec.ID); err != nil {
		return Added{}, fmt.Errorf("end an enrolment: %w", err)
	}
	return x.addTOTP(ctx, tx, store.Authenticator{AgentID: agent.ID, Name: name, Created: now, LastStep: step}, seed, nil)
}

func wrongConfirmation(tx store.Tx, rec store.Enrolment) error {
	rec.Tries++
	if rec.Tries >= maxConfirmations {
		return store.Enrolments.Delete(tx, rec.ID)
	}
	return store.Enrolments.Put(tx, &rec)
}

func (x *Factors) addTOTP(ctx context.Context, tx store.Tx, a store.Authenticator, seed []byte, by []audit.Ref) (Added, error) {
	a.ID, a.Type = randomText(16), store.FactorTOTP
	var err error
	if a.Seed, err = x.seal(tx, store.Authenticators.Kind, a.ID, seed); err != nil {
		return Added{}, fmt.Errorf("seal a seed: %w", err)
	}
	added, err := x.add(ctx, tx, &a, by)
	added.AMR = []string{"otp", "mfa"}
	return added, err
}

// Imported reports whether seed is the one that a site file gave the agent.
func (x *Factors) Imported(tx store.Tx, agentID string, seed []byte) (bool, error) {
	all, err := authenticators(tx, agentID)
	for _, a := range all {
		if !a.Imported || a.Type != store.FactorTOTP {
			continue
		}
		old, err := x.open(tx, store.Authenticators.Kind, a.ID, a.Seed)
		if err != nil {
			return false, err
		}
		if bytes.Equal(old, seed) {
			return true, nil
		}
	}
	return false, err
}

// ImportTOTP makes seed (mfa.ParseSeed) the agent's authenticator from a site
// file, instead of one that a file gave before. Doing it again changes nothing.
func (x *Factors) ImportTOTP(ctx context.Context, tx store.Tx, agentID string, seed []byte, by ...audit.Ref) (changed bool, err error) {
	same, err := x.Imported(tx, agentID, seed)
	if err != nil || same {
		return false, err
	}
	all, err := authenticators(tx, agentID)
	if err != nil {
		return false, err
	}
	for _, a := range all {
		if a.Imported {
			if err := x.drop(ctx, tx, a, by); err != nil {
				return false, err
			}
		}
	}
	_, err = x.addTOTP(ctx, tx, store.Authenticator{AgentID: agentID, Created: x.Now().UTC(), Imported: true}, seed, by)
	return err == nil, err
}
