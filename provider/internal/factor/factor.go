// Package factor keeps what agents prove themselves with besides a password:
// authenticator apps, recovery codes, passkeys and remembered browsers. It joins
// the pure checks of mfa with the store, each check and what it consumes in the
// caller's transaction, for the sign-in, the agent's own pages and the console.
//
// A wrong proof is an answer and no error, because what it used up has to be
// committed. Seeds are sealed and shown only until they are confirmed, codes and
// cookies are kept as hashes. It answers no route, opens no transaction, ends no
// session and mails nobody: it says when its caller should.
package factor

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/chatelaine-id/chatelaine/provider/internal/arrange"
	"github.com/chatelaine-id/chatelaine/provider/internal/audit"
	"github.com/chatelaine-id/chatelaine/provider/internal/keys"
	"github.com/chatelaine-id/chatelaine/provider/internal/web"
	"github.com/chatelaine-id/chatelaine/store"
)

// Limits on what one agent may have, and for how long things stand.
const (
	MaxAuthenticators = 20
	MaxDevices        = 20
	MaxName           = 64 // characters of a name
	EnrolmentTime     = 10 * time.Minute
	maxEnrolments     = 5  // begun at once; the oldest gives way
	maxConfirmations  = 10 // wrong codes until an enrolment is begun anew
)

var (
	// ErrNoEnrolment is one that was not begun here, is too old or is done.
	ErrNoEnrolment = errors.New("no such enrolment under way")
	// ErrNoFactor is an authenticator or a device that the agent does not have.
	ErrNoFactor = errors.New("no such factor")
	// ErrTooMany says that the agent has as many as there may be.
	ErrTooMany = errors.New("too many factors")
	// ErrName is a name that is too long or no text.
	ErrName = errors.New("not a name for a factor")
	// ErrNoPasskeys says that the site's address cannot have passkeys.
	ErrNoPasskeys = errors.New("this site cannot have passkeys")
)

// Errors are this package's rows of the error table.
var Errors = []web.ErrorRow{
	{Err: ErrNoEnrolment, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "flow_expired"},
	{Err: ErrNoFactor, Status: http.StatusNotFound, OAuth: "not_found", Key: "not_found"},
	{Err: ErrTooMany, Status: http.StatusConflict, OAuth: "invalid_request", Key: "conflict"},
	{Err: ErrName, Status: http.StatusBadRequest, OAuth: "invalid_request", Key: "bad_request"},
	{Err: ErrNoPasskeys, Status: http.StatusNotFound, OAuth: "not_found", Key: "not_found"},
}

// Options is what Factors need, set once.
type Options struct {
	Keys  *keys.Keys
	Audit *audit.Log
	Now   func() time.Time
}

// Factors keeps the agents' factors.
type Factors struct{ Options }

// New returns the Factors.
func New(o Options) *Factors {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Factors{o}
}

// Held is how many an agent has of each.
type Held struct {
	TOTP, Passkeys int
	Codes          int // recovery codes left
}

// Any reports whether the agent has a second factor; recovery codes are none,
// they only stand in for one.
func (h Held) Any() bool { return h.TOTP+h.Passkeys > 0 }

// Has counts what the agent has.
func (x *Factors) Has(tx store.Tx, agentID string) (h Held, err error) {
	all, err := authenticators(tx, agentID)
	if err != nil {
		return Held{}, err
	}
	for _, a := range all {
		if a.Type == store.FactorTOTP {
			h.TOTP++
		} else {
			h.Passkeys++
		}
	}
	codes, err := store.RecoveryCodes.Get(tx, agentID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Held{}, fmt.Errorf("count recovery codes: %w", err)
	}
	h.Codes = len(codes.Hashes)
	return h, nil
}

// Factor is an authenticator as it is shown.
type Factor struct {
	ID            string
	Type          string // store.FactorTOTP or store.FactorPasskey
	Name          string // may be empty
	Created, Used time.Time
	Synced        bool // a passkey that may be on several devices
	OnThisDevice  bool // a passkey that a device itself made
}

// List is what the agent has, the oldest first.
func (x *Factors) List(tx store.Tx, agentID string) ([]Factor, error) {
	all, err := authenticators(tx, agentID)
	list := make([]Factor, 0, len(all))
	for _, a := range all {
		list = append(list, Factor{a.ID, a.Type, a.Name, a.Created, a.Used, a.Synced, a.OnThisDevice})
	}
	arrange.By(list, func(a, b Factor) int { return a.Created.Compare(b.Created) })
	return list, err
}

