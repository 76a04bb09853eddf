package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/chatelaine-id/chatelaine/store"
)

const socketName = "control.sock"

// prepareData makes the data folder if it is not there and looks at who may use
// it. The warning is empty if all is well.
func prepareData(dir string) (warning string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data folder: %w", err)
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return "", fmt.Errorf("look at the data folder: %w", err)
	case !info.IsDir():
		return "", fmt.Errorf("data: %s is not a folder", dir)
	case info.Mode().Perm()&0o022 != 0 && info.Mode()&os.ModeSticky == 0:
		return "", fmt.Errorf("others may write to the data folder %s: chmod 700 %s", dir, dir)
	case info.Mode().Perm()&0o055 != 0:
		return fmt.Sprintf("others may look into the data folder %s: chmod 700 %s", dir, dir), nil
	}
	return "", nil
}

// loadSealer reads the master keys, making the file if make is true and it is
// not there yet. They are never made for a store that exists: what its own key
// sealed could not be opened again.
func loadSealer(c *config, make bool) (*store.Sealer, error) {
	if !c.masterKey.empty() {
		keys, err := parseMasterKeys(c.masterKey.reveal())
		if err != nil {
			return nil, fmt.Errorf("master_key: %w", err)
		}
		return store.NewSealer(keys[0], keys[1:]...)
	}
	if make {
		return store.OpenMasterKey(c.masterKeyFile)
	}
	sealer, err := store.ReadMasterKey(c.masterKeyFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("the master key %s is not there, and without it what the store has sealed cannot be opened", c.masterKeyFile)
	}
	return sealer, err
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// longestSocket is what the kernel takes as a socket's path.
const longestSocket = 100

// socketPath is a name of the control socket that the kernel takes, whatever
// the length of the folder's. Call done when the name has been used.
func socketPath(dir string) (path string, done func(), err error) {
	path = filepath.Join(dir, socketName)
	if len(path) <= longestSocket {
		return path, func() {}, nil
	}
	d, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return socketName + ".none", func() {}, nil
	}
	if err != nil {
		return "", nil, err
	}
	short := fmt.Sprintf("/proc/self/fd/%d/%s", d.Fd(), socketName)
	return short, func() { _ = d.Close() }, nil
}

// listenControl opens the control socket, mode 0600. A socket that nobody
// answers is what a killed server left, and is replaced.
func listenControl(dir string) (net.Listener, error) {
	path, done, err := socketPath(dir)
	if err != nil {
		return nil, err
	}
	defer done()
	if conn, err := net.Dial("unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another server answers on %s", filepath.Join(dir, socketName))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("replace the old control socket: %w", err)
	}
	before := syscall.Umask(0o177)
	l, err := net.Listen("unix", path)
	syscall.Umask(before)
	if err != nil {
		return nil, fmt.Errorf("open the control socket: %w", err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false) // its name may be a short-lived one; removed by hand
	return l, nil
}

// openCheckpoints makes the file that checkpoints of the audit log go to, mode
// 0600, so that a place that cannot be written to is known at the start and not
// when the first one is due.
func openCheckpoints(path string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o600)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("audit.checkpoints: there is no folder for %s", path)
	case errors.Is(err, os.ErrPermission):
		return fmt.Errorf("audit.checkpoints: this user may not read and write %s", path)
	case err != nil:
		return fmt.Errorf("audit.checkpoints: %s", plainFileError(err))
	}
	return f.Close()
}
