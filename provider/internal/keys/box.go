package keys

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"

	"golang.org/x/crypto/chacha20poly1305"
)

// Box seals short texts that a stranger carries for us, a cookie's value or a
// parameter, with one of a site's secrets.
type Box struct{ aead cipher.AEAD }

// Box returns the Box of the site's secret with that name.
func (k *Keys) Box(ctx context.Context, path, name string) (Box, error) {
	secret, err := k.Secret(ctx, path, name)
	if err != nil {
		return Box{}, err
	}
	aead, err := chacha20poly1305.NewX(secret)
	return Box{aead}, err
}

// Seal returns plain sealed, in base64url. data says what it is for and whose it
// is: it opens for the same data only.
func (b Box) Seal(plain, data []byte) string {
	nonce := make([]byte, chacha20poly1305.NonceSizeX, chacha20poly1305.NonceSizeX+len(plain)+chacha20poly1305.Overhead)
	rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(b.aead.Seal(nonce, nonce, plain, data))
}

// Open returns what was sealed for data; false for anything else.
func (b Box) Open(text string, data []byte) ([]byte, bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(sealed) < chacha20poly1305.NonceSizeX {
		return nil, false
	}
	plain, err := b.aead.Open(nil, sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:], data)
	return plain, err == nil
}
