// Package mfatest is a passkey in software (ES256), for tests of whoever takes
// passkeys: it answers the options of a relying party as a browser and an
// authenticator together would, and can be told to get any part of it wrong.
//
// It keeps its key in memory and asks nobody. Never use it outside tests.
package mfatest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
)

// Flags of the authenticator's data (WebAuthn, section 6.1).
const (
	UserPresent    = 1 << 0
	UserVerified   = 1 << 2
	BackupEligible = 1 << 3
	BackedUp       = 1 << 4
	attested       = 1 << 6
)

// Passkey is one credential. Create and Get count Counter up if it is not 0.
type Passkey struct {
	ID      []byte
	Handle  []byte // of the last Create
	Counter uint32
	Flags   byte
	key     *ecdsa.PrivateKey
}

// New makes a passkey whose user is present and verified.
func New() *Passkey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // crypto/rand does not fail
	}
	id := make([]byte, 32)
	rand.Read(id)
	return &Passkey{ID: id, Flags: UserPresent | UserVerified, key: key}
}

// Ceremony is an answer in the making; tests change what they like.
type Ceremony struct {
	Type        string // of the client data
	Challenge   string
	Origin      string
	CrossOrigin bool
	TopOrigin   string
	RPID        string
	Flags       byte
	Counter     uint32
	ID          []byte
	Handle      []byte
	Format      string         // of the attestation
	Statement   []byte         // CBOR
	ClientData  []byte         // instead of what is made of the fields above
	AuthData    []byte         // likewise
	Extensions  map[string]any // of the client
	SignWith    *Passkey       // instead of its own key
}

type options struct {
	PublicKey struct {
		Challenge string                `json:"challenge"`
		RPID      string                `json:"rpId"`
		RP        struct{ ID string }   `json:"rp"`
		User      struct{ ID string }   `json:"user"`
		Excluded  []struct{ ID string } `json:"excludeCredentials"`
		Allowed   []struct{ ID string } `json:"allowCredentials"`
	} `json:"publicKey"`
}

// ErrNotAllowed is what a browser says when no passkey fits the options, or one
// is there already.
var ErrNotAllowed = errors.New("NotAllowedError")

// Create answers the options of navigator.credentials.create at a page of origin.
func (k *Passkey) Create(opts []byte, origin string, change ...func(*Ceremony)) ([]byte, error) {
	var o options
	if err := json.Unmarshal(opts, &o); err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	for _, e := range o.PublicKey.Excluded {
		if e.ID == encode(k.ID) {
			return nil, ErrNotAllowed
		}
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.PublicKey.User.ID)
	if err != nil {
		return nil, fmt.Errorf("read the user handle: %w", err)
	}
	k.Handle = handle
	c := Ceremony{
		Type: "webauthn.create", Challenge: o.PublicKey.Challenge, Origin: origin, RPID: o.PublicKey.RP.ID,
		Flags: k.Flags | attested, Counter: k.Counter, ID: k.ID, Format: "none", Statement: []byte{0xa0},
	}
	for _, f := range change {
		f(&c)
	}
	data := c.authData()
	if c.AuthData == nil {
		data = append(data, make([]byte, 16)...) // AAGUID
		data = binary.BigEndian.AppendUint16(data, uint16(len(c.ID)))
		data = append(data, c.ID...)
		data = append(data, k.cose()...)
	}
	object := []byte{0xa3}
	object = append(object, text("fmt")...)
	object = append(object, text(c.Format)...)
	object = append(object, text("attStmt")...)
	object = append(object, c.Statement...)
	object = append(object, text("authData")...)
	object = append(object, bytes(data)...)
	return c.answer(map[string]any{"clientDataJSON": encode(c.clientData()), "attestationObject": encode(object), "transports": []string{"internal"}})
}

// Get answers the options of navigator.credentials.get at a page of origin.
func (k *Passkey) Get(opts []byte, origin string, change ...func(*Ceremony)) ([]byte, error) {
	var o options
	if err := json.Unmarshal(opts, &o); err != nil {
		return nil, fmt.Errorf("read the options: %w", err)
	}
	allowed := len(o.PublicKey.Allowed) == 0
	for _, a := range o.PublicKey.Allowed {
		allowed = allowed || a.ID == encode(k.ID)
	}
	if !allowed && len(change) == 0 {
		return nil, ErrNotAllowed
	}
	if k.Counter > 0 {
		k.Counter++
	}
	c := Ceremony{
		Type: "webauthn.get", Challenge: o.PublicKey.Challenge, Origin: origin, RPID: o.PublicKey.RPID,
		Flags: k.Flags, Counter: k.Counter, ID: k.ID, Handle: k.Handle, SignWith: k,
	}
	for _, f := range change {
		f(&c)
	}
	client, data := c.clientData(), c.authData()
	hash := sha256.Sum256(client)
	digest := sha256.Sum256(append(append([]byte(nil), data...), hash[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, c.SignWith.key, digest[:])
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	response := map[string]any{"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature)}
	if len(c.Handle) > 0 {
		response["userHandle"] = encode(c.Handle)
	}
	return c.answer(response)
}

func (c *Ceremony) answer(response map[string]any) ([]byte, error) {
	if c.Extensions == nil {
		c.Extensions = map[string]any{}
	}
	return json.Marshal(map[string]any{
		"type": "public-key", "id": encode(c.ID), "rawId": encode(c.ID), "response": response,
		"authenticatorAttachment": "platform", "clientExtensionResults": c.Extensions,
	})
}

func (c *Ceremony) clientData() []byte {
	if c.ClientData != nil {
		return c.ClientData
	}
	data := map[string]any{"type": c.Type, "challenge": c.Challenge, "origin": c.Origin, "crossOrigin": c.CrossOrigin}
	if c.TopOrigin != "" {
		data["topOrigin"] = c.TopOrigin
	}
	raw, err := json.Marshal(data)
	if err != nil {
		panic(err) // strings and a bool
	}
	return raw
}

func (c *Ceremony) authData() []byte {
	if c.AuthData != nil {
		return c.AuthData
	}
	hash := sha256.Sum256([]byte(c.RPID))
	return binary.BigEndian.AppendUint32(append(hash[:], c.Flags), c.Counter)
}

// cose is the public key: kty EC2, alg ES256, crv P-256, x, y.
func (k *Passkey) cose() []byte {
	point, err := k.key.PublicKey.Bytes()
	if err != nil {
		panic(err) // it is a point of the curve
	}
	key := []byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21}
	key = append(key, bytes(point[1:33])...)
	key = append(key, 0x22)
	return append(key, bytes(point[33:])...)
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// text and bytes are CBOR strings.
func text(s string) []byte  { return append(head(0x60, len(s)), s...) }
func bytes(b []byte) []byte { return append(head(0x40, len(b)), b...) }

func head(major byte, n int) []byte {
	switch {
	case n < 24:
		return []byte{major | byte(n)}
	case n < 256:
		return []byte{major | 24, byte(n)}
	}
	return []byte{major | 25, byte(n >> 8), byte(n)}
}
