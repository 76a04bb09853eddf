package saml

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"time"
)

// KeyBits is the length of our own keys; many identity providers know RSA alone.
const KeyBits = 3072

// NewKey makes a key for signing and for decryption. It takes a moment.
func NewKey() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, KeyBits) }

// NewCertificate makes a self-signed certificate. Peers pin it and ask of it nothing but the
// key; its name is for people to recognise.
func NewCertificate(key crypto.Signer, name string, begin, end time.Time) (*x509.Certificate, error) {
	if !begin.Before(end) || name == "" || !plain(name) {
		return nil, errors.New("make a certificate: no name, or it ends before it begins")
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	name = string([]rune(name)[:min(len([]rune(name)), 64)])
	template := x509.Certificate{
		SerialNumber: serial.Add(serial, big.NewInt(1)),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    begin.UTC(), NotAfter: end.UTC(),
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return x509.ParseCertificate(der)
}

// Ending is the end of the last of these certificates that holds now, and whether it
// comes within so long: what comes after is a connection that nobody can use. Without any
// that holds, the end is zero.
func Ending(certificates []*x509.Certificate, now time.Time, within time.Duration) (end time.Time, soon bool) {
	for _, certificate := range certificates {
		if !now.Before(certificate.NotBefore) && !now.After(certificate.NotAfter) && certificate.NotAfter.After(end) {
			end = certificate.NotAfter
		}
	}
	return end, end.IsZero() || end.Before(now.Add(within))
}
