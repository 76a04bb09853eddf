package mfa

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"
)

// Created is an answer of navigator.credentials.create that was read and not
// checked: only Challenge may be looked at before Check.
type Created struct {
	Challenge []byte
	parsed    *protocol.ParsedCredentialCreationData
}

// ReadCreated reads the answer's JSON.
func ReadCreated(answer []byte) (c Created, err error) {
	defer caught(&err)
	if err := readable(answer); err != nil {
		return Created{}, refused(err)
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(answer)
	if err != nil {
		return Created{}, refused(err)
	}
	challenge, err := clientData(parsed.Raw.AttestationResponse.ClientDataJSON, parsed.Response.CollectedClientData)
	if err != nil {
		return Created{}, refused(err)
	}
	return Created{Challenge: challenge, parsed: parsed}, nil
}

// Check checks a registration (WebAuthn, section 7.1) and returns the passkey.
// Whether its ID is new is the caller's to see.
func (c Created) Check(p Party, challenge, handle []byte) (k Passkey, err error) {
	defer caught(&err)
	if c.parsed == nil {
		return Passkey{}, ErrPasskey
	}
	if origin := c.parsed.Response.CollectedClientData.Origin; origin != p.Origin {
		return Passkey{}, refused(fmt.Errorf("origin %.100q", origin))
	}
	if err := unattested(c.parsed); err != nil {
		return Passkey{}, refused(err)
	}
	lib, err := p.library()
	if err != nil {
		return Passkey{}, refused(err)
	}
	made, err := lib.CreateCredential(person{handle: handle}, webauthn.SessionData{
		Challenge: text(challenge), RelyingPartyID: p.ID, UserID: handle, UserVerification: protocol.VerificationRequired, CredParams: algorithms,
	}, c.parsed)
	if err != nil {
		return Passkey{}, refused(err)
	}
	if len(made.ID) == 0 || len(made.ID) > maxCredential || len(made.PublicKey) > maxPublicKey {
		return Passkey{}, refused(errors.New("a credential of that size"))
	}
	return Passkey{
		ID: made.ID, PublicKey: made.PublicKey, Counter: made.Authenticator.SignCount, AAGUID: made.Authenticator.AAGUID,
		Transports: transports(made.Transport), Synced: made.Flags.BackupEligible, BackedUp: made.Flags.BackupState,
		OnThisDevice: made.Authenticator.Attachment == protocol.Platform,
	}, nil
}

// unattested refuses an attestation by somebody else: none was asked for, and
// its certificates are more to parse than they are worth. A key that signs for
// itself says nothing about its make.
func unattested(c *protocol.ParsedCredentialCreationData) error {
	object := c.Response.AttestationObject
	_, certificates := object.AttStatement["x5c"]
	if object.Format != "none" && (object.Format != "packed" || certificates) {
		return fmt.Errorf("an attestation of the format %.20q", object.Format)
	}
	return nil
}

func transports(list []protocol.AuthenticatorTransport) (names []string) {
	for _, t := range list {
		if len(names) < maxTransports && len(t) <= maxTransport && !slices.Contains(names, string(t)) {
			names = append(names, string(t))
		}
	}
	return names
}

// Asserted is an answer of navigator.credentials.get that was read and not
// checked: the fields are to find the challenge and the passkey with.
type Asserted struct {
	Challenge    []byte
	CredentialID []byte
	Handle       []byte // whose it says it is; nil: it does not say
	parsed       *protocol.ParsedCredentialAssertionData
}

// ReadAsserted reads the answer's JSON.
func ReadAsserted(answer []byte) (a Asserted, err error) {
	defer caught(&err)
	if err := readable(answer); err != nil {
		return Asserted{}, refused(err)
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(answer)
	if err != nil {
		return Asserted{}, refused(err)
	}
	challenge, err := clientData(parsed.Raw.AssertionResponse.ClientDataJSON, parsed.Response.CollectedClientData)
	if err != nil {
		return Asserted{}, refused(err)
	}
	return Asserted{Challenge: challenge, CredentialID: parsed.RawID, Handle: parsed.Response.UserHandle, parsed: parsed}, nil
}

// Check checks a sign-in (WebAuthn, section 7.2) by the passkey k of the person
// with that handle, and returns k as it is to be remembered now. The user must
// have been verified and present, the origin be exactly the party's, and a
// counter, where there is one, have gone up (ErrCounter).
func (a Asserted) Check(p Party, challenge, handle []byte, k Passkey) (now Passkey, err error) {
	defer caught(&err)
	if a.parsed == nil || !bytes.Equal(a.CredentialID, k.ID) {
		return Passkey{}, ErrPasskey
	}
	if origin := a.parsed.Response.CollectedClientData.Origin; origin != p.Origin {
		return Passkey{}, refused(fmt.Errorf("origin %.100q", origin))
	}
	lib, err := p.library()
	if err != nil {
		return Passkey{}, refused(err)
	}
	flags := protocol.FlagUserPresent | protocol.FlagUserVerified
	if k.Synced {
		flags |= protocol.FlagBackupEligible
	}
	if k.BackedUp {
		flags |= protocol.FlagBackupState
	}
	stored := webauthn.Credential{
		ID: k.ID, PublicKey: k.PublicKey, Flags: webauthn.NewCredentialFlags(flags), Authenticator: webauthn.Authenticator{AAGUID: k.AAGUID, SignCount: k.Counter},
	}
	used, err := lib.ValidateLogin(person{handle, []webauthn.Credential{stored}}, webauthn.SessionData{
		Challenge: text(challenge), RelyingPartyID: p.ID, UserID: handle, UserVerification: protocol.VerificationRequired,
	}, a.parsed)
	if err != nil {
		return Passkey{}, refused(err)
	}
	if used.Authenticator.CloneWarning {
		return Passkey{}, ErrCounter
	}
	k.Counter, k.BackedUp = used.Authenticator.SignCount, used.Flags.BackupState
	return k, nil
}

// person is how the library wants to see somebody.
type person struct {
	handle []byte
	has    []webauthn.Credential
}

func (p person) WebAuthnID() []byte                         { return p.handle }
func (p person) WebAuthnName() string                       { return "" }
func (p person) WebAuthnDisplayName() string                { return "" }
func (p person) WebAuthnCredentials() []webauthn.Credential { return p.has }

func text(challenge []byte) string { return base64.RawURLEncoding.EncodeToString(challenge) }

// caught turns a panic over hostile bytes into a refusal.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: reading it panicked: %.200v", ErrPasskey, p)
	}
}

// refused hides what the library says behind ErrPasskey: it quotes what was sent.
func refused(err error) error {
	var detailed *protocol.Error
	if errors.As(err, &detailed) {
		return fmt.Errorf("%w: %.200q", ErrPasskey, detailed.Details+" "+detailed.DevInfo)
	}
	return fmt.Errorf("%w: %.200q", ErrPasskey, err.Error())
}
