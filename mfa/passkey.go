package mfa

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/protocol/webauthncose"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Limits of a ceremony.
const (
	ChallengeTime = 5 * time.Minute
	ChallengeSize = 32       // bytes at least
	MaxAnswer     = 16 << 10 // bytes of what navigator.credentials answered
	maxHandle     = 64       // bytes (WebAuthn, section 5.4.3)
	maxCredential = 1023     // bytes of a credential's id (section 5.8.3)
	maxPublicKey  = 1 << 10  // bytes: an RSA key of 4096 bits and its frame
	maxDepth      = 8        // of the answer's JSON
	maxTransports = 10       // of one credential
	maxMembers    = 200      // names and values of the answer's JSON
	maxTransport  = 20       // bytes of one transport's name
)

var (
	// ErrNoPasskeys says that passkeys cannot belong to this address: browsers make
	// them for a host name over https, or for localhost.
	ErrNoPasskeys = errors.New("passkeys need a host name over https")
	// ErrPasskey says that an answer is not what a passkey had to answer; what it
	// wraps is for the log.
	ErrPasskey = errors.New("the passkey's answer is refused")
	// ErrCounter says that an answer is right in all but its counter, which did not
	// go up: the passkey may have been copied.
	ErrCounter = fmt.Errorf("%w: its counter did not go up", ErrPasskey)
)

// Party is a site as authenticators know it (the relying party).
type Party struct {
	ID     string // the host
	Origin string // scheme://host[:port], exactly as browsers send it
	Name   string
}

// PartyOf is the relying party of an issuer's URL. ErrNoPasskeys: there cannot be
// one.
func PartyOf(issuer, name string) (Party, error) {
	u, err := url.Parse(issuer)
	if err != nil {
		return Party{}, fmt.Errorf("%w: %w", ErrNoPasskeys, err)
	}
	host := u.Hostname()
	_, notAName := netip.ParseAddr(host)
	if u.Scheme != "https" && host != "localhost" || notAName == nil || protocol.ValidateRPID(host) != nil {
		return Party{}, ErrNoPasskeys
	}
	return Party{ID: host, Origin: u.Scheme + "://" + u.Host, Name: name}, nil
}

// Person is whose passkey it is. Handle is what authenticators hand back: at
// most 64 bytes that say nothing about the person.
type Person struct {
	Handle            []byte
	Name, DisplayName string
}

// Passkey is what has to be remembered of one.
type Passkey struct {
	ID           []byte // the credential's id
	PublicKey    []byte // COSE
	Counter      uint32
	AAGUID       []byte // the model of the authenticator
	Transports   []string
	Synced       bool // it may be copied to other devices (backup eligible)
	BackedUp     bool // and it is (backup state)
	OnThisDevice bool // it was made by the device itself, not by a key or a phone
}

// NewChallenge is 32 random bytes.
func NewChallenge() []byte {
	b := make([]byte, ChallengeSize)
	rand.Read(b)
	return b
}

// algorithms are those that authenticators in use have, the preferred one first;
// Windows Hello made RS256.
var algorithms = []protocol.CredentialParameter{
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgES256},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgEdDSA},
	{Type: protocol.PublicKeyCredentialType, Algorithm: webauthncose.AlgRS256},
}

// CreationOptions are the options of navigator.credentials.create, as JSON:
// {"publicKey": {…}}. A passkey that finds its owner by itself is preferred, one
// that verifies its user is required, and nobody asks of which make it is. has
// are those that the person has.
func (p Party) CreationOptions(challenge []byte, who Person, has []Passkey) ([]byte, error) {
	if len(challenge) < ChallengeSize || len(who.Handle) == 0 || len(who.Handle) > maxHandle {
		return nil, errors.New("make options of a passkey: a challenge or a handle of the wrong length")
	}
	return json.Marshal(protocol.CredentialCreation{Response: protocol.PublicKeyCredentialCreationOptions{
		RelyingParty: protocol.RelyingPartyEntity{ID: p.ID, CredentialEntity: protocol.CredentialEntity{Name: p.Name}},
		User: protocol.UserEntity{
			ID: protocol.URLEncodedBase64(who.Handle), DisplayName: who.DisplayName, CredentialEntity: protocol.CredentialEntity{Name: who.Name},
		},
		Challenge:             challenge,
		Parameters:            algorithms,
		Timeout:               int(ChallengeTime / time.Millisecond),
		CredentialExcludeList: descriptors(has),
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			ResidentKey: protocol.ResidentKeyRequirementPreferred, RequireResidentKey: new(bool), UserVerification: protocol.VerificationRequired,
		},
		Attestation: protocol.PreferNoAttestation,
	}})
}

// RequestOptions are the options of navigator.credentials.get, as JSON. Without
// allowed any passkey of this party may answer, and says whose it is.
func (p Party) RequestOptions(challenge []byte, allowed []Passkey) ([]byte, error) {
	if len(challenge) < ChallengeSize {
		return nil, errors.New("make options of a passkey: a challenge of the wrong length")
	}
	return json.Marshal(protocol.CredentialAssertion{Response: protocol.PublicKeyCredentialRequestOptions{
		Challenge: challenge, Timeout: int(ChallengeTime / time.Millisecond), RelyingPartyID: p.ID,
		AllowedCredentials: descriptors(allowed), UserVerification: protocol.VerificationRequired,
	}})
}

func descriptors(list []Passkey) (all []protocol.CredentialDescriptor) {
	for _, k := range list {
		d := protocol.CredentialDescriptor{Type: protocol.PublicKeyCredentialType, CredentialID: k.ID}
		for _, t := range k.Transports {
			d.Transport = append(d.Transport, protocol.AuthenticatorTransport(t))
		}
		all = append(all, d)
	}
	return all
}

// library is the WebAuthn library, told what we ask of everybody. Extensions that
// nobody asked for are ignored: some password managers answer them anyway.
func (p Party) library() (*webauthn.WebAuthn, error) {
	return webauthn.New(&webauthn.Config{
		RPID: p.ID, RPDisplayName: p.Name, RPOrigins: []string{p.Origin},
		ExtensionsUnsolicitedOutputPolicy: protocol.UnsolicitedOutputPolicyIgnore,
	})
}
