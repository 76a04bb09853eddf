package store

import "time"

// SigningKey is one private key of a site. Its use is bound to one algorithm.
type SigningKey struct {
	KID       string    `json:"kid"`
	Alg       string    `json:"alg"`     // ES256, RS256 or EdDSA
	Private   []byte    `json:"private"` // PKCS#8, sealed
	Created   time.Time `json:"created"`
	Published time.Time `json:"published"`
	Activates time.Time `json:"activates"`          // signs from then on
	Retires   time.Time `json:"retires,omitzero"`   // signs until then, still published
	Withdrawn time.Time `json:"withdrawn,omitzero"` // leaves the JWKS
}

// SigningKeys holds a site's keys.
var SigningKeys = Table[SigningKey]{
	Kind: "signing-key", Key: func(k *SigningKey) string { return k.KID },
	Sealed: func(k *SigningKey) []*[]byte { return []*[]byte{&k.Private} },
}

// Secret is a random value of the house or a site under a name: the MAC key of
// refresh tokens, of cookies, of the audit log.
type Secret struct {
	Name    string    `json:"name"`
	Sealed  []byte    `json:"sealed"`
	Created time.Time `json:"created"`
}

// Names of the secrets of what is under way: a restore leaves them out, so that
// nothing that was made with them before is taken after it.
const (
	SecretFlow    = "flow"    // seals the cookies of sign-ins under way
	SecretPasskey = "passkey" // MACs the challenges of passkeys
	SecretCode    = "code"    // seals authorization codes
	SecretVisitor = "visitor" // seals what a visitor renews by
)

// Secrets holds them.
var Secrets = Table[Secret]{
	Kind: "secret", Key: func(s *Secret) string { return s.Name },
	Sealed: func(s *Secret) []*[]byte { return []*[]byte{&s.Sealed} },
}
