package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A master key file has one key a line, 32 bytes in base64, the current one
// first and older ones after it until everything is sealed anew; lines that
// begin with # are for people.

var (
	// ErrMasterKey says that the store was sealed with another master key.
	ErrMasterKey = errors.New("this is not the master key that the store was sealed with")
	// ErrKeyFile says that a master key file cannot be used as it is.
	ErrKeyFile = errors.New("the master key file cannot be used")
)

const masterKeyComment = "# Chatelaine master key: keep a copy apart from the backups. Without it they and the store are worthless.\n"

// OpenMasterKey reads the file, making it with a new key if it is not there.
// One that others may read is refused.
func OpenMasterKey(path string) (*Sealer, error) {
	sealer, err := ReadMasterKey(path)
	if !errors.Is(err, os.ErrNotExist) {
		return sealer, err
	}
	if err := writeMasterKeys(path, [][]byte{newMasterKey()}, false); err != nil && !errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("make %s: %w", path, err)
	}
	return ReadMasterKey(path) // another process may have been first
}

// ReadMasterKey is OpenMasterKey that makes nothing.
func ReadMasterKey(path string) (*Sealer, error) {
	keys, err := readMasterKeys(path)
	if err != nil {
		return nil, err
	}
	return NewSealer(keys[0], keys[1:]...)
}

// AddMasterKey puts a new key before those in the file. Restart or reopen to
// use it, then Reseal, then RemoveOldMasterKeys.
func AddMasterKey(path string) error {
	keys, err := readMasterKeys(path)
	if err != nil {
		return err
	}
	return writeMasterKeys(path, append([][]byte{newMasterKey()}, keys...), true)
}

// RemoveOldMasterKeys leaves only the current key in the file. Backups that an
// older one made can then be restored only with a copy of it.
func RemoveOldMasterKeys(path string) error {
	keys, err := readMasterKeys(path)
	if err != nil {
		return err
	}
	return writeMasterKeys(path, keys[:1], true)
}

func newMasterKey() []byte {
	key := make([]byte, MasterKeySize)
	rand.Read(key)
	return key
}

func readMasterKeys(path string) ([][]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("master key: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, fmt.Errorf("master key: %w", err)
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: %w: it is no regular file", path, ErrKeyFile)
	case info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: %w: others on this machine may read it: chmod 600 it, and think of the key as known", path, ErrKeyFile)
	case info.Size() > 64<<10:
		return nil, fmt.Errorf("%s: %w: it is too large", path, ErrKeyFile)
	}
	var keys [][]byte
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		key, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(key) != MasterKeySize || bytes.Count(key, key[:1]) == len(key) {
			return nil, fmt.Errorf("%s: %w: line %d is not %d random bytes in base64", path, ErrKeyFile, n, MasterKeySize)
		}
		keys = append(keys, key)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, ErrKeyFile, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: %w: it holds no key", path, ErrKeyFile)
	}
	return keys, nil
}

// writeMasterKeys puts the file in its place whole, or not at all.
func writeMasterKeys(path string, keys [][]byte, replace bool) error {
	text := masterKeyComment
	for _, k := range keys {
		text += base64.StdEncoding.EncodeToString(k) + "\n"
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".master-key-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	place := os.Link
	if replace {
		place = os.Rename
	}
	if err := place(f.Name(), path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

const masterKeyCheck = "master-key-check"

// CheckMasterKey makes sure that the sealer's keys are those that the store is
// sealed with: ErrMasterKey if not. On a new store it leaves the record that
// later checks open. now is for that record only.
func CheckMasterKey(ctx context.Context, s Store, sealer *Sealer, now time.Time) error {
	sealed, err := sealer.Seal(House, Secrets.Kind, masterKeyCheck, []byte(masterKeyCheck))
	if err != nil {
		return err
	}
	return s.Update(ctx, House, func(tx Tx) error {
		rec, err := Secrets.Get(tx, masterKeyCheck)
		if errors.Is(err, ErrNotFound) {
			return Secrets.Put(tx, &Secret{Name: masterKeyCheck, Sealed: sealed, Created: now})
		}
		if err != nil {
			return err
		}
		plain, err := sealer.Open(House, Secrets.Kind, masterKeyCheck, rec.Sealed)
		if err != nil || string(plain) != masterKeyCheck {
			return ErrMasterKey
		}
		return nil
	})
}