// Proof is what became of a code or a passkey. The caller commits it also where
// it is not OK.
type Proof struct {
	OK      bool
	AgentID string // who is proven
	// Type is store.FactorTOTP, store.FactorPasskey or Recovery, and
	// AuthenticatorID which of the agent's, for the sign-in's audit record.
	Type            string
	AuthenticatorID string
	AMR             []string // to be added to what the sign-in has (RFC 8176)
	ACR             string   // policy's
	CodesLeft       int      // of Recovery

	Reason string        // why not, for the audit log
	Wait   time.Duration // no code counts for so long, right or wrong
	// Alert says that the agent should be told now: too many wrong codes, or a
	// passkey that may have been copied.
	Alert bool
}

// Recovery is the Proof.Type of a recovery code.
const Recovery = "recovery"

// Reasons of a Proof, and of what was Added.
const (
	ReasonCode    = "wrong_code"
	ReasonWait    = "too_many_codes"
	ReasonPasskey = "wrong_passkey"
	ReasonCounter = "passkey_counter"
	ReasonExists  = "passkey_exists"
)

// Added is what became of an enrolment.
type Added struct {
	OK     bool
	Reason string   // why not
	ID     string   // of the new authenticator
	AMR    []string // what its confirmation has proven (RFC 8176)
	// First says that it is the agent's first: recovery codes are due.
	First bool
}

// authenticators are the agent's, seeds still sealed.
func authenticators(tx store.Tx, agentID string) (all []store.Authenticator, err error) {
	for a, err := range store.Authenticators.List(tx, "agent", agentID) {
		if err != nil {
			return nil, fmt.Errorf("list authenticators: %w", err)
		}
		all = append(all, a)
	}
	return all, nil
}

// add writes a new authenticator and records it. Other browsers of the agent have
// to show a factor again.
func (x *Factors) add(ctx context.Context, tx store.Tx, a *store.Authenticator, by []audit.Ref) (Added, error) {
	has, err := authenticators(tx, a.AgentID)
	if err != nil {
		return Added{}, err
	}
	if len(has) >= MaxAuthenticators {
		return Added{}, ErrTooMany
	}
	if err := store.Authenticators.Create(tx, a); err != nil {
		return Added{}, fmt.Errorf("add a factor: %w", err)
	}
	if err := x.record(ctx, tx, audit.FactorAdd, *a, by); err != nil {
		return Added{}, err
	}
	_, err = x.ForgetAll(ctx, tx, a.AgentID)
	return Added{OK: true, ID: a.ID, First: len(has) == 0}, err
}

func (x *Factors) record(ctx context.Context, tx store.Tx, action string, a store.Authenticator, by []audit.Ref, more ...audit.Change) error {
	return x.Audit.Record(ctx, tx, audit.Event{
		Action: action, Actor: actor(a.AgentID, by), Object: audit.Ref{Type: "authenticator", ID: a.ID},
		Changes: append([]audit.Change{{Field: "agent", New: a.AgentID}, {Field: "type", New: a.Type}, {Field: "name", New: a.Name, Personal: true}}, more...),
	})
}

func actor(agentID string, by []audit.Ref) audit.Ref {
	if len(by) > 0 {
		return by[0]
	}
	return audit.Ref{Type: "agent", ID: agentID}
}

// cleanName is a name as it is kept; empty is allowed.
func cleanName(name string) (string, error) {
	name = strings.TrimSpace(name)
	if utf8.RuneCountInString(name) > MaxName || !utf8.ValidString(name) || strings.ContainsFunc(name, invisible) {
		return "", ErrName
	}
	return name, nil
}

// invisible characters are refused, but for the two that join letters or keep
// them apart: some scripts cannot be written without.
func invisible(r rune) bool { return !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' }

func randomText(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

// seal and open bind a seed to its row.
func (x *Factors) seal(tx store.Tx, kind store.Kind, key string, seed []byte) ([]byte, error) {
	return x.Keys.Sealer.Seal(tx.Site(), kind, key, seed)
}

func (x *Factors) open(tx store.Tx, kind store.Kind, key string, sealed []byte) ([]byte, error) {
	seed, err := x.Keys.Sealer.Open(tx.Site(), kind, key, sealed)
	if err != nil {
		return nil, fmt.Errorf("open the seed of %s %s: %w", kind, key, err)
	}
	return seed, nil
}
