package store

import (
	"bytes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// A backup is a header and chunks. The header is a line of text, the id of the
// master key and a random salt; the chunks are sealed with ChaCha20-Poly1305
// under a key that HKDF makes of the master key and the salt, bound to the
// header, their position and whether they are the last.
const (
	backupMagic = "chatelaine backup 1\n"
	saltSize    = 32
	headerSize  = len(backupMagic) + 4 + saltSize
	chunkSize   = 64 << 10
)

func backupAEAD(master, header []byte) (cipher.AEAD, error) {
	key, err := hkdf.Key(sha256.New, master, header[len(header)-saltSize:], "chatelaine backup", chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.New(key)
}

func chunkNonce(n uint64, last bool) []byte {
	nonce := make([]byte, chacha20poly1305.NonceSize)
	binary.BigEndian.PutUint64(nonce[3:], n)
	if last {
		nonce[11] = 1
	}
	return nonce
}

// chunkWriter seals what is written to it; Close writes the last chunk.
type chunkWriter struct {
	w      io.Writer
	aead   cipher.AEAD
	header []byte
	n      uint64
	buf    bytes.Buffer
}

func newChunkWriter(w io.Writer, sealer *Sealer) (*chunkWriter, error) {
	header := append([]byte(backupMagic), sealer.keys[0].id[:]...)
	salt := make([]byte, saltSize)
	rand.Read(salt)
	header = append(header, salt...)
	aead, err := backupAEAD(sealer.keys[0].key, header)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(header)
	return &chunkWriter{w: w, aead: aead, header: header}, err
}

func (c *chunkWriter) Write(p []byte) (int, error) {
	c.buf.Write(p)
	for c.buf.Len() > chunkSize {
		if err := c.flush(chunkSize, false); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

func (c *chunkWriter) Close() error { return c.flush(c.buf.Len(), true) }

func (c *chunkWriter) flush(size int, last bool) error {
	sealed := c.aead.Seal(make([]byte, 4, 4+size+c.aead.Overhead()), chunkNonce(c.n, last), c.buf.Next(size), c.header)
	binary.BigEndian.PutUint32(sealed, uint32(len(sealed)-4))
	c.n++
	_, err := c.w.Write(sealed)
	return err
}

// chunkReader opens what chunkWriter sealed. It yields only bytes whose chunk
// is authentic, and io.EOF only after the chunk that was written last.
type chunkReader struct {
	r      io.Reader
	aead   cipher.AEAD
	header []byte
	n      uint64
	plain  []byte
	last   bool
}

func newChunkReader(r io.Reader, sealer *Sealer) (*chunkReader, error) {
	header := make([]byte, headerSize)
	if _, err := io.ReadFull(r, header); err != nil || string(header[:len(backupMagic)]) != backupMagic {
		return nil, ErrBackup
	}
	for _, k := range sealer.keys {
		if k.id == [4]byte(header[len(backupMagic):]) {
			aead, err := backupAEAD(k.key, header)
			return &chunkReader{r: r, aead: aead, header: header}, err
		}
	}
	return nil, fmt.Errorf("%w: another key made it", ErrBackup)
}

func (c *chunkReader) Read(p []byte) (int, error) {
	for len(c.plain) == 0 {
		if c.last {
			return 0, io.EOF
		}
		if err := c.next(); err != nil {
			return 0, err
		}
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	return n, nil
}

func (c *chunkReader) next() error {
	var size [4]byte
	if _, err := io.ReadFull(c.r, size[:]); err != nil {
		return fmt.Errorf("%w: it is cut short", ErrBackup)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n > chunkSize+uint32(c.aead.Overhead()) {
		return ErrBackup
	}
	sealed := make([]byte, n)
	if _, err := io.ReadFull(c.r, sealed); err != nil {
		return fmt.Errorf("%w: it is cut short", ErrBackup)
	}
	plain, err := c.aead.Open(nil, chunkNonce(c.n, false), sealed, c.header)
	if err != nil {
		if plain, err = c.aead.Open(nil, chunkNonce(c.n, true), sealed, c.header); err != nil {
			return fmt.Errorf("%w: it has been changed", ErrBackup)
		}
		c.last = true
		var more [1]byte
		if n, _ := c.r.Read(more[:]); n > 0 {
			return fmt.Errorf("%w: something follows its end", ErrBackup)
		}
	}
	c.n++
	c.plain = plain
	return nil
}
